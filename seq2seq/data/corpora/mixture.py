"""Several corpora in one run, in one direction or in many."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from seq2seq.config import Component
from seq2seq.data.alignment import reversed_links
from seq2seq.data.corpora.base import TRAIN, Corpus
from seq2seq.data.formats import Pair
from seq2seq.errors import ConfigError, DataError, listing

MANY = "mul"
"""The code that ISO 639-2 has for several languages."""


class View(Corpus):
    """A corpus within a mixture: mistakes name the settings it has there, and its sides may be exchanged.

    Args:
        corpus: in one direction.
        key: of its settings, such as ``data.corpora.books``.
        swapped: whether the sides are exchanged.
    """

    def __init__(self, corpus: Corpus, key: str, *, swapped: bool) -> None:
        direction = (corpus.target, corpus.source) if swapped else (corpus.source, corpus.target)
        super().__init__(*direction)
        self.name, self.aliases = corpus.name, corpus.aliases
        self._corpus, self._key, self._swapped = corpus, key, swapped

    def splits(self) -> tuple[str, ...]:
        """Return the splits of the corpus."""
        with _mistakes_named(self._key):
            return self._corpus.splits()

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split, turned round where the sides are exchanged."""
        with _mistakes_named(self._key):
            for pair in self._corpus.pairs(split):
                yield pair[::-1] if self._swapped else pair

    def size(self, split: str) -> int | None:
        """Return the number of pairs of a split."""
        with _mistakes_named(self._key):
            return self._corpus.size(split)

    def alignments(self, split: str) -> Iterator[str] | None:
        """Return the lines of links of a split, turned round where the sides are exchanged."""
        lines = self._corpus.alignments(split)
        return map(reversed_links, lines) if lines is not None and self._swapped else lines

    def fingerprint(self) -> dict[str, Any]:
        """Return that of the corpus, and whether its sides are exchanged."""
        with _mistakes_named(self._key):
            return {"swapped": self._swapped, **self._corpus.fingerprint()}

    def describe(self) -> str:
        """Return the line of the corpus, and whether its sides are exchanged."""
        return f"{self._corpus.describe()}{', reversed' if self._swapped else ''}"


@contextmanager
def _mistakes_named(key: str) -> Iterator[None]:
    """Let mistakes name the settings that a corpus has in a mixture, and the ways out too."""

    def named(words: str) -> str:
        return re.sub(r"\bdata\.(?=[a-z_]+[`=\[])", f"{key}.", words)

    try:
        yield
    except ConfigError as error:
        raise ConfigError([named(mistake) for mistake in error.mistakes]) from error
    except DataError as error:
        raise DataError(named(str(error))) from error


class Mixture(Corpus):
    """Several corpora as one: trained on together, validated and tested on each by itself.

    A *portion* is one of the corpora in one direction. All portions are training text; every other split keeps its
    own name followed by that of its portion, as in ``test.books`` or, where both directions are used,
    ``test.books.de-en``. Portions may differ in their languages. Where they differ in the target language, each
    source sentence begins with a tag of the language that it is to be translated into (Johnson et al. 2017).

    Args:
        corpora: by a name of one's own choice.
        both_directions: whether each of them is used from source to target and from target to source.
    """

    name = "mixture"
    mixable = False

    def __init__(self, *, corpora: Mapping[str, Component[Corpus]], both_directions: bool) -> None:
        if not corpora:
            raise ConfigError(
                "`corpora` must name one corpus or more, but is empty instead; "
                "add some with +data@data.corpora.NAME=CORPUS"
            )
        self._portions: dict[str, Corpus] = {}
        for name, part in corpora.items():
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # it becomes part of file names
                raise ConfigError(f"`corpora` must have names of letters, digits, _ and -, but has {name!r} instead")
            key = f"data.corpora.{name}"
            with _mistakes_named(key):
                corpus = part()
            if not corpus.mixable:
                raise ConfigError(
                    f"`{key}` must be a corpus in one direction with text of its own, but is {corpus.name} instead"
                )
            for swapped in (False, True)[: 1 + both_directions]:
                one = View(corpus, key, swapped=swapped)
                self._portions[f"{name}.{one.source}-{one.target}" if both_directions else name] = one
        portions = self._portions.values()
        sides = {one.source for one in portions}, {one.target for one in portions}
        self.source, self.target = (side.pop() if len(side) == 1 else MANY for side in sides)
        self.aliases = {
            f"{alias}.{name}": f"{split}.{name}"
            for name, portion in self._portions.items()
            for alias, split in portion.aliases.items()
        }

    def portions(self) -> Mapping[str, Corpus]:
        """Return the portions by name."""
        return self._portions

    def languages(self, split: str) -> tuple[str, str]:
        """Return the languages of a split; those of all training text may be :data:`MANY`."""
        if split == TRAIN:
            return self.source, self.target
        portion, own = self._found(split)
        return portion.languages(own)

    def splits(self) -> tuple[str, ...]:
        """Return ``train``, and the other splits of each portion.

        Raises:
            DataError: a portion has no training text.
        """
        found = [TRAIN]
        for name, portion in self._portions.items():
            own = portion.splits()
            if TRAIN not in own:
                raise DataError(
                    f"`data.corpora` must be corpora that have training text, but {name} has only {listing(own)} "
                    "instead; leave it out, or give it a train split"
                )
            found += [f"{split}.{name}" for split in own if split != TRAIN]
        return tuple(found)

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split; all portions of ``train``, one after the other."""
        if split == TRAIN:
            return itertools.chain.from_iterable(portion.pairs(TRAIN) for portion in self._portions.values())
        portion, own = self._found(split)
        return portion.pairs(own)

    def alignments(self, split: str) -> Iterator[str] | None:
        """Return the lines of links of a split of one portion; those of ``train`` are asked of each portion."""
        if split == TRAIN:
            return None
        portion, own = self._found(split)
        return portion.alignments(own)

    def fingerprint(self) -> dict[str, Any]:
        """Return name, direction and fingerprint of each portion, in their order, which the result depends on."""
        return {
            "portions": [
                [name, portion.source, portion.target, portion.fingerprint()]
                for name, portion in self._portions.items()
            ]
        }

    def describe(self) -> str:
        """Return one line for logs and reports."""
        return f"mixture of {'; '.join(f'{name}: {one.describe()}' for name, one in self._portions.items())}"

    def _found(self, split: str) -> tuple[Corpus, str]:
        """Return the portion that a split but ``train`` belongs to, and the portion's own name of it."""
        split = self.resolve(split)
        name = next(name for name in self._portions if split.endswith(f".{name}"))
        return self._portions[name], split.removesuffix(f".{name}")
