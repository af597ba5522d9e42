"""Runs of several processes, which a test starts, harms and compares."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn

from seq2seq.cli import fail
from seq2seq.config import parse
from seq2seq.data.batching import Batch
from seq2seq.encoders.transformer import TransformerEncoder
from seq2seq.errors import UserError
from seq2seq.model import Seq2SeqModel
from seq2seq.objectives import CrossEntropy, LossSums
from seq2seq.optim import AdamW
from seq2seq.run import train
from seq2seq.runs.config import RunConfig
from seq2seq.training.log import read_log
from seq2seq.training.trainer import MOST_BAD_STEPS

PATIENCE = 60.0
"""Seconds in which the end of one process must have ended all."""

Values = dict[str, Any]


class Harm(NamedTuple):
    """What happens to a process in the middle of an update, counted from 1."""

    what: str
    rank: int
    step: int


class Forgetful(TransformerEncoder):
    """An encoder with a parameter that it does not use."""

    @functools.wraps(TransformerEncoder.__init__)
    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.forgotten = nn.Parameter(torch.zeros(3))


class Ended(NamedTuple):
    """How processes ended: their exit statuses and what each printed, by rank; seconds since the first one ended."""

    statuses: list[int | None]
    printed: list[str]
    seconds: float


def begin(values: Values, run: Path, count: int, harm: Harm | None = None) -> list[BaseProcess]:
    """Start a run of several processes, as torchrun would."""
    context = multiprocessing.get_context("forkserver")
    slow_to_import = ["torch.utils.tensorboard", "torch.distributed.fsdp", "torch.distributed.device_mesh"]
    context.set_forkserver_preload(["seq2seq.faults.trials", "seq2seq.cli", __name__, *slow_to_import])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    settings = {**values, "run_dir": str(run)}
    processes: list[BaseProcess] = [
        context.Process(target=_train, args=(settings, rank, count, port, harm)) for rank in range(count)
    ]
    for process in processes:
        process.start()
    return processes


def end(processes: Sequence[BaseProcess], run: Path, patience: float = PATIENCE) -> Ended:
    """Wait until all have ended, those that are left a limited time after the first."""
    while all(process.is_alive() for process in processes):
        time.sleep(0.01)
    first = time.perf_counter()
    for process in processes:
        process.join(max(0.0, patience - (time.perf_counter() - first)))
    seconds = time.perf_counter() - first
    statuses = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
        process.join()
    texts = [Path(f"{run}.{rank}.txt") for rank in range(len(processes))]
    return Ended(statuses, [path.read_text(encoding="utf-8") for path in texts], seconds)


def finish(values: Values, run: Path, count: int, harm: Harm | None = None) -> Ended:
    """Train to the end, whatever that is."""
    return end(begin(values, run, count, harm), run)


def _train(values: Values, rank: int, count: int, port: int, harm: Harm | None) -> None:
    file = os.open(f"{values['run_dir']}.{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    torch.set_num_threads(1)
    if count > 1:
        place = {
            "RANK": rank,
            "WORLD_SIZE": count,
            "LOCAL_RANK": rank,
            "LOCAL_WORLD_SIZE": count,
            "MASTER_PORT": port,
        }
        os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
    if harm is not None and harm.rank == rank:
        _harm(harm)
    try:
        train(parse(RunConfig, values), values)
    except UserError as error:
        sys.stdout.flush()
        fail(error)


def _harm(harm: Harm) -> None:
    """Let something happen before the weights change in an update, or to the losses of many from one on."""
    if harm.what == "infinite losses":
        _poison(harm.step)
        return
    real, taken = AdamW.step, 0

    def step(self: AdamW, factor: float) -> None:
        nonlocal taken
        taken += 1
        if taken == harm.step:
            _do(harm.what)
        real(self, factor)

    AdamW.step = step  # type: ignore[method-assign]  # on purpose: it fails then


def _poison(step: int) -> None:
    real, seen = CrossEntropy.forward, 0

    def forward(self: CrossEntropy, model: Seq2SeqModel, batch: Batch) -> LossSums:
        nonlocal seen
        sums = real(self, model, batch)
        seen += self.training
        bad = self.training and step <= seen < step + MOST_BAD_STEPS
        return sums._replace(total=sums.total * torch.inf) if bad else sums

    CrossEntropy.forward = forward  # type: ignore[method-assign]  # on purpose: it fails then


def _do(what: str) -> None:
    if what == "memory":
        raise UserError("`trainer.max_tokens` must be less")
    if what == "bug":
        raise ZeroDivisionError("a bug")
    os.kill(os.getpid(), signal.Signals[what])


def curve(run: Path) -> list[tuple[float | None, ...]]:
    """What a run measured, in order: steps, losses, scores, padding."""
    names = ("step", "train_loss", "padding", "learning_rate", "validation_loss", "validation_bleu")
    return [tuple(row.get(name) for name in names) for row in read_log(run)]


def furthest(one: Path, other: Path) -> float:
    """The largest difference between the curves of two runs, and between all that they have learnt."""
    first, second = curve(one), curve(other)
    assert [[value is None for value in row] for row in first] == [[value is None for value in row] for row in second]
    numbers = [zip(*rows, strict=True) for rows in zip(first, second, strict=True)]
    far = max(abs(a - b) for row in numbers for a, b in row if a is not None and b is not None)
    for name in ("model.safetensors", "training.safetensors"):
        tensors, others = (load_file(run / "checkpoints" / "last" / name) for run in (one, other))
        assert tensors.keys() == others.keys()
        far = max(far, *(float((tensors[key] - others[key]).abs().max()) for key in tensors))
    states = [json.loads((run / "checkpoints" / "last" / "training.json").read_text()) for run in (one, other)]
    assert states[0]["position"] == states[1]["position"]
    return far
