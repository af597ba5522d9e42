"""Word alignments: which source word a target word translates, as people and aligners write it down.

One line for each sentence pair, in Pharaoh format: ``0-0 1-2 2p1``. A link names a source word and a target word,
both counted from 0 between spaces; ``-`` marks a sure link, ``p`` or ``?`` a possible one (Och & Ney 2003).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from seq2seq.data.tokenizer import WORD_START
from seq2seq.errors import DataError

_LINK = re.compile(r"(\d{1,6})([-p?])(\d{1,6})", re.ASCII)


class Link(NamedTuple):
    """A source word and the target word that translates it; ``sure`` is False where annotators were in doubt."""

    source: int
    target: int
    sure: bool = True


def parse_links(line: str, source_words: int, target_words: int, where: str) -> list[Link]:
    """Read the links of one sentence pair.

    Args:
        line: such as ``0-0 1p2``; an empty line has no links.
        source_words: number of source words.
        target_words: number of target words.
        where: file and line, for messages.

    Raises:
        DataError: not in this format, or a link that leads outside the sentence.
    """
    links = []
    for text in line.split():
        match = _LINK.fullmatch(text)
        if not match:
            raise DataError(f"{where} must hold links such as 0-0 or 1p2, counted from 0, but has {text[:40]!r}")
        link = Link(int(match[1]), int(match[3]), match[2] == "-")
        if link.source >= source_words or link.target >= target_words:
            raise DataError(
                f"{where} must link words of its sentences, which have {source_words} and {target_words} counted "
                f"from 0, but has {text!r}; if the file counts from 1 or was made for another tokenisation, convert it"
            )
        links.append(link)
    return links


def words_of_pieces(pieces: Sequence[str]) -> list[int]:
    """Return for each piece of a sentence the number of the word it belongs to, counted from 0."""
    words, word = [], -1
    for piece in pieces:
        word += piece.startswith(WORD_START) or word < 0
        words.append(word)
    return words


def piece_links(links: Iterable[Link], source_pieces: Sequence[str], target_pieces: Sequence[str]) -> list[Link]:
    """Link every piece of a source word with every piece of the target word that it is linked to."""
    places = []
    for pieces in (source_pieces, target_pieces):
        of_word: dict[int, list[int]] = {}
        for place, word in enumerate(words_of_pieces(pieces)):
            of_word.setdefault(word, []).append(place)
        places.append(of_word)
    sources, targets = places
    return [
        Link(source, target, link.sure)
        for link in links
        for source in sources.get(link.source, ())
        for target in targets.get(link.target, ())
    ]
