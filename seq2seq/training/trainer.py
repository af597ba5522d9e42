"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot
from seq2seq.data.batching import Planned, TrainingBatches
from seq2seq.errors import CheckpointError, UserError
from seq2seq.objectives import Objective
from seq2seq.optim import Schedule
from seq2seq.signals import SignalHandling
from seq2seq.terminal import duration
from seq2seq.training.compiling import compiled
from seq2seq.training.config import TrainerConfig
from seq2seq.training.following import NoLog, NoSaver, load_alike
from seq2seq.training.learner import Learner
from seq2seq.training.limits import Limits
from seq2seq.training.log import Measurements, RunLog
from seq2seq.training.saving import Saver, point_at, require_room
from seq2seq.training.state import State, Validation
from seq2seq.training.utilisation import Gauge

MOST_BAD_STEPS = 20
"""Updates in a row with a loss or a gradient that is not finite, before the run goes back to a checkpoint."""

MOST_RETURNS = 3
"""Times that a run goes back to one and the same checkpoint before it gives up."""

LOWERED = 0.5
"""Factor of the learning rate each time that a run goes back."""

FIRST_STEPS = 10
"""Updates of a new run in which all batches are too large for the memory, before it gives up."""

Stream = Iterator[Planned]


class _NotFiniteError(Exception):
    """The run cannot go on from where it is."""


