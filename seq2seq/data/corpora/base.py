"""What every corpus offers, and the names of splits and languages."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

from seq2seq.data.formats import Pair
from seq2seq.errors import ConfigError, DataError, listing, suggest

TRAIN = "train"
VALIDATION = "validation"

ALIASES: Mapping[str, str] = {"valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION}
"""Other names in use for a split, each with the one used here."""


def is_validation(split: str) -> bool:
    """Return whether a split, by its canonical name, is for validation; each portion of a mixture may have one."""
    return split.partition(".")[0] == VALIDATION


def check_language(key: str, code: str) -> None:
    """Refuse what is no language code: it becomes part of file names, so it must never be able to leave its folder.

    Raises:
        ConfigError: names the setting ``key``.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", code):
        raise ConfigError(f"`{key}` must be a language code such as 'en' or 'pt_BR', but is {code!r} instead")


def resolve_split(split: str, known: Collection[str], aliases: Mapping[str, str]) -> str:
    """Return the canonical name of ``split``, one of ``known``.

    Raises:
        DataError: there is no such split; the message lists those there are and the nearest name.
    """
    canonical = split if split in known else aliases.get(split, split)
    if canonical not in known:
        near = suggest(split, [*known, *(name for name, meant in aliases.items() if meant in known)])
        raise DataError(f"`split` must be one of {listing(known)}, but is {split!r} instead{near}")
    return canonical


def resolve_splits(split: str, known: Collection[str], aliases: Mapping[str, str]) -> tuple[str, ...]:
    """Return the canonical names of all splits that ``split`` means.

    That is itself, or else all whose name begins with it and a dot, as the portions of a mixture have them.

    Raises:
        DataError: there is none; see :func:`resolve_split`.
    """
    if split not in known and split not in aliases:
        split = ALIASES.get(split, split)
        named = [name for name in (*known, *aliases) if name.startswith(f"{split}.")]
        found = dict.fromkeys(aliases.get(name, name) for name in named)
        if found:
            return tuple(name for name in found if name in known)
    return (resolve_split(split, known, aliases),)


class Corpus(ABC):
    """Sentence pairs in named splits, in one direction of translation; only a mixture has several.

    Attributes:
        name: short name for folders and logs.
        aliases: other names of splits that :meth:`resolve` understands.
        source: code of the language to translate from, such as ``en``.
        target: code of the language to translate into.
        mixable: whether it can be one of several in a mixture.
    """

    name: str
    aliases: Mapping[str, str] = ALIASES
    mixable: ClassVar[bool] = True
    source: str
    target: str

    def __init__(self, source: str, target: str, *, languages: Collection[str] | None = None) -> None:
        for key, code in (("source", source), ("target", target)):
            if languages is not None and code not in languages:
                near = suggest(code, languages)
                raise ConfigError(f"`{key}` must be one of {listing(languages)}, but is {code!r} instead{near}")
            check_language(key, code)
        if source == target:
            raise ConfigError(f"`target` must differ from the source language, but both are {source!r}")
        self.source, self.target = source, target

    def portions(self) -> Mapping[str, Corpus]:
        """Return the corpora that this one is made of, by name, each in one direction; here, itself alone."""
        return {self.name: self}

    def languages(self, split: str) -> tuple[str, str]:
        """Return the source and the target language of a split."""
        return self.source, self.target

    @abstractmethod
    def splits(self) -> tuple[str, ...]:
        """Return the canonical names of the splits that exist for this pair of languages."""

    @abstractmethod
    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the (source, target) pairs of a split as they are, none left out."""

    def size(self, split: str) -> int | None:
        """Return about how many pairs a split has, to tell how long it will take; None where nobody knows."""
        return None

    def alignments(self, split: str) -> Iterator[str] | None:
        """Return one line of word links for each pair of a split, in Pharaoh format, or None where none are given.

        Links lead from the source to the target of :meth:`pairs`; see :mod:`seq2seq.data.alignment`.
        """
        return None

    @abstractmethod
    def fingerprint(self) -> dict[str, Any]:
        """Return JSON values that are equal exactly where text and links are the same, wherever they are stored."""

    @abstractmethod
    def describe(self) -> str:
        """Return one line for logs and reports."""

    def resolve(self, split: str) -> str:
        """Return the canonical name of ``split``; ``valid``, ``val`` and ``dev`` mean ``validation``.

        Raises:
            DataError: there is no such split.
        """
        return resolve_split(split, self.splits(), self.aliases)

    def resolve_all(self, split: str) -> tuple[str, ...]:
        """Return the canonical names of all splits that ``split`` means, one for each portion of a mixture.

        Raises:
            DataError: there is none.
        """
        return resolve_splits(split, self.splits(), self.aliases)
