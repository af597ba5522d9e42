"""Functions run in a process of their own, so that whatever they do is seen from outside and ends there."""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any, NamedTuple

_KILOBYTE = 1024  # what the system counts the memory of processes in


class Contained(NamedTuple):
    """What became of a call.

    Attributes:
        result: what the function has returned; None where it never came to that.
        status: exit status of the process; below zero the signal that ended it, None where it ran out of time.
        seconds: how long the function took.
        grown: bytes of memory that the process has used at its peak beyond those of its start.
    """

    result: Any
    status: int | None
    seconds: float
    grown: int


def contained(function: Callable[..., Any], *arguments: Any, patience: float, memory: int) -> Contained:
    """Call a function in another process.

    Args:
        function: of a module, so that the other process finds it.
        arguments: what it gets.
        patience: seconds after which the process is killed.
        memory: bytes of address space that it may take beyond those of its start.
    """
    context = prepared_context()
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(theirs, memory, function, arguments), daemon=True)
    process.start()
    theirs.close()
    result, seconds, grown = None, patience, 0
    try:
        ours.recv()  # what it has imported by now is no work of the function
        if ours.poll(patience):
            result, seconds, grown = ours.recv()
    except EOFError:
        pass  # it has died
    process.join(1.0 if result is not None else 0.1)
    status = process.exitcode
    if status is None:
        process.kill()
        process.join()
    return Contained(result, status, seconds, grown)


def prepared_context() -> ForkServerContext:
    """Return what starts processes that have already imported all that they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seq2seq.faults.warm", "seq2seq.faults.mutations"])
    return context


def _call(connection: Connection, memory: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + memory, now + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    peak = peak_memory()
    started = time.perf_counter()
    connection.send(None)
    result = function(*arguments)
    connection.send((result, time.perf_counter() - started, peak_memory() - peak))


def peak_memory() -> int:
    """Return the most bytes of memory that this process has used so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KILOBYTE
