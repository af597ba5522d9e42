"""What a comparison of attentions is to train: its settings, its rows, and the runs they mean."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from seq2seq.comparison.runs import Run
from seq2seq.comparison.table import TABLE
from seq2seq.config import PositiveInt
from seq2seq.disk.plainjson import read_values
from seq2seq.errors import ConfigError, listing, suggest
from seq2seq.run import check_parts
from seq2seq.runs.config import Compose
from seq2seq.runs.folder import SETTINGS, leaves
from seq2seq.spelling import CONFIGS, differences, options
from seq2seq.upgrades import upgraded

FINISHED = "evaluation/*/scores.json"
"""What the folder of a finished run has; which split it is named after is known when the data is."""

LONGEST_ROW_NAME = 60
"""Characters of a row's settings in the name of its folder."""

OWN = ("experiment", "attention", "attention@self_attention", "self_attention", "seed", "run_dir", "resume")
"""What the comparison sets for each run."""

PLACES = ("name", "run_dir", "prepared_dir")
"""Settings that say where things are, not what is trained."""

DECIDED_BY_A_RUN = "trainer.accumulate"
"""What ``auto`` leaves to a run, which then keeps the number among its settings."""

_LARGER = 10  # than settings: a table has thirty values for each of its runs


@dataclass(frozen=True)
class CompareAttentionConfig:
    """What to compare, in what, how often.

    Attributes:
        attentions: the rows of the table: names of files in ``configs/attention``, each with any settings of its
            own behind it, such as ``dot attention/normalizer=sparsemax``.
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
            different = {" ".join(value.split()) if isinstance(value, str) else value for value in values}
            if not values or len(different) < len(values):
                mistakes.append(f"`{key}` must be a list of different values, but is {list(values)} instead")
        for i, entry in enumerate(self.attentions):
            mistakes += _own(f"attentions[{i}]", entry.split()[1:])
        for i, override in enumerate(self.overrides):
            mistakes += _own(f"overrides[{i}]", [override])
        if mistakes:
            raise ConfigError(mistakes)


def _own(key: str, overrides: Sequence[str]) -> list[str]:
    """Refuse to be told what the comparison sets for each run."""
    return [
        f"`{key}` must leave {name} to the comparison, but is {override!r} instead; "
        "give attentions, experiments, seeds and output"
        for override in overrides
        if (name := override.partition("=")[0].lstrip("+~")) in OWN
    ]


def refuse_unknown(config: CompareAttentionConfig, folders: Sequence[Path]) -> None:
    """Refuse attentions and experiments that there are no files of.

    Args:
        config: what to compare.
        folders: where files of groups lie beside our own.

    Raises:
        ConfigError: names each of them.
    """
    mistakes = []
    for key, group in (("attentions", "attention"), ("experiments", "experiment")):
        known = options(group, [CONFIGS, *folders])
        for i, entry in enumerate(getattr(config, key)):
            name = entry.partition(" ")[0] if key == "attentions" else entry
            if name not in known:
                near = suggest(name, known)
                mistakes.append(f"`{key}[{i}]` must be one of {listing(known)}, but is {name!r} instead{near}")
    if mistakes:
        raise ConfigError(mistakes)


CellOfSeed = tuple[int, str, str]
"""Seed, experiment, and attention with its own settings: what makes a run."""


def plan(
    config: CompareAttentionConfig, wanted: Iterable[CellOfSeed], compose: Compose, folders: Sequence[Path] = ()
) -> list[Run]:
    """Return runs in the order given: seed by seed, so that an unfinished table has something in every cell.

    Args:
        config: what to compare.
        wanted: the runs.
        compose: reads the settings of a run.
        folders: where files of groups lie beside our own; Hydra takes one at most.

    Raises:
        ConfigError: the settings of a run cannot be used; the message names the run.
    """
    refuse_unknown(config, folders)
    runs = []
    for seed, experiment, entry in wanted:
        attention, *settings_of_row = entry.split()
        folder = Path(config.output) / f"{experiment}-{row_name(entry)}-{seed}"
        overrides = [
            *(f"--config-dir={folder}" for folder in folders),
            f"experiment={experiment}",
            f"attention={attention}",
            f"attention@self_attention={attention}",
            *config.overrides,
            *settings_of_row,
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
        runs.append(Run(experiment, " ".join(entry.split()), seed, folder, overrides, settings, values))
    return runs


def row_name(entry: str) -> str:
    """Return the part of a folder's name that stands for a row: safe anywhere, and one for each row."""
    attention, *settings = entry.split()
    if not settings:
        return attention
    text = " ".join(settings)
    # The words are for readers, the hash keeps apart what they leave out.
    words = re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_.")[:LONGEST_ROW_NAME]
    return f"{attention}-{words}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def earlier_cells(output: Path, runs: Sequence[Run]) -> list[CellOfSeed]:
    """Return what earlier calls have finished in this folder and this call does not ask for.

    Raises:
        ConfigError: the table of the earlier calls cannot be read.
    """
    path = output / TABLE
    if not path.is_file():
        return []
    asked = {(run.seed, run.experiment, run.attention) for run in runs}
    try:
        rows = read_values(path, times=_LARGER)["runs"]
        cells = [(row["seed"], row["experiment"], row["attention"]) for row in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"`output` must hold the table of a comparison, but {path} cannot be read ({error}); "
            "remove that file to begin another table"
        ) from None
    return [
        cell
        for cell in cells
        if cell not in asked and any((output / f"{cell[1]}-{row_name(cell[2])}-{cell[0]}").glob(FINISHED))
    ]


def refuse_other_settings(runs: Sequence[Run]) -> None:
    """Refuse to mix runs with others that were begun in the same folders with other settings.

    Raises:
        ConfigError: names every setting that differs in the first such run, or settings that cannot be read.
    """
    for run in runs:
        path = run.folder / SETTINGS
        if not path.is_file():
            continue
        try:
            before = leaves(upgraded(read_values(path)))
        except (ValueError, AttributeError) as error:
            raise ConfigError(
                f"`output` must hold whole runs, but {path} cannot be read ({error}); "
                f"remove {run.folder} to train that run again"
            ) from None
        now = leaves(run.values)
        if now.get(DECIDED_BY_A_RUN) == "auto":
            now[DECIDED_BY_A_RUN] = before.get(DECIDED_BY_A_RUN)
        mistakes = differences(before, now, (before.keys() | now.keys()) - set(PLACES), str(run.folder))
        if mistakes:
            raise ConfigError([f"{mistake}; give another output for other settings" for mistake in mistakes])
