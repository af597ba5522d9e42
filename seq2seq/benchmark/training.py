"""What an update of a training run takes, phase by phase: the loop's own code on the run's own batches."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import torch

from seq2seq.assembly import make_learner, make_model, training_batches, with_token_budget
from seq2seq.benchmark.table import MIB, in_line, milliseconds
from seq2seq.benchmark.timing import finish
from seq2seq.data.batching import Batch, Position, TrainingBatches
from seq2seq.distributed.processes import Processes
from seq2seq.errors import ConfigError
from seq2seq.flops import pair_cost
from seq2seq.memory import forget_peak, keep_freed_memory, process_peak
from seq2seq.optim import Progress
from seq2seq.run import check_parts, prepare_data
from seq2seq.runs.config import RunConfig
from seq2seq.runs.finetuning import freeze
from seq2seq.runtime import choose_precision
from seq2seq.training.compiling import compiled, require_compiler
from seq2seq.training.learner import Learner
from seq2seq.training.log import Measurements
from seq2seq.training.utilisation import Gauge, in_units, matmul_rate

PHASES = ("data wait", "forward", "backward", "optimizer", "everything else")
"""Of an update. The optimizer has the norm of the gradient and its clipping with it."""

WARM_UP = 3
"""Updates before the first that counts: what is made once, such as a moment of the optimizer, is there after them."""

LEAST_UPDATES = 5
"""Updates that are timed at least, however long they take."""


@dataclass(frozen=True)
class TrainingTable:
    """What training took.

    Attributes:
        title: what was trained.
        updates: how many were timed, after :data:`WARM_UP` others.
        seconds: of a mean update, by phase.
        tokens_per_second: target tokens.
        quartiles: first and third quartile of the target tokens a second of single updates.
        source_tokens_per_second: likewise of the source.
        tokens: target tokens of a mean update.
        padding: share of the positions that hold no token.
        flops_per_token: of forward and backward pass, for a target token; None where the cost is unknown.
        utilisation: share of the device's speed; None likewise.
        matmul_rate: operations a second that stand for all of it.
        parameters: of the model.
        graphs: of torch's compiler; None where it was not asked for.
        compile_seconds: that it took, before the updates that were timed; None likewise.
        peak: most bytes that the process held, or that torch held on a GPU; None where the system does not tell.
    """

    title: str
    updates: int
    seconds: dict[str, float]
    tokens_per_second: float
    quartiles: tuple[float, float]
    source_tokens_per_second: float
    tokens: float
    padding: float
    flops_per_token: float | None
    utilisation: float | None
    matmul_rate: float
    parameters: int
    graphs: int | None
    compile_seconds: float | None
    peak: int | None

    def markdown(self) -> str:
        """Return the phases as a table under the title, and the other figures as a list."""
        whole = sum(self.seconds.values())
        lines = [f"## {self.title}", "", in_line(["phase", "ms an update", "share"]), "| --- | ---: | ---: |"]
        lines += [
            in_line([name, milliseconds(seconds), f"{seconds / whole:.1%}"])
            for name, seconds in {**self.seconds, "whole update": whole}.items()
        ]
        low, high = self.quartiles
        lines += [
            "",
            f"* target tokens a second: {self.tokens_per_second:,.0f} (of single updates, quartiles: {low:,.0f} – "
            f"{high:,.0f}); source tokens a second: {self.source_tokens_per_second:,.0f}",
            f"* updates timed: {self.updates}, of {self.tokens:,.0f} target tokens in the mean; padding: "
            f"{self.padding:.1%}",
            f"* parameters: {self.parameters:,}",
        ]
        if self.utilisation is not None and self.flops_per_token is not None:
            lines.append(
                f"* operations for a target token: {in_units(self.flops_per_token)}FLOP; utilisation: "
                f"{self.utilisation:.1%} of {in_units(self.matmul_rate)}FLOP/s, which a product of large matrices "
                "reaches here"
            )
        if self.graphs is not None:
            lines.append(
                f"* compiled graphs: {self.graphs}, in {self.compile_seconds:.0f} s before the updates timed"
            )
        if self.peak is not None:
            lines.append(f"* peak memory: {self.peak / MIB:,.0f} MiB")
        return "\n".join(lines) + "\n"


class Laps:
    """Adds up the time between calls, by name. On a GPU each call waits for the device.

    Args:
        device: where the work is done.

    Attributes:
        seconds: by name.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: Counter[str] = Counter()
        self.start()

    def start(self) -> None:
        """Begin a lap."""
        finish(self.device)
        self._last = time.perf_counter()

    def __call__(self, name: str) -> None:
        """End a lap and begin the next."""
        last = self._last
        self.start()
        self.seconds[name] += self._last - last  # type: ignore[assignment]  # typed for whole numbers


