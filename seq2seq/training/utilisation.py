"""How much of a device's speed training reaches: its operations a second against those of a large matrix product."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch

from seq2seq.flops import PairCost, Powers

LARGEST = {"cpu": 2048, "cuda": 8192}
"""Rows and columns of the largest matrices that are multiplied to find out how fast a device is."""

ENOUGH = 0.1
"""Seconds after which no larger matrices are tried: a slow device reaches its speed with smaller ones."""


@cache
def matmul_rate(device: torch.device, precision: torch.dtype) -> float:
    """Return the most operations a second that a product of two square matrices reached, in the best of two tries.

    Sizes are doubled up to :data:`LARGEST`; no model reaches the speed of the largest, whose time is hardly spent on
    anything but arithmetic. It is measured once a process, in some hundred milliseconds at most.
    """
    best, size, start = 0.0, 256, time.perf_counter()
    while size <= LARGEST.get(device.type, 2048):
        left, right = torch.ones(2, size, size, dtype=precision, device=device)
        for _ in range(2):
            best = max(best, 2 * size**3 / max(1e-9, _seconds(left, right)))
        if time.perf_counter() - start > ENOUGH:
            break
        size *= 2
    return best


def _seconds(left: torch.Tensor, right: torch.Tensor) -> float:
    _finish(left.device)
    start = time.perf_counter()
    left @ right
    _finish(left.device)
    return time.perf_counter() - start


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Gauge:
    """Turns what was trained on, and for how long, into a share of the device's speed.

    Attributes:
        cost: what a pair costs; None where nobody knows.
        passes: how often an update reads each pair.
        rate: operations a second of :func:`matmul_rate`.
    """

    cost: PairCost | None
    passes: int
    rate: float

    def values(self, sums: Powers, seconds: float) -> Mapping[str, float]:
        """Return the operations a second and their share of the rate; nothing where the cost is unknown.

        Args:
            sums: of the pairs of some updates, see :func:`seq2seq.flops.powers`.
            seconds: that these updates took.
        """
        if self.cost is None:
            return {}
        speed = self.passes * self.cost.of_update(sums) / seconds
        return {"flops_per_second": speed, "utilisation": speed / self.rate}

    def __str__(self) -> str:
        if self.cost is None:
            return "unknown, because the cost of this model is no polynomial in the lengths of a pair"
        return f"100% is {in_units(self.rate)}FLOP/s, which a product of large matrices reaches here"


def in_units(number: float) -> str:
    """Return a number with three digits and the sign of its thousands, such as ``45.2 M``."""
    power = min(4, max(0, int(math.log10(max(1.0, number)) // 3)))
    return f"{number / 1000**power:.3g} {('', 'k', 'M', 'G', 'T')[power]}"
