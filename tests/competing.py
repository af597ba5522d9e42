"""What a process does that wants to be the only writer of a folder; it imports little, so that ten start at once."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

from seq2seq.disk.lock import only_writer
from seq2seq.errors import ConfigError


def refused(*_: object) -> None:
    """Answer as a file system without locks does."""
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def compete(folder: str, locks: bool, start: Any, results: Any) -> None:
    """Try to be the only writer when all are ready, and hold on until all have tried."""
    if not locks:
        fcntl.flock = refused
    start.wait()
    try:
        with only_writer(Path(folder)):
            results.put("written")
            start.wait()
    except ConfigError as error:
        results.put(str(error))
        start.wait()
