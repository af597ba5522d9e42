"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seq2seq import checkpoint
from seq2seq.data.batching import Batch, Position, TrainingBatches
from seq2seq.errors import CheckpointError, UserError
from seq2seq.model import Seq2SeqModel
from seq2seq.objectives import Objective
from seq2seq.optim import ExponentialAverage, Optimizer, Progress, Schedule
from seq2seq.runtime import autocast, random_state, restore_random_state
from seq2seq.signals import SignalHandling
from seq2seq.terminal import duration
from seq2seq.training.config import TrainerConfig
from seq2seq.training.log import Measurements, RunLog
from seq2seq.training.state import State, Validation
from seq2seq.translate import load_weights

MOST_BAD_STEPS = 20
"""Updates in a row with a gradient that is not finite, before the run gives up."""


class Trainer:
    """Steps a model until a limit is reached; what it writes lets the next process go on from there.

    Args:
        model: the model, on its device.
        objective: what is minimised.
        optimizer: updates the model.
        schedule: factor of the learning rate.
        batches: the training data.
        validate: measures the model as it is.
        snapshot: makes a checkpoint's contents from metrics, training tensors and training values.
        config: see :class:`TrainerConfig`.
        precision: of matrix products, already chosen.
        run: the run folder.
    """

    def __init__(
        self,
        *,
        model: Seq2SeqModel,
        objective: Objective,
        optimizer: Optimizer,
        schedule: Schedule,
        batches: TrainingBatches,
        validate: Callable[[], Validation],
        snapshot: Callable[[dict[str, Any], dict[str, Tensor], dict[str, Any]], checkpoint.Snapshot],
        config: TrainerConfig,
        precision: torch.dtype,
        run: Path,
    ) -> None:
        self.model, self.objective, self.optimizer, self.schedule = model, objective, optimizer, schedule
        self.batches, self.validate, self.snapshot = batches, validate, snapshot
        self.config, self.precision, self.run = config, precision, run
        self.device = next(model.parameters()).device
        self.average = ExponentialAverage(model.parameters(), config.ema_decay) if config.ema_decay else None
        self.state = State()
        self.metrics: dict[str, Any] = {}
        self.stopped_by: signal.Signals | None = None
        self.bad_steps = 0

    def train(self) -> State:
        """Train until a limit, the end of patience or a signal.

        Raises:
            UserError: the gradient stayed non-finite.
            CheckpointError: a checkpoint cannot be written.
        """
        config, state = self.config, self.state
        before = state.seconds
        start = time.perf_counter()
        stream = self.batches.start(state.position)
        self.model.train()
        self.objective.train()
        with RunLog(self.run, state.step, self._validated) as log, self._signals():
            measured = Measurements()
            saved = state.step
            while self._progress().fraction < 1.0 and self.stopped_by is None and not self._out_of_patience():
                self._update(stream, measured)
                state.seconds = before + time.perf_counter() - start
                if state.step % config.log_every == 0:
                    self._report(log, measured)
                    measured = Measurements()
                with measured.paused():
                    if state.step % config.validate_every == 0:
                        self._validate(log)
                    state.seconds = before + time.perf_counter() - start
                    if state.step % config.checkpoint_every == 0 or self._validated == state.step:
                        self._save()
                        saved = state.step
            unsaved = saved < state.step
            if self.stopped_by is None and self._validated < state.step:
                self._validate(log)
                unsaved = True
            if unsaved:
                self._save()
            if self.stopped_by is None:
                why = "patience is over" if self._out_of_patience() else "its limit is reached"
                log.say(f"training ends at step {state.step} after {duration(state.seconds)}: {why}")
            else:
                log.say(
                    f"stopped by {self.stopped_by.name} at step {state.step}; run_dir={self.run} goes on from here"
                )
        return state

    def _update(self, stream: Iterator[tuple[Batch, Position]], measured: Measurements) -> None:
        """Do one update from ``accumulate`` batches, normalised by all their target tokens together."""
        batches = [next(stream) for _ in range(self.config.accumulate)]
        tokens = sum(batch.target_tokens for batch, _ in batches)
        factor = self.schedule.factor(self._progress())
        for batch, _ in batches:
            with autocast(self.device, self.precision):
                sums = self.objective(self.model, batch.to(self.device))
            (sums.total / tokens).backward()
            measured.add(batch, sums.nll)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        if math.isfinite(norm):
            self.optimizer.step(factor)
            self.bad_steps = 0
            if self.average is not None:
                self.average.update(self.state.step)
        else:
            self._skip()
        self.optimizer.zero_grad()
        self.state.step += 1
        self.state.position = batches[-1][1]

    def _skip(self) -> None:
        """Leave out an update whose gradient is not finite; give up after many in a row."""
        self.state.skipped += 1
        self.bad_steps += 1
        if self.bad_steps >= MOST_BAD_STEPS:
            raise UserError(
                f"the gradient was not finite in {self.bad_steps} updates in a row, up to step {self.state.step}; "
                f"lower `optimizer.learning_rate` (now {self.optimizer.learning_rate:g}) or `trainer.clip_norm`, "
                "or use trainer.precision=fp32"
            )

    def _progress(self) -> Progress:
        """Return how far the run is: the furthest of its limits counts."""
        config, state = self.config, self.state
        shares = [0.0]
        if config.max_steps:
            shares.append(state.step / config.max_steps)
        if config.max_time:
            shares.append(state.seconds / config.max_time)
        if config.epochs:
            shares.append(self.batches.epochs(state.position) / config.epochs)
        return Progress(state.step, min(1.0, max(shares)))

    def _out_of_patience(self) -> bool:
        return self.config.patience is not None and self.state.stale >= self.config.patience

    def _report(self, log: RunLog, measured: Measurements) -> None:
        """Write and show what was measured since the last report."""
        state, fraction = self.state, self._progress().fraction
        values = measured.values()
        left = state.seconds * (1 - fraction) / fraction if fraction > 0 else 0.0
        log.write(
            {
                "step": state.step,
                "epoch": state.position.epoch,
                "seconds": round(state.seconds, 2),
                **values,
                "learning_rate": self.optimizer.learning_rate,
                "skipped": state.skipped,
            }
        )
        log.progress(
            fraction,
            f"step {state.step}  epoch {state.position.epoch + 1}  loss {values['train_loss']:.3f}  "
            f"{values['tokens_per_second']:,.0f} tokens/s  rate {self.optimizer.learning_rate:.2g}  "
            f"left {duration(left)}",
        )

    def _validate(self, log: RunLog) -> None:
        """Measure the averaged weights, remember whether they are the best, and show some translations."""
        state = self.state
        if self.average is None:
            found = self.validate()
        else:
            with self.average.applied():
                found = self.validate()
        self.model.train()
        value = -found.loss if self.config.best_metric == "loss" or found.bleu is None else found.bleu
        better = state.best is None or value > state.best
        state.best, state.stale = (value, 0) if better else (state.best, state.stale + 1)
        row = {"validation_loss": found.loss} | ({} if found.bleu is None else {"validation_bleu": found.bleu})
        row |= {f"bleu_of_{split}": score for split, score in found.scores.items()}
        self.metrics = {"validated_at": state.step, **row}
        log.write({"step": state.step, "seconds": round(state.seconds, 2), **row})
        words = "" if found.bleu is None else f"  BLEU {found.bleu:.2f}"
        log.say(f"validation at step {state.step}: loss {found.loss:.3f}{words}{'  (best)' if better else ''}")
        if found.scores:
            log.say("    BLEU of " + ", ".join(f"{split} {score:.2f}" for split, score in found.scores.items()))
        for source, reference, translation in found.samples:
            log.say(f"    source       {source}\n    reference    {reference}\n    translation  {translation}")

    @property
    def _validated(self) -> int:
        """The update after which the model was last validated, in whatever process; 0 before the first."""
        return int(self.metrics.get("validated_at", 0))

    def _save(self) -> None:
        """Write a checkpoint and let links lead to it."""
        checkpoints = self.run / "checkpoints"
        tensors = {f"optimizer.{name}": value for name, value in self.optimizer.state().items()}
        tensors |= {f"random.{name}": value for name, value in random_state(self.device).items()}
        metrics = {"step": self.state.step, **self.metrics}
        if self.average is None:
            snapshot = self.snapshot(metrics, tensors, asdict(self.state))
        else:
            # The averaged weights are the model; the raw ones are what training goes on from.
            tensors |= {f"raw.{name}": value.detach().clone() for name, value in self.model.named_parameters()}
            with self.average.applied():
                snapshot = self.snapshot(metrics, tensors, asdict(self.state))
        self._point(checkpoint.save(snapshot, checkpoints, self.state.step))
        checkpoint.prune(checkpoints, self.config.keep_last)

    def _point(self, folder: Path) -> None:
        """Let ``last`` lead to the checkpoint of now, and ``best`` too where none was better."""
        checkpoint.point(folder.parent, "last", folder)
        if self._validated == self.state.step and self.state.stale == 0 and self.state.best is not None:
            checkpoint.point(folder.parent, "best", folder)

    def resume(self, snapshot: checkpoint.Snapshot) -> None:
        """Go on from a checkpoint whose weights are already in the model.

        Raises:
            CheckpointError: what it says of the training cannot be.
        """
        tensors = snapshot.training_tensors
        self.state = State.restored(snapshot.training)
        if self.average is not None:
            with torch.no_grad():
                for parameter, average in zip(self.model.parameters(), self.average.averages, strict=True):
                    average.copy_(parameter)
            load_weights(self.model, replace(snapshot, weights=part(tensors, "raw.")))
        try:
            self.optimizer.load_state(part(tensors, "optimizer."))
            restore_random_state(part(tensors, "random."), self.device)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint's training state does not fit the run: {error}") from error
        self.metrics = {key: value for key, value in snapshot.metrics.items() if key != "step"}
        # The process before may have been killed when the checkpoint was written and no link led to it yet.
        self._point(checkpoint.folder_of(self.run / "checkpoints", self.state.step))

    def _signals(self) -> SignalHandling:
        return SignalHandling(self._stop)

    def _stop(self, number: int) -> None:
        self.stopped_by = signal.Signals(number)


def part(tensors: dict[str, Tensor] | Any, prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name begins with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
