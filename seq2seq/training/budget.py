"""``trainer.max_tokens=auto``: the largest batches that fit into memory, as far as large batches are any good."""

from __future__ import annotations

from collections.abc import Callable

import torch

from seq2seq.data.batching import Batch
from seq2seq.data.cutting import round_up
from seq2seq.data.sequences import Sequences
from seq2seq.data.tokenizer import EOS
from seq2seq.errors import ConfigError, UserError
from seq2seq.memory import free_bytes, peak_bytes
from seq2seq.terminal import say
from seq2seq.training.config import TrainerConfig
from seq2seq.training.learner import Learner

MOST = 25_000
"""Tokens of an update, of each side: as many as Vaswani et al. 2017 took (section 5.1), on eight GPUs.

Memory may hold far more, but an epoch of larger updates has fewer of them, and few runs learn as much from each.
"""

LEAST_UPDATES = 100
"""Updates that an epoch keeps: of a small corpus, batches of :data:`MOST` tokens would be too few to learn from."""

SHARE = 0.8
"""Of the free memory that a batch may take; the rest is for what varies: fragments, caches, validation."""

SMALL = (2, 4)
"""Pairs of the updates whose memory is measured."""

LOWERED = 0.8
"""Factor of the rows after a batch that did not fit after all."""


class Trial:
    """Updates of a learner on batches as wide as training can have: of one length, longer than all others.

    Args:
        learner: is changed by it.
        source: training text.
        target: its translation.
        multiple: lengths are padded to multiples of this.

    Attributes:
        widths: S and T of the widest batch.
        corpus: tokens of the side that has more.
    """

    def __init__(self, learner: Learner, source: Sequences, target: Sequences, multiple: int) -> None:
        self.learner = learner
        self.widths = [round_up(int(side.lengths.max()) + 1, multiple) for side in (source, target)]
        self.corpus = max(int(side.lengths.sum()) + len(side) for side in (source, target))
        self.update(1)  # makes what stays from then on, such as the optimizer's moments

    @property
    def width(self) -> int:
        """Tokens of a pair on its wider side."""
        return max(self.widths)

    def update(self, rows: int) -> None:
        """Do an update on a batch of so many pairs."""
        batch = self.batch(rows)
        self.learner.update([batch], batch.target_tokens, 0.0, 0)

    def batch(self, rows: int) -> Batch:
        """Return a batch of so many pairs, all as wide as can be."""
        source, target = (torch.full((rows, width), EOS) for width in self.widths)
        return Batch(
            source=source,
            source_lengths=torch.full((rows,), source.shape[1]),
            source_padded=False,
            target=torch.cat([target[:, :1], target], dim=1),
            target_tokens=target.numel(),
            links=torch.zeros((0, 3), dtype=torch.int64),
        )

    def held(self, rows: int) -> int:
        """Return the memory that an update on so many pairs takes for its time."""
        return peak_bytes(lambda: self.update(rows), self.learner.gradients.device)

    def fits(self, rows: int) -> bool:
        """Return whether an update on so many pairs fits; for a GPU, because a CPU is killed instead of telling."""
        gradients = self.learner.gradients
        gradients.limit = self.batch(rows).size + 1  # as if a larger one had failed, of which nobody needs to hear
        try:
            self.update(rows)
        except UserError:  # not even in parts
            return False
        return gradients.cut_updates == 0


def most_rows(measure: Callable[[int], int], fits: Callable[[int], bool], free: int, wanted: int) -> int:
    """Return how many of the widest pairs an update can hold, at most as many as wanted; at least 1.

    Memory grows by the same amount with each pair, so two small updates tell that of all others.

    Args:
        measure: gives the bytes of an update on so many pairs.
        fits: tries such an update.
        free: bytes.
        wanted: pairs beyond which nobody asks.
    """
    few, more = SMALL
    of_few = measure(few)
    each = max(1.0, (measure(more) - of_few) / (more - few))
    fixed = of_few - few * each
    rows = max(1, min(wanted, int((SHARE * free - fixed) / each)))
    while rows > 1 and not fits(rows):
        rows = max(1, int(LOWERED * rows))
    return rows


def found_budget(trial: Trial, config: TrainerConfig) -> int:
    """Return the padded tokens of a batch that training should have, and say why.

    Raises:
        ConfigError: the system does not tell how much memory is free.
    """
    device = trial.learner.gradients.device
    free = free_bytes(device)
    if free is None:
        raise ConfigError(
            "`trainer.max_tokens` must be a number where the system does not tell how much memory is free, but is "
            "'auto' instead"
        )
    sensible = min(MOST, trial.corpus // LEAST_UPDATES) // config.batches
    wanted = max(1, sensible // trial.width)
    rows = most_rows(trial.held, trial.fits if device.type == "cuda" else lambda rows: True, free, wanted)
    limit = "which fits into the memory that is free" if rows < wanted else _why(trial.corpus, config.batches)
    tokens = max(trial.width, rows * trial.width if rows < wanted else sensible)
    say(f"trainer.max_tokens=auto: {tokens:,} padded tokens a batch, {limit} ({free / 2**30:.1f} GiB free)")
    return tokens


def _why(corpus: int, accumulate: int) -> str:
    parts = f", in {accumulate} batches" if accumulate > 1 else ""
    if corpus // LEAST_UPDATES < MOST:
        return f"so that an epoch has {LEAST_UPDATES} updates or more{parts}"
    return f"because updates of more than {MOST:,}{parts} are rarely worth it"
