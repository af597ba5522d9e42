"""The gradient of one update, in as many parts as memory asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.errors import UserError
from seq2seq.runtime import autocast, is_out_of_memory, seed_batch
from seq2seq.terminal import warn
from seq2seq.training.spreading import Alone


def halved(batch: Batch) -> tuple[Batch, ...]:
    """Return a batch that did not fit in two parts.

    Raises:
        UserError: it is a single pair.
    """
    if len(batch.source) == 1:
        raise UserError(
            f"a single pair of {batch.source_tokens} source and {batch.target_tokens} target pieces does not fit "
            "into the memory of the device; lower `cleaning.max_length`, or take a smaller model"
        )
    return batch.halves()


def unheard(phase: str) -> None:
    """Be told that a phase of an update is over, and do nothing about it."""


class Gradients:
    """Adds up the gradients of the batches of an update.

    A batch that does not fit into memory is cut into halves of its rows, and those again. Sums over tokens are the
    same for all parts together, so the gradient is that of the whole batch; only dropout is drawn anew. Of several
    processes none can do so by itself, since all add up their gradients as often.

    Args:
        spread: the model, which gets the gradients, its objective, and who shares the batches.
        precision: of matrix products.
        seed: of what is drawn on a batch, such as dropout.

    Attributes:
        cut_updates: updates in a row of which all batches had to be cut.
        limit: least number of positions that did not fit so far; larger batches are cut beforehand. Infinite where
            all did.
        largest: most positions that did fit.
        finished: told the name of each phase of an update that is over: forward, backward, optimizer.
    """

    def __init__(self, spread: Alone, precision: torch.dtype, seed: int) -> None:
        self.spread, self.precision, self.seed = spread, precision, seed
        self.device = spread.model.device
        self.limit = math.inf
        self.largest = self.cut_updates = 0
        self.finished: Callable[[str], object] = unheard

    def add(self, batches: Sequence[Batch], tokens: int, step: int) -> Tensor:
        """Add the gradients of this process's batches to those of the others.

        A loss that is not finite gives gradients that are not, in every process.

        Args:
            batches: those of this process: of the update's, number ``rank``, ``rank + count`` and so on.
            tokens: target tokens of all batches of the update, by which gradients are normalised.
            step: updates done.

        Returns:
            the negative log-likelihood in nats, summed over the target tokens of these batches.

        Raises:
            UserError: not even a single pair fits into memory, or a batch does not and there are other processes.
        """
        parts = [self._cut(batch) for batch in batches]
        while True:
            failed, nll = self._attempt(parts, tokens, step)
            if failed is None:
                all_cut = all(batch.size >= self.limit for batch in batches)
                self.cut_updates = self.cut_updates + 1 if all_cut else 0
                return nll
            self._note(failed)
            # What the failed attempt has added would count twice.
            self.spread.model.zero_grad(set_to_none=True)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            parts = [[smaller for part in batch for smaller in self._cut(part)] for batch in parts]

    def _attempt(self, parts: Sequence[Sequence[Batch]], tokens: int, step: int) -> tuple[Batch | None, Tensor]:
        """Return the part that did not fit, if any, and the sum of the others."""
        nll = torch.zeros((), device=self.device)
        processes = self.spread.processes
        for place, batch in enumerate(parts):
            seed_batch(self.seed, step, processes.rank + place * processes.count)
            for part in batch:
                try:
                    nll = nll + self._part(part, tokens, last=place + 1 == len(parts))
                except (RuntimeError, MemoryError) as error:
                    if not is_out_of_memory(error):
                        raise
                    return part, nll
                self.largest = max(self.largest, part.size)
        return None, nll

    def _part(self, part: Batch, tokens: int, *, last: bool) -> Tensor:
        """Add the gradient of a part; return its negative log-likelihood."""
        with self.spread.adding(last=last):
            with autocast(self.device, self.precision):
                sums = self.spread.sums(part.to(self.device))
            self.finished("forward")
            # A loss that is not finite must be known to all, and gradients are what all get to know.
            slope = self.spread.factor / tokens + 0 * sums.total.detach()
            sums.total.backward(slope)
            self.finished("backward")
        return sums.nll.detach()

    def _note(self, failed: Batch) -> None:
        """Keep the size of what did not fit, and say so the first time.

        Raises:
            UserError: there are other processes, which would not do the same.
        """
        if self.spread.processes.count > 1:
            raise UserError(
                f"`trainer.max_tokens` must be less than {failed.size} for several processes, which cannot cut what "
                f"does not fit into the memory of a device ({self.device.type}), but is more instead; with a higher "
                "`trainer.accumulate` updates stay as large"
            )
        if self.limit == math.inf:
            warn(
                f"a batch of {failed.size:,} positions did not fit into the memory of the device "
                f"({self.device.type}); those of its size are cut from now on, and a lower `trainer.max_tokens` "
                "would be faster"
            )
        self.limit = failed.size

    def _cut(self, batch: Batch) -> list[Batch]:
        """Return a batch in parts below the limit."""
        if batch.size < self.limit:
            return [batch]
        return [part for half in halved(batch) for part in self._cut(half)]

    def refuse(self, max_tokens: int) -> None:
        """End a run that has to cut every batch.

        Raises:
            UserError: proposes a value that fits.
        """
        times = -(-max_tokens // self.largest)
        raise UserError(
            f"`trainer.max_tokens` must be at most {self.largest}, which fits into the memory of the device "
            f"({self.device.type}), but is {max_tokens} instead; trainer.accumulate={times} keeps updates as large"
        )
