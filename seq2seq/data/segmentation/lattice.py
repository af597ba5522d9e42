"""Subword regularisation with a unigram language model (Kudo 2018): segmentations drawn from all there are."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt

from seq2seq.data.segmentation.inventory import Inventory
from seq2seq.data.segmentation.segmenter import Segmenter
from seq2seq.data.segmentation.table import PairTable
from seq2seq.data.sequences import Floats, Integers, Sequences, gathered, offsets_of
from seq2seq.data.tokenizer import PAD

_LEAST = -40
"""No logarithm of a weight is less: nothing so improbable is ever drawn, and sums stay numbers."""

_STEADY = 8
"""Characters after which sums are brought back to the size of 1: long words have tiny probabilities."""


class LatticeSegmenter(Segmenter):
    """Draws as SentencePiece does with a ``unigram`` model, from the same distribution.

    The probability of a segmentation x is proportional to ``P(x)^alpha``, where P is the product of the
    probabilities of its pieces (section 3 of the paper, with l = infinity). It is drawn exactly: forward filtering
    sums up all segmentations of the first t characters, and backward sampling draws the last piece, then the one
    before it, and so on. Sums are the same wherever a word occurs, so they are made once for each distinct word.

    Args:
        inventory: the pieces.
        alpha: 1 follows the model, less is more random.
    """

    def __init__(self, inventory: Inventory, alpha: float) -> None:
        super().__init__(inventory)
        # A tree of the pieces' characters, whose root is 0.
        children: dict[tuple[int, int], int] = {}
        pieces = [PAD]
        for piece in inventory.normal.tolist():
            node = 0
            for letter in inventory.spelling[piece].tolist():
                node = children.setdefault((node, letter), len(pieces))
                if node == len(pieces):
                    pieces.append(PAD)
            pieces[node] = piece
        self._children = PairTable(
            np.array(list(children), dtype=np.int64).reshape(-1, 2), np.array(list(children.values()), dtype=np.int64)
        )
        self._piece_of: Integers = np.array(pieces)
        self._weight: Floats = np.zeros(len(pieces))
        ends = np.flatnonzero(self._piece_of)
        logarithms = [alpha * inventory.pieces[piece].score for piece in self._piece_of[ends].tolist()]
        # Decimal numbers, because machines do not agree on the last bit of other exponentials.
        self._weight[ends] = [float(Decimal(power).exp()) for power in np.clip(logarithms, _LEAST, 0).tolist()]
        self._longest = int(inventory.spelling.lengths.max())

    def redrawn(self, words: Sequences, random: np.random.Generator) -> tuple[Integers, Sequences]:
        """Draw pieces for words; see :meth:`Segmenter.redrawn`."""
        letters_before = offsets_of(self.inventory.spelling.lengths[words.ids])[words.offsets]
        changed = np.flatnonzero(np.diff(letters_before) > 1)
        first, which = self._distinct(gathered(words, changed))
        letters = self.spelled(gathered(words, changed[first]))
        ending = self._ending(letters)
        sums = self._filtered(letters, ending)
        return changed, self._sampled(letters, ending, sums, which, random)

    def _distinct(self, words: Sequences) -> tuple[Integers, Integers]:
        """Return (D,) where each distinct word occurs first, and (N,) which of them each word is."""
        numbers = words.ids[words.offsets[:-1]].astype(np.int64)
        size = total = len(self.inventory.pieces)
        for place in range(1, int(words.lengths.max(initial=0))):
            rows = np.flatnonzero(words.lengths > place)
            following = words.ids[words.offsets[rows] + place]
            _, inverse = np.unique(numbers[rows] * size + following, return_inverse=True)
            numbers[rows] = total + inverse  # of other words than those that end here
            total += len(rows)
        _, first, which = np.unique(numbers, return_index=True, return_inverse=True)
        return first, which

    def _ending(self, words: Sequences) -> npt.NDArray[np.int32]:
        """Return (M,C) for each of C characters the pieces of 1, 2, ..., M characters that end there, as nodes."""
        letters = words.ids.astype(np.int64)
        left = np.repeat(words.offsets[1:], words.lengths) - np.arange(len(letters))
        found = np.zeros((min(self._longest, int(words.lengths.max(initial=0))), len(letters)), dtype=np.int32)
        starts, nodes = np.arange(len(letters)), np.zeros(len(letters), dtype=np.int64)
        for length in range(1, len(found) + 1):
            ends = starts + length - 1
            nodes = self._children.find(nodes, letters[ends])
            found[length - 1, ends] = nodes
            further = (nodes > 0) & (left[starts] > length)
            starts, nodes = starts[further], nodes[further]
        return found

    def _filtered(self, words: Sequences, ending: npt.NDArray[np.int32]) -> Floats:
        """Return (M,C) the summed weight of the segmentations that end at a character in at most 1, ..., M others.

        All sums of one column may have any common factor.
        """
        sums = self._weight[ending]
        order = np.argsort(-words.lengths, kind="stable")
        starts, lengths = words.offsets[:-1][order], words.lengths[order]
        # The weight of all segmentations of the first t characters stands at t; a word has one place more.
        whole = np.zeros(len(words.ids) + len(words))
        bases = starts + order
        whole[bases] = 1
        for place in range(int(lengths.max(initial=0))):
            count = int(np.searchsorted(-lengths, -place, side="left"))
            ends, nodes = starts[:count] + place, bases[:count] + place + 1
            reach = min(len(sums), place + 1)
            back = nodes - np.arange(1, reach + 1)[:, None]
            sums[:, ends] = np.add.accumulate(
                np.concatenate([sums[:reach, ends] * whole[back], np.zeros((len(sums) - reach, count))])
            )
            whole[nodes] = sums[-1, ends]
            if place % _STEADY == _STEADY - 1:
                recent = np.concatenate([nodes[None], back])
                whole[recent] = np.ldexp(whole[recent], -np.frexp(whole[nodes])[1])
        return sums

    def _sampled(
        self,
        words: Sequences,
        ending: npt.NDArray[np.int32],
        sums: Floats,
        which: Integers,
        random: np.random.Generator,
    ) -> Sequences:
        """Draw the pieces of (N,) words from the last to the first."""
        offsets = offsets_of(words.lengths[which])
        pieces = np.zeros(offsets[-1], dtype=np.int64)
        starts, left = words.offsets[which], words.lengths[which]
        active = np.arange(len(which))
        while len(active):
            ends = starts[active] + left[active] - 1
            drawn = random.random(len(active)) * sums[-1, ends]
            lengths = np.ones(len(active), dtype=np.int64)
            waiting = np.arange(len(active))
            for row in sums[:-1]:
                waiting = waiting[row[ends[waiting]] <= drawn[waiting]]
                if not len(waiting):
                    break
                lengths[waiting] += 1
            # Where no sum is a number, for a model with absurd scores, the character itself is a piece.
            lengths[self._piece_of[ending[lengths - 1, ends]] == PAD] = 1
            nodes = ending[lengths - 1, ends]
            left[active] -= lengths
            pieces[offsets[active] + left[active]] = self._piece_of[nodes]
            active = active[left[active] > 0]
        kept = pieces != PAD
        return Sequences(pieces[kept].astype(np.uint32), offsets_of(kept)[offsets])
