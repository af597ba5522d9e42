"""Tries one SentencePiece model, as a short-lived program of its own; :mod:`seq2seq.data.model_check` starts it.

The library is C++: whatever a hostile model makes it do, it does here, within limits that the system keeps. The
program needs nothing of the package, so that it starts in a few hundredths of a second. It reads the model from
standard input, says what is wrong with it on standard output, and ends with status 0 or REFUSED.
"""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress

import sentencepiece

REFUSED = 3
"""Exit status for a model that is none; any other but 0 means that the library itself has failed."""

MEMORY = 2**30
"""Bytes of address space; a model of 250,000 pieces needs about a third of it."""

SECONDS = 3
"""Of the processor; a model of 250,000 pieces needs about one."""

MOST_PIECES = 2**19

LONGEST_PIECE = 2**12
"""Bytes; every id of a translation is written out as its piece."""

LONGEST_REPLACEMENT = 2**10
"""Bytes that a rule of normalisation may put in the place of some characters; those of Unicode need 33."""

# Fields of a model, of the settings of its training and of its normalisation, by their numbers in the format.
_PIECE, _TRAINER, _NORMALIZER, _DENORMALIZER = 1, 2, 3, 5
_UNKNOWN_SURFACE = 44
_RULES = 2

_TEXTS = (
    "",
    "Ein Haus, a house.",
    "x" * 500,
    " ".join(map(chr, range(33, 0x500))),
    "\u2581日本語 \U0001f600 e\u0301\u200d",
)


class Wrong(Exception):  # noqa: N818 - it is said to the parent, never raised to it
    """What is wrong with a model."""


REASONS = (Wrong, RuntimeError, UnicodeDecodeError)
"""What the library and this module refuse a model with."""


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and bytes of every field with a length in a message of protocol buffers; others are skipped."""
    place, end = 0, len(message)

    def number() -> int:
        nonlocal place
        value = 0
        for shift in range(0, 70, 7):
            if place >= end:
                break
            byte = message[place]
            place += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise Wrong("its bytes are not in the format of a model")

    while place < end:
        key = number()
        kind = key & 7
        if kind == 0:
            number()
            continue
        if kind not in (1, 2, 5):
            raise Wrong("its bytes are not in the format of a model")
        length = number() if kind == 2 else {1: 8, 5: 4}[kind]
        if place + length > end:
            raise Wrong("it ends too early")
        if kind == 2:
            yield key >> 3, message[place : place + length]
        place += length


def inspect(model: bytes) -> None:
    """Look at the parts of a model whose effect would only show in texts that nobody has tried."""
    pieces = 0
    for number, value in fields(memoryview(model)):
        if number == _PIECE:
            pieces += 1
            refuse_longer(value, LONGEST_PIECE, "it has a piece")
        elif number in (_TRAINER, _NORMALIZER, _DENORMALIZER):
            for inner, part in fields(value):
                inspect_setting(number, inner, part)
    if pieces > MOST_PIECES:
        raise Wrong(f"it has more than {MOST_PIECES:,} pieces")


def inspect_setting(group: int, number: int, value: memoryview) -> None:
    """Look at one setting: of the training, of what happens to text before, or of what happens to it afterwards."""
    if (group, number) == (_TRAINER, _UNKNOWN_SURFACE):
        refuse_longer(value, LONGEST_PIECE, "it writes unknown pieces with text")
    elif (group, number) == (_DENORMALIZER, _RULES) and len(value):
        raise Wrong("it has rules that change the text of translations")
    elif (group, number) == (_NORMALIZER, _RULES):
        tables = 4 + int.from_bytes(value[:4], "little")
        for text in bytes(value[tables:]).split(b"\0"):  # each is what stands for some characters
            refuse_longer(text, LONGEST_REPLACEMENT, "it replaces characters by text")


def refuse_longer(value: bytes | memoryview, most: int, what: str) -> None:
    """Refuse what has more bytes than it may have."""
    if len(value) > most:
        raise Wrong(f"{what} of more than {most:,} bytes")


def use(model: bytes) -> None:
    """Do with a model whatever will be done with it."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model or b"\0")
    ids = list(range(processor.vocab_size()))
    processor.id_to_piece(ids)
    if not all(map(math.isfinite, processor.get_score(ids))):
        raise Wrong("it has scores that are not finite")
    processor.decode([ids[start : start + 1000] for start in range(0, len(ids), 1000)], num_threads=1)
    found = processor.encode(list(_TEXTS), out_type=int, num_threads=1)
    # Models of characters or of words know only one way to split a text.
    with suppress(RuntimeError):
        found += processor.encode(
            list(_TEXTS), out_type=int, num_threads=1, enable_sampling=True, alpha=0.1, nbest_size=-1
        )
    if any(not 0 <= number < len(ids) for text in found for number in text):
        raise Wrong("it gives ids outside its own vocabulary")
    processor.decode(found, num_threads=1)


def main() -> None:
    """Try the model on standard input."""
    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):
            continue  # some systems know no such limit; the parent waits only so long
    try:
        model = sys.stdin.buffer.read()
        inspect(model)
        use(model)
    except REASONS as error:
        sys.stdout.buffer.write(str(error).partition("\n")[0].encode(errors="backslashreplace"))
        sys.stdout.flush()
        sys.exit(REFUSED)


if __name__ == "__main__":
    main()
