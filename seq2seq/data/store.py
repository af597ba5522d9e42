"""Prepared data on disk: token ids to map into memory, raw text to score against, and a manifest of it all.

A prepared folder holds, for source language ``en`` and target language ``de``:

* ``manifest.json``: where the text came from, what was dropped, versions, and the size of every other file;
* ``tokenizer.model``, or ``tokenizer.en.model`` and ``tokenizer.de.model``;
* ``train.en.ids.npy`` and ``train.en.offsets.npy``, likewise ``de`` and ``validation``: see :class:`Sequences`;
* ``<split>.en.txt`` and ``<split>.de.txt`` for every split but train: the raw text, one sentence a line, where
  ``en`` and ``de`` are the languages of that split;
* where the corpus has word alignments, ``train.links.ids.npy`` and ``train.links.offsets.npy``, likewise
  ``validation``: see :meth:`PreparedData.links`; and ``<split>.align.txt`` beside raw text, from en to de.

A mixture's training pairs stand one portion after the other, in files named after :func:`side_names`; its other
splits are those of its portions, each under a name of its own.

It needs nothing outside itself: copied to another machine, it trains there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq.data.corpora.base import TRAIN, Corpus, resolve_split, resolve_splits
from seq2seq.data.formats import Pair, read_lines
from seq2seq.data.manifest import Portion, portions_of, read_manifest
from seq2seq.data.sequences import Sequences
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import ConfigError, DataError, listing

_ANY = 2**32  # ids of 32 bits are less

_ROWS = 2**16  # pairs whose links are looked at together


def side_names(source: str, target: str) -> tuple[str, str]:
    """Return what files of token ids are named after: the languages, or else the sides."""
    return (source, target) if source != target else ("source", "target")


class PreparedData:
    """A prepared folder, opened.

    Args:
        folder: as written by :func:`seq2seq.data.prepare.prepare`.

    Attributes:
        folder: where it is.
        manifest: the JSON values of ``manifest.json``.
        source: source language; ``mul`` where a mixture has several.
        target: target language, likewise.
        splits: names of all splits; those but ``train`` have raw text.
        source_tokenizer: encodes the source language.
        target_tokenizer: encodes the target language; the same object where the vocabulary is joint.

    Raises:
        DataError: the folder is not prepared data, or a file is missing or of another size than the manifest says.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        self.source, self.target = str(self.manifest["source"]), str(self.manifest["target"])
        self.splits = tuple(self.manifest["splits"])
        hashes: dict[str, str] = self.manifest["tokenizer"]["files"]
        models = [Tokenizer.load(self.folder / name) for name in hashes]
        for model, (name, sha256) in zip(models, hashes.items(), strict=True):
            if model.sha256 != sha256:
                raise DataError(
                    f"{self.folder / name} must be the tokenizer of these ids, but has changed; prepare again"
                )
        self.source_tokenizer, self.target_tokenizer = models[0], models[-1]
        self._mapped: dict[str, Sequences] = {}

    def resolve(self, split: str) -> str:
        """Return the canonical name of a split, as :meth:`seq2seq.data.corpora.Corpus.resolve` of its corpus does.

        Raises:
            DataError: there is no such split.
        """
        return resolve_split(split, self.splits, self.manifest["aliases"])

    def resolve_all(self, split: str) -> tuple[str, ...]:
        """Return the canonical names of all splits that ``split`` means, of every portion of a mixture.

        Raises:
            DataError: there is none.
        """
        return resolve_splits(split, self.splits, self.manifest["aliases"])

    def languages(self, split: str) -> tuple[str, str]:
        """Return the source and the target language of a split."""
        source, target = self.manifest["splits"][self.resolve(split)].get("languages", (self.source, self.target))
        return source, target

    @property
    def directions(self) -> tuple[tuple[str, str], ...]:
        """The directions of translation that the training text has, each as source and target language."""
        return tuple(dict.fromkeys((portion.source, portion.target) for portion in self.portions))

    @property
    def portions(self) -> tuple[Portion, ...]:
        """What the training pairs consist of, in their order."""
        return portions_of(self.manifest)

    def ids(self, split: str) -> tuple[Sequences, Sequences]:
        """Return source and target ids of ``train`` or ``validation``, mapped from disk.

        Raises:
            DataError: the split does not exist or was kept as text only.
        """
        split = self.resolve(split)
        if not self.manifest["splits"][split]["ids"]:
            known = (name for name, entry in self.manifest["splits"].items() if entry["ids"])
            raise DataError(f"`split` must be one of {listing(known)} to have token ids, but is {split!r} instead")
        source, target = (
            self._opened(f"{split}.{side}", model.vocab_size)
            for side, model in zip(self._sides, (self.source_tokenizer, self.target_tokenizer), strict=True)
        )
        pairs = self.manifest["splits"][split]["pairs"]
        if {len(source), len(target)} != {pairs}:
            raise DataError(
                f"{self.folder} must have {pairs} pairs of {split}, but has {len(source)} sources and {len(target)} "
                "targets instead; prepare it again"
            )
        return source, target

    def _opened(self, stem: str, limit: int) -> Sequences:
        """Map a file, once: all of it is looked at on the way."""
        if stem not in self._mapped:
            self._mapped[stem] = Sequences.open(self.folder / stem, limit)
        return self._mapped[stem]

    def text(self, split: str) -> tuple[list[str], list[str]]:
        """Return the raw source and target sentences of any split but ``train``.

        Raises:
            DataError: the split does not exist or is ``train``.
        """
        split = self.resolve(split)
        if split == TRAIN:
            known = (name for name in self.splits if name != TRAIN)
            raise DataError(f"`split` must be one of {listing(known)} to have raw text, but is {TRAIN!r} instead")
        source, target = (self._lines(split, code) for code in self.languages(split))
        return source, target

    def _lines(self, split: str, part: str) -> list[str]:
        """Return the lines of a text file, one for each pair of a split."""
        path = self.folder / f"{split}.{part}.txt"
        lines, pairs = list(read_lines(path)), self.manifest["splits"][split]["pairs"]
        if len(lines) != pairs:
            raise DataError(f"{path} must have {pairs} lines, one a pair, but has {len(lines)}; prepare it again")
        return lines

    def links(self, split: str) -> Sequences | None:
        """Return the sure links between pieces of ``train`` or ``validation``, mapped from disk.

        Sequence i belongs to pair i of :meth:`ids` and holds, link after link, the position of a source piece and
        that of a target piece, both counted from 0. None where the corpus has no alignments, or the split no ids.

        Raises:
            DataError: the split does not exist.
        """
        split = self.resolve(split)
        stem = f"{split}.links"
        if not self._aligned(split) or not self.manifest["splits"][split]["ids"]:
            return None
        known = stem in self._mapped
        links = self._opened(stem, _ANY)
        if not known:
            check_links(links, *self.ids(split), self.folder / stem)
        return links

    def alignments(self, split: str) -> list[str] | None:
        """Return the word links of each pair of raw text in Pharaoh format, from source to target.

        None where the corpus has no alignments, and for ``train``, of which only :meth:`links` are kept.

        Raises:
            DataError: the split does not exist.
        """
        split = self.resolve(split)
        return self._lines(split, "align") if self._aligned(split) and split != TRAIN else None

    @property
    def _sides(self) -> tuple[str, str]:
        return side_names(self.source, self.target)

    def _aligned(self, split: str) -> bool:
        return bool(self.manifest["splits"][split].get("aligned"))


