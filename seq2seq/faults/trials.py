"""Tiny runs in processes of their own, to be killed, stopped and compared."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot
from seq2seq.config import Values, parse
from seq2seq.errors import UserError
from seq2seq.run import train
from seq2seq.runs.config import RunConfig
from seq2seq.training.log import read_log

TINY = (
    "data=grammar",
    "data.train=240",
    "data.validation=12",
    "data.test=6",
    "tokenizer.vocab_size=260",
    "tokenizer.byte_fallback=false",
    "model=tiny",
    "model.dim=16",
    "model.dropout=0.1",
    "evaluate_split=null",
    "trainer.device=cpu",
    "trainer.precision=fp32",
    "trainer.max_steps=24",
    "trainer.max_tokens=256",
    "trainer.accumulate=2",
    "trainer.ema_decay=0.9",
    "trainer.log_every=2",
    "trainer.validate_every=4",
    "trainer.checkpoint_every=3",
    "trainer.validation_sentences=4",
    "trainer.samples=0",
)
"""A run of about a second that validates, averages weights, adds up batches and writes a dozen checkpoints."""

VARIANTS: dict[str, tuple[str, ...]] = {
    "Transformer, Transformer": (),
    "BiLSTM, RNN, BPE-dropout": ("encoder=bilstm", "decoder=rnn", "attention=additive", "sampling=bpe_dropout"),
    "BiLSTM, Transformer, no average": ("encoder=bilstm", "trainer.ema_decay=0", "trainer.accumulate=1"),
    "Transformer, RNN, unigram sampling": ("decoder=rnn", "tokenizer=unigram", "sampling=unigram"),
    "Transformer, Transformer, R-Drop, mixture": (
        "objective=r_drop",
        "data=mixture",
        "+data@data.corpora.one=grammar",
        "data.corpora.one.train=240",
        "data.corpora.one.validation=12",
        "data.corpora.one.test=6",
        "data.both_directions=true",
        "mixing.temperature=2",
    ),
}
"""Runs that differ in what has to be restored."""


def overrides(variant: str, folder: Path) -> list[str]:
    """Return the overrides of a variant whose prepared data is kept in a folder."""
    chosen = VARIANTS[variant]
    groups = {one.partition("=")[0] for one in chosen if "." not in one.partition("=")[0]}
    kept = [one for one in TINY if one.partition("=")[0] not in groups and not ("data" in groups and "data." in one)]
    return [*kept, *chosen, f'prepared_dir="{folder / "prepared"}"']


def begin(values: Values, run: Path, *, pause: float = 0.0) -> BaseProcess:
    """Start to train in a process of its own.

    Args:
        values: every setting.
        run: the run folder.
        pause: seconds, at most, to wait before each step of writing a file, so that these are hit more often.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])  # importing torch each time would take longer than a run
    settings = {**values, "run_dir": str(run)}
    process = context.Process(target=_train, args=(settings, f"{run}.txt", pause))
    process.start()
    return process


def finish(values: Values, run: Path) -> str:
    """Train to the end in a process of its own and return what it printed.

    Raises:
        RuntimeError: it did not end well.
    """
    process = begin(values, run)
    process.join()
    printed = Path(f"{run}.txt").read_text(encoding="utf-8")
    if process.exitcode:
        raise RuntimeError(f"{run} ended with status {process.exitcode}: {printed[-500:]}")
    return printed


def _train(values: dict[str, Any], output: str, pause: float) -> None:
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    torch.set_num_threads(1)
    try:
        with slowed(pause):
            train(parse(RunConfig, values), values)
    except UserError as error:
        print(f"error: {error}")
        sys.stdout.flush()
        os._exit(2)


@contextmanager
def slowed(pause: float) -> Iterator[None]:
    """Let every step of writing a file wait a moment for the time of a ``with`` block."""
    draw = random.Random()
    kept = {name: getattr(os, name) for name in ("fsync", "rename", "replace", "unlink", "mkdir", "symlink")}

    def slow(real: Callable[..., Any]) -> Callable[..., Any]:
        def waiting(*arguments: Any, **settings: Any) -> Any:
            time.sleep(draw.uniform(0, pause))
            return real(*arguments, **settings)

        return waiting

    if pause:
        for name, real in kept.items():
            setattr(os, name, slow(real))
    try:
        yield
    finally:
        for name, real in kept.items():
            setattr(os, name, real)


def digest(run: Path) -> str:
    """Return a hash of everything that a finished run has learnt: all tensors, all counters, what was measured."""
    snapshot = checkpoint.load(run / "checkpoints" / "last", training=True)
    found = hashlib.sha256()
    for tensors in (snapshot.weights, snapshot.training_tensors):
        for name, tensor in sorted(tensors.items()):
            found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            found.update(tensor.contiguous().numpy().tobytes())
    found.update(json.dumps([counters(snapshot), measured(run)], sort_keys=True).encode())
    return found.hexdigest()


def counters(snapshot: Snapshot) -> dict[str, Any]:
    """Return the plain values of a run, without the time it took."""
    return {key: value for key, value in snapshot.training.items() if key != "seconds"}


def measured(run: Path) -> list[tuple[int, float | None, float | None]]:
    """Return, in the order of the log, each step and what a validation found there."""
    return [(row["step"], row.get("validation_loss"), row.get("validation_bleu")) for row in read_log(run)]
