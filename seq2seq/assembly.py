"""What a run is made of: batches, a model, a learner, a trainer, each from the configuration and what is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot
from seq2seq.config import Values
from seq2seq.data.batching import TrainingBatches
from seq2seq.data.mixing import Mixing
from seq2seq.data.model_fields import model_type
from seq2seq.data.sampling import SampledBatches
from seq2seq.data.store import PreparedData
from seq2seq.data.tokenizer import JOINT_MODEL, SIDE_MODELS
from seq2seq.distributed.processes import Processes
from seq2seq.errors import ConfigError
from seq2seq.flops import pair_cost
from seq2seq.model import Seq2SeqModel
from seq2seq.objectives import Objective
from seq2seq.runs.config import RunConfig
from seq2seq.runs.finetuning import begin_with, freeze, trainable
from seq2seq.runs.folder import find_previous, write_settings
from seq2seq.runtime import choose_precision, describe_device, dtype_name, seed_everything
from seq2seq.terminal import say, warn
from seq2seq.training.budget import Trial, found_budget
from seq2seq.training.compiling import compile_model
from seq2seq.training.following import load_alike
from seq2seq.training.gradients import Gradients
from seq2seq.training.learner import Learner
from seq2seq.training.recomputing import recompute_activations
from seq2seq.training.spreading import settle, spread
from seq2seq.training.trainer import Trainer
from seq2seq.training.utilisation import Gauge, matmul_rate
from seq2seq.training.validation import Validator
from seq2seq.translation.translator import Translator


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
        max_tokens=config.trainer.token_budget,
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


def make_model(config: RunConfig, data: PreparedData) -> Seq2SeqModel:
    """Build the model of a run in the memory of the processor, with the random weights that its seed decides."""
    seed_everything(config.seed)
    return config.build(data.source_tokenizer.vocab_size, data.target_tokenizer.vocab_size)


def make_learner(
    config: RunConfig, model: Seq2SeqModel, objective: Objective, precision: torch.dtype, processes: Processes
) -> Learner:
    """Put together what updates a model, which from then on computes as the trainer's settings say.

    Args:
        config: the run.
        model: on the device of this process, where :func:`settle` has put it.
        objective: what is minimised.
        precision: of matrix products.
        processes: who trains it.

    Raises:
        ConfigError: the model cannot be compiled, or has no activations to recompute.
    """
    if config.trainer.recompute_activations:
        recompute_activations(model)
    compile_model(model, config.trainer.compile)
    return Learner(
        Gradients(spread(config.trainer.parallel, model, objective, processes), precision, config.seed),
        config.optimizer(trainable(model)),
        clip_norm=config.trainer.clip_norm,
        ema_decay=config.trainer.ema_decay,
    )


def with_token_budget(config: RunConfig, data: PreparedData, device: torch.device, processes: Processes) -> RunConfig:
    """Resolve ``trainer.max_tokens=auto``: a run that goes on keeps what it began with, a new one tries it out.

    The first process tries it on its device, and the others, whose devices should be like it, are told.

    Raises:
        ConfigError: each process would hold a part of the model only, which one cannot try by itself.
    """
    if config.trainer.max_tokens != "auto":
        return config
    if config.trainer.parallel == "fsdp" and processes.count > 1:
        raise ConfigError(
            "`trainer.max_tokens` must be a number where processes share the parts of a model "
            "(trainer.parallel=fsdp), but is 'auto' instead"
        )
    tokens = processes.told(_token_budget(config, data, device) if processes.is_first else 0)
    return replace(config, trainer=replace(config.trainer, max_tokens=tokens))


def _token_budget(config: RunConfig, data: PreparedData, device: torch.device) -> int:
    begun_with = None if config.run_dir is None else checkpoint.load_newest(Path(config.run_dir) / "checkpoints")[0]
    if begun_with is not None and begun_with.config.get("max_tokens") is not None:
        return int(begun_with.config["max_tokens"])
    model = make_model(config, data).to(device).train()
    freeze(model, config.freeze)
    precision = choose_precision(config.trainer.precision, device)
    learner = make_learner(config, model, config.objective().train(), precision, Processes())
    return found_budget(Trial(learner, *data.ids("train"), config.trainer.length_multiple), config.trainer)


def make_trainer(
    config: RunConfig,
    values: Values,
    data: PreparedData,
    batches: TrainingBatches,
    run: Path,
    device: torch.device,
    processes: Processes,
) -> Trainer:
    """Put the parts of a run together, as new or as its newest checkpoint left them."""
    previous = load_alike(processes, run / "checkpoints", partial(find_previous, run, values, data.manifest["key"]))
    if previous is not None and dict(previous.tokenizers) != tokenizer_files(data):
        raise ConfigError(
            f"`data` must have the vocabulary that {run} was trained with, but has another instead; "
            "give a new run_dir to start afresh"
        )
    if previous is None:
        name = processes.told(dtype_name(choose_precision(config.trainer.precision, device)))
    else:
        name = previous.config["precision"]
    precision = getattr(torch, name)
    model = make_model(config, data)
    frozen, numbers = freeze(model, config.freeze)
    if previous is None and config.init_from is not None:
        begin_with(model, config.init_from, data.source_tokenizer, data.target_tokenizer)
    cost = pair_cost(model)
    settle(config.trainer.parallel, model, device, processes)
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
                "precision": name,
                "max_tokens": config.trainer.token_budget,
                "settings": dict(values),
            },
            tokenizers=tokenizer_files(data),
            metrics=metrics,
            training_tensors=tensors,
            training=state,
        )

    learner = make_learner(config, model, objective, precision, processes)
    sharers = learner.gradients.spread.validators
    trainer = Trainer(
        learner=learner,
        objective=objective,
        schedule=config.scheduler(),
        batches=batches,
        validate=Validator(translator, objective, data, config.trainer, config.search, precision, sharers),
        snapshot=snapshot,
        config=config.trainer,
        run=run,
        gauge=Gauge(cost, objective.passes, processes.count * matmul_rate(device, precision)),
    )
    by = "" if processes.count == 1 else f", {processes.count} processes ({config.trainer.parallel})"
    say(f"Run folder {run}: {model.num_parameters:,} parameters, {describe_device(device)}, {precision}{by}")
    say(f"Utilisation: {trainer.gauge}")
    if frozen:
        say(f"Frozen: {frozen:,} of {numbers:,} parameters")
    if previous is not None:
        trainer.resume(previous)
        say(f"Going on from step {trainer.state.step}")
    if processes.is_first:
        write_settings(run, values)  # those of now, also where they were changed for going on
    return trainer


def tokenizer_files(data: PreparedData) -> dict[str, bytes]:
    """Return the SentencePiece models under the names they have in a checkpoint."""
    source, target = data.source_tokenizer, data.target_tokenizer
    if source is target:
        return {JOINT_MODEL: source.serialized}
    return {SIDE_MODELS["source"]: source.serialized, SIDE_MODELS["target"]: target.serialized}
