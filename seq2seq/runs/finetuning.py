"""Beginning with the weights of another run, and leaving some of them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch import nn

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig
from seq2seq.errors import ConfigError, suggest
from seq2seq.runs.folder import begun
from seq2seq.terminal import say, warn

SHOWN = 6
"""Names in a list; the rest is counted."""

TIED = ("source_embedding.weight", "output.weight")
"""Parameters that a checkpoint lacks where they were one with the target embedding."""

TARGET_EMBEDDING = "target_embedding.weight"

OF_SOURCE = ("source_embedding.weight",)
OF_TARGET = (TARGET_EMBEDDING, "output.weight", "output.bias")
"""Parameters with one row for each piece of a vocabulary."""


def check_initial(path: str | None, frozen: Sequence[str]) -> None:
    """Look before a new run for what it is to begin with, and say so where it would freeze random weights.

    Args:
        path: run folder or checkpoint of the initial weights; None for random ones.
        frozen: name patterns of the parameters that are to stay as they are.

    Raises:
        CheckpointError: there is no checkpoint at ``path``.
    """
    if path is not None:
        checkpoint.locate(Path(path), warn, setting="init_from")
    elif frozen:
        warn("`freeze` keeps random weights as they are, because there is no `init_from` that gives others")


def begin_with(model: nn.Module, path: str, source: Tokenizer, target: Tokenizer) -> None:
    """Give a new model the weights of a run or a checkpoint, as far as they fit, and say how far.

    Args:
        model: a new model.
        path: run folder or checkpoint.
        source: the model's tokenizer of sources.
        target: the model's tokenizer of targets.

    Raises:
        UserError: there is no checkpoint that can be used, or nothing of it fits.
    """
    folder, snapshot = checkpoint.load_located(Path(path), warn, setting="init_from")
    taken = take_weights(model, snapshot, source, target)
    for words in taken.lines(folder):
        say(words)
    if 2 * taken.count < taken.total:
        warn(f"only {taken.count} of {taken.total} parameters begin with weights of {folder}; all others are new")


def lasting(config: TokenizerConfig, run_dir: str | None) -> TokenizerConfig:
    """Let a run that goes on take its own tokenizer, where the one that it was given has gone since."""
    if config.model is None or Path(config.model).exists() or not begun(run_dir):
        return config
    return replace(config, model=run_dir)


@dataclass
class Taken:
    """What a model has got from a checkpoint.

    Attributes:
        count: parameters taken, those with only some rows of their own vocabulary included.
        total: parameters of the model.
        absent: those that the checkpoint lacks.
        unlike: those that it has in another shape, both shapes named.
        unused: what it has beside.
        pieces: for each vocabulary that differs, in words, how much of it is shared.
    """

    count: int = 0
    total: int = 0
    absent: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    def lines(self, origin: Path) -> list[str]:
        """Return the report, a line for each kind of thing to know."""
        lists = {"not there": self.absent, "of another shape": self.unlike, "unused": self.unused}
        return [
            f"Weights from {origin}: {self.count} of {self.total} parameters taken",
            *(f"    {words}: {_shortened(names)}" for words, names in lists.items() if names),
            *(f"    {words}" for words in self.pieces),
        ]


def _shortened(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


@torch.no_grad()
def take_weights(model: nn.Module, snapshot: Snapshot, source: Tokenizer, target: Tokenizer) -> Taken:
    """Copy into a model what a checkpoint has of its parameters; all others stay as they are.

    A parameter is taken by its name, and whole, where shapes agree. Rows that stand for pieces of a vocabulary are
    taken piece by piece, by spelling, where the vocabulary is another one: the place of a piece means nothing there.

    Args:
        model: a new model.
        snapshot: the checkpoint; of its configuration nothing is built.
        source: the model's tokenizer of sources.
        target: the model's tokenizer of targets.

    Raises:
        ConfigError: nothing of it fits.
        DataError: one of its tokenizers cannot be used.
    """
    own, weights = dict(model.named_parameters()), dict(snapshot.weights)
    broken = [name for name, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise ConfigError(f"`init_from` must have finite weights, but has others in {_shortened(broken)}")
    if TARGET_EMBEDDING in weights:
        weights = {name: weights[TARGET_EMBEDDING] for name in TIED if name in own} | weights
    taken = Taken(total=len(own), unused=sorted(weights.keys() - own.keys()))
    rows: dict[str, _Rows] = {}
    for side, tokenizer, names in (("source", source, OF_SOURCE), ("target", target, OF_TARGET)):
        before = Tokenizer(snapshot.model_of(side), f"the {side} tokenizer of the checkpoint")
        shared = _Rows.between(before, tokenizer)
        if shared is not None and any(name in own for name in names):
            rows |= dict.fromkeys(names, shared)
            taken.pieces.append(f"another {side} vocabulary: {shared.words} are there, too, taken by spelling")
    for name, parameter in own.items():
        if name not in weights:
            taken.absent.append(name)
            continue
        theirs, piecewise = weights[name], rows.get(name)
        expected = parameter.shape if piecewise is None else (piecewise.size, *parameter.shape[1:])
        if theirs.shape != expected:
            taken.unlike.append(f"{name} {tuple(theirs.shape)} there, {tuple(parameter.shape)} here")
            continue
        if piecewise is None:
            parameter.copy_(theirs)
        else:
            parameter[piecewise.here] = theirs[piecewise.there].to(parameter)
        taken.count += 1
    if not taken.count:
        raise ConfigError(
            "`init_from` must have parameters that this model has, too, but has none of the same name and shape "
            f"(of another shape: {_shortened(taken.unlike) or 'none'}; unused: {_shortened(taken.unused) or 'none'})"
        )
    return taken


@dataclass(frozen=True)
class _Rows:
    """Which rows of two vocabularies stand for the same pieces.

    Attributes:
        there: rows of the one before.
        here: rows of the one of now, in the same order.
        size: pieces of the one before.
        words: how many are shared, of how many.
    """

    there: list[int]
    here: list[int]
    size: int
    words: str

    @classmethod
    def between(cls, before: Tokenizer, now: Tokenizer) -> _Rows | None:
        """Compare two vocabularies; None where they are one, so that rows need no comparing."""
        if before.serialized == now.serialized:
            return None
        places = {piece: row for row, piece in enumerate(before.pieces(range(before.vocab_size)))}
        here = [row for row, piece in enumerate(now.pieces(range(now.vocab_size))) if piece in places]
        there = [places[piece] for piece in now.pieces(here)]
        return cls(there, here, before.vocab_size, f"{len(here):,} of {now.vocab_size:,} pieces")


def freeze(model: nn.Module, patterns: Sequence[str]) -> tuple[int, int]:
    """Let parameters stay as they are: no gradient is computed for them.

    Args:
        model: the model.
        patterns: names of parameters, with ``*``, ``?`` and ``[...]`` as in names of files. A tied parameter has
            several names, each of which will do.

    Returns:
        how many numbers are frozen, and of how many.

    Raises:
        ConfigError: a pattern matches nothing, or nothing is left to train.
    """
    named = list(model.named_parameters(remove_duplicate=False))
    names = [name for name, _ in named]
    parts = sorted({f"{part}.*" for name in names for part in (name.partition(".")[0], name.rpartition(".")[0])})
    mistakes = [
        f"`freeze[{i}]` must match a parameter of the model, such as 'encoder.*', but {pattern!r} matches none"
        f"{suggest(pattern, [*parts, *names])}"
        for i, pattern in enumerate(patterns)
        if not any(fnmatchcase(name, pattern) for name in names)
    ]
    if mistakes:
        raise ConfigError(mistakes)
    for name, parameter in named:
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)
    parameters = list(model.parameters())
    frozen = sum(parameter.numel() for parameter in parameters if not parameter.requires_grad)
    if all(not parameter.requires_grad for parameter in parameters):
        raise ConfigError(f"`freeze` must leave something to train, but {list(patterns)} freezes every parameter")
    return frozen, sum(parameter.numel() for parameter in parameters)


def trainable(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Return the parameters that are trained, by name, each tied one once."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
