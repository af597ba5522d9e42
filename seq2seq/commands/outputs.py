"""Where translations and scores go: files that are whole or absent, standard output, pipes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from seq2seq.disk.replacing import replaced
from seq2seq.errors import DataError


def refuse_overwriting(output: Path | None, read: Mapping[str, str | Path | None]) -> None:
    """Refuse to write over a file that is read, which would be lost.

    Args:
        output: what is to be written; None for standard output.
        read: files by the name of their setting.

    Raises:
        DataError: names the setting.
    """
    for setting, path in read.items():
        if output is not None and path is not None and output.resolve() == Path(path).resolve() and output.is_file():
            raise DataError(
                f"`output` must be another file than `{setting}`, which would be lost, but is {output} too"
            )


def make_folder(path: Path) -> None:
    """Make the folder that translations of several files go into.

    Raises:
        DataError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"`output` must be a folder that can be written, but is not: {error}") from error


@contextmanager
def output_lines(path: str | None) -> Iterator[Callable[[str], object]]:
    """Give a function that writes a line, always in UTF-8; see :func:`output_file`."""
    with output_file(None if path is None else Path(path)) as file:
        yield lambda line: file.write(line.encode() + b"\n")


@contextmanager
def output_file(path: Path | None) -> Iterator[IO[bytes]]:
    """Give a file, or standard output, to write to.

    A plain file gets its name only when all of it is written, so a translation of a file may even go over that file.
    Pipes and devices are written as they are.

    Raises:
        DataError: the file cannot be written.
    """
    if path is None:
        try:
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise DataError(f"standard output cannot be written: {error.strerror}") from error
        return
    try:
        place = path.resolve()  # a link stays a link
        plain = not place.exists() or place.is_file()
        with replaced(place) if plain else place.open("wb") as file:
            yield file
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"`output` must be a file that can be written, but is not: {error}") from error
