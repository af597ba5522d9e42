"""What processes do that are not the first one: nothing is written twice, and what is read is the same for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot
from seq2seq.distributed.processes import Processes
from seq2seq.training.log import RunLog
from seq2seq.training.saving import Saver


class NoLog(RunLog):
    """A log that nobody reads: the first process has it."""

    def __init__(self) -> None:
        self.task = None

    def __enter__(self) -> NoLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def rewind(self, step: int, validated: int) -> None:
        """See :meth:`RunLog.rewind`."""

    def write(self, row: Mapping[str, Any]) -> None:
        """See :meth:`RunLog.write`."""

    def say(self, words: str) -> None:
        """See :meth:`RunLog.say`."""


class NoSaver(Saver):
    """A saver that saves nothing: the first process does."""

    def save(self, snapshot: Snapshot, step: int, *, best: bool) -> None:
        """See :meth:`Saver.save`."""


def load_alike(processes: Processes, checkpoints: Path, find: Callable[[], Snapshot | None]) -> Snapshot | None:
    """Load one checkpoint in all processes; the first decides which.

    Args:
        processes: all of them.
        checkpoints: the folder that the others load it from.
        find: gives it in the first process; it may change where it says that the run is.

    Raises:
        CheckpointError: another process cannot read it.
    """
    found = find() if processes.is_first else None
    told: dict[str, Any] | None = processes.told(None if found is None else found.training)
    if processes.is_first or told is None:
        return found
    return replace(checkpoint.load(checkpoint.folder_of(checkpoints, told["step"]), training=True), training=told)
