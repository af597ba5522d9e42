"""The one assembly: from a configuration to parts, and from parts to a finished run. Read this file first.

Each function here is one command. It reads top to bottom: what is made of what, and in which order.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.config import Component, NonNegativeInt, parse
from seq2seq.data.batching import TrainingBatches
from seq2seq.data.cleaning import CleaningConfig
from seq2seq.data.corpora import Corpus
from seq2seq.data.prepare import prepare
from seq2seq.data.store import PreparedData
from seq2seq.data.tokenizer import TokenizerConfig
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.evaluate import TestSet, evaluate_translator
from seq2seq.evaluation.report import summary_lines, write_report
from seq2seq.evaluation.results import Evaluation
from seq2seq.log import read_log
from seq2seq.model import Architecture
from seq2seq.objectives import Objective
from seq2seq.optim import Optimizer, Schedule
from seq2seq.runtime import DeviceName, choose_device, choose_precision, describe_device, seed_everything
from seq2seq.search import SearchConfig
from seq2seq.trainer import Trainer, TrainerConfig
from seq2seq.translate import TRUSTED, Translator, load_weights
from seq2seq.validation import Validator

Values = Mapping[str, Any]
"""A configuration as plain values, for checkpoints."""


@dataclass(frozen=True)
class RunConfig(Architecture):
    """Everything that decides a training run.

    Attributes:
        name: groups runs: they are kept in ``runs/<name>/``.
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

    name: str
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


@dataclass(frozen=True)
class EvaluateConfig:
    """What to evaluate, on what.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint.
        split: split of the corpus.
        data: another corpus than the one the model was trained on; null for that one.
        search: how to translate.
        device: where to compute.
        output: folder of the report; null for ``evaluation/<split>`` in the run folder.
        allow_code: packages beside seq2seq whose classes the checkpoint may name.
    """

    checkpoint: str
    split: str
    data: Component[Corpus] | None
    search: SearchConfig
    device: DeviceName
    output: str | None
    allow_code: Sequence[str]


@dataclass(frozen=True)
class TranslateConfig:
    """What to translate, with what.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint.
        input: a text file, one sentence a line; null for standard input.
        output: where translations go; null for standard output.
        search: how to translate.
        device: where to compute.
        allow_code: packages beside seq2seq whose classes the checkpoint may name.
    """

    checkpoint: str
    input: str | None
    output: str | None
    search: SearchConfig
    device: DeviceName
    allow_code: Sequence[str]


def say(words: str) -> None:
    """Print a line for the user, at once."""
    print(words, flush=True)


def warn(words: str) -> None:
    """Print a warning where it cannot mix with translations."""
    print(f"warning: {words}", file=sys.stderr, flush=True)


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
    seed_everything(config.seed)
    run = make_run_folder(config)
    previous = find_previous(run, values)
    precision = choose_precision(config.trainer.precision, device)
    if previous is not None:
        precision = getattr(torch, previous.config["precision"])
    else:
        (run / "config.json").write_text(json.dumps(dict(values), indent=2, ensure_ascii=False) + "\n")

    model = config.build(data.source_tokenizer.vocab_size, data.target_tokenizer.vocab_size).to(device)
    if previous is not None:
        load_weights(model, previous)
    objective = config.objective()
    source, target = data.ids("train")
    batches = TrainingBatches(
        source,
        target,
        max_tokens=config.trainer.max_tokens,
        multiple=config.trainer.length_multiple,
        seed=config.seed,
    )
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


def make_run_folder(config: RunConfig) -> Path:
    """Return the folder asked for, or a new one that no other process can have chosen."""
    try:
        if config.run_dir is not None:
            run = Path(config.run_dir)
            run.mkdir(parents=True, exist_ok=True)
            return run
        while True:
            run = Path("runs") / config.name / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
            run.parent.mkdir(parents=True, exist_ok=True)
            try:
                run.mkdir()
            except FileExistsError:
                continue
            return run
    except OSError as error:
        raise ConfigError(f"`run_dir` must be a folder that can be written, but is not: {error}") from None


HARMLESS = ("name", "run_dir", "prepared_dir", "evaluate_split", "trainer", "search")
"""Sections that a run may change when it goes on."""


