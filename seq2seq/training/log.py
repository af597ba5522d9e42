"""What a run writes while it goes: a JSONL log, TensorBoard curves and words on the terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.errors import DataError, printable
from seq2seq.plainjson import is_number, is_whole, values_of
from seq2seq.replacing import write_whole

LOG_FILE = "log.jsonl"

LONGEST_ROW = 2**16
"""Bytes; a row has a dozen numbers, and one more for each validation split."""


def read_log(run: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's log, each with its ``step`` and other numbers.

    A last row torn by a crash is left out, and so is whatever no run writes: the folder may be a stranger's.

    Raises:
        DataError: the file cannot be read.
    """
    rows: list[dict[str, Any]] = []
    path = run / LOG_FILE
    if not path.is_file():
        return rows
    try:
        with path.open("rb") as file:
            for line in iter(partial(file.readline, LONGEST_ROW), b""):
                row = values_of(line)
                if isinstance(row, dict) and is_whole(row.get("step")):
                    rows.append({key: value for key, value in row.items() if is_number(value)})
    except ValueError:
        pass  # torn
    except OSError as error:
        raise DataError(f"{path} must be the log of a run, but cannot be read: {error.strerror}") from error
    return rows


class Measurements:
    """Sums between two reports. Losses stay on the device until they are read."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.nll: Tensor | float = 0.0
        self.target_tokens = 0
        self.source_tokens = 0
        self.places = 0

    def add(self, batch: Batch, nll: Tensor) -> None:
        """Count one batch."""
        assert batch.target is not None
        self.nll = self.nll + nll.detach()
        self.target_tokens += batch.target_tokens
        self.source_tokens += batch.source_tokens
        self.places += batch.source.numel() + batch.target.numel() - batch.target.shape[0]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of a ``with`` block out of the speeds: nothing is trained in it."""
        start = time.perf_counter()
        yield
        self.start += time.perf_counter() - start

    def values(self) -> dict[str, float]:
        """Return loss (nats a piece), speeds (tokens a second) and the share of padding."""
        seconds = time.perf_counter() - self.start
        tokens = self.source_tokens + self.target_tokens
        return {
            "train_loss": float(self.nll) / max(1, self.target_tokens),
            "tokens_per_second": self.target_tokens / seconds,
            "source_tokens_per_second": self.source_tokens / seconds,
            "padding": 1 - tokens / max(1, self.places),
        }


class RunLog:
    """Writes every measurement to ``log.jsonl`` and TensorBoard, and shows a bar or plain lines.

    A terminal gets a bar; a file or a pipe gets one line for each measurement, because bars make logs unreadable.

    Args:
        run: the run folder.
        step: updates done before this process; rows that a killed process wrote after that are dropped.
        validated: the update after which those were last validated; rows of later validations are dropped, too.
    """

    def __init__(self, run: Path, step: int, validated: int) -> None:
        # torch's writer alone takes half a second to import, which only training should pay.
        from torch.utils.tensorboard import SummaryWriter

        kept = [
            row for row in read_log(run) if row.get("step", 0) <= (validated if "validation_loss" in row else step)
        ]
        path = run / LOG_FILE
        write_whole(path, (json.dumps(row) + "\n" for row in kept))
        self.file = path.open("a", encoding="utf-8")
        purge = {"purge_step": step + 1} if step else {}
        self.board = SummaryWriter(str(run / "tensorboard"), **purge)
        self.console = Console(highlight=False)
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), console=self.console
        )
        self.task: TaskID | None = None
        if self.console.is_terminal:
            self.task = self.bar.add_task("training", total=1.0, words="")

    def __enter__(self) -> RunLog:
        if self.task is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
        self.file.close()
        self.board.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row of measurements; ``step`` says which update it belongs to."""
        self.file.write(json.dumps({"time": round(time.time(), 3), **row}) + "\n")
        self.file.flush()
        for name, value in row.items():
            if name != "step" and isinstance(value, (int, float)):
                self.board.add_scalar(name, value, row["step"])

    def say(self, words: str) -> None:
        """Print a line; text from a corpus is shown as it is, never read as markup."""
        self.console.print(escape(printable(words)), soft_wrap=True)

    def progress(self, fraction: float, words: str) -> None:
        """Show how far the run is: on a terminal in the bar, else as a line."""
        if self.task is None:
            self.say(words)
        else:
            self.bar.update(self.task, completed=fraction, words=words)
