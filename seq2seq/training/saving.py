"""Checkpoints written beside the training: the loop waits only for copies of its tensors."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot
from seq2seq.errors import CheckpointError


class Saver:
    """Writes one checkpoint after the other in a thread of its own. A context manager.

    Args:
        checkpoints: the folder of a run's checkpoints.
        prune: removes those that are no longer needed; called after each.

    Attributes:
        waited: seconds that the loop has waited, for copies of its tensors and for the disk.
        writing: seconds of a processor that the thread has taken.
    """

    def __init__(self, checkpoints: Path, prune: Callable[[Path], None]) -> None:
        self.checkpoints, self.prune = checkpoints, prune
        self.waited = self.writing = 0.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()  # what is being written becomes whole, whatever has gone wrong beside it
        if error is None:
            self.wait()

    def save(self, snapshot: Snapshot, step: int, *, best: bool) -> None:
        """Begin to write a checkpoint, once the one before is written.

        Args:
            snapshot: nothing else may change its tensors.
            step: updates done.
            best: whether the link ``best`` is to lead to it.

        Raises:
            CheckpointError: the one before could not be written.
        """
        self.wait()
        self._pending = self._thread.submit(self._write, snapshot, step, best)

    def wait(self) -> None:
        """Wait until everything is written.

        Raises:
            CheckpointError: the disk has refused.
        """
        with self.timed():
            pending, self._pending = self._pending, None
            if pending is not None:
                pending.result()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time of a ``with`` block as waiting."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.waited += time.perf_counter() - start

    @property
    def failed(self) -> bool:
        """Whether :meth:`wait` would raise an error at once."""
        return self._pending is not None and self._pending.done() and self._pending.exception() is not None

    def _write(self, snapshot: Snapshot, step: int, best: bool) -> None:
        """Save a checkpoint, let the links lead to it and remove what is not kept; in the thread that saves.

        Raises:
            CheckpointError: the disk refuses, or the run folder is gone.
        """
        start = time.thread_time()
        run = self.checkpoints.parent
        if not run.is_dir():  # it is not made again: another process may have moved it
            raise CheckpointError(f"the checkpoint of step {step} cannot be written: {run} is gone")
        try:
            folder = checkpoint.save(snapshot, self.checkpoints, step)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; resume={run} goes on from the one before") from error
        point_at(folder, best=best)
        self.prune(self.checkpoints)
        self.writing += time.thread_time() - start


def point_at(folder: Path, *, best: bool) -> None:
    """Let ``last`` lead to a checkpoint, and ``best`` too where it is that."""
    checkpoint.point(folder.parent, "last", folder)
    if best:
        checkpoint.point(folder.parent, "best", folder)


def require_room(run: Path, count: int, size: int) -> None:
    """Refuse a disk that cannot hold a run's checkpoints, before hours of training.

    Args:
        run: the run folder.
        count: checkpoints there may be at the same time.
        size: bytes of one.

    Raises:
        CheckpointError: says how much is missing.
    """
    there = sum(path.stat().st_size for path in run.glob("checkpoints/step-*/*"))
    free = shutil.disk_usage(run).free
    if there + free < count * size:
        raise CheckpointError(
            f"`run_dir` must be on a disk with room for {count} checkpoints of {size:,} bytes, but {run} has only "
            f"{free:,} bytes left; free some, lower `trainer.keep_last` or `keep_best`, or give another folder"
        )
