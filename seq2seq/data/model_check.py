"""SentencePiece models of strangers: tried in a process of their own before this one reads them.

A model is a program of sorts for a library in C++, where a mistake may mean a crash, and a crash would end whoever
translates. So each is first loaded and used by :mod:`seq2seq.data.model_trial`, which may die of it. That takes a few
hundredths of a second, once for each model and process.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from seq2seq.data import model_trial
from seq2seq.errors import DataError, printable

MAX_MODEL_BYTES = 2**24
"""A larger file is no tokenizer: 100,000 pieces take about 2 MB."""

PATIENCE = 10.0
"""Seconds on the clock that a trial may take; its limit of the processor's time is less and usually comes first."""

_accepted: set[bytes] = set()


def accept(model: bytes) -> None:
    """Remember a model as good, because this process itself has made it."""
    _accepted.add(hashlib.sha256(model).digest())


def check(model: bytes, origin: str) -> None:
    """Refuse a model that is none, or that the library cannot be trusted with.

    Args:
        model: its bytes.
        origin: where it came from, for messages.

    Raises:
        DataError: it is too large, no SentencePiece model, or makes the library crash, hang or take too much memory.
    """
    if len(model) > MAX_MODEL_BYTES:
        raise DataError(f"{origin} must be a SentencePiece model of at most {MAX_MODEL_BYTES} bytes, but is larger")
    if hashlib.sha256(model).digest() in _accepted:
        return
    # Without -P its own folder would come first, and the modules there are called like some of Python's.
    command = [sys.executable, "-P", str(Path(model_trial.__file__))]
    try:
        done = subprocess.run(command, input=model, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        raise DataError(f"{origin} must be a SentencePiece model, but reading it makes the library hang") from None
    except OSError as error:
        raise DataError(
            f"{origin} must be tried in a process of its own, but none can be started: {error}"
        ) from error
    if done.returncode == model_trial.REFUSED:
        reason = printable(done.stdout.decode(errors="replace"))
        raise DataError(f"{origin} must be a SentencePiece model, but cannot be read as one: {reason}")
    if done.returncode != 0:
        raise DataError(
            f"{origin} must be a SentencePiece model, but reading it makes the library crash "
            f"(status {done.returncode}) or take too much time or memory"
        )
    accept(model)
