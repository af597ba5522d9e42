"""Which training pairs are kept, and how many were dropped for which reason.

Cleaning decides twice: on the text, before there is a tokenizer, and on the pieces, once there is one. Only
training pairs are ever dropped; validation and test keep each pair, so that scores can be compared.

The filters ask in the order in which :attr:`Cleaner.counts` names them; a pair is counted under the first that
refuses it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence, Sized
from contextlib import closing
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from seq2seq.data.filters import OFF, RATIO_ALLOWANCE, CleaningConfig, Look, Looked, uneven
from seq2seq.data.formats import Pair
from seq2seq.data.hashing import Hashes
from seq2seq.data.processes import on_all_cores
from seq2seq.data.repeats import EarlierPairs, EvaluationText

__all__ = ["OFF", "RATIO_ALLOWANCE", "Cleaner", "CleaningConfig", "EarlierPairs", "EvaluationText"]

Item = TypeVar("Item")


class Cleaner:
    """Applies a :class:`CleaningConfig` to one corpus and counts.

    Args:
        config: the settings.
        source: source language.
        target: target language.
        evaluation: the text of the other splits, of any corpora.
        earlier: the training pairs so far; cleaners of corpora with the same languages may share it.

    Attributes:
        counts: pairs ``read``; those dropped, by filter, in the order of asking; and ``kept``. The filters are
            ``empty``, those of :func:`~seq2seq.data.filters.text_filters`, ``contaminated``, ``duplicate``, then
            ``too_long`` and ``uneven`` in pieces; one that is switched off is left out.
        overlap: training pairs that share their ``source``, their ``target``, ``either`` or ``both`` with an
            evaluation pair, counted before any of them is dropped for it.
    """

    def __init__(
        self,
        config: CleaningConfig,
        source: str,
        target: str,
        evaluation: EvaluationText,
        earlier: EarlierPairs,
    ) -> None:
        self._config, self._languages = config, (source, target)
        self._evaluation, self._earlier = evaluation, earlier
        self._look = Look(config, source, target)
        names = ["empty", *self._look.filters]
        names += ["contaminated"] if config.decontaminate != "none" else []
        names += ["duplicate"] if config.duplicates != "keep" else []
        names += ["too_long"] if config.max_length is not None else []
        names += ["uneven"] if config.max_ratio is not None else []
        self.counts = dict.fromkeys(["read", *names, "kept"], 0)
        self.overlap = dict.fromkeys(("source", "target", "either", "both"), 0)

    def clean(self, raw: Sequence[Pair]) -> list[Pair | str]:
        """Decide on the text of some pairs, which follow those of earlier calls.

        Returns:
            for each pair the clean one, without outer and repeated spaces, or the name of the filter that drops it.
            Only plain spaces are collapsed: a no-break space is typography that a translation should reproduce.
        """
        return self._decided(raw, self._look(raw))

    def over(
        self, chunks: Iterable[Sequence[Item]], pair_of: Callable[[Item], Pair]
    ) -> Generator[tuple[Sequence[Item], list[Pair | str]]]:
        """Yield each chunk with what :meth:`clean` says of its pairs; many chunks keep all cores busy.

        Args:
            chunks: items with pairs, in order; some are taken ahead of need.
            pair_of: returns the pair of an item.

        Raises:
            DataError: a process at work was killed.
        """
        jobs = ((chunk, [pair_of(item) for item in chunk]) for chunk in chunks)
        with closing(on_all_cores(self._look, jobs)) as done:
            for chunk, raw, looked in done:
                yield chunk, self._decided(raw, looked)

    def _decided(self, raw: Sequence[Pair], looked: Looked) -> list[Pair | str]:
        """Count pairs, and compare those that are left with evaluation text and with the pairs before them."""
        self.counts["read"] += len(raw)
        found = [pair if outcome is None else outcome for pair, outcome in zip(raw, looked.outcomes, strict=True)]
        contaminated = self._contaminated(looked.plain)
        for place in looked.passed[contaminated]:
            found[place] = "contaminated"
        repeated = self._earlier.add({name: hashes[~contaminated] for name, hashes in looked.texts.items()})
        for place in looked.passed[~contaminated][repeated]:
            found[place] = "duplicate"
        for outcome in found:
            if isinstance(outcome, str):
                self.counts[outcome] += 1
        return found

    def _contaminated(self, plain: tuple[Hashes, Hashes]) -> npt.NDArray[np.bool_]:
        """Count the overlap and return (P,) which pairs are to be dropped for it.

        Args:
            plain: (P,) twice, the hashes of the normalised sources and targets.
        """
        source, target = (
            self._evaluation.has(language, hashes) for language, hashes in zip(self._languages, plain, strict=True)
        )
        shared = {"source": source, "target": target, "either": source | target, "both": source & target}
        for name, which in shared.items():
            self.overlap[name] += int(which.sum())
        return shared.get(self._config.decontaminate, np.zeros_like(source))

    def decide(self, source: Sized, target: Sized) -> str:
        """Count and return what becomes of a pair of piece sequences, whose text :meth:`clean` let pass.

        Returns:
            the name of the filter that drops it, or ``kept``.
        """
        reason = self._reason(source, target)
        self.counts[reason] += 1
        return reason

    def _reason(self, source: Sized, target: Sized) -> str:
        limit, ratio = self._config.max_length, self._config.max_ratio
        if not source or not target:  # text such as a lone "▁", which the tokenizer takes for a space
            return "empty"
        if limit is not None and max(len(source), len(target)) > limit:
            return "too_long"
        if ratio is not None and uneven(source, target, ratio, RATIO_ALLOWANCE):
            return "uneven"
        return "kept"

    def summary(self) -> str:
        """Return the counts in words, such as ``29,000 read, 28,990 kept, 10 empty``."""
        dropped = (
            f", {count:,} {name}" for name, count in self.counts.items() if count and name not in {"read", "kept"}
        )
        return f"{self.counts['read']:,} read, {self.counts['kept']:,} kept" + "".join(dropped).replace("_", " ")