def check_links(links: Sequences, source: Sequences, target: Sequences, stem: Path) -> None:
    """Refuse links between pieces that there are not.

    Args:
        links: of each pair, as :meth:`PreparedData.links` gives them.
        source: source ids.
        target: target ids.
        stem: where the links are, for messages.

    Raises:
        DataError: there are such links, or not one sequence of them for each pair.
    """
    problem = "" if len(links) == len(source) else f"{len(links):,} sequences for {len(source):,} pairs"
    for start in range(0, 0 if problem else len(links), _ROWS):
        rows = slice(start, start + _ROWS)
        lengths = links.lengths[rows]
        first = int(links.offsets[start])
        places = links.ids[first : first + int(lengths.sum())]
        if (lengths % 2).any():
            problem = "half a link"
        elif any(
            (places[side::2] >= np.repeat(ids.lengths[rows], lengths // 2)).any()
            for side, ids in enumerate((source, target))
        ):
            problem = "links to pieces that are not in their sentences"
    if problem:
        raise DataError(f"{stem}.ids.npy and {stem}.offsets.npy must fit the ids, but hold {problem}; prepare again")


class Prepared(Corpus):
    """A prepared folder in the place of a corpus, for a machine that has nothing else.

    Languages, cleaning and tokenizer are those it was prepared with.

    Args:
        folder: as written by :func:`seq2seq.data.prepare.prepare`; a relative path starts at the current directory.
    """

    name = "prepared"
    mixable = False

    def __init__(self, *, folder: str | None) -> None:
        if folder is None:
            raise ConfigError("`folder` must name a prepared folder, but is null instead; give data.folder=FOLDER")
        self.data = PreparedData(folder)
        self.source, self.target = self.data.source, self.data.target

    def splits(self) -> tuple[str, ...]:
        """Return the splits of the folder."""
        return self.data.splits

    def resolve(self, split: str) -> str:
        """Return the canonical name of a split, as the original corpus would."""
        return self.data.resolve(split)

    def resolve_all(self, split: str) -> tuple[str, ...]:
        """Return the canonical names of all splits that ``split`` means, as the original corpus would."""
        return self.data.resolve_all(split)

    def languages(self, split: str) -> tuple[str, str]:
        """Return the source and the target language of a split."""
        return self.data.languages(split)

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield raw text; for ``train``, of which only ids were kept, the text that they decode to."""
        if self.resolve(split) != TRAIN:
            yield from zip(*self.data.text(split), strict=True)
            return
        source, target = self.data.ids(TRAIN)
        for i in range(len(source)):
            [left] = self.data.source_tokenizer.decode([source[i].tolist()])
            [right] = self.data.target_tokenizer.decode([target[i].tolist()])
            yield left, right

    def alignments(self, split: str) -> Iterator[str] | None:
        """Return the lines of links of raw text; see :meth:`PreparedData.alignments`."""
        lines = self.data.alignments(split)
        return None if lines is None else iter(lines)

    def fingerprint(self) -> dict[str, Any]:
        """Return the key that the folder was prepared under."""
        return {"prepared": self.data.manifest["key"]}

    def describe(self) -> str:
        """Return the line of the original corpus, and the folder."""
        return f"{self.data.manifest['corpus']['description']}, prepared in {self.data.folder}"
