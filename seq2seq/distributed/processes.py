"""The processes that train one model together, and the few things that they say to each other.

Gradients go their own way, by NCCL from GPU to GPU. What is said here are a few numbers and names, from processor to
processor, so that no GPU waits for them.
"""

from __future__ import annotations

import itertools
import json
import secrets
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from seq2seq import terminal
from seq2seq.distributed.places import Place, device_of, place_here, require_backends
from seq2seq.distributed.watching import Course, Watch, end_soon
from seq2seq.errors import ConfigError, UserError
from seq2seq.runtime import DeviceName, choose_device
from seq2seq.signals import exit_status

Plain = TypeVar("Plain")

USER_MISTAKE = 2
"""Exit status for anything the user can mend."""

UNHURRIED = timedelta(days=30)
"""How long processes wait for each other: one may prepare data for hours, and one that dies is noticed otherwise."""

MEETING = 120.0
"""Seconds in which all processes must have found each other."""


class Processes:
    """One process by itself, which agrees with all of its kind at once.

    Attributes:
        rank: which of the processes this is, from 0.
        count: how many there are.
        local_rank: which of those of its machine this is, from 0.
        course: how far they are, for whoever has to say where one of them has ended.
    """

    rank = local_rank = 0
    count = 1

    def __init__(self) -> None:
        self.course = Course(self.count)

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def sums(self, values: Sequence[float]) -> list[float]:
        """Return, for each of several numbers, its sum over all processes."""
        return list(values)

    def largest(self, values: Sequence[float]) -> list[float]:
        """Return, for each of several numbers, the largest that any process has."""
        return list(values)

    def any(self, here: bool) -> bool:
        """Return whether something is so in any process."""
        return here

    def told(self, value: Plain) -> Plain:
        """Return what the first process has, which must be a plain value such as JSON holds; others give any."""
        return value

    def gathered(self, value: Plain) -> list[Plain]:
        """Return what each process has, in their order; plain values such as JSON holds."""
        return [value]


class Group(Processes):
    """One of several processes, which must all ask the same things in the same order.

    Made inside :func:`together` only.

    Args:
        place: which of them this is.
    """

    def __init__(self, place: Place) -> None:
        self.rank, self.count, self.local_rank = place.rank, place.count, place.local_rank
        super().__init__()
        self._control = dist.new_group(backend="gloo", timeout=UNHURRIED)

    def sums(self, values: Sequence[float]) -> list[float]:
        """See :meth:`Processes.sums`."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def largest(self, values: Sequence[float]) -> list[float]:
        """See :meth:`Processes.largest`."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def any(self, here: bool) -> bool:
        """See :meth:`Processes.any`."""
        return self.largest([float(here)]) == [1.0]

    def told(self, value: Plain) -> Plain:
        """See :meth:`Processes.told`."""
        words = _packed(value if self.is_first else None)
        size = torch.tensor([len(words)])
        dist.broadcast(size, 0, group=self._control)
        if not self.is_first:
            words = words.new_empty(int(size))
        dist.broadcast(words, 0, group=self._control)
        told: Plain = _unpacked(words)
        return told

    def gathered(self, value: Plain) -> list[Plain]:
        """See :meth:`Processes.gathered`."""
        words = _packed(value)
        sizes = [int(size) for size in self.sums([len(words) * (rank == self.rank) for rank in range(self.count)])]
        # What is gathered must be of one size.
        padded = torch.nn.functional.pad(words, (0, max(sizes) - len(words)))
        found = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(found, padded, group=self._control)
        return [_unpacked(each[:size]) for each, size in zip(found, sizes, strict=True)]

    def _reduced(self, values: Sequence[float], how: Any) -> list[float]:
        numbers = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(numbers, how, group=self._control)
        return numbers.tolist()


def _packed(value: Any) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _unpacked(words: Tensor) -> Any:
    return json.loads(bytes(words.tolist()))


