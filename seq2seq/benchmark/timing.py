"""How speed and memory are measured: in alternation, as ratios, within one process.

A machine does not keep its speed for a minute, so times taken one after the other are hard to compare. The times of
one round lie close together, and their ratio hardly depends on what else the machine is doing.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

from seq2seq.memory import Step
from seq2seq.runtime import autocast

K = TypeVar("K", bound=Hashable)

Stopwatch = Callable[[Step], float]
"""Does a step once and returns the seconds it took."""

LEAST_ROUNDS = 3
"""Rounds that even the slowest step takes part in, so that one disturbed round does not decide."""

PrecisionName = Literal["fp32", "bf16"]

PRECISIONS: Mapping[PrecisionName, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Timing:
    """How long a step takes.

    Attributes:
        seconds: median over the rounds.
        ratio: median over the rounds of its time divided by the baseline's time in the same round.
        low: first quartile of these ratios.
        high: third quartile of these ratios.
        rounds: how many there were.
    """

    seconds: float
    ratio: float
    low: float
    high: float
    rounds: int


def alternate(steps: Mapping[K, Step], *, baseline: K, seconds: float, stopwatch: Stopwatch) -> dict[K, Timing]:
    """Time steps in rounds, in each of which every step is done once.

    Every order is done forwards and then backwards, and then rotated by one place, so that no step always has the
    same place or the same one before it. Every step has an equal share of the time: the slow ones leave when theirs
    is spent, and the others go on with the baseline. A round before the first one warms up.

    Args:
        steps: what to time, by name; the baseline is one of them.
        baseline: name of the step that ratios are taken to.
        seconds: of all rounds together; :data:`LEAST_ROUNDS` rounds are done however long they take.
        stopwatch: does and times a step.

    Returns:
        the timing of each step, that of the baseline with a ratio of 1.
    """
    for step in steps.values():
        stopwatch(step)
    share = seconds / len(steps)
    times: dict[K, list[float]] = {name: [] for name in steps}
    ratios: dict[K, list[float]] = {name: [] for name in steps}
    spent = dict.fromkeys(steps, 0.0)
    for number in itertools.count():
        going_on = {name for name in steps if number < LEAST_ROUNDS or spent[name] < share}
        if not going_on - {baseline}:
            break
        order = [name for name in steps if name in going_on or name == baseline]
        first = number // 2 % len(order)
        order = order[first:] + order[:first]
        taken = {name: stopwatch(steps[name]) for name in (reversed(order) if number % 2 else order)}
        for name, duration in taken.items():
            times[name].append(duration)
            ratios[name].append(duration / taken[baseline])
            spent[name] += duration
    return {name: summarise(times[name], ratios[name]) for name in steps}


def summarise(times: Sequence[float], ratios: Sequence[float]) -> Timing:
    """Return medians and quartiles of at least two rounds."""
    low, ratio, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Timing(statistics.median(times), ratio, low, high, len(times))


def stopwatch_of(device: torch.device) -> Stopwatch:
    """Return a stopwatch for steps on a device.

    On a GPU it waits for the device before and after, so the time in which Python gives its orders counts too, as it
    does for a model so small that the GPU is faster than its orders.
    """

    def measure(step: Step) -> float:
        finish(device)
        start = time.perf_counter()
        step()
        finish(device)
        return time.perf_counter() - start

    return measure


def finish(device: torch.device) -> None:
    """Wait until a GPU has done all that it was told to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def update(output: Callable[[], Tensor], inputs: Sequence[Tensor], slope: Tensor, precision: torch.dtype) -> Step:
    """Return a step that goes forward under autocast and back without it, as a trainer does.

    Args:
        output: the forward pass.
        inputs: what the gradient is taken of.
        slope: gradient of a loss by the output, of the output's shape and on its device.
        precision: what matrix products are computed in.
    """

    def step() -> None:
        with autocast(slope.device, precision):
            result = output()
        torch.autograd.grad(result, inputs, slope)

    return step
