"""A table of attention scores: one recipe trained with each of them, every run a process of its own.

Runs are the same as by hand: ``scripts/train.py`` with overrides, so a run that was stopped goes on from its newest
checkpoint, and one that crashes takes no other with it. What is finished is seen from the files alone.
"""

from __future__ import annotations

import itertools
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from seq2seq.comparison.plan import CompareAttentionConfig, earlier_cells, plan, refuse_other_settings
from seq2seq.comparison.runs import Result, Run, measure
from seq2seq.comparison.table import write_table
from seq2seq.data.store import PreparedData
from seq2seq.disk.lock import only_writer
from seq2seq.errors import ConfigError
from seq2seq.run import prepare_data
from seq2seq.runs.config import Compose
from seq2seq.signals import SignalHandling, exit_status
from seq2seq.spelling import CONFIGS
from seq2seq.terminal import duration, say, warn

ROOT = CONFIGS.parent
OUTPUT = "output.txt"
POLL = 0.1
"""Seconds between two looks at the processes."""


def compare(config: CompareAttentionConfig, compose: Compose, folders: Sequence[Path] = ()) -> None:
    """Train what is not finished, then write ``table.md`` and ``table.json``; leaves with status 1 if a run failed.

    Args:
        config: what to compare.
        compose: reads the settings of a run.
        folders: where attentions and experiments lie beside our own.

    Raises:
        UserError: the settings, the corpus or the output folder cannot be used.
    """
    wanted = itertools.product(config.seeds, config.experiments, config.attentions)
    runs = plan(config, wanted, compose, folders)
    output = Path(config.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"`output` must be a folder that can be written, but is not: {error}") from None
    with only_writer(output, setting="output"):
        earlier = plan(config, earlier_cells(output, runs), compose, folders)
        rows = [*earlier, *runs]
        refuse_other_settings(rows)
        data = prepare_all(rows)

        def write() -> Path:
            return write_table(rows, finished(rows, data), config.overrides, output)

        done = finished(runs, data)
        write()  # refuses what must not stand side by side before hours of training, not after them
        say(f"{len(done)} of {len(runs)} runs are finished")
        if earlier:
            say(f"{len(earlier)} more, of earlier calls, stay in the table")
        waiting = [run for run in runs if not run.scores(data[run.experiment]).is_file()]
        failed, stopped_by = train_all(waiting, config.jobs, config.threads, data, write)
        table = write()
    say(table.read_text(encoding="utf-8"))
    say(f"Table: {table}")
    if stopped_by is not None:
        say(f"stopped by {signal.Signals(stopped_by).name}; the same command goes on from here")
        sys.exit(exit_status(stopped_by))
    if failed:
        sys.exit(1)


def prepare_all(runs: Sequence[Run]) -> dict[str, PreparedData]:
    """Prepare the corpus of each experiment once, before several runs would do so side by side.

    Raises:
        DataError: a corpus cannot be used, or lacks the split to evaluate.
    """
    data: dict[str, PreparedData] = {}
    for run in runs:
        if run.experiment not in data:
            data[run.experiment] = prepare_data(run.config)
            run.scores(data[run.experiment])  # refuses an unknown split
    return data


def finished(runs: Sequence[Run], data: Mapping[str, PreparedData]) -> list[Result]:
    """Return the results of all runs that have them."""
    results = (measure(run, data[run.experiment]) for run in runs)
    return [result for result in results if result is not None]


def train_all(
    runs: Sequence[Run],
    jobs: int,
    threads: int | None,
    data: Mapping[str, PreparedData],
    after_each: Callable[[], object],
) -> tuple[list[Run], int | None]:
    """Train runs, so many side by side; a signal is passed on to them and waited for.

    ``after_each`` is called whenever a run is finished.

    Returns:
        the runs that failed, and the signal that has stopped them all, or None.

    Raises:
        ConfigError: a run folder cannot be written.
    """
    waiting, running, failed = list(runs), dict[subprocess.Popen[bytes], Run](), list[Run]()
    stopped_by: list[int] = []
    with SignalHandling(stopped_by.append):
        try:
            while (waiting or running) and not stopped_by:
                while waiting and len(running) < jobs:
                    run = waiting.pop(0)
                    say(f"{run.folder.name} begins, {len(waiting)} more to go")
                    running[start(run, threads)] = run
                time.sleep(POLL)
                for process in [process for process in running if process.poll() is not None]:
                    run = running.pop(process)
                    if report(run, process.returncode, data):
                        after_each()
                    else:
                        failed.append(run)
            for process in running:
                process.send_signal(stopped_by[0])
            for process in list(running):
                process.wait()
                del running[process]
        finally:  # a mistake of ours, or a second Ctrl-C: nobody waits for these any more
            for process in running:
                process.terminate()
    return failed, stopped_by[0] if stopped_by else None


def start(run: Run, threads: int | None) -> subprocess.Popen[bytes]:
    """Start the process of a run; what it prints is added to its ``output.txt``."""
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *run.overrides]
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
        with (run.folder / OUTPUT).open("ab") as output:
            output.write(f"$ {shlex.join(command)}\n".encode())
            output.flush()
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})},
                # A terminal sends Ctrl-C to a whole session; a run must get it from us alone, because it saves at
                # the first signal and dies of the second.
                start_new_session=True,
            )
    except OSError as error:
        raise ConfigError(f"`output` must be a folder that can be written, but is not: {error}") from error


def report(run: Run, status: int, data: Mapping[str, PreparedData]) -> bool:
    """Say how a run has ended; return whether it ended well."""
    result = measure(run, data[run.experiment])
    if status == 0 and result is not None:
        say(f"{run.folder.name} has BLEU {result.bleu:.1f} after {duration(result.seconds or 0)}")
        return True
    path = run.folder / OUTPUT
    last = path.read_text(encoding="utf-8", errors="replace").rstrip().rpartition("\n")[2]
    warn(f"{run.folder.name} failed with status {status}: {last} (all of its output is in {path})")
    return False
