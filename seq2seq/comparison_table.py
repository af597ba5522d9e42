"""What a comparison of attentions has found: from finished runs to a table in Markdown and in JSON."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import sacrebleu
import torch

import seq2seq
from seq2seq.attention.core import Attention
from seq2seq.config import Values
from seq2seq.data.store import PreparedData
from seq2seq.errors import DataError, UserError
from seq2seq.log import duration, read_log
from seq2seq.run import RunConfig
from seq2seq.training import TrainerConfig

COLUMNS = {
    "bleu": "BLEU",
    "bleu_lowercase": "BLEU, lower-cased",
    "chrf": "chrF2",
    "parameters": "parameters",
    "tokens_per_second": "tokens/s",
    "seconds": "seconds",
    "updates": "updates",
}
"""The measured columns of the table with their headings."""

SCORES = ("bleu", "bleu_lowercase", "chrf")
"""Columns whose spread over the seeds matters."""


@dataclass(frozen=True, eq=False)
class Run:
    """One training run: its place in the table, its command line, and what that means."""

    experiment: str
    attention: str
    seed: int
    folder: Path
    overrides: Sequence[str]
    config: RunConfig
    values: Values

    def scores(self, data: PreparedData) -> Path:
        """Return where the scores are when the run is finished.

        Raises:
            DataError: the corpus lacks the split to evaluate.
        """
        return self.folder / "evaluation" / data.resolve(str(self.config.evaluate_split)) / "scores.json"


@dataclass(frozen=True)
class Result:
    """What one finished run has reached.

    Attributes:
        experiment: its model.
        attention: its attention.
        seed: its seed.
        folder: its run folder.
        bleu: cased BLEU on detokenised text.
        bleu_lowercase: lower-cased BLEU, without smoothing.
        chrf: chrF2.
        parameters: trainable numbers.
        tokens_per_second: target tokens in training, the median of all measurements; None without any.
        seconds: time spent training, validations included; None without a log.
        updates: updates done; None without a log.
        model: the model in words.
        budget: how long it was to train, in words.
        test: what was translated and how it was scored; must be alike wherever scores stand side by side.
    """

    experiment: str
    attention: str
    seed: int
    folder: str
    bleu: float
    bleu_lowercase: float
    chrf: float
    parameters: int
    tokens_per_second: float | None
    seconds: float | None
    updates: int | None
    model: str
    budget: str
    test: Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation; the deviation of one value is None."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Measure at least one value."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)


@dataclass(frozen=True)
class Cell:
    """All seeds of one attention in one experiment: how many are in, how many there will be, and what they give."""

    experiment: str
    attention: str
    seeds: int
    wanted: int
    spreads: Mapping[str, Spread]


def measure(run: Run, data: PreparedData) -> Result | None:
    """Read what a run has reached from its folder; None where it is not finished."""
    path = run.scores(data)
    if not path.is_file():
        return None
    scores = json.loads(path.read_text(encoding="utf-8"))
    log = read_log(run.folder)
    speeds = [row["tokens_per_second"] for row in log if "tokens_per_second" in row]
    parameters, model = describe_model(run, data)
    return Result(
        experiment=run.experiment,
        attention=run.attention,
        seed=run.seed,
        folder=str(run.folder),
        **{key: scores[key]["score"] for key in SCORES},
        parameters=parameters,
        tokens_per_second=statistics.median(speeds) if speeds else None,
        seconds=log[-1]["seconds"] if log else None,
        updates=log[-1]["step"] if log else None,
        model=model,
        budget=describe_budget(run.config.trainer),
        test={
            "corpus": data.manifest["corpus"]["name"],
            **{key: scores[key] for key in ("split", "source_language", "target_language", "sentences")},
            "references": hashlib.sha256(path.with_name("references.txt").read_bytes()).hexdigest(),
            "signatures": {key: scores[key]["signature"] for key in SCORES},
        },
    )


def describe_model(run: Run, data: PreparedData) -> tuple[int, str]:
    """Return the number of parameters of a run's model, and the model in words."""
    config = run.config
    with torch.device("meta"):  # without memory
        model = config.build(data.source_tokenizer.vocab_size, data.target_tokenizer.vocab_size)
    places = sum(isinstance(module, Attention) for module in model.modules())
    heads, project = (config.attention.settings[key] for key in ("num_heads", "project"))
    return model.num_parameters, (
        f"{config.encoder.target.__name__} and {config.decoder.target.__name__} of width {config.model.dim}, "
        f"the score in {places} {'attention' if places == 1 else 'attentions'} "
        f"of {heads} {'head' if heads == 1 else 'heads'} {'with' if project else 'without'} learned maps"
    )


def describe_budget(trainer: TrainerConfig) -> str:
    """Say how long a run trains."""
    limits = {
        "updates": trainer.max_steps and f"{trainer.max_steps:,}",
        "minutes": trainer.max_time and duration(trainer.max_time),
        "passes over the corpus": trainer.epochs and f"{trainer.epochs:,}",
    }
    parts = [f"{limit} {unit}" for unit, limit in limits.items() if limit]
    return f"{' or '.join(parts)}, {trainer.max_tokens * trainer.accumulate:,} padded tokens an update"