class Trainer:
    """Steps a model until a limit is reached; what it writes lets the next process go on from there.

    Several processes go through the loop side by side. Each decision in it follows from what all of them have alike:
    counters, the data, results of validations, and what they agree on after each update (:meth:`_agree`). Only errors
    may come to one alone; they end all.

    Args:
        learner: what is trained, and how it is updated.
        objective: what is minimised.
        schedule: factor of the learning rate.
        batches: the training data.
        validate: measures the model as it is; gives None where it has been asked to stop on the way.
        snapshot: makes a checkpoint's contents from weights, metrics, training tensors and training values.
        config: see :class:`TrainerConfig`.
        run: the run folder.
        gauge: tells what share of the device's speed is used.

    Attributes:
        stopped_by: the signal that has asked the run to stop.
    """

    def __init__(
        self,
        *,
        learner: Learner,
        objective: Objective,
        schedule: Schedule,
        batches: TrainingBatches,
        validate: Callable[[Callable[[], bool]], Validation | None],
        snapshot: Callable[[dict[str, Tensor], dict[str, Any], dict[str, Tensor], dict[str, Any]], Snapshot],
        config: TrainerConfig,
        run: Path,
        gauge: Gauge,
    ) -> None:
        self.learner, self.objective, self.schedule = learner, objective, schedule
        self.batches, self.validate, self.snapshot = batches, validate, snapshot
        self.config, self.run, self.gauge, self.processes = config, run, gauge, learner.processes
        self.checkpoints = run / "checkpoints"
        self.limits = Limits(config, batches)
        self.state = State()
        self.metrics: dict[str, Any] = {}
        self.stopped_by: signal.Signals | None = None
        self._asked_by = 0
        self._saved: tuple[int, int] | None = None
        self._bad_steps = self._returns = 0
        self._returned_to: int | None = None
        self._start = time.perf_counter()

    def train(self) -> State:
        """Train until a limit, the end of patience or a signal.

        Raises:
            UserError: the loss stays non-finite, or nothing fits into memory.
            CheckpointError: a checkpoint cannot be written.
        """
        config, learner = self.config, self.learner
        if self.processes.is_first:
            require_room(self.run, config.keep_last + config.keep_best + 1, learner.size)
        self.processes.course.step = self.state.step
        self._start = time.perf_counter() - self.state.seconds
        learner.model.train()
        self.objective.train()
        stream = self.batches.planned(self.state.position)
        measured = Measurements()
        prune = partial(
            checkpoint.prune, keep_last=config.keep_last, keep_best=config.keep_best, metric=config.best_metric
        )
        saver = (Saver if self.processes.is_first else NoSaver)(self.checkpoints, prune)
        own_log = RunLog(self.run, self.state.step, self._validated) if self.processes.is_first else NoLog()
        with own_log as log, SignalHandling(self._stop), saver:
            while True:
                over = self._is_over()
                try:
                    with measured.paused():
                        self._reach(over, saver, log)
                    if over:
                        break
                    if not self._is_over():
                        self._update(stream, measured)
                        if self.state.step % config.log_every == 0:
                            self._report(log, measured, saver)
                            measured = Measurements()
                except _NotFiniteError as reason:
                    stream = self._go_back(str(reason), saver, log)
                    measured = Measurements()
            saver.wait()
            log.say(self._why_it_ends())
        return self.state

    def _is_over(self) -> bool:
        return self.stopped_by is not None or self.limits.are_reached(self.state)

    def _agree(self) -> None:
        """Give all processes one clock, that of the first, and one answer to whether they are asked to stop."""
        clock = time.perf_counter() - self._start if self.processes.is_first else 0.0
        self.state.seconds, asked_by = self.processes.largest([clock, self._asked_by])
        self.stopped_by = signal.Signals(int(asked_by)) if asked_by else None

    def _reach(self, over: bool, saver: Saver, log: RunLog) -> None:
        """Validate and save where this step asks for it; the first step and the last are always saved.

        What has been done for this step already, in whatever process, is not done again.
        """
        state, config = self.state, self.config
        # In the middle of bad updates the newest checkpoint must stay one from before them.
        settled = not self._bad_steps
        to_validate = settled and state.step // config.validate_every > self._validated // config.validate_every
        if (over or to_validate) and self._validated < state.step and not self.stopped_by:
            self._validate(log)
            self._agree()
        to_save = settled and (state.step % config.checkpoint_every == 0 or self._validated == state.step)
        if to_save or (over and (settled or not self.stopped_by)):
            self._save(saver)
            self._agree()
        if state.step == 0:
            saver.wait()  # what is wrong with the disk shows before the first update
        if saver.failed:
            saver.wait()

    def _update(self, stream: Stream, measured: Measurements) -> None:
        """Do one update from the next ``accumulate`` batches, normalised by all their target tokens together.

        The processes take turns at the batches, so that their number changes nothing but who computes what.
        """
        state, processes = self.state, self.processes
        planned = [next(stream) for _ in range(self.config.batches)]
        batches = [one.make() for one in planned[processes.rank :: processes.count]]
        tokens = sum(one.target_tokens for one in planned)
        nll = self.learner.update(
            batches, tokens, self.schedule.factor(self.limits.progress(self.state)) * state.rate, state.step
        )
        state.step += 1
        state.position = planned[-1].after
        processes.course.step = state.step
        self._agree()
        if nll is None:
            state.skipped += 1
            self._bad_steps += 1
        else:
            self._bad_steps = 0
            measured.add(batches, nll)
        if self._bad_steps == MOST_BAD_STEPS:
            raise _NotFiniteError(
                f"the loss or its gradient was not finite in {MOST_BAD_STEPS} updates up to step {state.step}"
            )
        if self.learner.gradients.cut_updates == state.step == FIRST_STEPS:
            self.learner.gradients.refuse(self.config.token_budget)

    def _go_back(self, reason: str, saver: Saver, log: RunLog) -> Stream:
        """Go on from the newest checkpoint with a lower learning rate; return the data from there.

        Raises:
            UserError: that has been tried often enough.
        """
        saver.wait()
        snapshot = load_alike(self.processes, self.checkpoints, partial(self._earlier, log))
        if snapshot is None:
            raise CheckpointError(f"{reason}, and {self.checkpoints} has no checkpoint to go back to")
        step = self._returned_to = snapshot.training["step"]
        rate = self.state.rate * LOWERED
        self._returns += 1
        if self._returns > MOST_RETURNS:
            raise UserError(
                f"{reason} ({self.learner.blame}), and so it was after going back {MOST_RETURNS} times, last to "
                f"step {step}, each time with {LOWERED:g} of the learning rate; give a new run_dir with a lower "
                f"`optimizer.learning_rate` (now {self.learner.optimizer.initial_rate:g}), a lower "
                "`trainer.clip_norm`, or trainer.precision=fp32"
            )
        where = f"going back to step {step}, with {rate:g} of the learning rate"
        log.say(f"warning: {reason} ({self.learner.blame}); {where}")
        self.resume(snapshot)
        self.state.rate = rate
        self._bad_steps = 0
        log.rewind(self.state.step, self._validated)
        return self.batches.planned(self.state.position)

    def _earlier(self, log: RunLog) -> Snapshot | None:
        """Return the newest checkpoint; it may be bad itself, so the second time it is the one before."""
        snapshot, warnings = checkpoint.load_newest(self.checkpoints, before=self._returned_to)
        if snapshot is None:
            snapshot, warnings = checkpoint.load_newest(self.checkpoints)
        for words in warnings:
            log.say(f"warning: {words}")
        return snapshot

    def _why_it_ends(self) -> str:
        state = self.state
        if self.stopped_by is not None:
            where = (
                "here" if self._saved is None or not self._bad_steps else f"step {self._saved[0]}, the last good one"
            )
            return f"stopped by {self.stopped_by.name} at step {state.step}; resume={self.run} goes on from {where}"
        why = "patience is over" if self.limits.out_of_patience(self.state) else "its limit is reached"
        return f"training ends at step {state.step} after {duration(state.seconds)}: {why}"

    def _report(self, log: RunLog, measured: Measurements, saver: Saver) -> None:
        """Write and show what was measured since the last report."""
        measured.add_up(self.processes)
        beside = {"saving_seconds": round(saver.waited, 3), "writing_seconds": round(saver.writing, 3)}
        if self.config.compile != "none":
            beside["compiled_graphs"] = compiled()[0]
        rate, fraction = self.learner.optimizer.learning_rate, self.limits.progress(self.state).fraction
        log.training(self.state, {**measured.values(self.gauge), **beside}, rate, fraction)

    def _validate(self, log: RunLog) -> None:
        """Measure the averaged weights, remember whether they are the best, and show some translations."""
        state, config = self.state, self.config
        if not self.learner.is_finite:
            raise _NotFiniteError(f"some weights were not finite at step {state.step}")
        with self.learner.averaged():
            try:
                found = self.validate(lambda: self.learner.gradients.spread.gives_up(self._asked_by > 0))
            except CheckpointError as error:  # weights that are finite and give numbers that are not
                raise _NotFiniteError(f"the model of step {state.step} cannot translate: {error}") from None
        self.learner.model.train()
        if found is None:
            return  # stopped on the way; done again when the run goes on
        better = found.better_than(state.best, config.best_metric)
        state.best, state.stale = (found.value(config.best_metric), 0) if better else (state.best, state.stale + 1)
        self.metrics = {"validated_at": state.step, **found.row}
        log.write({"step": state.step, "seconds": round(state.seconds, 2), **found.row})
        log.validation(state.step, found, better)

    @property
    def _validated(self) -> int:
        """The update after which the model was last validated, in whatever process; 0 before the first."""
        return int(self.metrics.get("validated_at", 0))

    @property
    def _is_best(self) -> bool:
        state = self.state
        return self._validated == state.step and state.stale == 0 and state.best is not None

    def _save(self, saver: Saver) -> None:
        """Begin to write a checkpoint, unless this step has one."""
        state = self.state
        now = state.step, self._validated
        if now == self._saved:
            return
        with saver.timed():
            captured = self.learner.captured()
        if captured is None:
            raise _NotFiniteError(f"some weights were not finite at step {state.step}")
        weights, tensors = captured
        metrics = {"step": state.step, **self.metrics}
        saver.save(self.snapshot(weights, metrics, tensors, asdict(state)), state.step, best=self._is_best)
        self._saved = now
        self._returns, self._returned_to = 0, None

    def resume(self, snapshot: Snapshot) -> None:
        """Go on from a checkpoint of this run.

        Raises:
            CheckpointError: what it says of the training cannot be.
        """
        self.state = State.restored(snapshot.training)
        self.learner.restore(snapshot)
        self.metrics = {key: value for key, value in snapshot.metrics.items() if key != "step"}
        self._saved = self.state.step, self._validated
        if not self.processes.is_first:
            return
        checkpoint.set_aside(self.checkpoints, self.state.step)
        # The process before may have been killed when the checkpoint was written and no link led to it yet.
        point_at(checkpoint.folder_of(self.checkpoints, self.state.step), best=self._is_best)

    def _stop(self, number: int) -> None:
        self._asked_by = number
