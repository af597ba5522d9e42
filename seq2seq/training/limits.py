"""How far a run is, and when it is over."""

from __future__ import annotations

from seq2seq.data.batching import TrainingBatches
from seq2seq.optim import Progress
from seq2seq.training.config import TrainerConfig
from seq2seq.training.state import State


class Limits:
    """What ends a run, as a function of where it is.

    Args:
        config: has the limits.
        batches: tell how far an epoch is.
    """

    def __init__(self, config: TrainerConfig, batches: TrainingBatches) -> None:
        self.config, self.batches = config, batches

    def progress(self, state: State) -> Progress:
        """Return how far the run is: the furthest of its limits counts."""
        config = self.config
        shares = [0.0]
        if config.max_steps:
            shares.append(state.step / config.max_steps)
        if config.max_time:
            shares.append(state.seconds / config.max_time)
        if config.epochs:
            shares.append(self.batches.epochs(state.position) / config.epochs)
        return Progress(state.step, min(1.0, max(shares)))

    def out_of_patience(self, state: State) -> bool:
        """Return whether too many validations have passed without a better one."""
        return self.config.patience is not None and state.stale >= self.config.patience

    def are_reached(self, state: State) -> bool:
        """Return whether one of them is."""
        return self.progress(state).fraction >= 1.0 or self.out_of_patience(state)
