"""Files of any name and format: both sides in one file, or one file a side, alone or in shards."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from seq2seq.config import PositiveInt
from seq2seq.data.corpora.base import TRAIN, VALIDATION, Corpus
from seq2seq.data.corpora.files import sha256
from seq2seq.data.formats import (
    COMPRESSIONS,
    PAIR_FORMATS,
    STRICT,
    Errors,
    Pair,
    Selection,
    Tally,
    count_pairs,
    format_of,
    read_pair_file,
    read_pairs,
    without_compression,
)
from seq2seq.errors import ConfigError, DataError, listing, suggest

Shard = tuple[Path, ...]
"""A file that holds both sides, or the files of the source and of the target."""

Side = Sequence[str] | str
"""A path or pattern for the files of one language, or several of them."""

PLAIN = "text"
"""Stands in a fingerprint for the format of a file that holds one side."""

_NAMES = 12  # shown of a folder
_BY_FIELD = frozenset({".jsonl", ".parquet"})


class Paths(Corpus):
    """Your own files, given by path: TSV, JSONL, Parquet, TMX, or two files of plain text; any of them compressed.

    Each split is one path, or one pattern such as ``shards/*.jsonl.gz`` (``**`` means any folders), for files that
    hold both sides; or a list of two of them for files of plain text, source first, each of which may be a list of
    patterns in turn. The files that match a pattern are read in the order of their names, several patterns in the
    order in which they are given, and those of both sides belong together in that order.

    Args:
        source: language to translate from.
        target: language to translate into.
        train: files to train on.
        validation: files to validate with; required for training.
        test: files to test with.
        columns: numbers from 1 of the source and target columns of TSV files.
        fields: names of the source and target fields of JSONL and Parquet files, with dots into what is nested;
            None: the language code, or else the code within ``translation``.
        errors: whether bytes that are no UTF-8 are refused, or replaced and counted. A translation memory is XML and
            refused either way.
    """

    name = "paths"

    def __init__(
        self,
        *,
        source: str,
        target: str,
        train: str | tuple[Side, Side] | None,
        validation: str | tuple[Side, Side] | None,
        test: str | tuple[Side, Side] | None,
        columns: tuple[PositiveInt, PositiveInt],
        fields: tuple[str, str] | None,
        errors: Errors,
    ) -> None:
        super().__init__(source, target)
        if train is None:
            raise ConfigError(
                "`train` must name files, but is null instead; give data.train=FILE for one of "
                f"{listing(PAIR_FORMATS)}, or 'data.train=[SOURCE_FILE,TARGET_FILE]' for plain text"
            )
        for key, pair in (("columns", columns), ("fields", fields)):
            if pair is not None and pair[0] == pair[1]:
                raise ConfigError(f"`{key}` must be two different ones, but both are {pair[0]!r}")
        given = {TRAIN: train, VALIDATION: validation, "test": test}
        self._patterns = {split: patterns for split, patterns in given.items() if patterns is not None}
        self._selection = Selection((source, target), columns, fields, errors)
        self._tallies = {split: Tally() for split in self._patterns}

    @cached_property
    def _shards(self) -> dict[str, list[Shard]]:
        """The files of each split, in order."""
        shards = {split: _find(split, patterns) for split, patterns in self._patterns.items()}
        places: dict[Path, str] = {}
        for split, files in shards.items():
            for path in (path for shard in files for path in shard):
                before = places.setdefault(path.resolve(), split)
                if before == TRAIN and split != TRAIN:
                    raise DataError(f"{path} must not be in both `data.train` and `data.{split}`")
        return shards

    def splits(self) -> tuple[str, ...]:
        """Return the splits that are given, train first."""
        return tuple(self._patterns)

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split, shard after shard.

        Raises:
            DataError: as :func:`~seq2seq.data.formats.read_pair_file` and :func:`~seq2seq.data.formats.read_pairs`;
                or no file has the name, or one would be read twice.
        """
        split = self.resolve(split)
        tally = self._tallies[split] = Tally()
        for shard in self._shards[split]:
            if len(shard) == 2:
                yield from read_pairs(*shard, errors=self._selection.errors, tally=tally)
            else:
                yield from read_pair_file(shard[0], self._selection, tally)

    def size(self, split: str) -> int | None:
        """Return the number of pairs of a split, unless a file of it does not hold them line by line."""
        counts = [count_pairs(shard[0]) for shard in self._shards[self.resolve(split)]]
        known = [count for count in counts if count is not None]
        return sum(known) if len(known) == len(counts) else None

    def fingerprint(self) -> dict[str, Any]:
        """Return format and SHA-256 of each file by its place, and the settings that change what is read of them."""
        files = {
            split: [[format_of(path) or PLAIN, sha256(path)] for shard in shards for path in shard]
            for split, shards in self._shards.items()
        }
        formats = {kind for entries in files.values() for kind, _ in entries}
        selection = self._selection
        settings: dict[str, Any] = {}
        if ".tsv" in formats:
            settings["columns"] = list(selection.columns)
        if formats & _BY_FIELD and selection.fields is not None:
            settings["fields"] = list(selection.fields)
        if selection.errors != STRICT:
            settings["errors"] = selection.errors
        return {"paths": files, **settings}

    def describe(self) -> str:
        """Return one line for logs and reports, with what was let pass in what has been read so far."""
        files = [f"{split} {sum(map(len, shards))}" for split, shards in self._shards.items()]
        text = f"paths {self.source}-{self.target} (files: {', '.join(files)})"
        for split, tally in self._tallies.items():
            if tally.replaced:
                text += f"; {tally.replaced:,} texts of {split} had bytes that are no UTF-8 replaced"
            if tally.incomplete:
                text += f"; {tally.incomplete:,} units of {split} without both languages were left out"
        return text


def _find(split: str, patterns: str | tuple[Side, Side]) -> list[Shard]:
    key = f"data.{split}"
    if isinstance(patterns, str):
        shards: list[Shard] = [(path,) for path in _matching(patterns, key)]
        for (path,) in shards:
            if format_of(path) is None:
                raise DataError(
                    f"{path} must end in one of {listing(PAIR_FORMATS)}, then perhaps in one of "
                    f"{listing(COMPRESSIONS)}, so that its format is known; two files of plain text are given as a "
                    f"list, '{key}=[SOURCE_FILE,TARGET_FILE]'"
                )
    else:
        sides = [_of_side(side, f"{key}[{place}]") for place, side in enumerate(patterns)]
        if len(sides[0]) != len(sides[1]):
            raise DataError(
                f"`{key}` must name as many files of one language as of the other, but {_written(patterns[0])} "
                f"matches {len(sides[0])} and {_written(patterns[1])} matches {len(sides[1])}"
            )
        shards = list(zip(*sides, strict=True))
        for path in (path for shard in shards for path in shard):
            if format_of(path) is not None:
                raise DataError(
                    f"{path} must be plain text of one language, because `{key}` is a list of two, but by its name "
                    f"it holds both; several such files are given as a pattern, '{key}=FOLDER/*{format_of(path)}'"
                )
    _refuse_twice(key, [path for shard in shards for path in shard])
    return shards


def _of_side(side: Side, key: str) -> list[Path]:
    """The files of one language, pattern after pattern."""
    if isinstance(side, str):
        return _matching(side, key)
    if not side:
        raise DataError(f"`{key}` must name files, but is an empty list instead")
    return [path for place, pattern in enumerate(side) for path in _matching(pattern, f"{key}[{place}]")]


def _written(side: Side) -> str:
    return side if isinstance(side, str) else f"[{','.join(side)}]"


def _matching(pattern: str, key: str) -> list[Path]:
    """The files that a path or pattern names, in the order of their names."""
    path = Path(pattern)
    if path.is_file():
        return [path]
    if path.is_dir():
        raise DataError(f"`{key}` must name files, but {pattern} is a folder; give a pattern such as {pattern}/*.tsv")
    found = sorted(file for file in map(Path, set(glob.glob(pattern, recursive=True))) if file.is_file())
    if not found:
        raise DataError(f"`{key}` must name files that exist, but {pattern!r} matches none; {near_names(path)}")
    return found


def near_names(path: Path) -> str:
    """Return what there is instead of a file, in the last folder of its path that exists, for a message."""
    folder = next(parent for parent in (*path.parents, Path()) if parent.is_dir())
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    wanted = path.relative_to(folder).parts[0]
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return f"{folder.resolve()} has {listing(names[:_NAMES])}{more}{suggest(wanted, names)}"


def _refuse_twice(key: str, paths: list[Path]) -> None:
    seen: dict[Path, Path] = {}
    for path in paths:
        for identity in {path.resolve(), without_compression(path.absolute())}:
            other = seen.setdefault(identity, path)
            if other is not path:
                raise DataError(f"`{key}` must name each file once, but {other} and {path} are the same text")
