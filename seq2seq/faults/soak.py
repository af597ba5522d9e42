"""A long run that validates and saves all the time: memory, open files and checkpoints stay as many as they were."""

from __future__ import annotations

import os
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from seq2seq.faults.outcome import Outcome
from seq2seq.faults.trials import VARIANTS, begin, finish, overrides
from seq2seq.runs.config import Compose
from seq2seq.training.log import read_log

WARM_UP = 0.2
"""Share of the time after which nothing may grow any more."""

MOST_GROWTH = 0.02
"""Share by which memory may grow afterwards."""

MOST_SHARE = 0.02
"""Share of the time that may go into checkpoints."""


class Look(NamedTuple):
    """What a process held: bytes of memory, open files, checkpoints on disk."""

    memory: int
    files: int
    checkpoints: int


def soak(compose: Compose, folder: Path, *, seconds: float, variant: str = "") -> Outcome:
    """Train for a time with a validation every 50 updates and a checkpoint every 25.

    Args:
        compose: reads settings.
        folder: where the run is made.
        seconds: how long.
        variant: one of :data:`VARIANTS`; the first where none is given.
    """
    limits = ["trainer.max_steps=null", f"trainer.max_time={seconds:.0f}s", "trainer.log_every=25"]
    often = ["trainer.validate_every=50", "trainer.checkpoint_every=25", "trainer.keep_last=3"]
    _, values = compose([*overrides(variant or next(iter(VARIANTS)), folder), *limits, *often])
    run = folder / "soak"
    process = begin(values, run)
    looks: list[Look] = []
    while process.is_alive():
        process.join(max(0.2, seconds / 500))
        looks += _look(process, run)
    late = looks[int(WARM_UP * len(looks)) :]
    tenth = max(1, len(late) // 10)
    first, last = late[:tenth], late[-tenth:]
    growth = fmean(look.memory for look in last) / fmean(look.memory for look in first) - 1
    more_files = max(look.files for look in last) - max(look.files for look in first)
    most = max(look.checkpoints for look in looks)
    kept = 3 + 1 + 1  # the newest, the best, and the one that is being written
    wrong = {
        f"ended with status {process.exitcode}": process.exitcode != 0,
        f"memory has grown by {growth:.1%}": growth > MOST_GROWTH,
        f"{more_files} more files were open": more_files > 0,
        f"there were {most} checkpoints, not {kept}": most > kept,
    }
    facts = {"growth of memory, %": 100 * growth, "memory, MB": last[-1].memory / 1e6, "open files": last[-1].files}
    failures = tuple(words for words, is_so in wrong.items() if is_so)
    return Outcome(f"a run of {seconds:.0f} s", len(looks), failures, {**facts, "checkpoints at most": most})


def _look(process: BaseProcess, run: Path) -> list[Look]:
    """Return what a process holds, or nothing where it has ended."""
    try:
        pages = int(Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1])
        files = len(os.listdir(f"/proc/{process.pid}/fd"))
    except (OSError, IndexError):
        return []
    return [Look(pages * os.sysconf("SC_PAGE_SIZE"), files, len([*run.glob("checkpoints/step-*")]))]


def cost(compose: Compose, folder: Path, *, steps: int) -> Outcome:
    """Measure how much of training goes into checkpoints, with the default recipe and at the default interval.

    Counted are the seconds that the loop waits and those that the thread that writes takes from the processor,
    though others would have been free for it.

    Args:
        compose: reads settings.
        folder: where the run is made.
        steps: updates.
    """
    own = [f'prepared_dir="{folder / "prepared"}"', "evaluate_split=null", "trainer.device=cpu"]
    _, values = compose([*own, f"trainer.max_steps={steps}"])
    run = folder / "cost"
    finish(values, run)
    [*_, row] = [row for row in read_log(run) if "saving_seconds" in row]
    share = (row["saving_seconds"] + row["writing_seconds"]) / row["seconds"]
    failures = (f"{share:.1%} of the time went into checkpoints",) if share > MOST_SHARE else ()
    facts = {
        "share of the time, %": 100 * share,
        "waited, s": row["saving_seconds"],
        "processor time, s": row["writing_seconds"],
        "training, s": row["seconds"],
        "checkpoints": steps // values["trainer"]["checkpoint_every"],
    }
    return Outcome("checkpoints at the default interval", steps, failures, facts)
