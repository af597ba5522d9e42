"""From clean pairs to ids on disk, with the links between their pieces and what is worth knowing about them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from seq2seq.data.alignment import Link, links_of, piece_links
from seq2seq.data.formats import Pair
from seq2seq.data.processes import chunked
from seq2seq.data.sequences import SequenceWriter
from seq2seq.data.statistics import SplitStatistics
from seq2seq.data.tokenizer import WORD_START, Tokenizer

Linked = tuple[Pair, list[Link]]
"""A pair and the links between its words, none where the corpus gives none."""

CHUNK = 10_000
"""Pairs encoded together: enough for all threads, little enough to stay in cache."""

Row = tuple[list[int], list[int], Linked]
"""A pair as ids of pieces, and as text with links."""


def keep_all(source: Sequence[int], target: Sequence[int], pair: Pair) -> bool:
    """Keep every pair, as splits to evaluate on need."""
    return True


class SplitWriter:
    """Writes the pairs of one split.

    Args:
        tokenizers: of source and target.
        source: gets the ids of the sources.
        target: gets those of the targets.
        links: gets the links between them; None where there are none.
    """

    def __init__(
        self,
        tokenizers: tuple[Tokenizer, Tokenizer],
        source: SequenceWriter,
        target: SequenceWriter,
        links: SequenceWriter | None,
    ) -> None:
        self._tokenizers = tokenizers
        self._source, self._target, self._links = source, target, links
        self._pairs = 0
        self.statistics = SplitStatistics(*(tokenizer.vocab_size for tokenizer in tokenizers))

    @property
    def entry(self) -> dict[str, Any]:
        """What the manifest says about the split."""
        tokens = {"source_tokens": self._source.tokens, "target_tokens": self._target.tokens}
        return {"pairs": self._pairs, "ids": True, **tokens}

    def write(
        self,
        chunks: Iterable[Sequence[Linked]],
        language: str,
        keep: Callable[[list[int], list[int], Pair], bool] = keep_all,
    ) -> None:
        """Add pairs.

        Args:
            chunks: pairs; those of a chunk are encoded together.
            language: that they are translated into, of which sources are tagged where the tokenizer has tags.
            keep: is asked about each pair, in order; what it refuses is left out.
        """
        source_tokenizer, target_tokenizer = self._tokenizers
        tag = source_tokenizer.tag(language)
        for chunk in chunks:
            sources, targets = zip(*(pair for pair, _ in chunk), strict=True)
            encoded = zip(source_tokenizer.encode(sources), target_tokenizer.encode(targets), chunk, strict=True)
            kept: list[Row] = [(tag + row[0], *row[1:]) for row in encoded if keep(row[0], row[1], row[2][0])]
            source = self._source.append([row[0] for row in kept])
            target = self._target.append([row[1] for row in kept])
            if self._links:
                self._links.append([self._linked_pieces(row) for row in kept])
            self.statistics.add(source, target, [pair for _, _, (pair, _) in kept])
            self._pairs += len(kept)

    def _linked_pieces(self, row: Row) -> list[int]:
        """Return the places of a source piece and a target piece, in turn, for each sure link between them."""
        source, target, (pair, links) = row
        if WORD_START in pair[0] + pair[1]:
            return []  # the tokenizer takes the sign for a space, and so counts more words than the links do
        pieces = self._tokenizers[0].pieces(source), self._tokenizers[1].pieces(target)
        linked = piece_links((link for link in links if link.sure), *pieces)
        return [place for link in linked for place in (link.source, link.target)]


class SplitEncoder:
    """Writes the ids of splits, and their links.

    Args:
        folder: where to.
        sides: source and target, as the files are named.
        tokenizers: of source and target.

    Attributes:
        entries: for each split encoded so far what the manifest says about it.
        statistics: of each of them.
    """

    def __init__(self, folder: Path, sides: tuple[str, str], tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
        self._folder, self._sides, self._tokenizers = folder, sides, tokenizers
        self.entries: dict[str, dict[str, Any]] = {}
        self.statistics: dict[str, SplitStatistics] = {}

    @contextmanager
    def split(self, name: str, *, longest: int | None) -> Iterator[SplitWriter]:
        """Give what writes one split, for the time of a ``with`` block.

        Args:
            name: of the split.
            longest: most pieces of a side, below which links hold places; None where the split has no links.
        """
        limits = [tokenizer.vocab_size for tokenizer in self._tokenizers]
        with ExitStack() as open_files:
            source, target = (
                open_files.enter_context(SequenceWriter(self._folder / f"{name}.{side}", limit))
                for side, limit in zip(self._sides, limits, strict=True)
            )
            links = None
            if longest is not None:
                links = open_files.enter_context(SequenceWriter(self._folder / f"{name}.links", longest))
            writer = SplitWriter(self._tokenizers, source, target, links)
            yield writer
        self.entries[name], self.statistics[name] = writer.entry, writer.statistics


def linked_pairs(split: str, pairs: Iterable[Pair], lines: Iterable[str] | None) -> Iterator[Linked]:
    """Yield each pair with the links that its line of a split's alignments holds.

    Raises:
        DataError: a line cannot be used; the message says which.
    """
    if lines is None:
        yield from zip(pairs, itertools.repeat([]), strict=False)
        return
    for number, (pair, line) in enumerate(zip(pairs, lines, strict=True), start=1):
        yield pair, links_of(line, pair, f"the links of pair {number} of split {split!r}")


def in_chunks(pairs: Iterable[Linked]) -> Iterator[list[Linked]]:
    """Yield pairs in lists of :data:`CHUNK`."""
    return chunked(pairs, CHUNK)
