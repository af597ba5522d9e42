"""The pieces of a SentencePiece model, and the characters that each of them is made of."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq.data.model_fields import Kind, Piece
from seq2seq.data.sequences import Flags, Integers, Sequences, offsets_of
from seq2seq.data.tokenizer import WORD_START


@dataclass(frozen=True)
class Inventory:
    """Pieces as characters, which are ids too: those of the pieces of one character.

    An *atom* is never split and never becomes part of another piece. Tags and other control symbols are atoms, and so
    are the unknown piece, bytes, user-defined pieces, and pieces with a character that is no piece itself.

    Attributes:
        pieces: (V) all pieces, in the order of their ids.
        spelling: V sequences, the characters of each piece; atoms and characters are spelled by themselves.
        normal: (N,) ids of the pieces that are no atoms.
        atom: (V,) whether a piece is an atom.
        starts_word: (V,) whether a piece is the first of a word; of none, where pieces reach from word to word.
    """

    pieces: Sequence[Piece]
    spelling: Sequences
    normal: Integers
    atom: Flags
    starts_word: Flags

    @classmethod
    def of(cls, pieces: Sequence[Piece]) -> Inventory:
        """Take pieces apart."""
        normal = {i: piece.text for i, piece in enumerate(pieces) if piece.kind is Kind.NORMAL}
        characters = {text: i for i, text in normal.items() if len(text) == 1}
        whole = {i for i, text in normal.items() if text and all(letter in characters for letter in text)}
        spelling = [
            [characters[letter] for letter in piece.text] if i in whole else [i] for i, piece in enumerate(pieces)
        ]
        within_words = not any(WORD_START in text[1:] for text in normal.values())
        return cls(
            pieces,
            Sequences(
                np.array([*itertools.chain.from_iterable(spelling)], dtype=np.uint32),
                offsets_of(np.array([len(letters) for letters in spelling])),
            ),
            normal=np.array(sorted(whole), dtype=np.int64),
            atom=np.array([i not in whole for i in range(len(pieces))]),
            starts_word=np.array([within_words and piece.text.startswith(WORD_START) for piece in pieces]),
        )
