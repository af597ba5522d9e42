"""Processes that belong together end together: one that dies or fails takes the others with it, and one line says so.

Whoever waits for a process that has died may wait for ever, and libraries for communication find out late, if at all.
So each process holds a connection to the first one, over which nothing is sent but the last words of either. The
system closes it however a process ends; that of a machine that is switched off is noticed within half a minute.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from seq2seq.errors import printable

LOST = 1
"""Exit status of processes whose companion has died."""

GRACE = 20
"""Seconds that a process has to save what it can, after another has failed; then it is ended."""

PATIENCE = 5.0
"""Seconds to wait for what explains an error: the end of another process is known a moment later than felt."""

LONGEST = 2**16
"""Bytes of last words that are read."""

_KEEPALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


@dataclass
class Course:
    """How far the processes of a run are; it is said of one that has ended.

    Attributes:
        count: how many processes there are.
        step: updates done; None before training.
    """

    count: int
    step: int | None = None

    def of(self, rank: int) -> str:
        """Return which process that is, and where it was."""
        return f"process {rank} of {self.count} {'before training' if self.step is None else f'at step {self.step}'}"


class Watch:
    """Knows when another process has ended that should not have.

    Args:
        connections: to other processes, by rank: of the first process to all, of all others to the first.
        course: tells how far the run was. The thread that listens has a hold of it, and of nothing larger.
        speaks: whether this process says what it learns.

    Attributes:
        status: what to end with because of another process; None as long as all is well.
    """

    def __init__(self, connections: Mapping[int, socket.socket], course: Course, *, speaks: bool) -> None:
        self.connections = dict(connections)
        self.status: int | None = None
        self._course, self._speaks = course, speaks
        self._lock, self._changed, self._answered = threading.Lock(), threading.Event(), threading.Event()
        self._closing = False
        for connection in self.connections.values():
            _keep_alive(connection)
        self._thread = threading.Thread(target=self._listen, name="watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say that all is done, so that the end of this process harms nobody."""
        self._closing = True
        self._send({"done": True})
        self._thread.join(PATIENCE)

    def fail(self, words: str, status: int) -> bool:
        """Tell the others that this process has failed.

        Args:
            words: what the first process is to say, unless it is this one; nothing where it need not say anything.
            status: what all are to end with.

        Returns:
            whether this failure was the first; if not, it is most likely a consequence and not worth a word.
        """
        first = self._over(status)
        if first:
            self._send({"failed": words if 0 in self.connections else "", "status": status})
            if 0 in self.connections:
                self._answered.wait(PATIENCE)  # or whoever started the processes might end the first one before
        return first

    def wait_for_reason(self) -> None:
        """Wait a moment: an error may come from the end of another process, which is known a little later."""
        self._changed.wait(PATIENCE)

    def _over(self, status: int) -> bool:
        """Note that the processes are to end; return False where that was known."""
        with self._lock:
            if self.status is not None:
                return False
            self.status = status
        self._changed.set()
        return True

    def _listen(self) -> None:
        with selectors.DefaultSelector() as selector:
            for rank, connection in self.connections.items():
                selector.register(connection, selectors.EVENT_READ, rank)
            while selector.get_map():
                for key, _ in selector.select():
                    connection = self.connections[key.data]
                    words = _heard(connection)
                    if not self._understood(key.data, words):
                        selector.unregister(connection)
                        connection.close()

    def _understood(self, rank: int, words: dict[str, Any] | None) -> bool:
        """Do what the last words of a process ask for; return whether more may come from it."""
        if words is not None and "heard" in words:
            self._answered.set()
            return True
        if self._closing or (words is not None and "done" in words):
            return False
        status = LOST if words is None else int(words.get("status", LOST))
        if self._over(status):
            if words is None:
                self._say(f"{self._course.of(rank)} was lost: it was killed, or its machine is gone")
            elif words.get("failed"):
                self._say(str(words["failed"]))
            self._send({"heard": True}, only=rank)
            self._send({"failed": "", "status": status})
            threading.Thread(target=_end, args=(status,), daemon=True).start()
        elif words is not None:
            self._send({"heard": True}, only=rank)
        return False

    def _say(self, words: str) -> None:
        if self._speaks:
            print(f"error: {printable(words)}", file=sys.stderr, flush=True)

    def _send(self, words: dict[str, Any], only: int | None = None) -> None:
        line = json.dumps(words).encode()[: LONGEST - 1] + b"\n"
        for rank, connection in self.connections.items():
            if only in (None, rank):
                with suppress(OSError):  # it has ended itself
                    connection.sendall(line)


def end_soon() -> None:
    """End this process after a while, if it does not do so itself: without its help, since it may be stuck."""
    signal.alarm(GRACE)


def _end(status: int) -> None:
    time.sleep(GRACE)
    os._exit(status)


def _heard(connection: socket.socket) -> dict[str, Any] | None:
    """Return the next words of another process; None where there are none because it has ended."""
    line = b""
    with suppress(OSError, ValueError):
        while not line.endswith(b"\n"):
            more = connection.recv(1)  # what comes after belongs to the next
            if not more or len(line) > LONGEST:
                return None
            line += more
        words = json.loads(line)
        return words if isinstance(words, dict) else None
    return None


def _keep_alive(connection: socket.socket) -> None:
    connection.settimeout(None)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # as not every system has
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
