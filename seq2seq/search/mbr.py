"""Minimum Bayes risk decoding: of many translations, the one most like all the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from seq2seq.config import PositiveInt
from seq2seq.errors import ConfigError
from seq2seq.search.base import PieceSearch, Search, Translation
from seq2seq.search.utility import UTILITIES


@dataclass(frozen=True, kw_only=True)
class MBR(Search):
    """Kumar & Byrne 2004; with samples as candidates and as references: Eikema & Aziz 2020.

    Another search gives candidates. Each is held against all of them, itself included, as if they were references,
    and the score is the mean: an estimate of the utility that is to be expected under the model. A candidate that
    was drawn twice counts twice as a reference. Candidates come from epsilon sampling by default (Freitag et al.
    2023).

    Attributes:
        n_best: different translations given for one sentence, at most.
        utility: ``chrf`` or ``bleu``, of sentences, from 0 to 100.
        candidates: the search that gives them, as many as it is asked for.
    """

    method: ClassVar[str] = "minimum Bayes risk"

    n_best: PositiveInt
    utility: Literal["bleu", "chrf"]
    candidates: PieceSearch

    def __post_init__(self) -> None:
        most = self.candidates.most_found
        if self.n_best > most:
            raise ConfigError(
                f"`n_best` must be at most the number of candidates, {most}, but is {self.n_best} instead; "
                "raise `search.candidates.n_best`"
            )

    @property
    def over_pieces(self) -> PieceSearch:
        """See :attr:`Search.over_pieces`."""
        return self.candidates

    def choose(self, found: Sequence[Translation]) -> list[Translation]:
        """See :meth:`Search.choose`; of equal utilities the earlier candidate wins."""
        texts = [candidate.text for candidate in found]
        expected = UTILITIES[self.utility](texts).mean(axis=1)
        different: dict[str, Translation] = {}
        for place in (-expected).argsort(kind="stable"):
            different.setdefault(texts[place], Translation(texts[place], float(expected[place])))
        return [*different.values()][: self.n_best]

    def remarks(self) -> list[str]:
        """See :meth:`Search.remarks`."""
        if self.candidates.most_found > 1:
            return []
        return [
            "`search` chooses among a single candidate, which is what its `candidates` find by themselves; "
            "raise `search.candidates.n_best`"
        ]

    def describe(self) -> str:
        """See :meth:`Search.describe`."""
        number = self.candidates.most_found
        return f"{self.method} by {self.utility} among {number} of: {self.candidates.describe()}"
