"""From a checkpoint, which may be a stranger's, to a model: what must fit before memory or time is spent."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from seq2seq import checkpoint
from seq2seq.config import parse
from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import EOS
from seq2seq.distributed.sharding import like
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.model import Architecture, Seq2SeqModel
from seq2seq.runtime import Precision, choose_precision
from seq2seq.search import Search

TRUSTED = "seq2seq"
"""The only package whose classes a checkpoint may name, unless its user lists more."""

Direction = tuple[str, str]
"""Source and target language."""

WIDEST = 1024
"""Hypotheses that a checkpoint's own search may keep for a sentence, as it may be a stranger's."""

MOST_UNSEEN = 64
"""Parameters that a model may make and give up again, as tying does, beside one for each that it keeps."""

MOST_BUFFERED = 2**24
"""Numbers that a model may keep beside its parameters, however few these are."""


def directions_of(snapshot: checkpoint.Snapshot) -> list[Direction]:
    """Return the directions that a checkpoint translates in.

    Raises:
        CheckpointError: it does not say.
    """
    found: Any = snapshot.config.get("directions")
    try:
        return [(str(source), str(target)) for source, target in found]
    except (TypeError, ValueError):
        raise CheckpointError(
            f"the checkpoint's `directions` must be pairs of languages, but are {found!r} instead"
        ) from None


def check_size(architecture: Architecture, vocabularies: tuple[int, int], snapshot: checkpoint.Snapshot) -> None:
    """Build a model without memory, to see whether a snapshot's weights are those of its configuration.

    So a stranger's numbers cannot ask for more memory or time than the weights, which are there, account for: what
    the model keeps beside its parameters is held against a limit, and one that gets more parameters than the
    snapshot has is not built to its end.

    Args:
        architecture: what the configuration says.
        vocabularies: numbers of source and target pieces.
        snapshot: holds the weights.

    Raises:
        CheckpointError: they are not, or the configuration makes no model at all.
        ConfigError: the parts do not fit together.
    """
    try:
        with torch.device("meta"), at_most(MOST_UNSEEN + 2 * len(snapshot.weights)):
            model = architecture.build(*vocabularies)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise CheckpointError(f"the checkpoint's configuration makes no model ({reason})") from error
    check_weights(model, snapshot)
    buffers = sum(buffer.numel() for buffer in model.buffers())
    if buffers > MOST_BUFFERED + model.num_parameters:
        raise CheckpointError(
            f"the checkpoint's model must keep little beside its {model.num_parameters:,} parameters, "
            f"but would keep {buffers:,} numbers"
        )


@contextmanager
def at_most(parameters: int) -> Iterator[None]:
    """Stop this thread in a ``with`` block as soon as modules have been given more than so many parameters.

    Raises:
        CheckpointError: they have.
    """
    count, thread = 0, threading.get_ident()

    def registered(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        count += threading.get_ident() == thread
        if count > parameters:
            raise CheckpointError(
                "the checkpoint's weights do not fit its configuration, which makes a model of far more layers"
            )

    handle = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        handle.remove()


def check_weights(model: Seq2SeqModel, snapshot: checkpoint.Snapshot) -> None:
    """Compare a snapshot's weights with a model's.

    Raises:
        CheckpointError: names or shapes differ.
    """
    own = dict(model.named_parameters())
    if own.keys() != snapshot.weights.keys():
        differing = sorted(own.keys() ^ snapshot.weights.keys())
        raise CheckpointError(
            f"the checkpoint's weights do not fit its configuration: they differ in {differing[:5]}"
        )
    for name, parameter in own.items():
        if parameter.shape != snapshot.weights[name].shape:
            found = tuple(snapshot.weights[name].shape)
            raise CheckpointError(
                f"the checkpoint's {name} must be of shape {tuple(parameter.shape)}, but is {found}"
            )


@torch.no_grad()
def load_weights(model: Seq2SeqModel, snapshot: checkpoint.Snapshot) -> None:
    """Copy a snapshot's weights into a model.

    Raises:
        CheckpointError: names or shapes differ.
    """
    check_weights(model, snapshot)
    for name, parameter in model.named_parameters():
        parameter.copy_(like(snapshot.weights[name], parameter))


def decoding_precision(model: Seq2SeqModel, precision: Precision, device: torch.device) -> torch.dtype:
    """Return what a model that only translates is to be converted to, once and with all its numbers.

    ``auto`` takes bfloat16 where it pays, as :func:`choose_precision` finds out, if all parts can compute in it.

    Args:
        model: as it is restored.
        precision: what is asked for.
        device: where it is going to translate.

    Raises:
        ConfigError: bfloat16 is asked for, but the GPU or a part of the model lacks it.
    """
    chosen = choose_precision(precision, device, "precision")
    if chosen == torch.float32:
        return chosen
    reason = fault_in(deepcopy(model).to(device, chosen))
    if reason is not None and precision != "auto":
        raise ConfigError(
            f"`precision` must be fp32 for a model of which a part cannot compute in {precision}, but is "
            f"{precision!r} instead; the part says: {reason}"
        )
    return chosen if reason is None else torch.float32


@torch.inference_mode()
def fault_in(model: Seq2SeqModel) -> str | None:
    """Return why a model cannot translate in the precision of its numbers; None where it can.

    A part may call what torch has not for every type of numbers, so the model reads two pieces to find out.
    """
    ids = torch.full((1, 2), EOS, device=model.device)
    batch = Batch(ids, torch.tensor([2], device=model.device), False, None, 0, None)
    was_training = model.training
    try:
        model.eval()
        model.decode(ids[:, :1], model.start(model.encode(batch)))
    except (RuntimeError, TypeError, ValueError) as error:  # among them NotImplementedError
        return str(error).partition("\n")[0]
    finally:
        model.train(was_training)
    return None


@dataclass(frozen=True)
class _Own:
    """The section of a checkpoint's settings that says how it translates."""

    search: Search


def search_of(settings: dict[str, Any], allowed: Sequence[str] | None) -> Search:
    """Return the search that a checkpoint's settings name.

    Raises:
        CheckpointError: there is none, or it is no sensible one.
        ConfigError: its settings name foreign code or say what cannot be.
    """
    if not isinstance(settings.get("search"), dict):
        raise CheckpointError("the checkpoint's settings must have a section `search`, but have none; give a search")
    search = parse(_Own, {"search": settings["search"]}, allowed=allowed).search
    width = search.over_pieces.width
    if width > WIDEST:
        raise CheckpointError(
            f"the checkpoint's own search must keep at most {WIDEST:,} hypotheses of a sentence, but keeps "
            f"{width:,}; give a search"
        )
    return search
