"""Which training pairs are kept, and how many were dropped for which reason.

Cleaning decides twice: on the text, before there is a tokenizer, and on the pieces, once there is one. Only
training pairs are ever dropped; validation and test keep each pair, so that scores can be compared.

The filters ask in the order in which :attr:`Cleaner.counts` names them; a pair is counted under the first that
refuses it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from seq2seq.config import Fraction, NonNegativeInt, PositiveInt, Range
from seq2seq.data.characters import CONTROL, SIGN, kinds, normalised, numbers_in, scripts_of, share_of_letters
from seq2seq.data.formats import Pair
from seq2seq.data.hashing import DistinctCount, Hashes, HashSet, hashes_of
from seq2seq.data.language import LanguageIdentifier

_SPACES = re.compile("  +")

RATIO_ALLOWANCE = 5
"""Pieces by which the longer side may exceed the ratio: "Yes." may well become four words elsewhere."""

CHARACTER_ALLOWANCE = 20
"""The same in characters."""

OFF: Mapping[str, Any] = {
    "max_characters": None,
    "max_character_ratio": None,
    "drop_control_characters": False,
    "drop_identical": False,
    "min_script_share": 0.0,
    "max_sign_difference": None,
    "max_number_mismatch": 1.0,
    "language_confidence": None,
    "decontaminate": "none",
    "duplicates": "keep",
}
"""The settings that came after the first version, with the values that drop nothing."""


@dataclass(frozen=True)
class CleaningConfig:
    """Limits for training pairs. Null and the values in :data:`OFF` switch a filter off.

    Attributes:
        max_length: most pieces on either side.
        max_ratio: the longer side may have this many times the pieces of the shorter, plus RATIO_ALLOWANCE.
        max_characters: most characters on either side.
        max_character_ratio: as ``max_ratio``, in characters, plus CHARACTER_ALLOWANCE.
        drop_control_characters: drop pairs with control characters, overrides of the direction of writing,
            unassigned or private characters, or the replacement character of a failed decoding.
        drop_identical: drop pairs whose sides are equal, but for case, punctuation and spaces.
        min_script_share: least share of a side's letters that are of the script of its language. Nothing is asked
            of languages whose script :mod:`seq2seq.data.characters` does not know.
        max_sign_difference: most signs of punctuation and symbols that one side has more than the other.
        max_number_mismatch: of the numbers of the side that has more, the largest share that the other side lacks.
        language_confidence: drop pairs with a side that is taken for another language with this probability.
        decontaminate: drop pairs that share their source, their target or either with a pair of another split,
            but for case, punctuation and spaces.
        duplicates: drop pairs whose source, target, either or both (``pair``) an earlier pair had.
    """

    max_length: PositiveInt | None
    max_ratio: Annotated[float, Range(low=1)] | None
    max_characters: PositiveInt | None
    max_character_ratio: Annotated[float, Range(low=1)] | None
    drop_control_characters: bool
    drop_identical: bool
    min_script_share: Fraction
    max_sign_difference: NonNegativeInt | None
    max_number_mismatch: Fraction
    language_confidence: Annotated[float, Range(low=0, high=1, open_start=True)] | None
    decontaminate: Literal["none", "source", "target", "either"]
    duplicates: Literal["keep", "pair", "source", "target", "either"]

    def identity(self) -> dict[str, Any]:
        """Return what the result depends on: equal for settings of any version that drop the same pairs."""
        return {name: value for name, value in asdict(self).items() if name not in OFF or value != OFF[name]}


class Side(NamedTuple):
    """One side of a pair: its text, and the :func:`~seq2seq.data.characters.kinds` of its characters."""

    text: str
    kinds: str


Filter = Callable[[Side, Side], bool]
"""Says whether a pair is to be dropped."""


def text_filters(config: CleaningConfig, source: str, target: str) -> dict[str, Filter]:
    """Return the filters that are switched on and look at the text of one pair alone, by name, in order."""
    filters: dict[str, Filter] = {}
    if config.drop_control_characters:
        filters["control_characters"] = lambda one, other: CONTROL in one.kinds or CONTROL in other.kinds
    if (longest := config.max_characters) is not None:
        filters["too_many_characters"] = lambda one, other: max(len(one.text), len(other.text)) > longest
    if (ratio := config.max_character_ratio) is not None:
        filters["uneven_characters"] = lambda one, other: _uneven(one.text, other.text, ratio, CHARACTER_ALLOWANCE)
    if config.drop_identical:
        filters["identical"] = _identical
    scripts = scripts_of(source), scripts_of(target)
    if (least := config.min_script_share) > 0 and any(scripts):
        filters["wrong_script"] = lambda one, other: any(
            known is not None and share_of_letters(side.kinds, known) < least
            for side, known in zip((one, other), scripts, strict=True)
        )
    if (most := config.max_sign_difference) is not None:
        filters["punctuation"] = lambda one, other: abs(one.kinds.count(SIGN) - other.kinds.count(SIGN)) > most
    if (mismatch := config.max_number_mismatch) < 1:
        filters["numbers"] = lambda one, other: _number_mismatch(one.text, other.text) > mismatch
    if (confidence := config.language_confidence) is not None:
        identifier = LanguageIdentifier()
        filters["wrong_language"] = lambda one, other: (
            identifier.is_another(one.text, source, confidence)
            or identifier.is_another(other.text, target, confidence)
        )
    return filters


def _uneven(one: Sized, other: Sized, ratio: float, allowance: int) -> bool:
    shorter, longer = sorted((len(one), len(other)))
    return longer > ratio * shorter + allowance


def _identical(source: Side, target: Side) -> bool:
    return source.text == target.text or normalised(source.text) == normalised(target.text) != ""


def _number_mismatch(source: str, target: str) -> float:
    """Return the share of the numbers of the side that has more which the other side lacks; 0 without numbers."""
    left, right = numbers_in(source), numbers_in(target)
    most = max(len(left), len(right))
    return 1 - (Counter(left) & Counter(right)).total() / most if most else 0.0


class EvaluationText:
    def __init__(self) -> None:
        self._known: dict[str, HashSet] = {}

    def add(self, languages: tuple[str, str], pairs: Iterable[Pair]) -> None:
        for pair in pairs:
            for language, text in zip(languages, map(normalised, pair), strict=True):
                if text:
                    self._known.setdefault(language, HashSet()).add(hashes_of([text]))

    def hashes(self, language: str) -> Hashes:
        return self._known.get(language, HashSet()).hashes


class EarlierPairs:
    def __init__(self, duplicates: str) -> None:
        self.seen = {side: HashSet() for side in _SIDES_TO_REMEMBER[duplicates]}
        self.distinct, self.asked = DistinctCount(), 0

    @property
    def duplicates(self) -> dict[str, Any]:
        return {"pairs": max(0, self.asked - self.distinct.count), "exact": self.distinct.exact}


class Cleaner:
    """Applies a :class:`CleaningConfig` to one corpus and counts.

    Args:
        config: the settings.
        source: source language.
        target: target language.
        evaluation: the pairs of all other splits, which training pairs are compared with.

    Attributes:
        counts: pairs ``read``; those dropped, by filter, in the order of asking; and ``kept``. The filters are
            ``empty``, those of :func:`text_filters`, ``contaminated``, ``duplicate``, then ``too_long`` and
            ``uneven`` in pieces; one that is switched off is left out.
        overlap: training pairs that share their ``source``, their ``target``, ``either`` or ``both`` with an
            evaluation pair, counted before any of them is dropped for it.
    """

    def __init__(
        self, config: CleaningConfig, source: str, target: str, evaluation: EvaluationText, earlier: EarlierPairs
    ) -> None:
        self._config = config
        self._filters = text_filters(config, source, target)
        names = ["empty", *self._filters]
        names += ["contaminated"] if config.decontaminate != "none" else []
        names += ["duplicate"] if config.duplicates != "keep" else []
        names += ["too_long"] if config.max_length is not None else []
        names += ["uneven"] if config.max_ratio is not None else []
        self.counts = dict.fromkeys(["read", *names, "kept"], 0)
        self.overlap = dict.fromkeys(("source", "target", "either", "both"), 0)
        self._evaluation = evaluation.hashes(source), evaluation.hashes(target)
        self._earlier = earlier
        self._seen, self._distinct = earlier.seen, earlier.distinct

    def clean(self, raw: Sequence[Pair]) -> list[Pair | str]:
        """Decide on the text of some pairs, which follow those of earlier calls.

        Returns:
            for each pair the clean one, without outer and repeated spaces, or the name of the filter that drops it.
            Only plain spaces are collapsed: a no-break space is typography that a translation should reproduce.
        """
        self.counts["read"] += len(raw)
        found: list[Pair | str] = [self._alone(pair) for pair in raw]
        self._compare_with_evaluation(found)
        self._compare_with_earlier(found)
        for outcome in found:
            if isinstance(outcome, str):
                self.counts[outcome] += 1
        return found

    def _alone(self, pair: Pair) -> Pair | str:
        left, right = (_SPACES.sub(" ", side.strip()) for side in pair)
        if not left or not right:
            return "empty"
        if self._filters:
            source, target = Side(left, kinds(left)), Side(right, kinds(right))
            for name, drops in self._filters.items():
                if drops(source, target):
                    return name
        return left, right

    def _compare_with_evaluation(self, found: list[Pair | str]) -> None:
        places = [place for place, outcome in enumerate(found) if not isinstance(outcome, str)]
        if not places or not any(len(known) for known in self._evaluation):
            return
        source, target = (
            np.isin(hashes_of([normalised(found[place][side]) for place in places]), known)
            for side, known in enumerate(self._evaluation)
        )
        shared = {"source": source, "target": target, "either": source | target, "both": source & target}
        for name, which in shared.items():
            self.overlap[name] += int(which.sum())
        if self._config.decontaminate != "none":
            for place in np.flatnonzero(shared[self._config.decontaminate]):
                found[places[place]] = "contaminated"

    def _compare_with_earlier(self, found: list[Pair | str]) -> None:
        places = [place for place, outcome in enumerate(found) if not isinstance(outcome, str)]
        if not places:
            return
        hashes = {
            side: hashes_of([text_of(found[place]) for place in places])
            for side, text_of in _TEXT_OF.items()
            if side == "pair" or side in self._seen
        }
        self._distinct.add(hashes["pair"])
        self._earlier.asked += len(places)
        for side, seen in self._seen.items():
            for place in np.flatnonzero(~seen.add(hashes[side])):
                found[places[place]] = "duplicate"

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
        if ratio is not None and _uneven(source, target, ratio, RATIO_ALLOWANCE):
            return "uneven"
        return "kept"

    def summary(self) -> str:
        """Return the counts in words, such as ``29,000 read, 28,990 kept, 10 empty``."""
        dropped = (
            f", {count:,} {name}" for name, count in self.counts.items() if count and name not in {"read", "kept"}
        )
        return f"{self.counts['read']:,} read, {self.counts['kept']:,} kept" + "".join(dropped).replace("_", " ")


_SIDES_TO_REMEMBER = {
    "keep": (),
    "pair": ("pair",),
    "source": ("source",),
    "target": ("target",),
    "either": ("source", "target"),
}

# A clean side holds no line end, so this joins two sides in one way only.
_TEXT_OF: dict[str, Callable[[Any], str]] = {
    "pair": "\n".join,
    "source": lambda pair: pair[0],
    "target": lambda pair: pair[1],
}
