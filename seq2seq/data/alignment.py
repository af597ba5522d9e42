"""Word alignments: which source word a target word translates, as people and aligners write it down.

One line for each sentence pair, in Pharaoh format: ``0-0 1-2 2p1``. A link names a source word and a target word,
both counted from 0 between spaces; ``-`` marks a sure link, ``p`` or ``?`` a possible one (Och & Ney 2003).

Words are those of :func:`words_of`: what stands between plain spaces, as the tokenizer sees it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from seq2seq.data.formats import Pair, read_lines
from seq2seq.data.tokenizer import WORD_START, is_tag
from seq2seq.errors import DataError

_LINK = re.compile(r"(\d{1,6})([-p?])(\d{1,6})", re.ASCII)


class Link(NamedTuple):
    """A source word and the target word that translates it; ``sure`` is False where annotators were in doubt."""

    source: int
    target: int
    sure: bool = True


def words_of(sentence: str) -> list[str]:
    """Split a sentence at spaces, as SentencePiece does.

    ``str.split`` would also split at no-break, ideographic and other spaces, which the tokenizer keeps inside a word.
    """
    return [word for word in sentence.split(" ") if word]


def parse_links(line: str, source_words: int, target_words: int, where: str) -> list[Link]:
    """Read the links of one sentence pair; one that is written twice counts once.

    Args:
        line: such as ``0-0 1p2``; an empty line has no links.
        source_words: number of source words.
        target_words: number of target words.
        where: file and line, for messages.

    Raises:
        DataError: not in this format, or a link that leads outside the sentence.
    """
    links: dict[Link, None] = {}
    for text in line.split():
        match = _LINK.fullmatch(text)
        if not match:
            raise DataError(f"{where} must hold links such as 0-0 or 1p2, counted from 0, but has {text[:40]!r}")
        link = Link(int(match[1]), int(match[3]), match[2] == "-")
        if link.source >= source_words or link.target >= target_words:
            raise DataError(
                f"{where} must link words of its sentences, which have {source_words} and {target_words} words, "
                f"counted from 0 between spaces, but has {text!r}; if it counts from 1 or was made for another "
                "tokenisation, convert it"
            )
        links[link] = None
    return list(links)


def links_of(line: str, pair: Pair, where: str) -> list[Link]:
    """Read the links of one sentence pair; see :func:`parse_links`."""
    return parse_links(line, len(words_of(pair[0])), len(words_of(pair[1])), where)


def format_links(links: Iterable[Link]) -> str:
    """Write links as one line in Pharaoh format."""
    return " ".join(f"{link.source}{'-' if link.sure else 'p'}{link.target}" for link in links)


def reversed_links(line: str) -> str:
    """Return a line of links with the sides of each exchanged."""
    return " ".join(_LINK.sub(r"\3\2\1", link) for link in line.split())


def read_alignments(path: str | Path, pairs: Iterable[Pair], *, swapped: bool) -> Iterator[str]:
    """Yield the line of links of each sentence pair from a file, plain or compressed.

    Args:
        path: the file.
        pairs: the sentence pairs it belongs to, in order.
        swapped: whether the file links target words with source words; the sides of each link are then exchanged.

    Raises:
        DataError: it has more or fewer lines than there are pairs, with both counts; or a line cannot be used, with
            its number. Also as :func:`~seq2seq.data.formats.read_lines`.
    """
    texts, lines = iter(pairs), read_lines(path)
    for done, (pair, line) in enumerate(itertools.zip_longest(texts, lines)):
        if pair is None or line is None:
            longer = done + 1 + sum(1 for _ in (lines if pair is None else texts))
            counts = (longer, done) if pair is None else (done, longer)
            raise DataError(
                f"{path} must have one line of links for each sentence pair, but has {counts[0]} lines for "
                f"{counts[1]} pairs"
            )
        # Checked in the file's own direction, so that a message speaks of what the file says.
        links_of(line, pair[::-1] if swapped else pair, f"{path}, line {done + 1}")
        yield reversed_links(line) if swapped else line


def links_after_cleaning(links: Iterable[Link], raw: Pair, clean: Pair) -> list[Link]:
    """Return the links of a pair by the numbers of its words after cleaning.

    Cleaning removes space of every kind around a sentence. A no-break space that stood there alone was a word.
    """
    lead = [len(list(itertools.takewhile(str.isspace, words_of(side)))) for side in raw]
    left = [len(words_of(side)) for side in clean]
    moved = (Link(link.source - lead[0], link.target - lead[1], link.sure) for link in links)
    return [link for link in moved if 0 <= link.source < left[0] and 0 <= link.target < left[1]]


def words_of_pieces(pieces: Sequence[str]) -> list[int]:
    """Return for each piece of a sentence the number of the word it belongs to, counted from 0; -1 for a tag."""
    words, word = [], -1
    for piece in pieces:
        # Only a tag can be the first without starting a word, because every text begins with a word.
        word += piece.startswith(WORD_START) or (word < 0 and not is_tag(piece))
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
