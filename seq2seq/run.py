"""The one assembly: from a configuration to parts, and from parts to a finished run. Read this file first.

:func:`train` reads top to bottom: what is made of what, and in which order.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot
from seq2seq.config import Values
from seq2seq.data.batching import TrainingBatches
from seq2seq.data.given import given_tokenizers
from seq2seq.data.mixing import Mixing
from seq2seq.data.model_fields import model_type
from seq2seq.data.sampling import SampledBatches
from seq2seq.data.store import Prepared, PreparedData
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.evaluate import TestSet
from seq2seq.finetuning import begin_with, freeze, lasting, locate_initial, trainable
from seq2seq.lock import only_writer
from seq2seq.memory import keep_freed_memory
from seq2seq.preparation import prepare_corpus
from seq2seq.reporting import Reporter
from seq2seq.runconfig import RunConfig
from seq2seq.runfolder import begun, find_previous, make_run_folder, refuse_changes, write_settings
from seq2seq.runtime import choose_device, choose_precision, compute_the_same_bits, describe_device, seed_everything
from seq2seq.signals import exit_status
from seq2seq.terminal import say, warn
from seq2seq.training.gradients import Gradients
from seq2seq.training.learner import Learner
from seq2seq.training.trainer import Trainer
from seq2seq.training.validation import Validator
from seq2seq.translate import Translator


def prepare_data(config: RunConfig) -> PreparedData:
    """Make the token store of a run's corpus, or find it made; see :func:`prepare_corpus` for errors."""
    corpus = config.data()
    names = [part.name for part in corpus.data.portions] if isinstance(corpus, Prepared) else [*corpus.portions()]
    config.mixing.check(names)  # before hours of preparing
    return prepare_corpus(
        corpus,
        config.cleaning,
        config.tokenizer,
        root=Path(config.prepared_dir),
        needs_links=config.objective.target.needs_links,
    )


def check_parts(config: RunConfig) -> None:
    """Build the model without memory and without data, so that parts that do not fit are refused at once.

    Raises:
        ConfigError: the message names the key to change.
    """
    brought = config.data.target is Prepared  # which has a tokenizer of its own
    given = () if brought or config.tokenizer.model is None else given_tokenizers(config.tokenizer.model)
    if len(given) > 1 and config.model.tie_embeddings == "all":
        raise ConfigError(
            "`model.tie_embeddings` must be 'target' or 'none' where `tokenizer.model` has a vocabulary for each "
            f"language, as {config.tokenizer.model} has, but is 'all' instead"
        )
    sizes = [tokenizer.vocab_size for tokenizer in given] or [config.tokenizer.vocab_size]
    with torch.device("meta"):
        model = config.build(sizes[0], sizes[-1])
        freeze(model, config.freeze)
        config.optimizer(trainable(model))
    config.objective().check(model)
    if not brought:
        for kind in {model_type(tokenizer.serialized) for tokenizer in given} or {config.tokenizer.type}:
            config.sampling().check(kind)


def train(config: RunConfig, values: Values) -> Path:
    """Train a model, evaluate its best checkpoint and return the run folder.

    Raises:
        UserError: the configuration, the data or the run folder cannot be used.
    """
    if config.resume is not None:
        raise ConfigError(
            f"`resume` must be null by the time a run is made, but is {config.resume!r} instead; give the settings "
            "of that run, with `run_dir` as its folder"
        )
    keep_freed_memory()
    device = choose_device(config.trainer.device)
    if config.trainer.deterministic:
        compute_the_same_bits(device)
    config = replace(config, tokenizer=lasting(config.tokenizer, config.run_dir))
    check_parts(config)
    if config.run_dir is not None:
        refuse_changes(Path(config.run_dir), values)  # before hours of preparing
    if config.init_from is not None and not begun(config.run_dir):
        locate_initial(config.init_from)  # before hours of preparing
    data = prepare_data(config)
    tests = test_sets(config, data)
    batches = training_batches(config, data)
    run = make_run_folder(config.run_dir, config.name or data.manifest["corpus"]["name"])
    with only_writer(run), closing(batches):
        trainer = make_trainer(config, values, data, batches, run, device)
        trainer.train()
    torch.use_deterministic_algorithms(False)  # what evaluates may draw, for which there are no such algorithms
    if trainer.stopped_by is not None:
        sys.exit(exit_status(trainer.stopped_by))
    evaluate_run(config, run, tests)
    return run


def evaluate_run(config: RunConfig, run: Path, tests: Sequence[TestSet]) -> None:
    """Evaluate the best checkpoint of a finished run; where that is damaged, the last, in a folder named after it."""
    if not tests:
        return
    folder = checkpoint.locate(run, warn)
    best = run / "checkpoints" / "best"
    other = f"-{folder.name}" if best.is_symlink() and best.resolve() != folder else ""
    # One's own run is trusted: its parts may come from any package.
    report = Reporter(folder, checkpoint.load(folder), config.search, config.trainer.device, None)
    for test in tests:
        report(test, run / "evaluation" / f"{test.split}{other}")


