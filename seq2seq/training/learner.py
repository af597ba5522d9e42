"""Everything that an update changes: weights, their average and the optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from seq2seq.checkpoint import Snapshot
from seq2seq.data.batching import Batch
from seq2seq.distributed.sharding import whole
from seq2seq.errors import CheckpointError
from seq2seq.optim import ExponentialAverage, Optimizer
from seq2seq.restoring import load_weights
from seq2seq.training.gradients import Gradients

Tensors = dict[str, Tensor]


class Learner:
    """A model with what is needed to go on learning.

    Args:
        gradients: computes those of a model, on its device.
        optimizer: updates the model.
        clip_norm: largest norm of the gradient.
        ema_decay: decay of the average of weights; 0 for none.

    Attributes:
        culprits: parameters whose gradient was not finite when an update was last left out.
    """

    def __init__(
        self,
        gradients: Gradients,
        optimizer: Optimizer,
        *,
        clip_norm: float,
        ema_decay: float,
    ) -> None:
        self.gradients, self.optimizer, self.clip_norm = gradients, optimizer, clip_norm
        self.model, self.processes = gradients.spread.model, gradients.spread.processes
        self.average = ExponentialAverage(self.model.parameters(), ema_decay) if ema_decay else None
        self.culprits: list[str] = []

    def update(self, batches: Sequence[Batch], tokens: int, factor: float, step: int) -> Tensor | None:
        """Do one update, unless a loss or the gradient is not finite.

        Args:
            batches: whose gradients are summed, with those that other processes have.
            tokens: target tokens of all of them.
            factor: of the learning rate.
            step: updates done before.

        Returns:
            the negative log-likelihood in nats, summed over the target tokens of ``batches``; None where the update
            was left out.

        Raises:
            UserError: see :meth:`Gradients.add`.
        """
        nll = self.gradients.add(batches, tokens, step)
        gradients = {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}
        norm = whole(torch.nn.utils.get_total_norm(gradients.values()))
        good = math.isfinite(norm)
        if good:
            torch.nn.utils.clip_grads_with_norm_(self.model.parameters(), self.clip_norm, norm)
            self.optimizer.step(factor)
            self.gradients.finished("optimizer")
            if self.average is not None:
                self.average.update(step)
        else:
            self.culprits = [name for name, value in gradients.items() if not _is_finite(value)]
        self.optimizer.zero_grad()
        return nll if good else None

    @property
    def blame(self) -> str:
        """The culprits, in words."""
        names = self.culprits
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"first in {', '.join(names[:3])}{more}" if names else "in no gradient so far"

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Give the model the weights to translate with for the time of a ``with`` block."""
        applied = nullcontext() if self.average is None else self.average.applied()
        with applied, self.gradients.spread.reading():
            yield

    def captured(self) -> tuple[Tensors, Tensors] | None:
        """Return copies of the weights to translate with, and of all else that learning goes on from, by name.

        None where some weight is not finite, which nobody can go on from. All processes must ask; only the first, who
        writes, gets tensors.
        """
        raw = {name: parameter.detach() for name, parameter in self.model.named_parameters()}
        tensors = {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        weights = raw
        if self.average is not None:
            # The averaged weights are the model; the raw ones are what training goes on from.
            tensors |= {f"raw.{name}": value for name, value in raw.items()}
            weights = dict(zip(raw, self.average.averages, strict=True))
        if not self.is_finite:
            return None
        return self._copies(weights), self._copies(tensors)

    def _copies(self, tensors: Mapping[str, Tensor]) -> Tensors:
        """Return copies in the memory of the processor; from a GPU all at once."""
        copies: Tensors = {}
        for name, value in tensors.items():
            complete = whole(value.detach())  # of sharded ones all processes need not hold more than this at a time
            if self.processes.is_first:
                copies[name] = complete.to("cpu", copy=True, non_blocking=complete.is_cuda)
        if any(value.is_cuda for value in tensors.values()):
            torch.cuda.synchronize()
        return copies

    @property
    def is_finite(self) -> bool:
        """Whether all weights are finite, and those of the average."""
        averages = [] if self.average is None else self.average.averages
        return all(_is_finite(value) for value in (*self.model.parameters(), *averages))

    @property
    def size(self) -> int:
        """Bytes of everything that :meth:`captured` returns once the optimizer has its moments, or a little more."""
        bytes_each = sum(parameter.numel() * parameter.element_size() for parameter in self.model.parameters())
        return bytes_each * (1 + self.optimizer.moments + (self.average is not None))

    @torch.no_grad()
    def restore(self, snapshot: Snapshot) -> None:
        """Go on from what :meth:`captured` returned.

        Raises:
            CheckpointError: something is missing or of another shape.
        """
        tensors = snapshot.training_tensors
        load_weights(self.model, snapshot)
        if self.average is not None:
            for average, parameter in zip(self.average.averages, self.model.parameters(), strict=True):
                average.copy_(parameter)
            load_weights(self.model, replace(snapshot, weights=part(tensors, "raw.")))
        try:
            self.optimizer.load_state(part(tensors, "optimizer."))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint's training state does not fit the run: {error}") from error


def _is_finite(tensor: Tensor) -> bool:
    return bool(whole(tensor.isfinite().all()))


def part(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Return the tensors whose name begins with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
