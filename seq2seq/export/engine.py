"""What an exported model must be able to do to be compared with the one it was made of."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import ConfigError
from seq2seq.export.description import Description

Ids = Sequence[int]
"""A sentence as ids of pieces, without BOS and EOS."""


class Writer(Protocol):
    """Who writes a described model into a folder, with the tokenizers of source and target."""

    def __call__(
        self,
        description: Description,
        tokenizers: tuple[Tokenizer, Tokenizer],
        folder: Path,
        *,
        quantization: str,
        longest: int,
    ) -> None:
        """Write; ``longest`` positions are enough, and ``quantization`` is the type of the weights."""
        raise NotImplementedError


class Engine(Protocol):
    """Another library with an exported model, read back from its folder."""

    def translate(self, sources: Sequence[Ids], beam: int, longest: int, together: int) -> list[list[int]]:
        """Return the best translation of each sentence.

        Args:
            sources: the sentences.
            beam: its size; 1 is greedy search.
            longest: translations have fewer pieces.
            together: sentences of a batch, at most.
        """
        raise NotImplementedError

    def log_probabilities(self, sources: Sequence[Ids], targets: Sequence[Ids]) -> list[list[float]]:
        """Return the natural logarithm of the probability of each given target piece, EOS included."""
        raise NotImplementedError


def library(name: str, format: str) -> Any:
    """Import a library that only exporting needs.

    Raises:
        ConfigError: it is not installed, or cannot be imported; the message has the command that installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        found = "is not installed" if getattr(error, "name", None) == name else f"cannot be imported ({error})"
        raise ConfigError(
            f"`format` {format} must have the library {name}, which {found}; "
            "install it with `pip install -e '.[export]'`"
        ) from None
