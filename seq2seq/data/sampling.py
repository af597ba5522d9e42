"""Subword regularisation: the pieces of the training text are drawn anew in every epoch.

The token store keeps one segmentation of each sentence, from which :mod:`seq2seq.data.segmentation` draws others.
Only training batches are made of those; validation and evaluation see the one segmentation.

Another segmentation has another length, and batches that were planned for the stored lengths would be badly padded
or too large. So an epoch is drawn in *parts*, each of them enough pairs for many batches: first the pieces, then the
batches that fit them. A part is a pure function of the seed, the epoch and its own number, so going on from anywhere
draws one part again and replays nothing. One thread draws the next part while the trainer works on this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from seq2seq.config import Fraction, Probability
from seq2seq.data.alignment import Link, piece_links, words_of_pieces
from seq2seq.data.batching import (
    Batch,
    Position,
    TrainingBatches,
    make_batch,
    pack,
)
from seq2seq.data.cutting import round_up, shuffled_batches
from seq2seq.data.mixing import Mixing
from seq2seq.data.model_fields import read_pieces
from seq2seq.data.segmentation import (
    Inventory,
    LatticeSegmenter,
    MergeSegmenter,
    Segmenter,
    gathered,
    joined,
)
from seq2seq.data.sequences import Integers, Sequences
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import ConfigError

PART = 64
"""Batches in a part, about: enough for pairs of like length to meet, few enough to be drawn in moments."""

CHUNK = 2**16
"""Stored pieces that are drawn anew at once, about: few enough for the memory, and between two chunks a part can be
given up."""


class Sampling:
    """How the pieces of training text are drawn.

    Args:
        source: how strongly on the source side; 0 keeps the stored pieces.
        target: how strongly on the target side; 0 keeps the stored pieces.
    """

    tokenizer_type: ClassVar[str | None] = None

    def __init__(self, source: float, target: float) -> None:
        self.source, self.target = source, target

    @property
    def active(self) -> bool:
        """Whether anything is drawn at all."""
        return self.source > 0 or self.target > 0

    def check(self, tokenizer_type: str) -> None:
        """Refuse a tokenizer that draws in another way.

        Raises:
            ConfigError: names the setting to change.
        """
        if self.active and tokenizer_type != self.tokenizer_type:
            raise ConfigError(
                f"`sampling` must suit the tokenizer, which is of type {tokenizer_type!r}, but is "
                f"{type(self).__name__}, for type {self.tokenizer_type!r}; give another sampling, or sampling=none"
            )

    def segmenter(self, tokenizer: Tokenizer, strength: float) -> Segmenter:
        """Return what draws pieces of a tokenizer with a strength above 0.

        Raises:
            ConfigError: the tokenizer has pieces that cannot be drawn.
        """
        raise NotImplementedError


class NoSampling(Sampling):
    """Every sentence keeps the pieces it is stored with."""

    def __init__(self) -> None:
        super().__init__(0.0, 0.0)


class BpeDropout(Sampling):
    """BPE-dropout (Provilkov et al. 2020), for tokenizers of type ``bpe``.

    Args:
        source: probability p that a merge is left out, on the source side; 0 for none.
        target: the same on the target side.
    """

    tokenizer_type = "bpe"

    def __init__(self, *, source: Probability, target: Probability) -> None:
        super().__init__(source, target)

    def segmenter(self, tokenizer: Tokenizer, strength: float) -> Segmenter:
        """Return what leaves out merges; see :meth:`Sampling.segmenter`."""
        return MergeSegmenter(Inventory.of(read_pieces(tokenizer.serialized)), strength)


class UnigramSampling(Sampling):
    """Subword regularisation with a unigram language model (Kudo 2018, section 3), for the type ``unigram``.

    A segmentation x is drawn from all there are (l = infinity), with a probability proportional to ``P(x)^alpha``.

    Args:
        source: alpha on the source side: 1 follows the model, less is more random; 0 for no sampling.
        target: the same on the target side.
    """

    tokenizer_type = "unigram"

    def __init__(self, *, source: Fraction, target: Fraction) -> None:
        super().__init__(source, target)

    def segmenter(self, tokenizer: Tokenizer, strength: float) -> Segmenter:
        """Return what draws from the language model; see :meth:`Sampling.segmenter`."""
        return LatticeSegmenter(Inventory.of(read_pieces(tokenizer.serialized)), strength)


@dataclass(frozen=True)
class Part:
    """Pairs with the pieces drawn for them, cut into batches.

    Attributes:
        source: source sentences of the part.
        target: target sentences, in the same order.
        links: the links between their pieces, or None.
        batches: which pairs each batch holds, in the order of training.
    """

    source: Sequences
    target: Sequences
    links: Sequences | None
    batches: list[Integers]


class SampledBatches(TrainingBatches):
    """Endless shuffled batches whose pieces are drawn anew in every epoch, starting anywhere.

    Their budget is kept as by :class:`TrainingBatches`. So that no sentence outgrows it, or a model's positions, one
    that would become longer than the longest of the stored sentences of its side keeps the stored pieces.

    Args:
        source: source sentences as they are stored.
        target: target sentences as they are stored.
        tokenizers: of the source and of the target.
        sampling: how to draw.
        max_tokens: budget of padded tokens in a batch, on the side that has more.
        multiple: widths are padded to multiples of this.
        seed: decides every order and every segmentation.
        links: links between the stored pieces of each pair, or None; they follow their words to the new pieces.
        mixing: which pairs an epoch holds; None: each pair once.

    Raises:
        ConfigError: a sentence is longer than a batch, or a tokenizer has pieces that cannot be drawn.
    """

    def __init__(
        self,
        source: Sequences,
        target: Sequences,
        *,
        tokenizers: tuple[Tokenizer, Tokenizer],
        sampling: Sampling,
        max_tokens: int,
        multiple: int,
        seed: int,
        links: Sequences | None = None,
        mixing: Mixing | None = None,
    ) -> None:
        super().__init__(
            source, target, max_tokens=max_tokens, multiple=multiple, seed=seed, links=links, mixing=mixing
        )
        self.tokenizers = tokenizers
        self._segmenters = [
            sampling.segmenter(tokenizer, strength) if strength else None
            for tokenizer, strength in zip(tokenizers, (sampling.source, sampling.target), strict=True)
        ]
        widths = self.widths if mixing is None else self.widths[mixing.rows(0)]
        self.parts = max(1, round(int(widths.sum()) / (PART * max_tokens)))
        self._shuffled: tuple[int, Integers] | None = None
        self._closed = False
        self._drawn: dict[tuple[int, int], Future[Part]] = {}
        # One thread only: more of them would draw in an order of their own.
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sampling")

    def part(self, epoch: int, number: int) -> Part:
        """Return a part of an epoch, waiting until it is drawn."""
        return self._begin(epoch, number).result()

    def epochs(self, position: Position) -> float:
        """Return how many passes over the corpus are done at ``position``, as a fraction."""
        batches = self.part(position.epoch, position.part).batches
        return position.epoch + (position.part + position.batch / len(batches)) / self.parts

    def start(self, position: Position) -> Iterator[tuple[Batch, Position]]:
        """Yield batches from ``position`` on for ever, each with the position after it."""
        while True:
            part = self.part(position.epoch, position.part)
            last = position.part + 1 == self.parts
            following = Position(position.epoch + last, 0, 0 if last else position.part + 1)
            self._begin(following.epoch, following.part)
            for done in range(position.batch, len(part.batches)):
                after = Position(position.epoch, done + 1, position.part)
                if done + 1 == len(part.batches):
                    after = following
                yield make_batch(part.source, part.target, part.batches[done], self.multiple, part.links), after
            position = following

    def close(self) -> None:
        """End the thread; what it is drawing is given up."""
        self._closed = True
        self._executor.shutdown(cancel_futures=True)

    def _begin(self, epoch: int, number: int) -> Future[Part]:
        """Have a part drawn, unless it is; the one before, the one in use and the next are remembered."""
        place = epoch, number
        if place not in self._drawn:
            self._drawn[place] = self._executor.submit(self._draw, epoch, number)
            if len(self._drawn) > 3:
                del self._drawn[next(iter(self._drawn))]
        return self._drawn[place]

    def _draw(self, epoch: int, number: int) -> Part:
        """Draw a part: a pure function, run by the thread."""
        if self._shuffled is None or self._shuffled[0] != epoch:
            self._shuffled = epoch, self._order(epoch, np.random.default_rng((self.seed, epoch)))
        rows = np.array_split(self._shuffled[1], self.parts)[number]
        key = self.seed, epoch, 1 + number  # not 0, which numpy takes for no number at all
        source = self._side(self.source, rows, self._segmenters[0], (*key, 1))
        target = self._side(self.target, rows, self._segmenters[1], (*key, 2))
        links = (
            None
            if self.links is None
            else pack([self._links(row, source[i].tolist(), target[i].tolist()) for i, row in enumerate(rows)])
        )
        batches = shuffled_batches(
            round_up(source.lengths + 1, self.multiple),
            round_up(target.lengths + 1, self.multiple),
            self.max_tokens,
            np.random.default_rng((*key, 3)),
        )
        return Part(source, target, links, batches)

    def _side(
        self, stored: Sequences, rows: Integers, segmenter: Segmenter | None, key: tuple[int, ...]
    ) -> Sequences:
        """Return some sentences of a side, in new pieces where it is to be sampled."""
        if segmenter is None:
            return gathered(stored, rows)
        longest = int(stored.lengths.max())
        random = np.random.Generator(np.random.PCG64(key))
        chunk = np.cumsum(stored.lengths[rows]) // CHUNK
        drawn = []
        for some in np.split(rows, np.flatnonzero(np.diff(chunk)) + 1):
            if self._closed:
                raise CancelledError
            drawn.append(segmenter.draw(gathered(stored, some), longest, random))
        return joined(drawn)

    def _links(self, row: int, source: Sequence[int], target: Sequence[int]) -> list[int]:
        """Return the links of a pair between its new pieces: all those of words whose old pieces were linked."""
        assert self.links is not None
        places = self.links[row].tolist()
        old = (self.source[row].tolist(), self.target[row].tolist())
        source_words, target_words = (
            words_of_pieces(tokenizer.pieces(ids)) for tokenizer, ids in zip(self.tokenizers, old, strict=True)
        )
        words = {Link(source_words[i], target_words[j]) for i, j in zip(places[::2], places[1::2], strict=True)}
        new = (tokenizer.pieces(ids) for tokenizer, ids in zip(self.tokenizers, (source, target), strict=True))
        return [place for link in piece_links(sorted(words), *new) for place in (link.source, link.target)]
