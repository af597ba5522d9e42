"""From clean pairs to ids on disk, with the links between their pieces and what is worth knowing about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from seq2seq.data.alignment import Link, piece_links
from seq2seq.data.formats import Pair
from seq2seq.data.sequences import SequenceWriter
from seq2seq.data.statistics import SplitStatistics
from seq2seq.data.tokenizer import WORD_START, Tokenizer

Linked = tuple[Pair, list[Link]]
"""A pair and the links between its words, none where the corpus gives none."""

Row = tuple[list[int], list[int], Linked]
"""A pair as ids of pieces, and as text with links."""


class SplitEncoder:
    """Writes the ids of splits, and their links.

    Args:
        folder: where to.
        languages: source and target, as the files are named.
        tokenizers: of source and target.

    Attributes:
        entries: for each split encoded so far what the manifest says about it.
        statistics: of each of them.
    """

    def __init__(self, folder: Path, languages: tuple[str, str], tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
        self._folder, self._languages, self._tokenizers = folder, languages, tokenizers
        self.entries: dict[str, dict[str, Any]] = {}
        self.statistics: dict[str, SplitStatistics] = {}

    def write(
        self,
        split: str,
        chunks: Iterable[Sequence[Linked]],
        *,
        aligned: bool,
        longest: int,
        keep: Callable[[list[int], list[int], Pair], bool],
    ) -> None:
        """Write one split.

        Args:
            split: its name.
            chunks: its pairs; those of a chunk are encoded together.
            aligned: whether they have links to write.
            longest: most pieces of a side that is kept; links hold places below it.
            keep: is asked about each pair, in order; what it refuses is left out.
        """
        source_tokenizer, target_tokenizer = self._tokenizers
        source_stem, target_stem = (self._folder / f"{split}.{language}" for language in self._languages)
        statistics = SplitStatistics(source_tokenizer.vocab_size, target_tokenizer.vocab_size)
        links_writer = SequenceWriter(self._folder / f"{split}.links", longest) if aligned else None
        count = 0
        with (
            SequenceWriter(source_stem, source_tokenizer.vocab_size) as source_writer,
            SequenceWriter(target_stem, target_tokenizer.vocab_size) as target_writer,
            links_writer or nullcontext(),
        ):
            for chunk in chunks:
                sources, targets = zip(*(pair for pair, _ in chunk), strict=True)
                encoded = zip(source_tokenizer.encode(sources), target_tokenizer.encode(targets), chunk, strict=True)
                kept: list[Row] = [row for row in encoded if keep(row[0], row[1], row[2][0])]
                source = source_writer.append([row[0] for row in kept])
                target = target_writer.append([row[1] for row in kept])
                if links_writer:
                    links_writer.append([self._linked_pieces(row) for row in kept])
                statistics.add(source, target, [pair for _, _, (pair, _) in kept])
                count += len(kept)
            tokens = {"source_tokens": source_writer.tokens, "target_tokens": target_writer.tokens}
        self.entries[split] = {"pairs": count, "ids": True, **tokens}
        self.statistics[split] = statistics

    def _linked_pieces(self, row: Row) -> list[int]:
        """Return the places of a source piece and a target piece, in turn, for each sure link between them."""
        source, target, (pair, links) = row
        if WORD_START in pair[0] + pair[1]:
            return []  # the tokenizer takes the sign for a space, and so counts more words than the links do
        pieces = self._tokenizers[0].pieces(source), self._tokenizers[1].pieces(target)
        linked = piece_links((link for link in links if link.sure), *pieces)
        return [place for link in linked for place in (link.source, link.target)]
