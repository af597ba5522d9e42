"""BPE-dropout (Provilkov et al. 2020): byte-pair encoding that leaves out merges at random."""

from __future__ import annotations

import numpy as np

from seq2seq.data.model_fields import Kind
from seq2seq.data.segmentation.inventory import Inventory
from seq2seq.data.segmentation.segmenter import Segmenter
from seq2seq.data.segmentation.table import PairTable
from seq2seq.data.sequences import Floats, Integers, Sequences, gathered, offsets_of
from seq2seq.data.tokenizer import PAD
from seq2seq.errors import ConfigError

_NEVER = 2**40
"""The rank of what is no piece."""

_CELLS = 2**18
"""Characters that are merged side by side, about: enough to be fast, few enough for the processor's caches."""


class MergeSegmenter(Segmenter):
    """Draws as SentencePiece does with a ``bpe`` model, from the same distribution.

    Two neighbours that make a piece may be merged, the best of all first: the one of the highest score, and of these
    the leftmost. When its turn comes, it is left out with probability p, and then for good; a merge that is done
    gives the new piece new neighbours, with a chance of their own. So there is one draw for each pair of neighbours
    that ever is. Algorithm 1 of the paper differs: it draws for all pairs again before every merge, so one that was
    left out may be merged later.

    Up to the first that is left out, merges follow each other as in the stored pieces. So it is drawn first how many
    that are. Most words get through all of theirs: they keep their pieces, and nothing needs to be merged.

    Args:
        inventory: the pieces.
        dropout: probability p that a merge is left out.

    Raises:
        ConfigError: the vocabulary has pieces that merges use and no text is to hold.
    """

    def __init__(self, inventory: Inventory, dropout: float) -> None:
        super().__init__(inventory)
        if any(piece.kind is Kind.UNUSED for piece in inventory.pieces):
            raise ConfigError(
                "`sampling` must be none for a tokenizer with pieces marked as unused, but is bpe_dropout instead"
            )
        self._dropout = dropout
        scores = np.array([piece.score for piece in inventory.pieces])
        # Pieces of one score are merged from left to right, so they share a rank.
        self._rank: Integers = np.unique(-scores, return_inverse=True)[1].astype(np.int64)
        self._rank[PAD] = _NEVER
        names = {inventory.pieces[i].text: int(i) for i in inventory.normal}
        merges = [
            (names[text[:cut]], names[text[cut:]], i)
            for text, i in names.items()
            for cut in range(1, len(text))
            if text[:cut] in names and text[cut:] in names
        ]
        table = np.array(merges, dtype=np.int64).reshape(-1, 3)
        self._merged = PairTable(table[:, :2], table[:, 2])

    def redrawn(self, words: Sequences, random: np.random.Generator) -> tuple[Integers, Sequences]:
        """Draw pieces for words; see :meth:`Segmenter.redrawn`."""
        letters = offsets_of(self.inventory.spelling.lengths[words.ids])[words.offsets]
        merges = np.diff(letters) - words.lengths
        luck = _streaks(self._odds(int(merges.max(initial=0))), len(words), random)
        changed = np.flatnonzero(luck < merges)
        return changed, self.merged(self.spelled(gathered(words, changed)), luck[changed], random)

    def merged(self, words: Sequences, luck: Integers, random: np.random.Generator) -> Sequences:
        """Merge the characters of words.

        Args:
            words: N words, as characters.
            luck: (N,) how many merges of each word are done before one is left out; then it is drawn anew.
            random: decides what else is left out.

        Returns:
            N words, as pieces.
        """
        odds = self._odds(int(words.lengths.max(initial=0)))
        order = np.argsort(words.lengths, kind="stable")
        sorted_lengths = words.lengths[order]
        pieces = words.ids.astype(np.int64)
        start = 0
        while start < len(order):
            # Words of like lengths; a matrix has a row for each character and a column for each word.
            height = max(4, int(sorted_lengths[start]) * 5 // 4)
            end = start + max(1, _CELLS // height)
            end = min(end, int(np.searchsorted(sorted_lengths, height, side="right")))
            rows, row = order[start:end], np.arange(height)[:, None]
            inside = row < words.lengths[rows]
            cells = (words.offsets[rows] + row)[inside]
            letters = np.full(inside.shape, PAD, dtype=np.int64)
            letters[inside] = pieces[cells]
            pieces[cells] = self._merge(letters, luck[rows], odds, random)[inside]
            start = end
        left = pieces != PAD
        return Sequences(pieces[left].astype(np.uint32), offsets_of(left)[words.offsets])

    def _merge(self, letters: Integers, luck: Integers, odds: Floats, random: np.random.Generator) -> Integers:
        """Return the pieces of (L,W) characters, each at the place of its first one, PAD at all others."""
        height, width = letters.shape
        size = height * width
        # One more cell stands for whatever is beyond the ends of a word.
        symbols, row = np.append(letters, PAD), np.append(np.repeat(np.arange(height), width), 0)
        following = np.minimum(np.arange(size + 1) + width, size)
        before = np.append(np.full(width, size), np.arange(size + 1 - width))
        merged = np.append(self._merged.find(symbols[:size], symbols[following[:size]]), PAD)
        # The best merge of a word has the least key: that of the least rank, and among these the leftmost.
        keys = self._rank[merged] * height + row
        table = keys[:size].reshape(height, width)
        while True:
            best = table.min(axis=0)
            active = np.flatnonzero(best < _NEVER)
            if not len(active):
                return symbols[:size].reshape(height, width)
            first = best[active] % height * width + active
            lost = luck[active] == 0
            luck[active] -= 1
            keys[first[lost]] = _NEVER
            luck[active[lost]] = _streaks(odds, int(np.count_nonzero(lost)), random)
            first = first[~lost]
            second = following[first]
            symbols[first], symbols[second] = merged[first], PAD
            keys[second] = _NEVER
            following[first] = following[second]
            before[following[first]] = first
            # It has new neighbours on both sides, with whom it may be merged.
            left, right = np.append(before[first], first), np.append(first, following[first])
            merged[left] = self._merged.find(symbols[left], symbols[right])
            keys[left] = self._rank[merged[left]] * height + row[left]

    def _odds(self, longest: int) -> Floats:
        """Return (longest,) the probability that 1, 2, 3, ... merges in a row are done, as negative numbers."""
        # By multiplication alone, which every machine rounds alike.
        return -np.multiply.accumulate(np.full(longest, 1 - self._dropout))


def _streaks(odds: Floats, count: int, random: np.random.Generator) -> Integers:
    """Draw (count,) how many merges are done before one is left out."""
    return np.searchsorted(odds, -random.random(count))
