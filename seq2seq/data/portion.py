"""One portion of the training text on its way: raw pairs in, clean text on disk, then ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from operator import itemgetter
from pathlib import Path
from typing import Any

from seq2seq.data.alignment import format_links, links_after_cleaning
from seq2seq.data.cleaning import Cleaner
from seq2seq.data.corpora import TRAIN, Corpus
from seq2seq.data.encoding import SplitWriter, in_chunks, linked_pairs
from seq2seq.data.formats import Pair, read_lines, read_pairs
from seq2seq.data.progress import Progress
from seq2seq.data.reservoir import Reservoir
from seq2seq.data.statistics import Examples
from seq2seq.errors import DataError


class PortionBuild:
    """Cleans a portion and has it encoded.

    Args:
        name: of the portion.
        corpus: whose training text it is, in one direction.
        cleaner: decides which pairs are kept.
        examples: gets those that are not.
        folder: of what is written on the way.
        report: gets a line of text now and then.

    Attributes:
        aligned: whether it has word alignments.
    """

    def __init__(
        self,
        name: str,
        corpus: Corpus,
        cleaner: Cleaner,
        examples: Examples,
        folder: Path,
        report: Callable[[str], None],
    ) -> None:
        self.name, self.corpus, self.cleaner = name, corpus, cleaner
        self._examples, self._report = examples, report
        self.aligned = corpus.alignments(TRAIN) is not None
        sides = ("source", "target", "links") if self.aligned else ("source", "target")
        self._paths = [folder / f"clean.{name}.{side}" for side in sides]
        self._passed = 0

    @property
    def entry(self) -> dict[str, Any]:
        """What the manifest says about the portion."""
        counts = self.cleaner.counts
        return {
            "name": self.name,
            "source": self.corpus.source,
            "target": self.corpus.target,
            "pairs": counts["kept"],
            "counts": counts,
            "description": self.corpus.describe(),
        }

    def clean(self, sample: Reservoir[Pair]) -> None:
        """Write the clean text, one file a side, and its links.

        Args:
            sample: is offered each clean pair.

        Raises:
            DataError: nothing is left, or the text cannot be read.
        """
        raw = linked_pairs(TRAIN, self.corpus.pairs(TRAIN), self.corpus.alignments(TRAIN))
        chunks = Progress(self._report, "Cleaning", self.corpus.size(TRAIN)).over(in_chunks(raw))
        with ExitStack() as ends:
            files = [ends.enter_context(path.open("w", encoding="utf-8")) for path in self._paths]
            cleaned = ends.enter_context(closing(self.cleaner.over(chunks, pair_of=itemgetter(0))))
            for chunk, outcomes in cleaned:
                for (pair, links), outcome in zip(chunk, outcomes, strict=True):
                    if isinstance(outcome, str):
                        self._examples.add(outcome, pair)
                        continue
                    lines = [*outcome]
                    if self.aligned:
                        lines.append(format_links(links_after_cleaning(links, pair, outcome)))
                    for file, line in zip(files, lines, strict=True):
                        file.write(line + "\n")
                    sample.offer(outcome)
                    self._passed += 1
        if not self._passed:
            self._refuse_nothing("left")

    def encode(self, writer: SplitWriter) -> None:
        """Have the clean text written as ids, and remove it.

        Raises:
            DataError: no pair is kept.
        """
        links = read_lines(self._paths[2]) if self.aligned else None
        pairs = linked_pairs(TRAIN, read_pairs(self._paths[0], self._paths[1]), links)
        progress = Progress(self._report, "Encoding", self._passed)
        writer.write(progress.over(in_chunks(pairs)), self.corpus.target, self._keep)
        for path in self._paths:
            path.unlink()
        if not self.cleaner.counts["kept"]:
            self._refuse_nothing("kept after cleaning")

    def _keep(self, source: list[int], target: list[int], pair: Pair) -> bool:
        outcome = self.cleaner.decide(source, target)
        if outcome != "kept":
            self._examples.add(outcome, pair)
        return outcome == "kept"

    def _refuse_nothing(self, stage: str) -> None:
        raise DataError(
            f"{self.corpus.describe()} must have training pairs, but none is {stage}: {self.cleaner.summary()}"
        )


def total(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Add counts up by name."""
    # A filter may not apply to the languages of a portion; where it does, its place among the others is known.
    names = max(counts, key=len)
    return {name: sum(one.get(name, 0) for one in counts) for name in names}
