"""The command that does harm on purpose and tells whether every promise was kept."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Literal, get_args

import torch

from seq2seq.benchmark.table import check_page, facts_in_words, in_line, machine, writable_page
from seq2seq.config import Duration, NonNegativeInt, PositiveInt
from seq2seq.disk.replacing import write_whole
from seq2seq.errors import ConfigError, listing
from seq2seq.faults.damage import damage
from seq2seq.faults.disk import disk
from seq2seq.faults.hostile import hostile
from seq2seq.faults.kills import kills
from seq2seq.faults.mutations import KINDS, mutations
from seq2seq.faults.order import order
from seq2seq.faults.outcome import Outcome
from seq2seq.faults.soak import cost, soak
from seq2seq.faults.stops import second_signals, stops
from seq2seq.faults.trials import VARIANTS, finish, overrides
from seq2seq.runs.config import Compose
from seq2seq.terminal import say

Fault = Literal["kills", "stops", "order", "damage", "disk", "hostile", "mutations", "cost", "soak"]


NEEDS: dict[Fault, tuple[str, ...]] = {
    "damage": ("truncations", "flips"),
    "disk": ("offsets",),
    "order": (),
    "hostile": (),
    "cost": ("cost_steps",),
}
"""Settings of each kind of harm, where it has none or not just one of its own name."""


@dataclass(frozen=True)
class FaultsConfig:
    """What to do, and how often.

    Attributes:
        what: the kinds of harm, in this order.
        folder: where runs are made and removed; null for the system's folder of temporary files. Give one on the disk
            that you mean to train on.
        output: a file that ends in .md for the table; null for standard output only.
        seed: of every moment, place and change.
        kills: runs killed at random moments.
        stops: runs for each signal, and for two of them.
        truncations: checkpoints of which a file is cut off.
        flips: checkpoints of which a bit is flipped.
        offsets: places of a file at which the disk is full.
        mutations: changed files of each kind.
        cost_steps: updates in which the time for checkpoints is measured.
        soak: how long to look at the memory of a run.
    """

    what: Sequence[Fault]
    folder: str | None
    output: str | None
    seed: NonNegativeInt
    kills: PositiveInt
    stops: PositiveInt
    truncations: PositiveInt
    flips: PositiveInt
    offsets: PositiveInt
    mutations: PositiveInt
    cost_steps: PositiveInt
    soak: Duration

    def __post_init__(self) -> None:
        check_page(self.output)
        if not self.what or len(set(self.what)) < len(self.what):
            raise ConfigError(f"`what` must be a list of different kinds of harm, but is {list(self.what)} instead")

    @property
    def unused(self) -> dict[str, str]:
        """Settings that the chosen kinds of harm have no use for, and why."""
        needed = {key for kind in self.what for key in NEEDS.get(kind, (kind,))}
        asked = {key for kind in get_args(Fault) for key in NEEDS.get(kind, (kind,))}
        return {key: f"`what` has none of the kinds that need it: {listing(_needing(key))}" for key in asked - needed}


def _needing(key: str) -> list[str]:
    return [kind for kind in get_args(Fault) if key in NEEDS.get(kind, (kind,))]


def faults(config: FaultsConfig, compose: Compose) -> None:
    """Do harm, print a table as it grows, and leave with status 1 where a promise was not kept.

    Raises:
        ConfigError: the folder or the output cannot be written.
    """
    page = writable_page(config.output)
    try:
        place = tempfile.TemporaryDirectory(dir=config.folder, prefix="faults-", ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigError(f"`folder` must be a folder that can be written, but is not: {error}") from None
    lines = [facts_in_words(machine(torch.device("cpu"))), in_line(["what", "trials", "failures", "figures"])]
    lines.append("| --- | ---: | ---: | --- |")
    failures: list[str] = []
    say("\n".join(lines))
    with place as folder:
        for outcome in (found for what in config.what for found in _done(what, config, compose, Path(folder))):
            lines.append(row(outcome))
            say(lines[-1])
            for failure in outcome.failures:
                say(f"    {failure}")
            failures += outcome.failures
            if page is not None:
                write_whole(page, "\n".join(lines) + "\n")
    if failures:
        say(f"{len(failures)} promises were not kept")
        sys.exit(1)


def row(outcome: Outcome) -> str:
    """Return a line of the table."""
    figures = "; ".join(f"{name} {value:,.4g}" for name, value in outcome.facts.items())
    return in_line([outcome.name, f"{outcome.trials:,}", f"{len(outcome.failures):,}", figures or "–"])


def _done(what: Fault, config: FaultsConfig, compose: Compose, root: Path) -> Sequence[Outcome]:
    folder = root / what
    folder.mkdir()
    seed = config.seed

    def with_run(harm: Callable[[Path], Sequence[Outcome]]) -> Sequence[Outcome]:
        _, values = compose([*overrides(next(iter(VARIANTS)), folder), "trainer.keep_last=3"])
        finish(values, folder / "run")
        return harm(folder / "run")

    kinds: dict[Fault, Callable[[], Sequence[Outcome]]] = {
        "kills": lambda: [kills(compose, folder, trials=config.kills, seed=seed)],
        "stops": lambda: [
            stops(compose, folder, trials=config.stops, seed=seed),
            second_signals(compose, folder, trials=config.stops),
        ],
        "order": lambda: [order(compose, folder)],
        "damage": lambda: with_run(lambda run: [damage(run, config.truncations, config.flips, seed)]),
        "disk": lambda: [disk(compose, folder, offsets=config.offsets)],
        "hostile": lambda: with_run(lambda run: [hostile(run)]),
        "mutations": lambda: with_run(lambda run: [mutations(run, kind, config.mutations, seed) for kind in KINDS]),
        "cost": lambda: [cost(compose, folder, steps=config.cost_steps)],
        "soak": lambda: [soak(compose, folder, seconds=config.soak)],
    }
    start = time.perf_counter()
    with redirect_stdout(StringIO()):  # of runs that are trained in this process
        outcomes = kinds[what]()
    seconds = time.perf_counter() - start
    return [Outcome(one.name, one.trials, one.failures, {**one.facts, "minutes": seconds / 60}) for one in outcomes]
