"""Files that hold both sides of a pair, each read according to its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from seq2seq.data.formats.lines import Pair, Tally, count_lines
from seq2seq.data.formats.packed import COMPRESSIONS, without_compression
from seq2seq.data.formats.parquet import read_parquet
from seq2seq.data.formats.records import Selection, read_jsonl, read_tsv
from seq2seq.data.formats.tmx import read_tmx
from seq2seq.errors import DataError, listing

Reader = Callable[[Path, Selection, Tally], Iterator[Pair]]

PAIR_FORMATS: Mapping[str, Reader] = {
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".parquet": read_parquet,
    ".tmx": read_tmx,
}
"""The suffixes of files that hold both sides, each with its reader. A suffix of COMPRESSIONS may follow."""


_BY_LINE = {None, ".tsv", ".jsonl"}  # formats with a pair, or a side of one, in every line


def format_of(path: Path) -> str | None:
    """Return the suffix of PAIR_FORMATS that a file's name has, or None."""
    suffix = without_compression(path).suffix.lower()
    return suffix if suffix in PAIR_FORMATS else None


def count_pairs(path: Path) -> int | None:
    """Return how many pairs a file holds, about; None where only reading it would tell.

    Args:
        path: a file of any format, or a text file of one language.

    Raises:
        DataError: the file is missing or damaged.
    """
    return count_lines(path) if format_of(path) in _BY_LINE else None


def read_pair_file(path: Path, selection: Selection, tally: Tally) -> Iterator[Pair]:
    """Yield the pairs of a file that holds both sides.

    Args:
        path: the file; its name tells the format.
        selection: which parts of it are read.
        tally: counts what is let pass.

    Raises:
        DataError: the name has no known suffix; or as the reader of its format.
    """
    suffix = format_of(path)
    if suffix is None:
        raise DataError(
            f"{path} must end in one of {listing(PAIR_FORMATS)}, then perhaps in one of {listing(COMPRESSIONS)}, "
            "so that its format is known"
        )
    return PAIR_FORMATS[suffix](path, selection, tally)
