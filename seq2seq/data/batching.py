"""Batches under a token budget, in an order that can be resumed anywhere.

The order of an epoch is a pure function of the seed and the epoch's number, so a position in the data is a few
integers, and going on from it replays nothing. Batches are cut and gathered by array operations: the only Python
loops run once a batch, never once a sentence.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from seq2seq.data.cutting import cut, narrow, round_up, shuffled_batches
from seq2seq.data.mixing import Mixing
from seq2seq.data.sequences import Integers, Sequences
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.errors import ConfigError


@dataclass(frozen=True)
class Batch:
    """Sentence pairs as ids, padded on the right.

    Attributes:
        source: (B,S), each sentence followed by EOS.
        source_lengths: (B), with EOS.
        source_padded: whether any row of ``source`` ends in padding.
        target: (B,T+1), each sentence between BOS and EOS; None where only the source is known.
        target_tokens: number of target positions to predict, without padding.
        links: (N,3), the links between pieces in no particular order, each as row, target position and source
            position: the step that predicts ``target[row, 1 + target position]`` should look at
            ``source[row, source position]``. None where the data has no alignments.
    """

    source: Tensor
    source_lengths: Tensor
    source_padded: bool
    target: Tensor | None
    target_tokens: int
    links: Tensor | None

    @property
    def source_tokens(self) -> int:
        """Number of source tokens, without padding."""
        return int(self.source_lengths.sum())

    @property
    def size(self) -> int:
        """Number of positions on the wider side, padding included: what ``trainer.max_tokens`` limits."""
        wider = self.source if self.target is None else max(self.source, self.target[:, 1:], key=torch.numel)
        return wider.numel()

    def halves(self) -> tuple[Batch, Batch]:
        """Return the first half of the rows and the second, padded as widely as they are; B must be at least 2."""
        middle = len(self.source) // 2
        return self._rows(0, middle), self._rows(middle, len(self.source))

    def _rows(self, start: int, end: int) -> Batch:
        lengths = self.source_lengths[start:end]
        target = None if self.target is None else self.target[start:end]
        links = self.links
        if links is not None:
            links = links[(links[:, 0] >= start) & (links[:, 0] < end)] - torch.tensor([start, 0, 0])
        return Batch(
            source=self.source[start:end],
            source_lengths=lengths,
            source_padded=bool((lengths < self.source.shape[1]).any()),
            target=target,
            target_tokens=0 if target is None else int((target[:, 1:] != PAD).sum()),
            links=links,
        )

    def to(self, device: torch.device) -> Batch:
        """Move to a device; from pinned memory without waiting for the copy."""
        if device.type == "cpu":
            return self
        move = [
            None if tensor is None else tensor.pin_memory().to(device, non_blocking=True)
            for tensor in (self.source, self.source_lengths, self.target, self.links)
        ]
        assert move[0] is not None
        assert move[1] is not None
        return replace(self, source=move[0], source_lengths=move[1], target=move[2], links=move[3])


def gather(sequences: Sequences, rows: Integers, width: int, first: int | None = None) -> Tensor:
    """Gather sentences into one padded matrix.

    Args:
        sequences: where they are.
        rows: (B), which of them.
        width: W, columns; at least the longest sentence and its marks.
        first: an id to put before each sentence, or None.

    Returns:
        (B,W) int64: [first], ids, EOS, padding.
    """
    lead = 0 if first is None else 1
    starts = sequences.offsets[rows]
    lengths = sequences.offsets[rows + 1] - starts
    columns = np.arange(width - lead)[None, :]
    ids = np.full((len(rows), width), PAD, dtype=np.int64)
    body = ids[:, lead:]
    inside = columns < lengths[:, None]
    body[inside] = sequences.ids[(starts[:, None] + columns)[inside]]
    body[columns == lengths[:, None]] = EOS
    if first is not None:
        ids[:, 0] = first
    return torch.from_numpy(ids)


def gather_links(links: Sequences, rows: Integers) -> Tensor:
    """Gather the links of sentence pairs.

    Args:
        links: where they are, as :meth:`seq2seq.data.store.PreparedData.links` gives them.
        rows: (B), which pairs.

    Returns:
        (N,3) int64: see :attr:`Batch.links`.
    """
    starts = links.offsets[rows]
    counts = (links.offsets[rows + 1] - starts) // 2
    row = np.repeat(np.arange(len(rows)), counts)
    # Less the links of the rows before, the number of a link in the batch is its number in its own pair.
    number = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    places = starts[row] + 2 * number
    return torch.from_numpy(np.stack([row, links.ids[places + 1], links.ids[places]], axis=1, dtype=np.int64))


def make_batch(
    source: Sequences,
    target: Sequences | None,
    rows: Integers,
    multiple: int = 1,
    links: Sequences | None = None,
) -> Batch:
    """Gather the pairs ``rows`` into a batch whose widths S and T are multiples of ``multiple``."""
    source_lengths = source.lengths[rows] + 1
    width = round_up(int(source_lengths.max()), multiple)
    target_ids, target_tokens = None, 0
    if target is not None:
        target_lengths = target.lengths[rows] + 1
        target_ids = gather(target, rows, round_up(int(target_lengths.max()), multiple) + 1, first=BOS)
        target_tokens = int(target_lengths.sum())
    return Batch(
        source=gather(source, rows, width),
        source_lengths=torch.from_numpy(source_lengths.astype(np.int64)),
        source_padded=bool((source_lengths < width).any()),
        target=target_ids,
        target_tokens=target_tokens,
        links=None if links is None else gather_links(links, rows),
    )


@dataclass(frozen=True)
class Position:
    """A place in the data: batches that are done of ``part``, a part of ``epoch``; most epochs have only one."""

    epoch: int = 0
    batch: int = 0
    part: int = 0


class TrainingBatches:
    """Endless shuffled batches, length-bucketed, starting anywhere.

    Pairs are shuffled, then sorted by their bucketed widths, so that which pairs of like length meet is random, and
    the batches cut from them are shuffled again.

    Args:
        source: source sentences.
        target: target sentences.
        max_tokens: budget of padded tokens in a batch, on the side that has more.
        multiple: widths are padded to multiples of this, which keeps the number of shapes small.
        seed: decides every order.
        links: links between the pieces of each pair, or None where there are none.
        mixing: which pairs an epoch holds; None: each pair once.
    """

    def __init__(
        self,
        source: Sequences,
        target: Sequences,
        *,
        max_tokens: int,
        multiple: int,
        seed: int,
        links: Sequences | None = None,
        mixing: Mixing | None = None,
    ) -> None:
        self.source, self.target, self.links, self.mixing = source, target, links, mixing
        self.max_tokens, self.multiple, self.seed = max_tokens, multiple, seed
        self.source_widths = narrow(round_up(source.lengths + 1, multiple))
        self.target_widths = narrow(round_up(target.lengths + 1, multiple))
        self.widths = np.maximum(self.source_widths, self.target_widths)
        self._planned: tuple[int, list[Integers]] | None = None
        longest = int(self.widths.max())
        if longest > max_tokens:
            raise ConfigError(
                f"`trainer.max_tokens` must be at least the longest sentence, {longest} pieces, but is {max_tokens} "
                "instead; raise it, or lower `cleaning.max_length`"
            )

    def plan(self, epoch: int) -> list[Integers]:
        """Return the rows of every batch of an epoch, in order; the last one asked for is remembered."""
        if self._planned is None or self._planned[0] != epoch:
            self._planned = epoch, self._new_plan(epoch)
        return self._planned[1]

    def _new_plan(self, epoch: int) -> list[Integers]:
        random = np.random.default_rng((self.seed, epoch))
        order = self._order(epoch, random)
        batches = shuffled_batches(self.source_widths[order], self.target_widths[order], self.max_tokens, random)
        return [order[batch] for batch in batches]

    def _order(self, epoch: int, random: np.random.Generator) -> Integers:
        """Return the pairs of an epoch, shuffled."""
        if self.mixing is None:
            return random.permutation(len(self.widths))
        return random.permutation(self.mixing.rows(epoch))

    def epochs(self, position: Position) -> float:
        """Return how many passes over the corpus are done at ``position``, as a fraction."""
        return position.epoch + position.batch / len(self.plan(position.epoch))

    def start(self, position: Position) -> Iterator[tuple[Batch, Position]]:
        """Yield batches from ``position`` on for ever, each with the position after it."""
        while True:
            plan = self.plan(position.epoch)
            for done in range(position.batch, len(plan)):
                after = Position(position.epoch, done + 1)
                if done + 1 == len(plan):
                    after = Position(position.epoch + 1, 0)
                yield make_batch(self.source, self.target, plan[done], self.multiple, self.links), after
            position = Position(position.epoch + 1, 0)

    def close(self) -> None:
        """End what was begun ahead of need; here, nothing."""


def batches_in_order(lengths: Sequence[int] | Integers, max_tokens: int) -> list[Integers]:
    """Cut sentences, longest first, into groups of rows under a budget of padded tokens.

    Longest first, so that a batch too large for the memory fails at once and a progress estimate errs on the safe
    side.
    """
    widths = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-widths, kind="stable")
    return [order[start:end] for start, end in cut(np.maximum(widths[order], 1), max_tokens)]


def pack(sentences: Sequence[Sequence[int]]) -> Sequences:
    """Put sequences of ids end to end, as they stand in a token store."""
    lengths = np.fromiter((len(ids) for ids in sentences), dtype=np.int64, count=len(sentences))
    ids = np.fromiter((i for ids in sentences for i in ids), dtype=np.uint32, count=int(lengths.sum()))
    return Sequences(ids, np.concatenate([[0], np.cumsum(lengths)]))
