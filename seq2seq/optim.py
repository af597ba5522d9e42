"""Optimizers, schedules and the exponential average of weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from seq2seq.config import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Probability
from seq2seq.distributed.sharding import like
from seq2seq.errors import ConfigError

NamedParameters = list[tuple[str, nn.Parameter]]


class Optimizer(ABC):
    """Updates a model's parameters; the schedule's factor multiplies every group's own learning rate.

    Args:
        named: the trainable parameters, each tied one once.

    Attributes:
        groups: the optimizer of torch that does it.
        moments: numbers kept for each weight.
    """

    groups: torch.optim.Optimizer
    moments: ClassVar[int] = 2

    @abstractmethod  # for whoever derives has to set the groups
    def __init__(self, named: NamedParameters) -> None:
        self.named = named

    def step(self, factor: float) -> None:
        """Update every parameter from its gradient, with the learning rates times ``factor``."""
        for group in self.groups.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self.groups.step()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.groups.zero_grad(set_to_none=True)

    @property
    def initial_rate(self) -> float:
        """The learning rate at a factor of 1, of the first group."""
        return float(self.groups.param_groups[0]["initial_lr"])

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last step, of the first group."""
        return float(self.groups.param_groups[0]["lr"])

    def state(self) -> dict[str, Tensor]:
        """Return everything a resumed run needs, by parameter name."""
        return {
            f"{key}.{name}": value if isinstance(value, Tensor) else torch.tensor(value)
            for name, parameter in self.named
            for key, value in self.groups.state.get(parameter, {}).items()
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state` returned.

        Raises:
            KeyError: it is of a parameter that there is not.
            ValueError: it is of another kind or shape than this optimizer's.
        """
        parameters = dict(self.named)
        self.groups.state.clear()
        for key, value in state.items():
            kind, _, name = key.partition(".")
            parameter = parameters[name]
            self.check_state(kind, name, parameter, value)
            # What is a number for each weight is where the weights are, and single numbers are everywhere.
            placed = like(value, parameter) if value.shape == parameter.shape else value.to(parameter.device)
            self.groups.state[parameter][kind] = placed.clone()

    def check_state(self, kind: str, name: str, parameter: Tensor, value: Tensor) -> None:  # noqa: B027 - may stay
        """Refuse a piece of state that this optimizer cannot have left; here, nothing is known of it.

        Args:
            kind: what it is called.
            name: the parameter's.
            parameter: what it belongs to.
            value: the piece.

        Raises:
            ValueError: it is of another kind or shape.
        """


class AdamW(Optimizer):
    """Adam with decoupled weight decay: Loshchilov & Hutter 2019, algorithm 2.

    Weight decay acts on matrices only; vectors (biases, gains) and embeddings are left alone.

    Args:
        named: the trainable parameters.
        learning_rate: peak learning rate.
        betas: decay of the first and second moment.
        epsilon: added to the root of the second moment.
        weight_decay: share of a weight taken off at each step, times the learning rate.
    """

    def __init__(
        self,
        named: NamedParameters,
        *,
        learning_rate: PositiveFloat,
        betas: tuple[Probability, Probability],
        epsilon: PositiveFloat,
        weight_decay: NonNegativeFloat,
    ) -> None:
        super().__init__(named)
        embeddings = ("embedding.weight", "positions.learned.weight")
        # Some parameters have an axis of heads in front; what stands behind it decides.
        matrices = [p for name, p in named if p.ndim >= 2 and min(p.shape[-2:]) > 1 and not name.endswith(embeddings)]
        decayed = {id(p) for p in matrices}
        others = [p for _, p in named if id(p) not in decayed]
        groups = [
            {"params": matrices, "weight_decay": weight_decay, "initial_lr": learning_rate},
            {"params": others, "weight_decay": 0.0, "initial_lr": learning_rate},
        ]
        self.groups = torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=epsilon, fused=True)

    def load_state(self, state: dict[str, Tensor]) -> None:
        """See :meth:`Optimizer.load_state`; a parameter has all of its state, or none."""
        super().load_state(state)
        for name, parameter in self.named:
            if self.groups.state.get(parameter, MOMENTS).keys() != MOMENTS.keys():
                raise ValueError(f"the optimizer's state of {name} is not whole")

    def check_state(self, kind: str, name: str, parameter: Tensor, value: Tensor) -> None:
        """See :meth:`Optimizer.check_state`; the fused kernel itself does not look before it writes."""
        scalar = MOMENTS.get(kind)
        shape = torch.Size() if scalar else parameter.shape
        if scalar is None or value.shape != shape or value.dtype != torch.float32:
            raise ValueError(f"the optimizer's {kind!r} of {name} must be of shape {tuple(shape)}")


MOMENTS = {"step": True, "exp_avg": False, "exp_avg_sq": False}
"""What Adam keeps of a parameter, and whether that is a single number."""


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        step: updates done.
        fraction: share of the run that is over, by steps or by time, whichever is further; from 0 to 1.
    """

    step: int
    fraction: float


class Schedule(ABC):
    """A factor of the learning rate, as a pure function of a run's progress."""

    @abstractmethod
    def factor(self, progress: Progress) -> float:
        """Return the factor, usually from 0 to 1."""
        raise NotImplementedError


class Constant(Schedule):
    """The full learning rate after a linear warm-up.

    Args:
        warmup_steps: updates until the full rate.
    """

    def __init__(self, *, warmup_steps: PositiveInt) -> None:
        self.warmup_steps = warmup_steps

    def factor(self, progress: Progress) -> float:
        """See :meth:`Schedule.factor`."""
        return min(1.0, (progress.step + 1) / self.warmup_steps)


class InverseSquareRoot(Schedule):
    """Linear warm-up, then ``sqrt(warmup / step)``: Vaswani et al. 2017, equation 3, scaled to peak at 1.

    Args:
        warmup_steps: updates until the peak.
    """

    def __init__(self, *, warmup_steps: PositiveInt) -> None:
        self.warmup_steps = warmup_steps

    def factor(self, progress: Progress) -> float:
        """See :meth:`Schedule.factor`."""
        step = progress.step + 1
        return float(min(step / self.warmup_steps, (self.warmup_steps / step) ** 0.5))


class Cosine(Schedule):
    """Linear warm-up, then half a cosine down to ``minimum``: Loshchilov & Hutter 2017, equation 5, one period.

    Args:
        warmup: share of the run until the peak.
        minimum: the last factor.
    """

    def __init__(self, *, warmup: Probability, minimum: Fraction) -> None:
        self.warmup = warmup
        self.minimum = minimum

    def factor(self, progress: Progress) -> float:
        """See :meth:`Schedule.factor`."""
        if progress.fraction < self.warmup:
            return climb(progress, self.warmup)
        done = (progress.fraction - self.warmup) / (1 - self.warmup)
        wave = 0.5 * (1 + math.cos(math.pi * done))
        return self.minimum + (1 - self.minimum) * wave


class WarmupStableDecay(Schedule):
    """Linear warm-up, a flat part, and a linear decay to ``minimum``: Hu et al. 2024 (MiniCPM), section 4.

    Args:
        warmup: share of the run until the peak.
        decay: share of the run over which the factor falls.
        minimum: the last factor.

    Raises:
        ConfigError: the factor would have to fall before it has risen.
    """

    def __init__(self, *, warmup: Probability, decay: Fraction, minimum: Fraction) -> None:
        if warmup + decay > 1:
            raise ConfigError(
                f"`decay` must be at most what the `warmup` of {warmup:g} leaves of the run, {1 - warmup:g}, "
                f"but is {decay:g} instead"
            )
        self.warmup = warmup
        self.decay = decay
        self.minimum = minimum

    def factor(self, progress: Progress) -> float:
        """See :meth:`Schedule.factor`."""
        if progress.fraction < self.warmup:
            return climb(progress, self.warmup)
        left = 1 - progress.fraction
        return 1.0 if left >= self.decay else self.minimum + (1 - self.minimum) * left / self.decay


def climb(progress: Progress, warmup: float) -> float:
    """Return the factor of a linear warm-up that ends at the fraction ``warmup``; never 0, even at the first step."""
    return min(1.0, max(progress.fraction / warmup, 1e-3))


class ExponentialAverage:
    """Exponential moving average of weights (Polyak & Juditsky 1992; decay warmed up so that it forgets the start).

    ``average += (1 - d) * (weight - average)`` after every step t, with ``d = min(decay, (1 + t) / (10 + t))``.

    Args:
        parameters: the weights to follow.
        decay: the largest d.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.averages = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the weights, after update number ``step``."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, [p.detach() for p in self.parameters], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in the weights' place for the time of a ``with`` block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self.parameters, self.averages, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)
