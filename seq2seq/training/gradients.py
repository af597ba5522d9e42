"""The gradient of one update, in as many parts as memory asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.errors import UserError
from seq2seq.model import Seq2SeqModel
from seq2seq.objectives import Objective
from seq2seq.runtime import autocast, is_out_of_memory
from seq2seq.terminal import warn


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
    same for all parts together, so the gradient is that of the whole batch; only dropout is drawn anew.

    Args:
        model: gets the gradients.
        objective: whose gradients they are.
        precision: of matrix products.

    Attributes:
        cut_updates: updates in a row of which all batches had to be cut.
        limit: least number of positions that did not fit so far; larger batches are cut beforehand. Infinite where
            all did.
        largest: most positions that did fit.
        finished: told the name of each phase of an update that is over: forward, backward, optimizer.
    """

    def __init__(self, model: Seq2SeqModel, objective: Objective, precision: torch.dtype) -> None:
        self.model, self.objective, self.precision = model, objective, precision
        self.device = next(model.parameters()).device
        self.limit = math.inf
        self.largest = self.cut_updates = 0
        self.finished: Callable[[str], object] = unheard

    def add(self, batches: Sequence[Batch]) -> tuple[Tensor, Tensor]:
        """Add the gradients of batches, normalised by all their target tokens together.

        Returns:
            the loss and the negative log-likelihood, each in nats, summed over all target tokens.

        Raises:
            UserError: not even a single pair fits into memory.
        """
        tokens = sum(batch.target_tokens for batch in batches)
        parts = [part for batch in batches for part in self._cut(batch)]
        while True:
            done, sums = self._attempt(parts, tokens)
            if done == len(parts):
                all_cut = all(batch.size >= self.limit for batch in batches)
                self.cut_updates = self.cut_updates + 1 if all_cut else 0
                return sums
            # What the failed attempt has added would count twice.
            self.model.zero_grad(set_to_none=True)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            if self.limit == math.inf:
                warn(
                    f"a batch of {parts[done].size:,} positions did not fit into the memory of the device "
                    f"({self.device.type}); those of its size are cut from now on, and a lower `trainer.max_tokens` "
                    "would be faster"
                )
            self.limit = parts[done].size
            parts = [smaller for part in parts for smaller in self._cut(part)]

    def _attempt(self, parts: Sequence[Batch], tokens: int) -> tuple[int, tuple[Tensor, Tensor]]:
        """Return how many parts fitted before one did not, and the sums."""
        total = nll = torch.zeros((), device=self.device)
        for done, part in enumerate(parts):
            try:
                with autocast(self.device, self.precision):
                    sums = self.objective(self.model, part.to(self.device))
                self.finished("forward")
                (sums.total / tokens).backward()
                self.finished("backward")
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                return done, (total, nll)
            total, nll = total + sums.total.detach(), nll + sums.nll.detach()
            self.largest = max(self.largest, part.size)
        return len(parts), (total, nll)

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
