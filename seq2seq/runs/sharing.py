"""What the processes of a run must have in common before they train: one decides or prepares, the others follow."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from seq2seq.config import Values
from seq2seq.data.store import PreparedData
from seq2seq.distributed.processes import Processes
from seq2seq.errors import ConfigError, shown
from seq2seq.runs.config import RunConfig
from seq2seq.runs.folder import make_run_folder, settings_in


def with_batches(config: RunConfig, values: Values, processes: Processes) -> tuple[RunConfig, Values]:
    """Decide how many batches an update has, where the settings leave it open: as many as before, or as processes.

    Returns:
        the settings with that number, typed and as plain values.

    Raises:
        ConfigError: the processes cannot share them evenly.
    """
    count = processes.count
    accumulate: Any = config.trainer.accumulate
    if accumulate == "auto":
        before = settings_in(config.run_dir) or {"trainer": {"accumulate": count}}
        accumulate = processes.told(before["trainer"]["accumulate"])
    if not isinstance(accumulate, int) or accumulate % count:
        raise ConfigError(
            f"`trainer.accumulate` must be a multiple of the number of processes, {count}, which share the batches "
            f"of an update, but is {shown(accumulate)} instead; start a number of processes that divides it, or "
            f"begin another run with trainer.accumulate={count}"
        )
    trainer = {**values["trainer"], "accumulate": accumulate}
    return replace(config, trainer=replace(config.trainer, accumulate=accumulate)), {**values, "trainer": trainer}


def shared_data(processes: Processes, prepare: Callable[[], PreparedData]) -> PreparedData:
    """Return the prepared data of a run; one process prepares it, and the others wait to open it.

    Raises:
        DataError: another process does not see it, beside what ``prepare`` raises.
    """
    if processes.is_first:
        data = prepare()
        processes.told(str(data.folder.absolute()))
        return data
    return PreparedData(Path(processes.told("")))


def shared_run_folder(processes: Processes, run_dir: str | None, name: str) -> Path:
    """Return the run folder, which one process decides on.

    Raises:
        ConfigError: another process does not see it, or it cannot be written.
    """
    if processes.is_first:
        run = make_run_folder(run_dir, name)
        processes.told(str(run.absolute()))
        return run
    run = Path(processes.told(""))
    if not run.is_dir():
        raise ConfigError(
            f"`run_dir` must be on a disk that all processes see, but {run} is not there for process "
            f"{processes.rank} on {socket.gethostname()}"
        )
    return run
