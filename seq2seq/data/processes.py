"""Work on chunks of a stream, shared out to processes, with the results in the order of the chunks."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any, TypeVar

from seq2seq.errors import DataError

Chunk = TypeVar("Chunk")
Given = TypeVar("Given")
Result = TypeVar("Result")

ALONE = 5
"""Chunks that are worked on before there are other processes: starting those takes as long as two or three."""

AHEAD = 2
"""Chunks for each process that are waiting, at work or done: enough that none of them runs dry."""


def on_all_cores(
    work: Callable[[Given], Result], jobs: Iterable[tuple[Chunk, Given]]
) -> Generator[tuple[Chunk, Given, Result]]:
    """Yield each job with the result of the work, in order; many jobs are done by as many processes as cores.

    Args:
        work: can be pickled, as what it is given and returns; it is sent to each process once.
        jobs: what to yield again, and what is given to the work; taken only a little ahead of need.

    Raises:
        DataError: a process was killed.
    """
    iterator, count = iter(jobs), cores()
    for chunk, given in itertools.islice(iterator, ALONE if count > 1 else None):
        yield chunk, given, work(given)
    pool: ProcessPoolExecutor | None = None
    waiting: deque[tuple[Chunk, Given, Future[Result]]] = deque()
    try:
        for chunk, given in iterator:
            pool = pool or ProcessPoolExecutor(count, _Context(), _begin, (work,))
            waiting.append((chunk, given, pool.submit(_work, given)))
            if len(waiting) > AHEAD * count:
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())
    except BrokenProcessPool as error:
        raise DataError(
            f"each of the {count} processes that share the work must run to its end, but one was killed, most likely "
            "because memory ran out; free some and start again"
        ) from error
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def _finished(chunk: Chunk, given: Given, result: Future[Result]) -> tuple[Chunk, Given, Result]:
    return chunk, given, result.result()


def chunked(items: Iterable[Chunk], size: int) -> Iterator[list[Chunk]]:
    """Yield items in lists of so many; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Process(SpawnProcess):
    """A process that starts empty: a forked one would inherit the locks of threads that it does not have.

    It does not import the main script, as is usual: that may bring torch along, or begin its work anew.
    """

    def start(self) -> None:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        # What is blocked now stays so in the new process: Ctrl-C goes to both, and is for this one to answer.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Context(SpawnContext):
    Process = _Process


_works: list[Callable[[Any], Any]] = []
"""In a process of the pool, its work."""


def _begin(work: Callable[[Any], Any]) -> None:
    _works.append(work)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _work(given: Any) -> Any:
    return _works[0](given)


def _end_with_parent() -> None:
    """Leave when the parent is gone, even if it was killed and could not say so."""
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
