"""The pieces of a SentencePiece model, and the characters that each of them is made of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from seq2seq.data.segmentation.ragged import Flags, offsets_of
from seq2seq.data.sequences import Integers, Sequences
from seq2seq.data.tokenizer import WORD_START


class Kind(IntEnum):
    """What a piece is, by the numbers of SentencePiece's own format."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6

    @classmethod
    def _missing_(cls, value: object) -> Kind:
        return cls.NORMAL  # as Protocol Buffers take a number that they do not know


class Piece(NamedTuple):
    """A piece of the vocabulary."""

    text: str
    score: float
    kind: Kind


def read_pieces(serialized: bytes) -> list[Piece]:
    """Read the pieces of a SentencePiece model, which the library has accepted.

    The library does not tell which pieces are user-defined, so they are read from the model itself, a message in the
    wire format of Protocol Buffers: field 1, repeated, is a piece, with text, score and kind as its fields 1 to 3.
    """
    pieces = []
    for number, message in _fields(serialized):
        if number == 1:
            fields = dict(_fields(message))
            score = np.frombuffer(fields.get(2, b"\0\0\0\0"), dtype="<f4")[0]
            kind, _ = _variable(fields.get(3, bytes([Kind.NORMAL])), 0)
            pieces.append(Piece(fields.get(1, b"").decode("utf-8", "surrogateescape"), float(score), Kind(kind)))
    return pieces


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the contents of each field."""
    at = 0
    while at < len(message):
        tag, at = _variable(message, at)
        match tag & 7:
            case 0:
                _, end = _variable(message, at)
            case 2:
                length, at = _variable(message, at)
                end = at + length
            case wire:
                end = at + {1: 8, 5: 4}[wire]
        yield tag >> 3, message[at:end]
        at = end


def _variable(message: bytes, at: int) -> tuple[int, int]:
    """Return the integer of variable length at a place, and the place after it."""
    value = shift = 0
    while True:
        value |= (message[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 128:
            return value, at


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
