"""What a run writes while it goes: a JSONL log, TensorBoard curves and words on the terminal."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from torch import Tensor

from seq2seq.data.batching import Batch
from seq2seq.disk.plainjson import is_number, is_whole, values_of
from seq2seq.disk.replacing import write_whole
from seq2seq.distributed.processes import Processes
from seq2seq.errors import DataError, UserError, printable
from seq2seq.flops import powers_of
from seq2seq.terminal import duration, warn
from seq2seq.training.state import State, Validation
from seq2seq.training.utilisation import Gauge

LOG_FILE = "log.jsonl"

LONGEST_ROW = 2**16
"""Bytes; a row has a dozen numbers, and one more for each validation split."""


def read_log(run: Path) -> list[dict[str, Any]]:
    """Return the rows of a run's log, each with its ``step`` and other numbers.

    A row torn by a crash is left out, and so is whatever no run writes: the folder may be a stranger's.

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
                with suppress(ValueError):
                    row = values_of(line)
                    if isinstance(row, dict) and is_whole(row.get("step")):
                        rows.append({key: value for key, value in row.items() if is_number(value)})
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
        self.sums = np.zeros(6, dtype=np.int64)

    def add(self, batches: Sequence[Batch], nll: Tensor) -> None:
        """Count the batches of an update, with their negative log-likelihood in nats."""
        self.nll = self.nll + nll
        for batch in batches:
            assert batch.target is not None
            self.target_tokens += batch.target_tokens
            self.source_tokens += batch.source_tokens
            self.places += batch.source.numel() + batch.target.numel() - batch.target.shape[0]
            self.sums += powers_of(batch)

    def add_up(self, processes: Processes) -> None:
        """Add what the other processes have counted; the loss is read for it."""
        own = [float(self.nll), self.target_tokens, self.source_tokens, self.places, *self.sums.tolist()]
        self.nll, target, source, places, *sums = processes.sums(own)
        self.target_tokens, self.source_tokens, self.places = int(target), int(source), int(places)
        self.sums = np.array(sums, dtype=np.int64)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time of a ``with`` block out of the speeds: nothing is trained in it."""
        start = time.perf_counter()
        yield
        self.start += time.perf_counter() - start

    def values(self, gauge: Gauge) -> dict[str, float]:
        """Return loss (nats a piece), speeds (tokens a second), the share of padding, and that of the device's speed.

        There is no loss where every update was left out.

        Args:
            gauge: knows what a pair costs, and what the device can do.
        """
        seconds = time.perf_counter() - self.start
        tokens = self.source_tokens + self.target_tokens
        return ({"train_loss": float(self.nll) / self.target_tokens} if self.target_tokens else {}) | {
            "tokens_per_second": self.target_tokens / seconds,
            "source_tokens_per_second": self.source_tokens / seconds,
            "padding": 1 - tokens / max(1, self.places),
            **gauge.values(self.sums, seconds),
        }


def _quiet_about_disks(failed: threading.ExceptHookArgs) -> None:
    if not isinstance(failed.exc_value, OSError):
        threading.__excepthook__(failed)


class RunLog:
    """Writes every measurement to ``log.jsonl`` and TensorBoard, and shows a bar or plain lines.

    A terminal gets a bar; a file or a pipe gets one line for each measurement, because bars make logs unreadable.

    Args:
        run: the run folder.
        step: updates done before this process; rows that a killed process wrote after that are dropped.
        validated: the update after which those were last validated; rows of later validations are dropped, too.
    """

    def __init__(self, run: Path, step: int, validated: int) -> None:
        self.run = run
        self._open(step, validated)
        self.console = Console(highlight=False)
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[words]}"), console=self.console
        )
        self.task: TaskID | None = None
        if self.console.is_terminal:
            self.task = self.bar.add_task("training", total=1.0, words="")

    def __enter__(self) -> RunLog:
        # The thread that writes curves prints a traceback when the disk refuses; the next row raises the same error.
        self._excepthook, threading.excepthook = threading.excepthook, _quiet_about_disks
        if self.task is not None:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
        threading.excepthook = self._excepthook
        with suppress(UserError) if error else nullcontext():  # what went wrong first is what matters
            self._close()

    def _open(self, step: int, validated: int, *, again: bool = False) -> None:
        # torch's writer alone takes half a second to import, which only training should pay.
        from torch.utils.tensorboard import SummaryWriter

        kept = [row for row in read_log(self.run) if row["step"] <= (validated if "validation_loss" in row else step)]
        purge = {"purge_step": step + 1} if step or again else {}
        with self._writing():
            self._keep_damaged()
            write_whole(self.run / LOG_FILE, (json.dumps(row) + "\n" for row in kept))
            self.file = (self.run / LOG_FILE).open("a", encoding="utf-8")
            self.board = SummaryWriter(str(self.run / "tensorboard"), **purge)

    def _keep_damaged(self) -> None:
        """Keep a copy of a log that has more than a torn last row, because only whole rows are written again."""
        path = self.run / LOG_FILE
        lines = path.read_bytes().count(b"\n") if path.is_file() else 0
        if lines - len(read_log(self.run)) > 1:
            copy = path.with_name(f"{LOG_FILE}.damaged")
            shutil.copyfile(path, copy)
            warn(f"{path} has lines that are no measurements; they are left out, and all of it is kept as {copy}")

    def _close(self) -> None:
        with self._writing():
            self.file.close()
        with self._writing():
            self.board.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Turn what a disk refuses inside a ``with`` block into an error for the user."""
        try:
            yield
        except OSError as error:
            raise UserError(f"the log of the run cannot be written to {self.run}: {error}") from error

    def rewind(self, step: int, validated: int) -> None:
        """Drop all rows after an update, as a new process would."""
        self._close()
        self._open(step, validated, again=True)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row of measurements; ``step`` says which update it belongs to."""
        with self._writing():
            self.file.write(json.dumps({"time": round(time.time(), 3), **row}) + "\n")
            self.file.flush()
            for name, value in row.items():
                if name != "step" and isinstance(value, (int, float)):
                    self.board.add_scalar(name, value, row["step"])

    def say(self, words: str) -> None:
        """Print a line; text from a corpus is shown as it is, never read as markup."""
        self.console.print(escape(printable(words)), soft_wrap=True)

    def training(self, state: State, values: Mapping[str, float], rate: float, fraction: float) -> None:
        """Write and show what was measured while training.

        Args:
            state: where the run is.
            values: see :meth:`Measurements.values`.
            rate: the learning rate.
            fraction: share of the run that is over.
        """
        self.write(
            {
                "step": state.step,
                "epoch": state.position.epoch,
                "seconds": round(state.seconds, 2),
                **values,
                "learning_rate": rate,
                "skipped": state.skipped,
            }
        )
        left = state.seconds * (1 - fraction) / fraction if fraction > 0 else 0.0
        loss = f"{values['train_loss']:.3f}" if "train_loss" in values else "not finite"
        used = f" ({values['utilisation']:.0%} of the device)" if "utilisation" in values else ""
        self.progress(
            fraction,
            f"step {state.step}  epoch {state.position.epoch + 1}  loss {loss}  "
            f"{values['source_tokens_per_second']:,.0f} + {values['tokens_per_second']:,.0f} tokens/s{used}  "
            f"rate {rate:.2g}  left {duration(left)}",
        )

    def validation(self, step: int, found: Validation, best: bool) -> None:
        """Show a validation with its translations."""
        words = "" if found.bleu is None else f"  BLEU {found.bleu:.2f}"
        self.say(f"validation at step {step}: loss {found.loss:.3f}{words}{'  (best)' if best else ''}")
        if found.scores:
            self.say("    BLEU of " + ", ".join(f"{split} {score:.2f}" for split, score in found.scores.items()))
        for source, reference, translation in found.samples:
            self.say(f"    source       {source}\n    reference    {reference}\n    translation  {translation}")

    def progress(self, fraction: float, words: str) -> None:
        """Show how far the run is: on a terminal in the bar, else as a line."""
        if self.task is None:
            self.say(words)
        else:
            self.bar.update(self.task, completed=fraction, words=words)
