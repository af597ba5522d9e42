"""What the library does not tell of a SentencePiece model: its type, and the kinds of its pieces.

A model is a message in the wire format of Protocol Buffers. Its field 1, repeated, is a piece, with text, score and
kind as fields 1 to 3; field 2 tells of its training, with the type of model as field 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from seq2seq.errors import DataError

TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}
"""SentencePiece's own numbers of the types of models."""

_PIECE, _TRAINING, _TYPE = 1, 2, 3
_TEXT, _SCORE, _KIND = 1, 2, 3
_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5  # how a field is written

Value = int | bytes


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
    """What a model says of a piece.

    Attributes:
        text: its spelling.
        score: the larger, the likelier, or the earlier merged.
        kind: what it may be used for.
    """

    text: str
    score: float
    kind: Kind


def model_type(serialized: bytes) -> str:
    """Return the type of a SentencePiece model, one of :data:`TYPES`.

    Raises:
        DataError: the bytes are no such model.
    """
    try:
        found: Value = 1  # what is not written
        for field, value in _fields(serialized):
            if field == _TRAINING and isinstance(value, bytes):
                found = dict(_fields(value)).get(_TYPE, found)
        return TYPES[found]  # type: ignore[index]  # bytes are no number of a type, either
    except (IndexError, KeyError, ValueError) as error:
        raise DataError(f"the tokenizer model must say of which type it is, but cannot be read: {error!r}") from None


def read_pieces(serialized: bytes) -> list[Piece]:
    """Return the pieces of a SentencePiece model, in the order of their ids.

    Raises:
        DataError: the bytes are no such model.
    """
    try:
        return [_piece(value) for field, value in _fields(serialized) if field == _PIECE]
    except (IndexError, TypeError, ValueError, struct.error) as error:
        raise DataError(f"the tokenizer model must tell of its pieces, but cannot be read: {error!r}") from None


def _piece(message: Value) -> Piece:
    fields = dict(_fields(_bytes(message)))
    [score] = struct.unpack("<f", _bytes(fields.get(_SCORE, b"\0\0\0\0")))
    text = _bytes(fields.get(_TEXT, b"")).decode("utf-8", "surrogateescape")
    kind = fields.get(_KIND, Kind.NORMAL)
    return Piece(text, float(score), Kind(kind) if isinstance(kind, int) else Kind.NORMAL)


def _bytes(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("a number in the place of bytes")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, Value]]:
    """Yield number and value of each field of a message.

    Raises:
        IndexError: it ends too early.
        ValueError: it has a field written in an unknown way.
    """
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(message):
        field, kind = divmod(varint(), 8)
        if kind == _VARINT:
            yield field, varint()
            continue
        sizes = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}
        if kind != _LENGTH and kind not in sizes:
            raise ValueError(f"a field written as {kind}")
        size = varint() if kind == _LENGTH else sizes[kind]
        if size > len(message) - place:
            raise IndexError("a field that is cut off")
        yield field, message[place : place + size]
        place += size