@contextmanager
def together(name: DeviceName) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes that torchrun has started, for the time of a ``with`` block; without it, there is one.

    If one of them fails or dies inside the block, all end, and the first says why, in one line.

    Args:
        name: the kind of device.

    Yields:
        the processes, and the device of this one.

    Raises:
        ConfigError: they cannot work together.
    """
    place = place_here()
    if place.count == 1:
        yield Processes(), choose_device(name)
        return
    device = device_of(place, name)
    require_backends(device)
    _meet(place, device)
    group = Group(place)
    if not group.is_first:
        terminal.silence()
    speaks = group.is_first or group.rank == 1 or place.speaks
    watch = Watch(_connections(group, place), group.course, speaks=speaks)
    try:
        yield group, device
        group.any(False)  # all have come here, so nobody needs anybody any more
    except BaseException as error:
        _end_all(error, group, watch)
        raise
    watch.close()
    dist.destroy_process_group()


def _end_all(error: BaseException, group: Group, watch: Watch) -> None:
    """End all processes because of an error of this one; return where it is to be raised on.

    Raises:
        SystemExit: another process is the reason, or says it.
        UserError: the error, with the place where the run was.
    """
    end_soon()
    expected = isinstance(error, UserError | SystemExit | KeyboardInterrupt)
    if watch.status is None and not expected:
        watch.wait_for_reason()
    first = watch.fail(_last_words(error, group), _status_of(error))
    if not first or (isinstance(error, UserError) and not group.is_first):
        raise SystemExit(watch.status) from None
    if isinstance(error, UserError) and group.course.step is not None:
        raise UserError(_last_words(error, group)) from error


def _last_words(error: BaseException, group: Group) -> str:
    """Return what the first process is to say of an error; nothing where whoever has raised it has said why."""
    if isinstance(error, SystemExit | KeyboardInterrupt):
        return ""
    if group.course.step is None and isinstance(error, ConfigError):  # which names what to change
        return str(error)
    own = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}".partition("\n")[0]
    return f"{group.course.of(group.rank)} failed: {own}"


def _status_of(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, KeyboardInterrupt):
        return exit_status(signal.SIGINT)
    return USER_MISTAKE if isinstance(error, UserError) else 1


_met = itertools.count()


@cache
def _store() -> Any:
    """Return what the processes find each other by; a program that trains several times needs it once."""
    store, _, _ = next(rendezvous("env://", timeout=timedelta(seconds=MEETING)))
    return store


def _meet(place: Place, device: torch.device) -> None:
    """Let the processes find each other.

    Raises:
        ConfigError: they do not.
    """
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        # Under names of its own, as those of an earlier training in the same processes lead nowhere.
        store = PrefixStore(f"training-{next(_met)}", _store())
        dist.init_process_group(backend, store=store, rank=place.rank, world_size=place.count)
    except (RuntimeError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigError(
            f"all {place.count} processes must find each other at MASTER_ADDR={place.host}, but process {place.rank} "
            f"did not: {reason}"
        ) from error


def _connections(group: Group, place: Place) -> dict[int, socket.socket]:
    """Connect each process with the first.

    Raises:
        ConfigError: it cannot be reached.
    """
    alone = place.local_count == place.count  # on this machine
    host = "127.0.0.1" if alone else place.host
    address: dict[str, Any] = {}
    if group.is_first:
        server = _server(alone)
        address = {"host": host, "port": server.getsockname()[1], "password": secrets.token_hex(16)}
    address = group.told(address)
    try:
        if group.is_first:
            with server:
                return _accepted(server, address["password"], group.count)
        connection = socket.create_connection((address["host"], address["port"]), MEETING)
        connection.sendall(f"{address['password']} {group.rank:08d}\n".encode())
        return {0: connection}
    except OSError as error:
        raise ConfigError(
            f"process {group.rank} must reach the first one at {address['host']}, port {address['port']}, but does "
            f"not: {error}"
        ) from error


def _server(alone: bool) -> socket.socket:
    if alone:
        return socket.create_server(("127.0.0.1", 0))
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _accepted(server: socket.socket, password: str, count: int) -> dict[int, socket.socket]:
    """Wait until every other process has connected; a stranger's connection is closed."""
    server.settimeout(MEETING)
    found: dict[int, socket.socket] = {}
    length = len(f"{password} {0:08d}\n")
    while len(found) < count - 1:
        connection, _ = server.accept()
        connection.settimeout(MEETING / 10)
        try:
            said = connection.recv(length, socket.MSG_WAITALL).decode("ascii", "replace")
        except OSError:
            said = ""
        given, _, rank = said.strip().partition(" ")
        if secrets.compare_digest(given.encode(), password.encode()) and rank.isdecimal():
            found[int(rank)] = connection
        else:
            connection.close()
    return found
