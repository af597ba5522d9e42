"""Choices between two ways to compute the same: what the package does against what it could have done.

``docs/BENCHMARKS.md`` lists these decisions with what was seen. A ratio below 1 speaks for the package's way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seq2seq.benchmark.table import Row, Table
from seq2seq.benchmark.timing import PRECISIONS, PrecisionName, alternate, stopwatch_of, update
from seq2seq.dropout import dropout
from seq2seq.feed_forward import rectified
from seq2seq.losses import linear_cross_entropy
from seq2seq.memory import Step

OURS, OTHER = "ours", "other"

HEADINGS = ("way", "compared with", "sizes")


class Decision(NamedTuple):
    """Two ways to compute the same.

    Attributes:
        way: the package's, in words.
        other: the other way, in words.
        sizes: of what both are given.
        ours: does it in the package's way.
        theirs: does it in the other way.
    """

    way: str
    other: str
    sizes: str
    ours: Step
    theirs: Step


def kernel_tables(device: torch.device, seconds: float) -> Iterator[Table]:
    """Measure one table of all decisions that concern a device.

    Args:
        device: where.
        seconds: of timing, shared evenly.
    """
    found = list(decisions(device))
    rows = []
    for decision in found:
        timings = alternate(
            {OURS: decision.ours, OTHER: decision.theirs},
            baseline=OTHER,
            seconds=seconds / len(found),
            stopwatch=stopwatch_of(device),
        )
        rows.append(Row((decision.way, decision.other, decision.sizes), timings[OURS], None))
    yield Table("Decisions, forward and backward", HEADINGS, rows)


def decisions(device: torch.device) -> Iterator[Decision]:
    """Return all decisions that concern a device."""
    for precision in PRECISIONS:
        yield explicit_attention(device, precision)
    if device.type == "cpu":  # elsewhere the package takes torch's dropout
        yield byte_dropout()
        for precision in PRECISIONS:
            yield feed_forward_at_once(precision)
    yield half_precision_lstm(device)
    for precision in PRECISIONS:
        yield loss_by_parts(device, precision)


def explicit_attention(device: torch.device, precision: PrecisionName) -> Decision:
    """Attention by three operations and by the fused kernel; ``fused_pays`` decides between them.

    Heads are slices of wider vectors, as in a model. The kernel takes them as they are, while products have to copy
    them first: on heads that lie in memory one after the other the three operations look better than they are.
    """
    batch, heads, length, width = 128, 4, 16, 48
    dtype = PRECISIONS[precision]
    wide = (batch, length, heads * width)
    query, key, value = leaves = [torch.randn(wide, device=device, dtype=dtype, requires_grad=True) for _ in range(3)]
    slope = torch.randn(wide, device=device, dtype=dtype)

    def split(vectors: Tensor) -> Tensor:
        return vectors.view(batch, length, heads, width).transpose(1, 2)

    def explicit() -> Tensor:
        weights = torch.softmax(split(query) @ split(key).transpose(-1, -2), dim=-1)
        return (weights @ split(value)).transpose(1, 2).reshape(wide)

    def fused() -> Tensor:
        context = F.scaled_dot_product_attention(split(query), split(key), split(value), scale=1.0)
        return context.transpose(1, 2).reshape(wide)

    return Decision(
        f"attention by three operations, {precision}",
        f"the fused kernel, {precision}",
        f"(B,H,T,d) = {(batch, heads, length, width)}",
        update(explicit, leaves, slope, dtype),
        update(fused, leaves, slope, dtype),
    )


def byte_dropout() -> Decision:
    """Dropout by one random byte for each element, and torch's."""
    shape, probability = (2048, 192), 0.1
    hidden = torch.randn(shape, requires_grad=True)
    slope = torch.randn(shape)
    return Decision(
        "dropout by random bytes",
        "torch's dropout",
        f"{shape}, dropping {probability}",
        update(lambda: dropout(hidden, probability, True), [hidden], slope, torch.float32),
        update(lambda: F.dropout(hidden, probability), [hidden], slope, torch.float32),
    )


def feed_forward_at_once(precision: PrecisionName) -> Decision:
    """A rectified feed-forward network with dropout as one operation, and step by step."""
    shape, width, probability = (250, 16, 256), 1024, 0.1
    hidden = torch.randn(shape, requires_grad=True)
    inner, outer = nn.Linear(shape[-1], width), nn.Linear(width, shape[-1])
    dtype = PRECISIONS[precision]
    leaves = [hidden, *inner.parameters(), *outer.parameters()]
    slope = torch.randn(shape, dtype=dtype)

    def at_once() -> Tensor:
        maps = (inner.weight, inner.bias), (outer.weight, outer.bias)
        return rectified(hidden, *maps, squared=False, dropout=probability)

    def step_by_step() -> Tensor:
        mapped: Tensor = outer(dropout(F.relu(inner(hidden)), probability, True))
        return mapped

    return Decision(
        f"feed-forward network as one operation, {precision}",
        f"step by step, {precision}",
        f"{shape} by way of {width}, dropping {probability}",
        update(at_once, leaves, slope, dtype),
        update(step_by_step, leaves, slope, dtype),
    )


def half_precision_lstm(device: torch.device) -> Decision:
    """An LSTM in the two precisions that training has."""
    batch, steps, width, units = 128, 16, 256, 512
    lstm = nn.LSTM(width, units, batch_first=True).to(device)
    inputs = torch.randn(batch, steps, width, device=device, requires_grad=True)
    slope = torch.randn(batch, steps, units, device=device)

    def states() -> Tensor:
        outputs: Tensor = lstm(inputs)[0]
        return outputs.float()

    leaves = [inputs, *lstm.parameters()]
    return Decision(
        "LSTM, bf16",
        "LSTM, fp32",
        f"(B,T,E) = {(batch, steps, width)} to {units}",
        update(states, leaves, slope, torch.bfloat16),
        update(states, leaves, slope, torch.float32),
    )


def loss_by_parts(device: torch.device, precision: PrecisionName) -> Decision:
    """The loss fused with the output projection, and the two one after the other."""
    pieces, width, vocabulary, smoothing = 4000, 192, 8000, 0.1
    hidden = torch.randn(pieces, width, device=device, requires_grad=True)
    output = nn.Linear(width, vocabulary).to(device)
    targets = torch.randint(vocabulary, (pieces,), device=device)
    slope = torch.ones((), device=device)
    leaves = [hidden, output.weight, output.bias]

    def plain() -> Tensor:
        return F.cross_entropy(output(hidden).float(), targets, reduction="sum", label_smoothing=smoothing)

    return Decision(
        f"projection and loss by parts, {precision}",
        f"projection, then loss, {precision}",
        f"{pieces} pieces, {width} to {vocabulary}",
        update(
            lambda: linear_cross_entropy(hidden, output.weight, output.bias, targets, smoothing)[0],
            leaves,
            slope,
            PRECISIONS[precision],
        ),
        update(plain, leaves, slope, PRECISIONS[precision]),
    )
