"""What a benchmark has found: a page of tables in Markdown, the same in JSON, and the facts of the machine."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

import seq2seq
from seq2seq.benchmark.timing import Timing
from seq2seq.errors import ConfigError, UserError
from seq2seq.runtime import describe_device

MIB = 2**20

CPU_FACTS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        names: what was measured, under the table's first headings.
        timing: how long it takes, and in relation to the baseline.
        peak: bytes held at once; None where they were not asked for.
    """

    names: Sequence[str]
    timing: Timing
    peak: int | None


@dataclass(frozen=True)
class Table:
    """Measurements that belong together.

    Attributes:
        title: what was measured, with its sizes.
        headings: over the names of the rows.
        rows: the measurements; where they have peaks, ratios of memory are to the first one.
    """

    title: str
    headings: Sequence[str]
    rows: Sequence[Row]

    def markdown(self) -> str:
        """Return the table under its title."""
        numbers = ["time, ratio", "quartiles", "ms", "rounds"]
        base = self.rows[0].peak
        if base is not None:
            numbers += ["memory, ratio", "MiB"]
        lines = [f"## {self.title}", "", in_line([*self.headings, *numbers])]
        lines.append("|" + " --- |" * len(self.headings) + " ---: |" * len(numbers))
        for row in self.rows:
            time = row.timing
            cells = [f"{time.ratio:.2f}", f"{time.low:.2f} – {time.high:.2f}"]
            cells += [milliseconds(time.seconds), f"{time.rounds:,}"]
            if base is not None and row.peak is not None:
                cells += [f"{row.peak / base:.2f}", f"{row.peak / MIB:.1f}"]
            lines.append(in_line([*row.names, *cells]))
        return "\n".join(lines) + "\n"


class Page(Protocol):
    """What a table of whatever kind has: a dataclass of plain values, which writes itself as Markdown."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def markdown(self) -> str:
        """Return the table under its title."""


def milliseconds(seconds: float) -> str:
    """Return a time in milliseconds with three digits, or as a whole number where it has more."""
    return f"{1000 * seconds:,.0f}" if seconds >= 0.1 else f"{1000 * seconds:.3g}"


def in_line(cells: Sequence[str]) -> str:
    """Return cells as a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def check_page(output: str | None) -> None:
    """Refuse to write a page to what is no page.

    Raises:
        ConfigError: its name does not end in .md.
    """
    if output is not None and Path(output).suffix != ".md":
        raise ConfigError(f"`output` must be a file that ends in .md, but is {output!r} instead")


def writable_page(output: str | None) -> Path | None:
    """Return the file to write, its folder made and tried: now, before all that is to be written in it.

    Raises:
        ConfigError: it cannot be written.
    """
    if output is None:
        return None
    path = Path(output)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ConfigError(f"`output` must be in a folder that can be written, but is not: {error}") from None
    if path.is_dir():
        raise ConfigError(f"`output` must be a file, but {output} is a folder")
    return path


def machine(device: torch.device) -> dict[str, str]:
    """Return what a measurement depends on and a reader cannot know: the machine, the versions, the command."""
    return {
        "command": shlex.join(["python", *sys.argv]),
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "device": describe_device(device),
        "processor": processor(),
        "cores": f"{os.cpu_count()}",
        "threads": f"{torch.get_num_threads()}",
        "load before": f"{os.getloadavg()[0]:.1f} processes at work, mean of a minute",
        "versions": f"seq2seq {seq2seq.__version__}, torch {torch.__version__}, Python {platform.python_version()}",
    }


def processor() -> str:
    """Return the name of the processor, as far as the system tells it."""
    if CPU_FACTS.is_file():
        for line in CPU_FACTS.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def facts_in_words(facts: Mapping[str, str]) -> str:
    """Return facts as a Markdown list; the command stands as code."""
    words = {key: f"`{fact}`" if key == "command" else fact for key, fact in facts.items()}
    return "\n".join(f"* {key}: {fact}" for key, fact in words.items()) + "\n"


def write(page: str, facts: Mapping[str, str], tables: Sequence[Page], path: Path) -> None:
    """Write the page, and beside it all numbers as JSON: seconds and bytes, not rounded.

    Raises:
        UserError: they cannot be written.
    """
    values = {"facts": facts, "tables": [asdict(table) for table in tables]}
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        path.write_text(page, encoding="utf-8")
        path.with_suffix(".json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"the tables cannot be written to {path}: {error.strerror}") from error
