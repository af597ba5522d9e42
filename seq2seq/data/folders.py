"""Folders that are whole or absent, whichever processes work beside each other and wherever one dies."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
from pathlib import Path

from seq2seq.disk.lock import alive, started

_TEMPORARY = re.compile(r"\.tmp-(?P<host>.+)-(?P<process>\d+)(\.(?P<started>\d+))?-[0-9a-f]{8}")


def temporary_name(root: Path) -> Path:
    """Return a new name that tells whose it is, so that what a dead process left behind can be told apart."""
    since = started(os.getpid())
    process = f"{os.getpid()}" if since is None else f"{os.getpid()}.{since}"
    return root / f".tmp-{socket.gethostname()}-{process}-{secrets.token_hex(4)}"


def publish(temporary: Path, folder: Path) -> None:
    """Give a complete folder its final name, unless another process was first."""
    for path in temporary.iterdir():
        with path.open("rb") as handle:
            os.fsync(handle.fileno())  # or a power cut could leave the name but not the bytes
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        # Both were built from the same key, so the other one's is as good; the caller removes ours.


def discard(folder: Path) -> None:
    """Remove a folder so that no other process ever sees half of it."""
    grave = temporary_name(folder.parent)
    try:
        folder.rename(grave)
    except FileNotFoundError:
        return  # another process did it
    shutil.rmtree(grave, ignore_errors=True)


def remove_stale(root: Path) -> None:
    """Remove temporary folders of processes of this machine that no longer live."""
    for path in root.glob(".tmp-*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and match["host"] == socket.gethostname() and not alive(int(match["process"]), match["started"]):
            shutil.rmtree(path, ignore_errors=True)
