"""What a score costs: every score with every normalizer against torch's fused kernel alone.

Both sides get the same numbers. The kernel gets queries, keys and values (B,H,L,d) ready made. The attention gets
what a model has, queries and a memory (B,L,H*d): it splits them into heads, maps them as its score asks, and puts the
context of all heads together. The memory is both keys and values, as in classical attention; there are no learned
maps around the score, because they would be the same on both sides.

In bf16 both sides get tensors that already are bfloat16, under autocast: that is what the linear maps of a model
give. Parameters of a score are in single precision and are cast at every step, as in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from seq2seq.attention.core import Attention, AttentionOutput
from seq2seq.attention.normalizers import Normalizer
from seq2seq.attention.scores import Score
from seq2seq.benchmark.table import Row, Table
from seq2seq.benchmark.timing import (
    PRECISIONS,
    PrecisionName,
    alternate,
    stopwatch_of,
    update,
)
from seq2seq.config import Component, PositiveInt
from seq2seq.encoders.base import token_mask
from seq2seq.errors import ConfigError
from seq2seq.memory import Step, peak_bytes

MaskName = Literal["none", "causal", "padded"]

KERNEL = ("fused kernel alone", "softmax")
"""The names of the baseline's row."""

HEADINGS = ("score", "normalizer")


@dataclass(frozen=True)
class AttentionSizes:
    """What is attended to.

    Attributes:
        batch: B, sentences.
        heads: H.
        lengths: each is L, the number of queries and of keys, of a table.
        width: d, of one head.
        mask: which keys are hidden. ``padded``: sentences from half the length to the full length.
        precisions: each makes a table for each length.
    """

    batch: PositiveInt
    heads: PositiveInt
    lengths: Sequence[PositiveInt]
    width: PositiveInt
    mask: MaskName
    precisions: Sequence[PrecisionName]

    def __post_init__(self) -> None:
        mistakes = []
        for key in ("lengths", "precisions"):
            values = getattr(self, key)
            if not values or len(set(values)) < len(values):
                mistakes.append(f"`{key}` must be a list of different values, but is {list(values)} instead")
        if mistakes:
            raise ConfigError(mistakes)


Parts = Mapping[tuple[str, str], Component[Attention]]
"""Attentions by the names of their score and their normalizer."""


def every_part(
    attentions: Mapping[str, Component[Attention]], normalizers: Mapping[str, Component[Normalizer]], heads: int
) -> Parts:
    """Return every score with every normalizer, without learned maps and without dropout.

    Args:
        attentions: by name. Those that then are the same as another one are left out, such as ``multi_head``.
        normalizers: by name.
        heads: H.
    """
    scores: dict[str, Component[Score]] = {}
    # What projects by itself is a score with maps around it; the score's own name comes first and stays.
    for name, part in sorted(attentions.items(), key=lambda item: bool(item[1].settings["project"])):
        if part.settings["score"] not in scores.values():
            scores[name] = part.settings["score"]
    bare = {"num_heads": heads, "project": False, "dropout": 0.0}
    return {
        (name, normalizer): replace(
            attentions[name],
            settings={**attentions[name].settings, **bare, "normalizer": normalizers[normalizer]},
        )
        for name in sorted(scores)
        for normalizer in sorted(normalizers)
    }


def attention_tables(sizes: AttentionSizes, parts: Parts, device: torch.device, seconds: float) -> Iterator[Table]:
    """Measure a table for each precision and each length.

    Args:
        sizes: what is attended to.
        parts: the attentions.
        device: where.
        seconds: of timing for each table.
    """
    for precision in sizes.precisions:
        for length in sizes.lengths:
            steps = attention_steps(sizes, parts, length, device, PRECISIONS[precision])
            timings = alternate(steps, baseline=KERNEL, seconds=seconds, stopwatch=stopwatch_of(device))
            rows = [Row(name, timings[name], peak_bytes(step, device)) for name, step in steps.items()]
            shape = f"({sizes.batch},{sizes.heads},{length},{length},{sizes.width})"
            title = f"Attention, {precision}, (B,H,T,S,d) = {shape}, mask: {sizes.mask}, forward and backward"
            yield Table(title, HEADINGS, rows)


def attention_steps(
    sizes: AttentionSizes, parts: Parts, length: int, device: torch.device, precision: torch.dtype
) -> dict[tuple[str, str], Step]:
    """Return the forward and backward pass of the kernel and of every attention."""
    shape = (sizes.batch, length, sizes.heads * sizes.width)
    query, memory, slope = (torch.randn(shape, device=device, dtype=precision) for _ in range(3))
    is_token = half_padded(sizes.batch, length, device) if sizes.mask == "padded" else None
    is_causal = sizes.mask == "causal"
    q, k, v = (split(side, sizes.heads).requires_grad_() for side in (query, memory, memory))
    mask = None if is_token is None else is_token[:, None, None, :]

    def kernel() -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal)

    steps = {KERNEL: update(kernel, [q, k, v], split(slope, sizes.heads), precision)}
    for side in (query, memory):
        side.requires_grad_()
    for name, part in parts.items():
        attention = part(shape[-1], shape[-1]).to(device)

        def attend(attention: Attention = attention) -> Tensor:
            output: AttentionOutput = attention(query, attention.project_memory(memory), is_token, causal=is_causal)
            return output.context

        steps[name] = update(attend, [query, memory, *attention.parameters()], slope, precision)
    return steps


def split(vectors: Tensor, heads: int) -> Tensor:
    """Return a copy of (B,L,H*d) as (B,H,L,d), in that order in memory too."""
    slices: Tensor = vectors.unflatten(-1, (heads, -1))
    return slices.transpose(1, 2).contiguous()


def half_padded(batch: int, length: int, device: torch.device) -> Tensor:
    """Return (B,L), True where a token is; the sentences grow evenly from half the length to the full length."""
    lengths = torch.linspace((length + 1) // 2, length, batch, device=device).round()
    return token_mask(lengths, length)
