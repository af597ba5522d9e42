"""Files and folders replaced as a whole: whenever the process dies, the old one or the new one is there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

OLD = ".old-"


def flush(folder: Path) -> None:
    """Make what was renamed inside a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replaced(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write that takes the place of ``path`` when the ``with`` block ends, and never if it fails.

    Raises:
        OSError: the disk refuses; the old file is as it was.
    """
    unfinished = path.with_name(f".{path.name}-{os.getpid()}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the name but not the bytes
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | Iterable[str]) -> None:
    """Write a file that is whole or as it was before, however the process ends.

    Args:
        path: of the file.
        content: bytes, a text or parts of a text. A lone surrogate, which UTF-8 lacks, is written as its escape.

    Raises:
        OSError: the disk refuses; the old file is as it was.
    """
    with replaced(path) as file:
        if isinstance(content, bytes):
            file.write(content)
            return
        parts = [content] if isinstance(content, str) else content
        file.writelines(part.encode("utf-8", "backslashreplace") for part in parts)


@contextmanager
def new_folder(final: Path) -> Iterator[Path]:
    """Give a folder to fill that gets its name when the ``with`` block ends, and is gone if that fails.

    What was in it is flushed to the disk before. Where the name is taken, see :func:`publish`.

    Raises:
        OSError: the disk refuses; whatever had the name before is untouched.
    """
    unfinished = final.with_name(f".{final.name}-{os.getpid()}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        yield unfinished
        for path in unfinished.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        flush(unfinished)
        publish(unfinished, final)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def publish(temporary: Path, final: Path) -> None:
    """Give a finished folder its name; where that is taken, the folder that has it goes afterwards.

    A process that dies on the way may leave the old folder under another name: see :func:`put_back`.

    Raises:
        OSError: the disk refuses; the old folder has its name again.
    """
    old = final.with_name(f"{OLD}{final.name}-{os.getpid()}")
    if final.exists():
        os.rename(final, old)
    try:
        os.replace(temporary, final)
    except OSError:
        if old.exists():
            os.rename(old, final)
        raise
    flush(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def put_back(parent: Path) -> None:
    """Give old folders their names again where the process died before the new one had it, and remove the others.

    Only for the one process that owns the parent folder.

    Raises:
        OSError: the disk refuses.
    """
    for old in parent.glob(f"{OLD}*"):
        final = parent / old.name.removeprefix(OLD).rpartition("-")[0]
        if final.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.rename(old, final)
