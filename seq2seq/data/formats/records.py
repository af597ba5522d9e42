"""TSV and JSONL: both sides of a pair in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.data.formats.lines import Errors, Pair, Tally, numbered_texts, single_line
from seq2seq.errors import DataError, listing

_HALF_CHARACTER = re.compile("[\ud800-\udfff]")
_ABSENT = object()


@dataclass(frozen=True)
class Selection:
    """Which parts of a record are the two sides of a pair, source first.

    Attributes:
        languages: codes of the languages, such as ``en`` and ``de``.
        columns: numbers from 1 of the columns of TSV files.
        fields: names in JSONL and Parquet files, with dots into what is nested; None: the language code, or else the
            code within ``translation``.
        errors: what becomes of bytes that are no UTF-8.
    """

    languages: tuple[str, str]
    columns: tuple[int, int]
    fields: tuple[str, str] | None
    errors: Errors

    @property
    def names(self) -> Iterator[tuple[str, ...]]:
        """For each side, the names of its field, the first to be found counts."""
        for code, field in zip(self.languages, self.fields or (None, None), strict=True):
            yield (code, f"translation.{code}") if field is None else (field,)


def read_tsv(path: Path, selection: Selection, tally: Tally) -> Iterator[Pair]:
    """Yield the pairs of a file of columns between tabs. There is no heading, and quotes are text.

    Raises:
        DataError: a line has not the columns, or not as many as the first, so that a tab within a text cannot shift
            what follows it; with its number. Also as :func:`~seq2seq.data.formats.read_lines`.
    """
    source, target = (column - 1 for column in selection.columns)
    width = 0
    for number, text in numbered_texts(path, selection.errors, tally):
        cells = text.split("\t")
        width = width or len(cells)
        if len(cells) != width or width <= max(source, target):
            wanted = max(*selection.columns) if number == 1 else width
            raise DataError(
                f"{path}, line {number}: must have {wanted} columns between tabs"
                f"{', as line 1 has' if number > 1 else ''}, but has {len(cells)}"
            )
        yield single_line(cells[source]), single_line(cells[target])


def read_jsonl(path: Path, selection: Selection, tally: Tally) -> Iterator[Pair]:
    """Yield the pairs of a file of one JSON object a line. Empty lines and other fields are passed over.

    Raises:
        DataError: a line is no JSON object, names a field twice, lacks a side or has something else than text there;
            with its number. Also as :func:`~seq2seq.data.formats.read_lines`.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    sides = tuple(selection.names)
    for number, line in numbered_texts(path, selection.errors, tally):
        if not line or line.isspace():
            continue
        where = f"{path}, line {number}"
        try:
            record = decoder.decode(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{where}, column {error.colno}: must be JSON, but is not: {error.msg}") from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: must be JSON that can be read, but is not: {error}") from None
        if not isinstance(record, dict):
            raise DataError(f"{where}: must be a JSON object such as {{...}}, but is {_short(record)} instead")
        source, target = (_cell(record, names, where) for names in sides)
        yield single_line(source), single_line(target)


def checked_text(value: Any, name: str, where: str) -> str:
    """Return ``value`` if it is text.

    Raises:
        DataError: it is not.
    """
    if isinstance(value, str):
        return value
    found = "null; remove the row, or give an empty text" if value is None else f"{_short(value)} instead"
    raise DataError(f"{where}: {name!r} must be text, but is {found}")


def without_field(where: str, names: Iterable[str], known: Iterable[str]) -> DataError:
    """Return the error for a record that has none of ``names``."""
    wanted = " or ".join(map(repr, names))
    return DataError(f"{where}: must have {wanted}, but has only {listing(known)}; data.fields names others")


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(items)
    if len(record) < len(items):
        names = [name for name, _ in items]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names {twice!r} twice")
    return record


def _cell(record: Mapping[str, Any], names: tuple[str, ...], where: str) -> str:
    for name in names:
        value = _at(record, name)
        if value is not _ABSENT:
            text = checked_text(value, name, where)
            # JSON can spell half a character, which no file can then hold.
            if not text.isprintable() and (half := _HALF_CHARACTER.search(text)):
                raise DataError(f"{where}: {name!r} must be text, but holds \\u{ord(half[0]):04x}, half a character")
            return text
    nested = (f"{key}.{inner}" for key, value in record.items() if isinstance(value, Mapping) for inner in value)
    raise without_field(where, names, [*(key for key in record if not isinstance(record[key], Mapping)), *nested])


def _at(record: Any, name: str) -> Any:
    """The value of a field; a name with dots may be that of a field, too."""
    if name in record:
        return record[name]
    for part in name.split("."):
        if not isinstance(record, Mapping) or part not in record:
            return _ABSENT
        record = record[part]
    return record


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