def refuse_mixtures(results: Sequence[Result]) -> None:
    """Refuse scores that must not stand side by side.

    Raises:
        DataError: they come from different test sets, or were scored differently.
    """
    for result in results[1:]:
        for key, value in result.test.items():
            if value != results[0].test[key]:
                raise DataError(
                    f"`output` must hold scores of one test set, scored alike: `{key}` must be "
                    f"{results[0].test[key]!r}, as in {results[0].folder}, but is {value!r} in {result.folder} "
                    "instead; give another output, or remove `evaluation` from one of them to have it scored again"
                )


def cells(runs: Sequence[Run], results: Sequence[Result]) -> list[Cell]:
    """Gather the seeds of each attention in each experiment, in the order of the runs."""
    found = []
    for (experiment, attention), wanted in Counter((run.experiment, run.attention) for run in runs).items():
        same = [result for result in results if (result.experiment, result.attention) == (experiment, attention)]
        columns = {key: [getattr(result, key) for result in same] for key in COLUMNS}
        spreads = {key: Spread.of(values) for key, values in columns.items() if values and None not in values}
        found.append(Cell(experiment, attention, len(same), wanted, spreads))
    return found


def write_table(runs: Sequence[Run], results: Sequence[Result], overrides: Sequence[str], folder: Path) -> Path:
    """Write ``table.json`` and ``table.md`` and return the path of the latter.

    Args:
        runs: all that the table is made for, finished or not.
        results: of those that are finished.
        overrides: the settings that were given for every run.
        folder: where to write.

    Raises:
        DataError: the results must not stand side by side.
        UserError: the folder cannot be written.
    """
    refuse_mixtures(results)
    table = {
        "cells": [asdict(cell) for cell in cells(runs, results)],
        "runs": [asdict(result) for result in results],
        "seeds": list(dict.fromkeys(run.seed for run in runs)),
        "overrides": list(overrides),
        "versions": {
            "seq2seq": seq2seq.__version__,
            "torch": torch.__version__,
            "sacrebleu": sacrebleu.__version__,
            "python": platform.python_version(),
        },
    }
    text = json.dumps(table, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        for name, content in {"table.json": text, "table.md": markdown(runs, results, overrides)}.items():
            unfinished = folder / f".{name}.unfinished"
            unfinished.write_text(content, encoding="utf-8")
            os.replace(unfinished, folder / name)
    except OSError as error:
        raise UserError(f"the table cannot be written to {folder}: {error.strerror}") from error
    return folder / "table.md"


def markdown(runs: Sequence[Run], results: Sequence[Result], overrides: Sequence[str]) -> str:
    """Return the page: a table for each experiment, and below what was compared and how."""
    lines = ["# Attention scores compared", ""]
    head = ["attention", "seeds", *COLUMNS.values()]
    for experiment, group in itertools.groupby(cells(runs, results), key=lambda cell: cell.experiment):
        lines += [f"## {experiment}", "", "| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
        for cell in group:
            seeds = f"{cell.seeds}" if cell.seeds == cell.wanted else f"{cell.seeds} of {cell.wanted}"
            row = [cell.attention, seeds, *(in_words(cell.spreads.get(key), key in SCORES) for key in COLUMNS)]
            lines.append("| " + " | ".join(row) + " |")
        for facts in dict.fromkeys((one.model, one.budget) for one in results if one.experiment == experiment):
            lines += ["", f"{facts[0]}; {facts[1]}."]
        lines.append("")
    seeds = ", ".join(map(str, dict.fromkeys(run.seed for run in runs)))
    lines += [
        f"Seeds: {seeds}. Scores are means over them, ± the sample standard deviation. Runs of one table differ in "
        "the attention and the seed, in nothing else. Tokens per second are target tokens in training, the median of "
        "each run; seconds are those of training with its validations. Both depend on the machine and its "
        "other work.",
    ]
    lines += ["`2 of 3` seeds means that the others are not in yet."] if len(results) < len(runs) else []
    lines += ["", "Settings of every run: " + ", ".join(f"`{one}`" for one in overrides)] if overrides else []
    for test in [result.test for result in results[:1]]:
        languages = f"{test['source_language']}–{test['target_language']}"
        lines += ["", f"Test set: {test['sentences']:,} sentences {languages}, {test['split']} of {test['corpus']}."]
        lines += ["", *(f"* {COLUMNS[key]}: `{signature}`" for key, signature in test["signatures"].items())]
    return "\n".join(lines) + "\n"


def in_words(spread: Spread | None, is_score: bool) -> str:
    """Return the text of a cell: a score with its deviation, anything else as a whole number."""
    if spread is None:
        return "–"
    if not is_score:
        return f"{spread.mean:,.0f}"
    return f"{spread.mean:.1f}" + ("" if spread.deviation is None else f" ± {spread.deviation:.1f}")
