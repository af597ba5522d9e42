"""Parquet: both sides of a pair in one row."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from seq2seq.data.formats.lines import Pair, Tally, decode, single_line
from seq2seq.data.formats.packed import COMPRESSIONS, damage_named, open_packed, refuse_packed
from seq2seq.data.formats.records import Selection, checked_text, without_field
from seq2seq.errors import DataError

_BATCH = 1024  # rows in memory as Python text


def read_parquet(path: Path, selection: Selection, tally: Tally) -> Iterator[Pair]:
    """Yield the pairs of a Parquet file, a batch of rows at a time. A compressed one is unpacked to a temporary file.

    Raises:
        DataError: the file is damaged, lacks a side, has the column twice, or has something else than text in it,
            with the row's number from 1.
    """
    # Imported here: it costs half a second, and a machine that trains on prepared data may not have it.
    import pyarrow
    import pyarrow.parquet  # as above

    with _seekable(path) as handle:
        row = 0
        try:
            file = pyarrow.parquet.ParquetFile(handle)
            names = [_column(path, file.schema_arrow, names) for names in selection.names]
            for batch in file.iter_batches(_BATCH, columns=names):
                for cells in zip(*(_cells(batch, name) for name in names), strict=True):
                    row += 1
                    where = f"{path}, row {row}"
                    source, target = (
                        decode(cell, f"{where}, {name!r}", selection.errors, tally)
                        if isinstance(cell, bytes)
                        else checked_text(cell, name, where)
                        for cell, name in zip(cells, names, strict=True)
                    )
                    yield single_line(source), single_line(target)
        except (pyarrow.ArrowException, OSError, UnicodeError) as error:  # the last: a column's name is damaged
            after = f" after row {row}" if row else ""
            reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
            raise DataError(f"{path} must be a whole Parquet file, but cannot be read{after}: {reason}") from error


@contextmanager
def _seekable(path: Path) -> Iterator[IO[bytes]]:
    with open_packed(path) as handle:
        if path.suffix not in COMPRESSIONS:
            refuse_packed(path, handle)
            yield handle
            return
        with tempfile.TemporaryFile() as plain:
            with damage_named(path):
                shutil.copyfileobj(handle, plain)
            yield plain


def _column(path: Path, schema: Any, names: tuple[str, ...]) -> str:
    """The first of ``names`` that is a column of text."""
    for name in names:
        kinds = _kinds(schema, name)
        if len(kinds) > 1:
            raise DataError(f"{path}: must have the column {name!r} once, but has it {len(kinds)} times")
        if kinds:
            if not {"string", "large_string", "string_view", "null"} & {str(kinds[0]), _value_kind(kinds[0])}:
                raise DataError(f"{path}: the column {name!r} must hold text, but holds {kinds[0]} instead")
            return name
    raise without_field(str(path), names, _leaves(schema))


def _kinds(fields: Any, name: str) -> list[Any]:
    """The types of all columns of this name; a name with dots may be that of a column, too."""
    direct = [field.type for field in fields if field.name == name]
    head, dot, rest = name.partition(".")
    if direct or not dot:
        return direct
    return [kind for field in fields if field.name == head for kind in _kinds(_children(field.type), rest)]


def _children(kind: Any) -> list[Any]:
    return [kind.field(place) for place in range(kind.num_fields)] if str(kind).startswith("struct<") else []


def _value_kind(kind: Any) -> str:
    return str(kind.value_type) if str(kind).startswith("dictionary<") else ""


def _leaves(schema: Any) -> list[str]:
    return [
        name
        for field in schema
        for name in ([f"{field.name}.{child.name}" for child in _children(field.type)] or [field.name])
    ]


def _cells(batch: Any, name: str) -> list[Any]:
    """The values of a column, as bytes where some of them are no UTF-8."""
    # Imported here as above; by now it costs nothing.
    from pyarrow import compute

    if name in batch.schema.names:
        column = batch.column(name)
    else:
        head, *rest = name.split(".")
        column = compute.struct_field(batch.column(head), rest)
    try:
        cells: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        cells = column.cast("binary").to_pylist()
    return cells
