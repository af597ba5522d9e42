"""An embedded corpus: English and German sentences from a grammar, to learn from without any download.

Sentences are planned first and realised twice, in English (:mod:`.english`) and in German (:mod:`.german`). They
are chosen so that English says all that German needs to know: each English sentence has one translation. What
has to be learnt is what makes German hard: agreement in gender, number and case, and the places of the verb.
"""

from __future__ import annotations

from seq2seq.errors import DataError

from . import english, german
from .dice import Dice
from .holdout import is_novel
from .plans import Plan
from .sentences import draw

VERSION = 1
"""Raised whenever the generated text changes: prepared data is keyed by it."""

LARGEST = 1_000_000
"""The largest sum of the three sizes: far less than the grammar can make, so that new sentences stay easy to find."""

LONGEST = 25
"""The most words a sentence has."""


def generate(*, seed: int, train: int, validation: int, test: int) -> dict[str, list[tuple[str, str]]]:
    """Return ``train``, ``validation`` and ``test``, each a list of (English, German) pairs.

    No sentence occurs twice, in one split or in two, on either side. Every other sentence of the held-out splits
    holds a combination of words that training never shows (see :mod:`.holdout`). The held-out splits are drawn
    first, so a seed gives the same test set whatever the size of ``train``.
    """
    splits = plans(seed=seed, train=train, validation=validation, test=test)
    return {name: [(source, target) for _, source, target in drawn] for name, drawn in splits.items()}


def plans(*, seed: int, train: int, validation: int, test: int) -> dict[str, list[tuple[Plan, str, str]]]:
    """Return what :func:`generate` returns, each pair with the plan that it was made from."""
    sizes = {"test": test, "validation": validation, "train": train}
    for name, size in sizes.items():
        if size < 1:
            raise DataError(f"`{name}` must be at least 1, but is {size} instead.")
    total = sum(sizes.values())
    if total > LARGEST:
        raise DataError(f"`train + validation + test` must be at most {LARGEST}, but is {total} instead.")
    dice = Dice(seed)
    seen: set[str] = set()
    splits: dict[str, list[tuple[Plan, str, str]]] = {"train": [], "validation": [], "test": []}
    for name, size in sizes.items():
        for index in range(size):
            novel = name != "train" and index % 2 == 0
            splits[name].append(_next(dice, seen, novel=novel))
    return splits


def _next(dice: Dice, seen: set[str], *, novel: bool) -> tuple[Plan, str, str]:
    """Draw until a sentence is new on both sides, and novel or not as wanted."""
    while True:
        plan = draw(dice)
        if is_novel(plan) is not novel:
            continue
        source, target = english.sentence(plan), german.sentence(plan)
        too_long = max(source.count(" "), target.count(" ")) >= LONGEST
        if not too_long and source not in seen and target not in seen:
            seen.update((source, target))
            return plan, source, target
