"""The settings of a training run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from seq2seq.config import Component, Range, Values
from seq2seq.data.cleaning import CleaningConfig
from seq2seq.data.corpora import Corpus
from seq2seq.data.mixing import MixingConfig
from seq2seq.data.sampling import Sampling
from seq2seq.data.store import Prepared
from seq2seq.data.tokenizer import TokenizerConfig
from seq2seq.errors import ConfigError
from seq2seq.model import Architecture
from seq2seq.objectives import Objective
from seq2seq.optim import Optimizer, Schedule
from seq2seq.search import Search
from seq2seq.training.config import TrainerConfig


@dataclass(frozen=True)
class RunConfig(Architecture):
    """Everything that decides a training run.

    Attributes:
        name: groups runs: they are kept in ``runs/<name>/``; null takes the name of the corpus.
        run_dir: the run folder; null for a new one. A folder that has checkpoints goes on from them.
        prepared_dir: where prepared data is kept.
        seed: decides initial weights, batches and dropout.
        evaluate_split: split to evaluate when training is over; null for none.
        resume: run folder to go on from, with its own settings; the command line resolves it before a run is made,
            so that a run has null.
        init_from: run folder or checkpoint whose weights a new run begins with; null for random ones.
        freeze: name patterns of parameters that stay as they are, such as ``encoder.*``.
        data: the corpus.
        cleaning: which pairs are kept.
        tokenizer: the vocabulary.
        sampling: whether the pieces of training text are drawn anew in every epoch.
        mixing: how much of each portion of a mixture an epoch holds.
        objective: what is minimised.
        optimizer: how weights are updated.
        scheduler: how the learning rate changes.
        trainer: how long, how large, how often.
        search: how translations are read out.
    """

    name: str | None
    run_dir: str | None
    prepared_dir: str
    seed: Annotated[int, Range(low=0, high=2**63 - 1)]
    evaluate_split: str | None
    resume: str | None
    init_from: str | None
    freeze: Sequence[str]
    data: Component[Corpus]
    cleaning: CleaningConfig
    tokenizer: TokenizerConfig
    sampling: Component[Sampling]
    mixing: MixingConfig
    objective: Component[Objective]
    optimizer: Component[Optimizer]
    scheduler: Component[Schedule]
    trainer: TrainerConfig
    search: Search

    @property
    def unused(self) -> dict[str, str]:
        """Sections and single settings that these parts have no use for, and why."""
        parts = (self.encoder.target, self.decoder.target)
        recurrent = not any(part.uses_self_attention for part in parts)
        brought = self.data.target is Prepared  # which was cleaned and has a tokenizer
        found = {"self_attention": "neither encoder nor decoder attends to itself"} if recurrent else {}
        if brought:
            return found | {"cleaning": "the data is prepared", "tokenizer": "the data is prepared"}
        if self.tokenizer.model is not None:
            found |= {f"tokenizer.{key}": "`tokenizer.model` is given" for key in self.tokenizer.identity()}
        return found

    def __post_init__(self) -> None:
        joint = self.tokenizer.joint or self.tokenizer.model is not None  # of which one finds out when it is read
        if self.model.tie_embeddings == "all" and not joint:
            raise ConfigError(
                "`model.tie_embeddings` must be 'target' or 'none' where `tokenizer.joint` is false, "
                "but is 'all' instead"
            )


Compose = Callable[[Sequence[str]], tuple[RunConfig, Values]]
"""Gives the configuration of a training run for its overrides."""
