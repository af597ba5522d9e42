"""The one assembly: from a configuration to parts, and from parts to a finished run. Read this file first.

Each function here is one command. It reads top to bottom: what is made of what, and in which order.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.config import Component, NonNegativeInt, Values
from seq2seq.data.batching import TrainingBatches
from seq2seq.data.cleaning import CleaningConfig
from seq2seq.data.corpora import Corpus
from seq2seq.data.prepare import prepare
from seq2seq.data.store import PreparedData
from seq2seq.data.tokenizer import TokenizerConfig
from seq2seq.errors import ConfigError, DataError, listing
from seq2seq.evaluation.evaluate import TestSet
from seq2seq.inference import report_on
from seq2seq.log import say, warn
from seq2seq.model import Architecture
from seq2seq.objectives import Objective
from seq2seq.optim import Optimizer, Schedule
from seq2seq.runfolder import find_previous, make_run_folder
from seq2seq.runtime import choose_device, choose_precision, describe_device, seed_everything
from seq2seq.search import SearchConfig
from seq2seq.trainer import Trainer
from seq2seq.training import TrainerConfig
from seq2seq.translate import Translator, load_weights
from seq2seq.validation import Validator


@dataclass(frozen=True)
class RunConfig(Architecture):
    """Everything that decides a training run.

    Attributes:
        name: groups runs: they are kept in ``runs/<name>/``; null takes the name of the corpus.
        run_dir: the run folder; null for a new one. A folder that has checkpoints goes on from them.
        prepared_dir: where prepared data is kept.
        seed: decides initial weights, batches and dropout.
        evaluate_split: split to evaluate when training is over; null for none.
        data: the corpus.
        cleaning: which pairs are kept.
        tokenizer: the vocabulary.
        objective: what is minimised.
        optimizer: how weights are updated.
        scheduler: how the learning rate changes.
        trainer: how long, how large, how often.
        search: how translations are read out.
    """

    name: str | None
    run_dir: str | None
    prepared_dir: str
    seed: NonNegativeInt
    evaluate_split: str | None
    data: Component[Corpus]
    cleaning: CleaningConfig
    tokenizer: TokenizerConfig
    objective: Component[Objective]
    optimizer: Component[Optimizer]
    scheduler: Component[Schedule]
    trainer: TrainerConfig
    search: SearchConfig

    def __post_init__(self) -> None:
        if self.model.tie_embeddings == "all" and not self.tokenizer.joint:
            raise ConfigError(
                "`model.tie_embeddings` must be 'target' or 'none' where `tokenizer.joint` is false, but is 'all'"
            )


def prepare_data(config: RunConfig) -> PreparedData:
    """Make the corpus's token store, or find it made."""
    corpus = config.data()
    return prepare(corpus, config.cleaning, config.tokenizer, root=Path(config.prepared_dir), report=say)


def check_parts(config: RunConfig) -> None:
    """Build the model without memory and without data, so that parts that do not fit are refused at once.

    Raises:
        ConfigError: the message names the key to change.
    """
    choose_precision(config.trainer.precision, choose_device(config.trainer.device))
    with torch.device("meta"):
        config.build(config.tokenizer.vocab_size, config.tokenizer.vocab_size)


def train(config: RunConfig, values: Values) -> Path:
    """Train a model, evaluate its best checkpoint and return the run folder.

    Raises:
        UserError: the configuration, the data or the run folder cannot be used.
    """
    device = choose_device(config.trainer.device)
    check_parts(config)
    data = prepare_data(config)
    if "validation" not in data.splits:
        raise DataError(
            "`data` must have a validation split (for files: validation, valid, val or dev), "
            f"but has only {listing(data.splits)}"
        )
    source, target = data.ids("train")
    batches = TrainingBatches(
        source,
        target,
        max_tokens=config.trainer.max_tokens,
        multiple=config.trainer.length_multiple,
        seed=config.seed,
    )
    run = make_run_folder(config.run_dir, config.name or data.manifest["corpus"]["name"])
    previous = find_previous(run, values)
    precision = choose_precision(config.trainer.precision, device)
    if previous is not None:
        precision = getattr(torch, previous.config["precision"])
    else:
        (run / "config.json").write_text(json.dumps(dict(values), indent=2, ensure_ascii=False) + "\n")

    seed_everything(config.seed)
    model = config.build(data.source_tokenizer.vocab_size, data.target_tokenizer.vocab_size).to(device)
    if previous is not None:
        load_weights(model, previous)
    objective = config.objective()
    translator = Translator(model, data.source_tokenizer, data.target_tokenizer, warn)

    def snapshot(metrics: dict[str, Any], tensors: dict[str, torch.Tensor], state: dict[str, Any]) -> Any:
        return checkpoint.Snapshot(
            weights={name: value.detach().clone() for name, value in model.named_parameters()},
            config={
                "languages": [data.source, data.target],
                "data": data.manifest["key"],
                "precision": str(precision).removeprefix("torch."),
                "settings": dict(values),
            },
            tokenizers=tokenizer_files(data),
            metrics=metrics,
            training_tensors=tensors,
            training=state,
        )

    trainer = Trainer(
        model=model,
        objective=objective,
        optimizer=config.optimizer(list(model.named_parameters())),
        schedule=config.scheduler(),
        batches=batches,
        validate=Validator(translator, objective, data, config.trainer, config.search, precision),
        snapshot=snapshot,
        config=config.trainer,
        precision=precision,
        run=run,
    )
    say(f"Run folder {run}: {model.num_parameters:,} parameters, {describe_device(device)}, {precision}")
    if previous is not None:
        if previous.config["data"] != data.manifest["key"]:
            raise ConfigError(
                f"`data` must be what {run} was trained on, but its content has changed; use a new run_dir"
            )
        trainer.resume(previous)
        say(f"Going on from step {trainer.state.step}")
    trainer.train()
    if trainer.stopped_by is not None:
        sys.exit({"SIGINT": 130, "SIGTERM": 143}.get(trainer.stopped_by.name, 0))
    if config.evaluate_split is not None:
        evaluate_after_training(config, data, run)
    return run


def tokenizer_files(data: PreparedData) -> dict[str, bytes]:
    """Return the SentencePiece models under the names they have in a checkpoint."""
    source, target = data.source_tokenizer, data.target_tokenizer
    if source is target:
        return {"tokenizer.model": source.serialized}
    return {"source.model": source.serialized, "target.model": target.serialized}


def evaluate_after_training(config: RunConfig, data: PreparedData, run: Path) -> None:
    """Evaluate the best checkpoint on the split asked for, where the corpus has it."""
    assert config.evaluate_split is not None
    try:
        split = data.resolve(config.evaluate_split)
        sources, references = data.text(split)
    except DataError as error:
        warn(f"no evaluation: {error}")
        return
    test = TestSet(split, data.source, data.target, sources, references)
    report_on(run, test, config.search, config.trainer.device, None, run / "evaluation" / split)
