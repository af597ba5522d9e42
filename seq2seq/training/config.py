"""The settings of the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from seq2seq.config import Duration, NonNegativeInt, PositiveFloat, PositiveInt, Probability
from seq2seq.errors import ConfigError
from seq2seq.runtime import DeviceName, Precision
from seq2seq.training.compiling import Compile

Parallel = Literal["ddp", "fsdp"]

AUTO_EPOCHS = 8
"""Passes over the corpus where no limit is given: enough for a good model of a small corpus."""


@dataclass(frozen=True)
class TrainerConfig:
    """How long, how large and how often.

    Attributes:
        max_steps: updates after which training ends; null for no such limit.
        max_time: time after which it ends, such as ``15m``, validations on the way included; the last validation
            and checkpoint come on top; null for no such limit.
        max_epochs: passes over the corpus after which it ends; ``auto`` is ``AUTO_EPOCHS`` where neither of the
            others is set, and no limit where one is.
        max_tokens: padded tokens in a batch, on the longer side; ``auto`` finds out what fits into memory.
        length_multiple: lengths are padded to multiples of this, so that batches have few shapes.
        accumulate: batches whose gradients are summed for one update, by all processes together; ``auto``: one for
            each of them.
        parallel: how several processes share a model: each has all of it (``ddp``), or a part of it (``fsdp``).
        clip_norm: largest norm of the gradient.
        ema_decay: decay of the exponential average of weights; 0 for none.
        device: where to compute.
        precision: of matrix products; ``auto`` takes bf16 where it pays.
        compile: whether torch compiles the model, and how long it may look for the fastest kernels.
        recompute_activations: whether sub-layers compute their activations again for the gradient instead of keeping
            them, which saves memory and costs time.
        deterministic: whether a GPU computes the same bits each time, which costs some speed; a CPU always does.
        log_every: updates between measurements.
        validate_every: updates between validations.
        validation_sentences: sentences translated at each validation; 0 for the loss alone.
        validation_beam: beam of those translations.
        checkpoint_every: updates between checkpoints.
        keep_last: newest checkpoints kept, beside the best.
        keep_best: checkpoints kept that were validated best.
        best_metric: what makes a checkpoint the best.
        patience: validations without a better one after which training ends; null for never.
        samples: translations shown at each validation.
    """

    max_steps: PositiveInt | None
    max_time: Duration | None
    max_epochs: Literal["auto"] | PositiveInt | None
    max_tokens: Literal["auto"] | PositiveInt
    length_multiple: PositiveInt
    accumulate: Literal["auto"] | PositiveInt
    parallel: Parallel
    clip_norm: PositiveFloat
    ema_decay: Probability
    device: DeviceName
    precision: Precision
    compile: Compile
    recompute_activations: bool
    deterministic: bool
    log_every: PositiveInt
    validate_every: PositiveInt
    validation_sentences: NonNegativeInt
    validation_beam: PositiveInt
    checkpoint_every: PositiveInt
    keep_last: PositiveInt
    keep_best: PositiveInt
    best_metric: Literal["bleu", "loss"]
    patience: PositiveInt | None
    samples: NonNegativeInt

    @property
    def token_budget(self) -> int:
        """The value of ``max_tokens``, with ``auto`` resolved by the run."""
        assert self.max_tokens != "auto"
        return self.max_tokens

    @property
    def epochs(self) -> int | None:
        """The limit of ``max_epochs``, with ``auto`` resolved."""
        if self.max_epochs == "auto":
            return AUTO_EPOCHS if self.max_steps is None and self.max_time is None else None
        return self.max_epochs

    @property
    def batches(self) -> int:
        """Batches of an update, of which one process that has not been told otherwise takes one."""
        return 1 if self.accumulate == "auto" else self.accumulate

    def __post_init__(self) -> None:
        if self.max_steps is None and self.max_time is None and self.max_epochs is None:
            raise ConfigError(
                "`trainer.max_epochs`, `trainer.max_steps` or `trainer.max_time` must be set, or training would "
                "never end, but all are null instead; give trainer.max_epochs=auto"
            )
        if self.best_metric == "bleu" and self.validation_sentences == 0:
            raise ConfigError(
                "`best_metric` must be 'loss' where `trainer.validation_sentences` is 0, but is 'bleu' instead"
            )
