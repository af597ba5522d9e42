"""The one assembly: from a configuration to parts, and from parts to a finished run. Read this file first.

:func:`train` reads top to bottom: what comes before what. :mod:`seq2seq.assembly` has what is made of what.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from seq2seq import checkpoint
from seq2seq.assembly import make_learner, make_trainer, training_batches, with_token_budget
from seq2seq.checkpoint.kept import worth
from seq2seq.commands.evaluate import Reporter
from seq2seq.config import Values
from seq2seq.data.given import given_tokenizers
from seq2seq.data.model_fields import model_type
from seq2seq.data.store import Prepared, PreparedData
from seq2seq.disk.lock import only_writer
from seq2seq.distributed.processes import Processes, together
from seq2seq.errors import ConfigError, DataError
from seq2seq.evaluation.evaluate import TestSet
from seq2seq.memory import keep_freed_memory
from seq2seq.runs.config import RunConfig
from seq2seq.runs.finetuning import check_initial, freeze, lasting
from seq2seq.runs.folder import begun, refuse_changes
from seq2seq.runs.preparation import prepare_corpus
from seq2seq.runs.sharing import shared_data, shared_run_folder, with_batches
from seq2seq.runtime import compute_the_same_bits
from seq2seq.signals import exit_status
from seq2seq.terminal import say, warn
from seq2seq.training.compiling import compiled, require_compiler
from seq2seq.translation.ensemble import Found


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
        make_learner(config, model, config.objective(), torch.float32, Processes())
    config.scheduler()
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
    with together(config.trainer.device) as (processes, device):
        require_compiler(config.trainer.compile, device)
        if config.trainer.deterministic:
            compute_the_same_bits(device)
        config, values = with_batches(config, values, processes)
        config = replace(config, tokenizer=lasting(config.tokenizer, config.run_dir))
        check_parts(config)
        if config.run_dir is not None:
            refuse_changes(Path(config.run_dir), values)  # before hours of preparing
        if not begun(config.run_dir):
            check_initial(config.init_from, config.freeze)  # before hours of preparing
        data = shared_data(processes, partial(prepare_data, config))
        tests = test_sets(config, data)
        config = with_token_budget(config, data, device, processes)
        batches = training_batches(config, data)
        run = shared_run_folder(processes, config.run_dir, config.name or data.manifest["corpus"]["name"])
        with only_writer(run) if processes.is_first else nullcontext(), closing(batches):
            trainer = make_trainer(config, values, data, batches, run, device, processes)
            trainer.train()
    if config.trainer.compile != "none":
        graphs, seconds = compiled()
        say(f"Compiled: {graphs} graphs in {seconds:.0f} s")
    torch.use_deterministic_algorithms(False)  # what evaluates may draw, for which there are no such algorithms
    if trainer.stopped_by is not None:
        sys.exit(exit_status(trainer.stopped_by))
    if processes.is_first:
        evaluate_run(config, run, tests)
    return run


def trained_worth(config: RunConfig, values: Values) -> float | None:
    """Train as :func:`train` does; return how good the best checkpoint is, the more the better.

    A sweep that searches for settings, such as Optuna's, looks at that number; None where nothing was validated.
    """
    run = train(config, values)
    return worth((run / "checkpoints" / "best").resolve(), config.trainer.best_metric)


def evaluate_run(config: RunConfig, run: Path, tests: Sequence[TestSet]) -> None:
    """Evaluate the best checkpoint of a finished run; where that is damaged, the last, in a folder named after it."""
    if not tests:
        return
    folder, snapshot = checkpoint.load_located(run, warn)
    best = run / "checkpoints" / "best"
    other = f"-{folder.name}" if best.is_symlink() and best.resolve() != folder else ""
    # One's own run is trusted: its parts may come from any package.
    found = [Found(folder, snapshot)]
    report = Reporter(found, config.search, config.trainer.device, config.trainer.precision, None)
    for test in tests:
        report(test, run / "evaluation" / f"{test.split}{other}")


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
