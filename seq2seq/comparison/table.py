"""What a comparison of attentions has found: from finished runs to a table in Markdown and in JSON."""

from __future__ import annotations

import itertools
import json
import platform
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import sacrebleu
import torch

import seq2seq
from seq2seq.comparison.runs import SCORES, Result, Run, refuse_mixtures
from seq2seq.disk.replacing import write_whole
from seq2seq.errors import UserError

COLUMNS = {
    "bleu": "BLEU",
    "bleu_lowercase": "BLEU, lower-cased",
    "chrf": "chrF2",
    "parameters": "parameters",
    "tokens_per_second": "tokens/s",
    "seconds": "seconds",
    "updates": "updates",
    "entropy": "attention entropy",
    "alignment_error": "alignment error, %",
}
"""The measured columns of the table with their headings."""

MEASURED_SOMETIMES = ("entropy", "alignment_error")
"""Columns that are left out where no run has them."""

TABLE = "table.json"


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


def cells(runs: Sequence[Run], results: Sequence[Result]) -> list[Cell]:
    """Gather the seeds of each attention in each experiment, in the order of the runs."""
    found = []
    for (experiment, attention), wanted in Counter((run.experiment, run.attention) for run in runs).items():
        same = [result for result in results if (result.experiment, result.attention) == (experiment, attention)]
        columns = {key: [getattr(result, key) for result in same] for key in COLUMNS}
        spreads = {key: Spread.of(values) for key, values in columns.items() if values and None not in values}
        found.append(Cell(experiment, attention, len(same), wanted, spreads))
    experiments = list(dict.fromkeys(run.experiment for run in runs))
    return sorted(found, key=lambda cell: experiments.index(cell.experiment))


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
        write_whole(folder / TABLE, text)
        write_whole(folder / "table.md", markdown(runs, results, overrides))
    except OSError as error:
        raise UserError(f"the table cannot be written to {folder}: {error.strerror}") from error
    return folder / "table.md"


def markdown(runs: Sequence[Run], results: Sequence[Result], overrides: Sequence[str]) -> str:
    """Return the page: a table for each experiment, and below what was compared and how."""
    lines = ["# Attention scores compared", ""]
    columns = [
        key
        for key in COLUMNS
        if key not in MEASURED_SOMETIMES or any(getattr(result, key) is not None for result in results)
    ]
    head = ["attention", "seeds", *(COLUMNS[key] for key in columns)]
    for experiment, group in itertools.groupby(cells(runs, results), key=lambda cell: cell.experiment):
        lines += [f"## {experiment}", "", "| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
        for cell in group:
            seeds = f"{cell.seeds}" if cell.seeds == cell.wanted else f"{cell.seeds} of {cell.wanted}"
            row = [
                cell.attention.replace("|", "\\|"),
                seeds,
                *(in_words(cell.spreads.get(key), key) for key in columns),
            ]
            lines.append("| " + " | ".join(row) + " |")
        facts: dict[str, list[str]] = {}
        for one in results:
            if one.experiment == experiment:
                facts.setdefault(f"{one.model}; {one.budget}.", []).append(one.attention)
        for words, attentions in facts.items():
            whose = ", ".join(f"`{name}`" for name in dict.fromkeys(attentions)) + ": " if len(facts) > 1 else ""
            lines += ["", whose + words]
        lines.append("")
    seeds = ", ".join(map(str, dict.fromkeys(run.seed for run in runs)))
    lines += [
        f"Seeds: {seeds}. Scores are means over them, ± the sample standard deviation. Runs of one table differ in "
        "the seed and in what their row says, in nothing else. Tokens per second are target tokens in training, the "
        "median of each run; seconds are those of training with its validations. Both depend on the machine and its "
        "other work.",
    ]
    if "entropy" in columns:
        lines.append(
            "Attention entropy is that of the attention to the source, in nats, the mean of all heads of all layers; "
            "0 looks at one piece only."
        )
    if "alignment_error" in columns:
        lines.append("The alignment error rate is that of the layer with the lowest.")
    lines += ["`2 of 3` seeds means that the others are not in yet."] if len(results) < len(runs) else []
    lines += ["", "Settings of every run: " + ", ".join(f"`{one}`" for one in overrides)] if overrides else []
    if results:
        test = results[0].test
        languages = f"{test['source_language']}–{test['target_language']}"
        lines += ["", f"Test set: {test['sentences']:,} sentences {languages}, {test['split']} of {test['corpus']}."]
        lines += ["", *(f"* {COLUMNS[key]}: `{signature}`" for key, signature in test["signatures"].items())]
    return "\n".join(lines) + "\n"


def in_words(spread: Spread | None, column: str) -> str:
    """Return the text of a cell: a score with its deviation, anything else as a number."""
    if spread is None:
        return "–"
    digits = {"entropy": 2}.get(column, 1 if column in (*SCORES, "alignment_error") else 0)
    deviation = spread.deviation if column in (*SCORES, *MEASURED_SOMETIMES) else None
    return f"{spread.mean:,.{digits}f}" + ("" if deviation is None else f" ± {deviation:.{digits}f}")
