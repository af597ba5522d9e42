"""Folders replaced as a whole: whenever the process dies, the old one or the new one is there to be found."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

OLD = ".old-"


def flush(folder: Path) -> None:
    """Make what was renamed inside a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