def find_previous(run: Path, values: Values) -> checkpoint.Snapshot | None:
    """Return what a run folder goes on from, or None where it is new.

    Raises:
        CheckpointError: all its checkpoints are damaged.
        ConfigError: it was made with other settings that matter.
    """
    folder, warnings = checkpoint.newest_valid(run / "checkpoints")
    for words in warnings:
        warn(words)
    if folder is None:
        return None
    previous = checkpoint.load(folder, training=True)
    mistakes = [
        f"`{key}` must be {previous.config['settings'].get(key)!r}, as it was when {run} began, "
        f"but is {values[key]!r} instead; give a new run_dir to start afresh"
        for key in values
        if key not in HARMLESS and values[key] != previous.config["settings"].get(key)
    ]
    if mistakes:
        raise ConfigError(mistakes)
    return previous


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
    report_on(run, test, config.search, config.trainer.device, (), run / "evaluation" / split)


def evaluate(config: EvaluateConfig, values: Values) -> Path:
    """Evaluate a checkpoint and return the path of the report.

    Raises:
        UserError: the checkpoint, the corpus or the split cannot be used.
    """
    folder = checkpoint.locate(Path(config.checkpoint))
    if config.data is not None:
        corpus = config.data()
    else:
        trained = checkpoint.load(folder).config["settings"]["data"]
        corpus = parse(_DataOnly, {"data": trained}, allowed=(TRUSTED, *config.allow_code)).data()
    split = corpus.resolve(config.split)
    pairs = list(corpus.pairs(split))
    if not pairs:
        raise DataError(f"`split` must have sentences, but {split} of {corpus.describe()} has none")
    test = TestSet(split, corpus.source, corpus.target, [s for s, _ in pairs], [t for _, t in pairs])
    run = folder.parent.parent if folder.parent.name == "checkpoints" else folder
    output = Path(config.output) if config.output else run / "evaluation" / split
    return report_on(folder, test, config.search, config.device, config.allow_code, output)


@dataclass(frozen=True)
class _DataOnly:
    data: Component[Corpus]


def report_on(
    path: Path, test: TestSet, search: SearchConfig, device: DeviceName, allow_code: Any, output: Path
) -> Path:
    """Translate a test set, score it, write the report and print the scores."""
    folder = checkpoint.locate(path)
    snapshot = checkpoint.load(folder)
    languages = tuple(snapshot.config["languages"])
    if languages != (test.source_language, test.target_language):
        raise DataError(
            f"`data` must be {languages[0]}-{languages[1]}, the direction of the checkpoint, "
            f"but is {test.source_language}-{test.target_language} instead"
        )
    translator = Translator.restore(snapshot, device, allow_code, warn)
    run = folder.parent.parent
    evaluation: Evaluation = evaluate_translator(
        translator, test, search, history=read_log(run), facts=facts_of(folder, snapshot, translator)
    )
    report = write_report(evaluation, output)
    for line in summary_lines(evaluation):
        say(line)
    say(f"Report: {report}")
    return report


def facts_of(folder: Path, snapshot: checkpoint.Snapshot, translator: Translator) -> dict[str, str]:
    """Return what a reader of the report wants to know about the model."""
    settings = snapshot.config["settings"]
    device = next(translator.model.parameters()).device
    return {
        "checkpoint": str(folder),
        "trained until": f"step {snapshot.metrics.get('step', 'unknown')}",
        "parameters": f"{translator.model.num_parameters:,}",
        "encoder": settings["encoder"]["_target_"].rpartition(".")[2],
        "attention": settings["attention"]["score"]["_target_"].rpartition(".")[2],
        "decoder": settings["decoder"]["_target_"].rpartition(".")[2],
        "data": json.dumps(settings["data"], ensure_ascii=False),
        "data key": str(snapshot.config["data"]),
        "seed": str(settings["seed"]),
        "device": describe_device(device),
        "torch": torch.__version__,
    }


def translate(config: TranslateConfig, values: Values) -> None:
    """Translate a file or standard input, line by line.

    Raises:
        UserError: the checkpoint or a file cannot be used.
    """
    translator = Translator.load(config.checkpoint, device=config.device, allow_code=config.allow_code, warn=warn)
    try:
        lines = open(config.input, "rb") if config.input else sys.stdin.buffer  # noqa: SIM115 (closed below)
        output = open(config.output, "w", encoding="utf-8") if config.output else sys.stdout  # noqa: SIM115
    except OSError as error:
        raise DataError(f"cannot open {error.filename}: {error.strerror}") from None
    with lines, output:
        texts = (line.decode("utf-8", errors="replace").rstrip("\n") for line in lines)
        for translation in translator.stream(texts, config.search):
            output.write(translation.replace("\n", " ") + "\n")
        output.flush()
