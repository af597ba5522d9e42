"""A table of attention scores: one recipe trained with each of them, every run a process of its own.

Runs are the same as by hand: ``scripts/train.py`` with overrides, so a run that was stopped goes on from its newest
checkpoint, and one that crashes takes no other with it. What is finished is seen from the files alone.
"""

from __future__ import annotations

import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2seq.comparison_table import Result, Run, measure, refuse_mixtures, write_table
from seq2seq.config import PositiveInt, Values
from seq2seq.data.store import PreparedData
from seq2seq.errors import ConfigError, listing, suggest
from seq2seq.log import duration, say, warn
from seq2seq.run import RunConfig, check_parts, prepare_data
from seq2seq.runfolder import LOCK, leaves, only_writer
from seq2seq.signals import SignalHandling, exit_status
from seq2seq.upgrades import upgraded

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = "output.txt"
POLL = 0.1
"""Seconds between two looks at the processes."""

OWN = ("experiment", "attention", "attention@self_attention", "self_attention", "seed", "run_dir")
"""What the comparison sets for each run."""

PLACES = ("name", "run_dir", "prepared_dir")
"""Settings that say where things are, not what is trained."""

Compose = Callable[[Sequence[str]], tuple[RunConfig, Values]]
"""Gives the configuration of a training run for its overrides."""


@dataclass(frozen=True)
class CompareAttentionConfig:
    """What to compare, in what, how often.

    Attributes:
        attentions: names of files in ``configs/attention``; the rows of the table.
        experiments: names of files in ``configs/experiment``; each is a model with its corpus and budget.
        seeds: each cell of the table is trained once with each of them.
        overrides: further settings of every run, such as ``trainer.max_steps=2000``.
        output: folder of the table and of all run folders.
        jobs: runs side by side.
        threads: threads of each run; null leaves them to the environment.
    """

    attentions: Sequence[str]
    experiments: Sequence[str]
    seeds: Sequence[int]
    overrides: Sequence[str]
    output: str
    jobs: PositiveInt
    threads: PositiveInt | None

    def __post_init__(self) -> None:
        mistakes = []
        for key in ("attentions", "experiments", "seeds"):
            values = getattr(self, key)
            if not values or len(set(values)) < len(values):
                mistakes.append(f"`{key}` must be a list of different values, but is {list(values)} instead")
        for key, group in (("attentions", "attention"), ("experiments", "experiment")):
            known = [path.stem for path in (ROOT / "configs" / group).glob("*.yaml")]
            mistakes += [
                f"`{key}[{i}]` must be one of {listing(known)}, but is {name!r} instead{suggest(name, known)}"
                for i, name in enumerate(getattr(self, key))
                if name not in known
            ]
        mistakes += [
            f"`overrides[{i}]` must leave {key} to the comparison, but is {override!r} instead; "
            "give attentions, experiments, seeds and output"
            for i, override in enumerate(self.overrides)
            if (key := override.partition("=")[0].lstrip("+~")) in OWN
        ]
        if mistakes:
            raise ConfigError(mistakes)


def compare(config: CompareAttentionConfig, compose: Compose) -> None:
    """Train what is not finished, then write ``table.md`` and ``table.json``; leaves with status 1 if a run failed.

    Raises:
        UserError: the settings, the corpus or the output folder cannot be used.
    """
    runs = plan(config, compose)
    output = Path(config.output)
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / LOCK).touch()
    except OSError as error:
        raise ConfigError(f"`output` must be a folder that can be written, but is not: {error}") from None
    with only_writer(output, setting="output"):
        refuse_other_settings(runs)
        data = prepare_all(runs)
        results = finished(runs, data)
        refuse_mixtures(results)  # before hours of training, not after them
        say(f"{len(results)} of {len(runs)} runs are finished")
        waiting = [run for run in runs if not run.scores(data[run.experiment]).is_file()]
        failed, stopped_by = train_all(waiting, config.jobs, config.threads, data)
        table = write_table(runs, finished(runs, data), config.overrides, output)
    say(table.read_text(encoding="utf-8"))
    say(f"Table: {table}")
    if stopped_by is not None:
        say(f"stopped by {signal.Signals(stopped_by).name}; the same command goes on from here")
        sys.exit(exit_status(stopped_by))
    if failed:
        sys.exit(1)


def plan(config: CompareAttentionConfig, compose: Compose) -> list[Run]:
    """Return all runs, seed by seed, so that an unfinished table has something in every cell.

    Raises:
        ConfigError: the settings of a run cannot be used; the message names the run.
    """
    runs = []
    for seed, experiment, attention in itertools.product(config.seeds, config.experiments, config.attentions):
        folder = Path(config.output) / f"{experiment}-{attention}-{seed}"
        overrides = [
            f"experiment={experiment}",
            f"attention={attention}",
            f"attention@self_attention={attention}",
            *config.overrides,
            f"seed={seed}",
            f"run_dir={json.dumps(str(folder), ensure_ascii=False)}",
        ]
        try:
            settings, values = compose(overrides)
            check_parts(settings)
            if settings.evaluate_split is None:
                raise ConfigError("`evaluate_split` must name a split to compare by, but is null instead")
        except ConfigError as error:
            raise ConfigError([f"{mistake} (in {folder.name})" for mistake in error.mistakes]) from None
        runs.append(Run(experiment, attention, seed, folder, overrides, settings, values))
    return runs


def refuse_other_settings(runs: Sequence[Run]) -> None:
    """Refuse to mix runs with others that were begun in the same folders with other settings.

    Raises:
        ConfigError: names every setting that differs in the first such run.
    """
    for run in runs:
        path = run.folder / "config.json"
        if not path.is_file():
            continue
        before, now = leaves(upgraded(json.loads(path.read_text(encoding="utf-8")))), leaves(run.values)
        mistakes = [
            f"`{key}` must be {before.get(key)!r}, as it was when {run.folder} began, but is {now.get(key)!r} "
            "instead; give another output for other settings"
            for key in sorted(before.keys() | now.keys())
            if key not in PLACES and before.get(key) != now.get(key)
        ]
        if mistakes:
            raise ConfigError(mistakes)


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
    runs: Sequence[Run], jobs: int, threads: int | None, data: Mapping[str, PreparedData]
) -> tuple[list[Run], int | None]:
    """Train runs, so many side by side; a signal is passed on to them and waited for.

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
                    if not report(run, process.returncode, data):
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