def training_table(config: RunConfig, device: torch.device, seconds: float) -> Iterator[TrainingTable]:
    """Measure training.

    Args:
        config: the run. Nothing is written but its prepared data.
        device: where.
        seconds: of timing.

    Raises:
        UserError: the configuration or the data cannot be used.
    """
    require_compiler(config.trainer.compile, device)
    keep_freed_memory()
    check_parts(config)
    data = prepare_data(config)
    precision = choose_precision(config.trainer.precision, device)
    alone = Processes()
    config = with_token_budget(config, data, device, alone)
    model = make_model(config, data).to(device).train()
    freeze(model, config.freeze)
    objective = config.objective().train()
    gauge = Gauge(pair_cost(model), objective.passes, matmul_rate(device, precision))
    learner = make_learner(config, model, objective, precision, alone)
    name = config.name or data.manifest["corpus"]["name"]
    title = f"Training {name}, {str(precision).removeprefix('torch.')}, batches of {config.trainer.max_tokens} tokens"
    with closing(training_batches(config, data)) as batches:
        yield timed(learner, batches, config, gauge, seconds, title)


def timed(
    learner: Learner, batches: TrainingBatches, config: RunConfig, gauge: Gauge, seconds: float, title: str
) -> TrainingTable:
    """Do updates as the training loop does them, and time their phases.

    Args:
        learner: what is trained.
        batches: the training data.
        config: the run.
        gauge: knows what a pair costs.
        seconds: of timing.
        title: what is trained, in words.
    """
    stream, schedule = batches.start(Position()), config.scheduler()
    laps = Laps(learner.gradients.device)
    learner.gradients.finished = laps
    speeds: list[float] = []
    measured = Measurements()
    whole = 0.0
    for step in range(10**9):
        if step == WARM_UP:
            laps.seconds.clear()
            measured, whole = Measurements(), 0.0
            forget_peak(learner.gradients.device)
        if step >= WARM_UP + LEAST_UPDATES and whole >= seconds:
            break
        laps.start()
        start = time.perf_counter()
        taken: tuple[Batch, ...] = tuple(next(stream)[0] for _ in range(config.trainer.batches))
        laps("data wait")
        tokens = sum(batch.target_tokens for batch in taken)
        nll = learner.update(taken, tokens, schedule.factor(Progress(step, 0.0)), step)
        laps("everything else")
        took = time.perf_counter() - start
        if nll is None:
            raise ConfigError(
                f"`train` must be a run that learns, but its loss or gradient is not finite at step {step}"
            )
        whole += took
        measured.add(taken, nll)
        if step >= WARM_UP:
            speeds.append(tokens / took)
    updates = len(speeds)
    found = gauge.values(measured.sums, whole)
    graphs, compile_seconds = (None, None) if config.trainer.compile == "none" else compiled()
    low, _, high = statistics.quantiles(speeds, n=4, method="inclusive")
    predicted = measured.target_tokens
    return TrainingTable(
        title=title,
        updates=updates,
        seconds={name: laps.seconds[name] / updates for name in PHASES},
        tokens_per_second=predicted / whole,
        quartiles=(low, high),
        source_tokens_per_second=measured.source_tokens / whole,
        tokens=predicted / updates,
        padding=1 - (predicted + measured.source_tokens) / measured.places,
        flops_per_token=found["flops_per_second"] * whole / predicted if found else None,
        utilisation=found.get("utilisation"),
        matmul_rate=gauge.rate,
        parameters=learner.model.num_parameters,
        graphs=graphs,
        compile_seconds=compile_seconds,
        peak=process_peak(learner.gradients.device),
    )
