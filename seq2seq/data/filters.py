"""What one training pair shows by itself: settings, filters on its text, and hashes to compare it with others.

Nothing here remembers a pair, so any process can look at any pairs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from seq2seq.config import Fraction, NonNegativeInt, PositiveInt, Range
from seq2seq.data.characters import CONTROL, SIGN, kinds, normalised, numbers_in, scripts_of, share_of_letters
from seq2seq.data.formats import Pair
from seq2seq.data.hashing import Hashes, hashes_of
from seq2seq.data.language import LanguageIdentifier
from seq2seq.data.repeats import SIDES, Duplicates

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
    duplicates: Duplicates

    def identity(self) -> dict[str, Any]:
        """Return what the result depends on: equal for settings of any version that drop the same pairs."""
        return {name: value for name, value in asdict(self).items() if name not in OFF or value != OFF[name]}


class Side(NamedTuple):
    """One side of a pair.

    Attributes:
        text: without outer and repeated spaces.
        kinds: the :func:`~seq2seq.data.characters.kinds` of its characters; empty where no filter is there to ask.
        plain: its :func:`~seq2seq.data.characters.normalised` text.
    """

    text: str
    kinds: str
    plain: str


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
        filters["uneven_characters"] = lambda one, other: uneven(one.text, other.text, ratio, CHARACTER_ALLOWANCE)
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


def uneven(one: Sized, other: Sized, ratio: float, allowance: int) -> bool:
    """Return whether the longer of two has more than ``ratio`` times the length of the shorter plus an allowance."""
    shorter, longer = sorted((len(one), len(other)))
    return longer > ratio * shorter + allowance


def _identical(source: Side, target: Side) -> bool:
    return source.text == target.text or source.plain == target.plain != ""


def _number_mismatch(source: str, target: str) -> float:
    """Return the share of the numbers of the side that has more which the other side lacks; 0 without numbers."""
    left, right = numbers_in(source), numbers_in(target)
    if left == right:  # nearly always
        return 0.0
    most = max(len(left), len(right))
    return 1 - (Counter(left) & Counter(right)).total() / most


# A clean side holds no line end, so this joins two sides in one way only.
_TEXT_OF: dict[str, Callable[[Any], str]] = {
    "pair": "\n".join,
    "source": lambda pair: pair[0],
    "target": lambda pair: pair[1],
}


class Looked(NamedTuple):
    """What N pairs show each by itself.

    Attributes:
        outcomes: N, for each pair the clean one, the name of the filter that drops it, or None where it is clean as
            it came and need not travel back from another process.
        passed: (P,) the places of those that no filter drops.
        texts: (P,) the hashes of their clean text, of the whole ``pair`` and of sides that duplicates may share.
        plain: (P,) twice, the hashes of their normalised sources and targets.
    """

    outcomes: list[Pair | str | None]
    passed: npt.NDArray[np.int64]
    texts: dict[str, Hashes]
    plain: tuple[Hashes, Hashes]


class Look:
    """Looks at pairs each by itself: all of cleaning that any process can do for any pairs.

    Args:
        config: the settings.
        source: source language.
        target: target language.

    Attributes:
        filters: those that are switched on, see :func:`text_filters`.
    """

    def __init__(self, config: CleaningConfig, source: str, target: str) -> None:
        self._settings = config, source, target
        self.filters = text_filters(*self._settings)
        self._texts = {name: _TEXT_OF[name] for name in ("pair", *SIDES[config.duplicates])}

    def __reduce__(self) -> tuple[type[Look], tuple[CleaningConfig, str, str]]:
        return Look, self._settings  # the filters have no names, so another process makes its own

    def __call__(self, raw: Sequence[Pair]) -> Looked:
        """Look at some pairs."""
        outcomes: list[Pair | str | None] = []
        places: list[int] = []
        clean: list[Pair] = []
        plain: list[Pair] = []
        for place, pair in enumerate(raw):
            source, target = self._side(pair[0]), self._side(pair[1])
            reason = self._reason(source, target)
            if reason is None:
                texts = source.text, target.text
                outcomes.append(None if texts == pair else texts)
                places.append(place)
                clean.append(texts)
                plain.append((source.plain, target.plain))
            else:
                outcomes.append(reason)
        return Looked(
            outcomes,
            np.array(places, dtype=np.int64),
            {name: hashes_of([text_of(pair) for pair in clean]) for name, text_of in self._texts.items()},
            (hashes_of([pair[0] for pair in plain]), hashes_of([pair[1] for pair in plain])),
        )

    def _side(self, raw: str) -> Side:
        text = raw.strip()
        if "  " in text:
            text = _SPACES.sub(" ", text)
        return Side(text, kinds(text) if self.filters else "", normalised(text))

    def _reason(self, source: Side, target: Side) -> str | None:
        if not source.text or not target.text:
            return "empty"
        for name, drops in self.filters.items():
            if drops(source, target):
                return name
        return None
