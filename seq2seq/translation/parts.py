"""What lines are translated in: mostly one part each, several where a line is too long for the model."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np

from seq2seq.data.formats import single_line
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.search import Translation
from seq2seq.translation import splitting

LONGEST_ENCODED = 1 << 16
"""Characters of a text whose pieces are counted: a longer one is cut without asking, for each piece takes memory."""

# Halves of characters, which text from Python may hold and no tokenizer takes.
_SURROGATE = re.compile("[\ud800-\udfff]")

_ENCODED_TOGETHER = 1024  # texts


class Part(NamedTuple):
    """What is translated by itself: a whole line, or a part of one that is too long.

    Attributes:
        text: its text, without spaces around it.
        within_word: whether a part before it ends in the middle of a word, with which it goes on.
        ids: its pieces, tagged where the model has several target languages.
        found: its translations, best first.
    """

    text: str
    within_word: bool
    ids: list[int]
    found: list[Translation]


def joined(parts: Sequence[Part]) -> list[Translation]:
    """Return the translations of a line, best first, for those of its parts; of an empty line, an empty one.

    The best one is made of the best of each part, and so on, as many as each part has. The score is the mean of
    theirs, weighted by source pieces.
    """
    if not parts:
        return [Translation("", 0.0)]
    if len(parts) == 1:
        return parts[0].found
    weights = [len(part.ids) for part in parts]
    ranks = zip(*(part.found for part in parts), strict=False)
    return [
        Translation(
            splitting.join([one.text for one in rank]),
            float(np.average([one.score for one in rank], weights=weights)),
        )
        for rank in ranks
    ]


def tagged(lines: Sequence[str], tokenizer: Tokenizer, target: str | None) -> list[list[int]]:
    """Return the ids of source lines, tagged where the model has several target languages; none of empty lines.

    Raises:
        ConfigError: ``target`` is not one of those languages.
    """
    tag = tokenizer.tag(target)
    return [tag + ids if ids else ids for ids in tokenizer.encode(lines)]


def cut(
    lines: Sequence[str],
    tokenizer: Tokenizer,
    target: str | None,
    most: int,
    first: int,
    warn: Callable[[str], None],
) -> list[list[Part]]:
    """Return the parts that each line is translated in, still without translations.

    Args:
        lines: N of them.
        tokenizer: of the source.
        target: the language to translate into; needed where the model has several.
        most: pieces that a part may have, its tag included.
        first: number of the first line, for warnings.
        warn: gets a line for each line of several parts.

    Raises:
        ConfigError: ``target`` is not one of the languages.
    """
    texts = [_SURROGATE.sub("\ufffd", single_line(line)).strip() for line in lines]
    room = max(1, most - len(tokenizer.tag(target)))
    whole = tagged([text if len(text) <= LONGEST_ENCODED else "" for text in texts], tokenizer, target)
    found: list[list[Part]] = []
    for number, (text, given) in enumerate(zip(texts, whole, strict=True), first):
        if len(given) <= most and len(text) <= LONGEST_ENCODED:
            found.append([Part(text, False, given, [])] if given else [])
            continue
        stretches = splitting.split(text, room, partial(_lengths, tokenizer))
        encoded = tagged([stretch.text for stretch in stretches], tokenizer, target)
        # A single character may have more pieces than there is room for; one of none says nothing.
        parts = [
            Part(part.text, part.start > 0 and text[part.start - 1] != " ", ids[:most], [])
            for part, ids in zip(stretches, encoded, strict=True)
            if ids
        ]
        pieces = len(given) or sum(map(len, encoded))
        if pieces > most:
            warn(
                f"line {number} has {pieces:,} pieces, more than the {most:,} of search.max_source_length, and is "
                f"translated in {len(parts):,} parts"
            )
        found.append(parts)
    return found


def _lengths(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    """Return the number of pieces of each text; of one that is very long, its characters."""
    pending, found = iter(texts), list[int]()
    while chunk := list(islice(pending, _ENCODED_TOGETHER)):
        encoded = tokenizer.encode([text if len(text) <= LONGEST_ENCODED else "" for text in chunk])
        found += [
            len(ids) if len(text) <= LONGEST_ENCODED else len(text) for text, ids in zip(chunk, encoded, strict=True)
        ]
    return found