def training_batches(config: RunConfig, data: PreparedData) -> TrainingBatches:
    """Return the training data in batches, with the stored pieces or with pieces drawn in every epoch.

    Raises:
        ConfigError: a sentence is longer than a batch, or the tokenizer cannot draw as it is asked to.
    """
    sampling = config.sampling()
    for kind in {model_type(model.serialized) for model in (data.source_tokenizer, data.target_tokenizer)}:
        sampling.check(kind)
    source, target = data.ids("train")
    make: Callable[..., TrainingBatches] = TrainingBatches
    if sampling.active:
        tokenizers = data.source_tokenizer, data.target_tokenizer
        make = partial(SampledBatches, tokenizers=tokenizers, sampling=sampling)
    return make(
        source,
        target,
        max_tokens=config.trainer.max_tokens,
        multiple=config.trainer.length_multiple,
        seed=config.seed,
        links=data.links("train"),
        mixing=portions_mixed(config, data),
    )


def portions_mixed(config: RunConfig, data: PreparedData) -> Mixing | None:
    """Return which training pairs each epoch holds, and say so; None where the data is no mixture.

    Raises:
        ConfigError: a weight is given to what is no portion.
    """
    sizes = {portion.name: portion.pairs for portion in data.portions}
    shares = config.mixing.shares(sizes)
    if len(sizes) == 1:
        if config.mixing.active:
            warn("`mixing` has no effect: the data has one portion only")
        return None
    mixing = Mixing([*sizes.values()], shares, config.seed)
    for (name, size), share, each in zip(sizes.items(), shares, mixing.each_epoch, strict=True):
        say(f"Portion {name}: {share:.1%} of training, {each / size:.2g} passes over {size:,} pairs an epoch")
    return mixing


def make_trainer(
    config: RunConfig, values: Values, data: PreparedData, batches: TrainingBatches, run: Path, device: torch.device
) -> Trainer:
    """Put the parts of a run together, as new or as its newest checkpoint left them."""
    previous = find_previous(run, values, data.manifest["key"])
    if previous is not None and dict(previous.tokenizers) != tokenizer_files(data):
        raise ConfigError(
            f"`data` must have the vocabulary that {run} was trained with, but has another instead; "
            "give a new run_dir to start afresh"
        )
    if previous is None:
        precision = choose_precision(config.trainer.precision, device)
    else:
        precision = getattr(torch, previous.config["precision"])
    seed_everything(config.seed)
    model = config.build(data.source_tokenizer.vocab_size, data.target_tokenizer.vocab_size).to(device)
    frozen, numbers = freeze(model, config.freeze)
    if previous is None and config.init_from is not None:
        begin_with(model, config.init_from, data.source_tokenizer, data.target_tokenizer)
    objective = config.objective()
    translator = Translator(model, data.source_tokenizer, data.target_tokenizer, warn)

    def snapshot(
        weights: dict[str, torch.Tensor],
        metrics: dict[str, Any],
        tensors: dict[str, torch.Tensor],
        state: dict[str, Any],
    ) -> Snapshot:
        return Snapshot(
            weights=weights,
            config={
                "directions": [list(direction) for direction in data.directions],
                "data": data.manifest["key"],
                "precision": str(precision).removeprefix("torch."),
                "settings": dict(values),
            },
            tokenizers=tokenizer_files(data),
            metrics=metrics,
            training_tensors=tensors,
            training=state,
        )

    learner = Learner(
        model,
        Gradients(model, objective, precision),
        config.optimizer(trainable(model)),
        clip_norm=config.trainer.clip_norm,
        ema_decay=config.trainer.ema_decay,
    )
    trainer = Trainer(
        learner=learner,
        objective=objective,
        schedule=config.scheduler(),
        batches=batches,
        validate=Validator(translator, objective, data, config.trainer, config.search, precision),
        snapshot=snapshot,
        config=config.trainer,
        run=run,
    )
    say(f"Run folder {run}: {model.num_parameters:,} parameters, {describe_device(device)}, {precision}")
    if frozen:
        say(f"Frozen: {frozen:,} of {numbers:,} parameters")
    if previous is not None:
        trainer.resume(previous)
        say(f"Going on from step {trainer.state.step}")
    write_settings(run, values)  # those of now, also where they were changed for going on
    return trainer


def tokenizer_files(data: PreparedData) -> dict[str, bytes]:
    """Return the SentencePiece models under the names they have in a checkpoint."""
    source, target = data.source_tokenizer, data.target_tokenizer
    if source is target:
        return {"tokenizer.model": source.serialized}
    return {"source.model": source.serialized, "target.model": target.serialized}


def test_sets(config: RunConfig, data: PreparedData) -> list[TestSet]:
    """Return what to evaluate on after training; nothing, with a warning beforehand, where the corpus lacks it."""
    if config.evaluate_split is None:
        return []
    try:
        return [
            TestSet(split, *data.languages(split), *data.text(split), data.alignments(split))
            for split in data.resolve_all(config.evaluate_split)
        ]
    except DataError as error:
        warn(f"there will be no evaluation after training: {error}")
        return []
