"""Stored sentences, their words drawn anew."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from seq2seq.data.segmentation.inventory import Inventory
from seq2seq.data.sequences import Integers, Sequences, gathered, offsets_of, places


class Segmenter(ABC):
    """Draws other pieces for stored sentences, word by word.

    It works on ids alone, with array operations, and with random numbers of NumPy: the same bits in every process and
    on every machine. SentencePiece could draw as well, but would give other pieces in another process.

    A *word* is a stretch of pieces that is drawn by itself, because no piece can reach beyond it. One begins at each
    "▁", and each atom is one.

    Args:
        inventory: the pieces.
    """

    def __init__(self, inventory: Inventory) -> None:
        self.inventory = inventory

    @abstractmethod
    def redrawn(self, words: Sequences, random: np.random.Generator) -> tuple[Integers, Sequences]:
        """Draw pieces for words.

        Args:
            words: N words, as the model splits them when nothing is drawn.
            random: asked for ``random()`` only, whose numbers are the same on every machine.

        Returns:
            (M,) which words may have changed, and M sequences: their new pieces.
        """

    def draw(self, sentences: Sequences, longest: int, random: np.random.Generator) -> Sequences:
        """Return sentences in other pieces that spell the same.

        Args:
            sentences: in the pieces that the tokenizer gives them, with offsets from 0 on.
            longest: a sentence that would have more pieces than this keeps those that it has.
            random: decides the pieces.
        """
        words, of_sentence = self._words(sentences)
        changed, drawn = self.redrawn(words, random)
        starts, lengths = words.offsets[:-1].copy(), words.lengths.copy()
        starts[changed], lengths[changed] = len(words.ids) + drawn.offsets[:-1], drawn.lengths
        fits = np.diff(offsets_of(lengths)[of_sentence]) <= longest
        kept = np.repeat(~fits, np.diff(of_sentence))
        starts[kept], lengths[kept] = words.offsets[:-1][kept], words.lengths[kept]
        pool = np.concatenate([words.ids, drawn.ids])
        return Sequences(pool[places(starts, lengths)], offsets_of(lengths)[of_sentence])

    def spelled(self, words: Sequences) -> Sequences:
        """Return the characters of each word."""
        letters = gathered(self.inventory.spelling, words.ids)
        return Sequences(letters.ids, letters.offsets[words.offsets])

    def _words(self, sentences: Sequences) -> tuple[Sequences, Integers]:
        """Return the words of all sentences, and (N+1,) which word each sentence starts with."""
        ids = sentences.ids.astype(np.uint32)
        atom = self.inventory.atom[ids]
        first = self.inventory.starts_word[ids] | atom
        first[1:] |= atom[:-1]
        first[sentences.offsets[:-1][sentences.lengths > 0]] = True
        words = Sequences(ids, np.append(np.flatnonzero(first), len(ids)))
        return words, offsets_of(first)[sentences.offsets]
