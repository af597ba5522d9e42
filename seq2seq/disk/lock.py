"""One writer for a folder, whatever file system it is on."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from seq2seq.disk.plainjson import values_of
from seq2seq.errors import ConfigError
from seq2seq.terminal import warn

LOCK = ".lock"
"""The file that the system locks; it names its owner."""

OWNER = ".lock-owner"
"""The file that stands for the lock where the file system has none; it is there as long as its owner."""

TAKING = ".lock-taking"
"""A folder that is there while a process takes the place of one that died."""

HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}
"""What the system answers where another process has the lock; any other answer means that it offers none."""


@dataclass(frozen=True)
class Owner:
    """A process that writes a folder.

    Attributes:
        process: its number.
        host: its machine.
        started: when it began, in whatever clock the system has; None where that cannot be known.
        since: when it took the folder, in words.
    """

    process: int
    host: str
    started: str | None
    since: str

    @classmethod
    def here(cls) -> Owner:
        """Return this process, as of now."""
        number = os.getpid()
        return cls(number, socket.gethostname(), started(number), time.strftime("%Y-%m-%d %H:%M:%S"))

    @classmethod
    def named_in(cls, text: str) -> Owner | None:
        """Return what a lock file says; None where it says nothing that can be read."""
        try:
            values = values_of(text.encode())
            owner = cls(**values)
            return owner if type(owner.process) is int and owner.process > 0 else None
        except (ValueError, TypeError):
            return None

    @property
    def alive(self) -> bool:
        """Whether the process is there still."""
        return alive(self.process, self.started)

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since}"


def alive(process: int, since: str | None) -> bool:
    """Return whether a process of this machine is there still, or may be; its number may be another's by now.

    Args:
        process: its number.
        since: when it :func:`started`; None where that is not known.
    """
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    now = started(process)
    return since is None or now is None or now == since


def started(process: int) -> str | None:
    """Return when a process began, in ticks since the machine did; None where the system does not say."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return text.rpartition(")")[2].split()[19]  # behind the name of the program, which may hold anything
    except (OSError, IndexError):
        return None


@contextmanager
def only_writer(folder: Path, *, setting: str = "run_dir") -> Iterator[None]:
    """Hold a folder for the time of a ``with`` block; ``setting`` is where the user has named it.

    The lock is the system's, so it goes with its process however that ends. Some network file systems have none;
    there a file names the process, and one that has died without removing it is recognised.

    Raises:
        ConfigError: another process holds it, or it cannot be written.
    """
    try:
        file = (folder / LOCK).open("a+", encoding="utf-8", errors="replace")
    except OSError as error:
        raise _unwritable(setting, error) from None
    with file:
        if _locked(file, folder, setting):
            try:
                file.truncate(0)
                _sign(file)
            except OSError as error:
                raise _unwritable(setting, error) from None
            yield
        else:
            with _claimed(folder, setting):
                yield


def _locked(file: IO[str], folder: Path, setting: str) -> bool:
    """Lock a file; return False where the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in HELD:
            return False
        file.seek(0)
        raise _in_use(folder, setting, Owner.named_in(file.read())) from None
    return True


@contextmanager
def _claimed(folder: Path, setting: str) -> Iterator[None]:
    """Hold a folder by a file that only one process can have made."""
    path = folder / OWNER
    try:
        if not _claim(path):
            _clear(path, folder, setting)
            if not _claim(path):
                raise _in_use(folder, setting, None)
    except OSError as error:
        raise _unwritable(setting, error) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _claim(path: Path) -> bool:
    """Make the file that holds a folder, signed by this process; return whether nobody had made it before.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            _sign(file)
    except FileExistsError:
        return False
    return True


def _clear(path: Path, folder: Path, setting: str) -> None:
    """Remove the file of a process that has died; several that see it at once must not all do so.

    Raises:
        ConfigError: its process is there, or may be.
    """
    _dead_owner(path, folder, setting)
    taking = path.with_name(TAKING)
    try:
        taking.mkdir()
    except FileExistsError:
        raise _in_use(folder, setting, None, taking) from None
    try:
        owner = _dead_owner(path, folder, setting)  # another may have taken its place in the meantime
        if owner is not None:
            warn(f"{folder} was in use by {owner}, which has died without giving it back; it is taken over")
            path.unlink()
    finally:
        taking.rmdir()


def _dead_owner(path: Path, folder: Path, setting: str) -> Owner | None:
    """Return the dead process that a file names; None where the file has gone."""
    try:
        owner = Owner.named_in(path.read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        return None
    if owner is None or owner.host != socket.gethostname() or owner.alive:
        raise _in_use(folder, setting, owner, path)
    return owner


def _in_use(folder: Path, setting: str, owner: Owner | None, file: Path | None = None) -> ConfigError:
    way = "" if file is None else f"; remove {file} if that process is gone"
    return ConfigError(
        f"`{setting}` must be a folder that nothing else writes, but {folder} is in use by "
        f"{owner or 'another process'}{way}"
    )


def _unwritable(setting: str, error: OSError) -> ConfigError:
    return ConfigError(f"`{setting}` must be a folder that can be written, but is not: {error}")


def _sign(file: IO[str]) -> None:
    file.write(json.dumps(asdict(Owner.here())))
    file.flush()
