"""The real configurations, shrunk: what tests of whole models are made of."""

from __future__ import annotations

import copy
import inspect
import itertools
import os
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import hydra
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from seq2seq.attention.core import Attention
from seq2seq.attention.normalizers import Normalizer
from seq2seq.cli import CONFIGS, plain
from seq2seq.config import Component, parse
from seq2seq.data.batching import Batch, make_batch, pack
from seq2seq.data.tokenizer import EOS
from seq2seq.distributed.processes import Processes
from seq2seq.model import Architecture, Seq2SeqModel
from seq2seq.runs.config import RunConfig
from seq2seq.training.gradients import Gradients
from seq2seq.training.learner import Learner
from seq2seq.training.spreading import Alone

VOCABULARY = 23
SMALL = {"feed_forward_dim": 24, "num_layers": 2}

Values = dict[str, Any]


def choices(group: str) -> list[str]:
    """Every choice of a group of configurations, read from its files."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def groups() -> list[str]:
    """Every group of configurations of ours, those inside others too, such as ``attention/window``."""
    found = {str(path.parent.relative_to(CONFIGS)) for path in CONFIGS.glob("*/**/*.yaml")}
    return sorted(group for group in found if not group.startswith("hydra/"))  # which need plugins


def compose(*overrides: str, name: str = "train") -> Values:
    """A composed configuration, as plain values."""
    return copy.deepcopy(_compose(overrides, name, os.environ.get("SEQ2SEQ_DATA")))


@cache
def _compose(overrides: tuple[str, ...], name: str, data: str | None) -> Values:
    """Compose once for each folder of corpora, which some configurations name."""
    with hydra.initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return plain(hydra.compose(name, list(overrides)))


def shrink(values: Values, dim: int = 16) -> Values:
    """The same configuration with few, narrow layers, unless an override has asked for a size of its own."""
    values["model"]["dim"] = dim
    for part in values.values():
        if isinstance(part, dict):
            part |= {key: size for key, size in SMALL.items() if key in part}
    return values


def run_config(*overrides: str) -> RunConfig:
    """A whole, shrunk configuration of a training run."""
    return parse(RunConfig, shrink(compose(*overrides)))


def learner(model: Seq2SeqModel, config: RunConfig, *, ema_decay: float = 0.0) -> Learner:
    """What updates a model, in one process and in single precision."""
    gradients = Gradients(Alone(model, config.objective().train(), Processes()), torch.float32, seed=1)
    optimizer = config.optimizer([*model.named_parameters()])
    return Learner(gradients, optimizer, clip_norm=1.0, ema_decay=ema_decay)


def architecture(*overrides: str, dim: int = 16, **groups: Values) -> Architecture:
    """The part of a shrunk configuration that decides what a model is; ``groups`` replace what is composed."""
    values = shrink(compose(*overrides), dim) | groups
    return parse(Architecture, {name: values[name] for name in Architecture.__dataclass_fields__})


def build(*overrides: str, vocabulary: int = VOCABULARY, seed: int = 1, **groups: Values) -> Seq2SeqModel:
    """A tiny model with random weights, in evaluation mode; ``groups`` take the place of what is composed."""
    parts = architecture(*overrides, **groups)
    torch.manual_seed(seed)
    return parts.build(vocabulary, vocabulary).eval()


def make_attention(
    name: str,
    query_dim: int,
    memory_dim: int,
    *,
    num_heads: int = 1,
    project: bool = False,
    normalizer: str = "softmax",
    window: str = "global",
    width: int | None = None,
) -> Attention:
    """One of the shipped attentions, with other sizes and without dropout."""
    settings = {"num_heads": num_heads, "project": project, "dropout": 0.0}
    values = attention_values(name, normalizer, window, width) | settings
    part = parse(_Part, {"attention": values}).attention
    return part(query_dim, memory_dim).eval()


def attention_values(name: str, normalizer: str, window: str, width: int | None = None) -> Values:
    """The settings of an attention put together from three shipped files; each file is composed only once."""
    values: Values = compose(f"attention={name}")["attention"]
    values["normalizer"] = compose(f"attention/normalizer={normalizer}")["attention"]["normalizer"]
    values["window"] = compose(f"attention/window={window}")["attention"]["window"]
    if width is not None and "width" in values["window"]:
        values["window"]["width"] = width
    return values


@dataclass(frozen=True)
class _Part:
    attention: Component[Attention]


def make_normalizer(name: str) -> Normalizer:
    """One of the shipped normalizers."""
    normalizer: Normalizer = architecture(f"attention/normalizer={name}").attention.settings["normalizer"]()
    return normalizer


class Sizes(TorchDispatchMode):
    """While active, notes the shape and the size of every piece of memory that an operation makes, gradients too."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []
        self.seen: list[int] = []

    def __torch_dispatch__(self, operation: Any, kinds: Any, arguments: Any = (), settings: Any = None) -> Any:
        result = operation(*arguments, **(settings or {}))
        given = {one.untyped_storage().data_ptr() for one in arguments if isinstance(one, torch.Tensor)}
        for tensor in result if isinstance(result, tuple | list) else (result,):
            # A view, or what is changed in place, takes no memory.
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().data_ptr() not in given:
                self.shapes.append(tuple(tensor.shape))
                self.seen.append(tensor.numel())
        return result


def variants(group: str, name: str) -> list[tuple[str, ...]]:
    """Overrides that give every setting with a fixed list of values each of its values once.

    The settings and their values come from the signature of the class, so a new one is tested without being named.
    The last variant changes all such settings at once.
    """
    values = compose(f"{group}={name}")[group]
    module, _, target = values["_target_"].rpartition(".")
    cls = getattr(__import__(module, fromlist=[target]), target)
    hints = typing.get_type_hints(cls.__init__)
    others: dict[str, list[str]] = {}
    for parameter in inspect.signature(cls).parameters.values():
        hint = hints.get(parameter.name)
        allowed: Sequence[Any] = (False, True) if hint is bool else typing.get_args(hint)
        if parameter.kind is parameter.KEYWORD_ONLY and (hint is bool or typing.get_origin(hint) is typing.Literal):
            key = f"{group}.{parameter.name}"
            others[key] = [f"{key}={value}".lower() for value in allowed if value != values[parameter.name]]
    singles = [(one,) for one in itertools.chain.from_iterable(others.values())]
    together = tuple(alternatives[-1] for alternatives in others.values())
    return singles + ([together] if len(others) > 1 else [])


def sentences(lengths: Iterable[int], vocabulary: int = VOCABULARY, seed: int = 1) -> list[list[int]]:
    """Random sentences of these lengths, without special pieces."""
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(EOS + 1, vocabulary, (length,), generator=draw).tolist() for length in lengths]


def batch_of(sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]] | None = None) -> Batch:
    """A batch of these sentences, in this order."""
    rows = torch.arange(len(sources)).numpy()
    return make_batch(pack(sources), None if targets is None else pack(targets), rows)


def random_batch(source_lengths: Sequence[int], target_lengths: Sequence[int], vocabulary: int = VOCABULARY) -> Batch:
    """A batch of random sentences of these lengths."""
    sources, targets = (
        sentences(lengths, vocabulary, seed) for seed, lengths in enumerate((source_lengths, target_lengths))
    )
    return batch_of(sources, targets)
