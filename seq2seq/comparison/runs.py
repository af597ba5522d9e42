"""The runs of a comparison, and what a finished one has reached, read from its folder alone."""

from __future__ import annotations

import hashlib
import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from seq2seq.attention.core import Attention
from seq2seq.attention.normalizers import Softmax
from seq2seq.attention.windows import Global
from seq2seq.config import Values
from seq2seq.data.store import PreparedData
from seq2seq.disk.plainjson import read_values
from seq2seq.errors import DataError
from seq2seq.runs.config import RunConfig
from seq2seq.terminal import duration
from seq2seq.training.config import TrainerConfig
from seq2seq.training.log import read_log

SCORES = ("bleu", "bleu_lowercase", "chrf")
"""Columns whose spread over the seeds matters."""


@dataclass(frozen=True, eq=False)
class Run:
    """One training run: its place in the table, its command line, and what that means."""

    experiment: str
    attention: str
    seed: int
    folder: Path
    overrides: Sequence[str]
    config: RunConfig
    values: Values

    def scores(self, data: PreparedData) -> Path:
        """Return where the scores are when the run is finished.

        Raises:
            DataError: the corpus lacks the split to evaluate.
        """
        return self.folder / "evaluation" / data.resolve(str(self.config.evaluate_split)) / "scores.json"


@dataclass(frozen=True)
class Result:
    """What one finished run has reached.

    Attributes:
        experiment: its model.
        attention: its attention.
        seed: its seed.
        folder: its run folder.
        bleu: cased BLEU on detokenised text.
        bleu_lowercase: lower-cased BLEU, without smoothing.
        chrf: chrF2.
        parameters: trainable numbers.
        tokens_per_second: target tokens in training, the median of all measurements; None without any.
        seconds: time spent training, validations included; None without a log.
        updates: updates done; None without a log.
        entropy: of the attention to the source in nats, the mean of all heads of all layers; None without any.
        alignment_error: alignment error rate of the best layer in percent; None without gold alignments.
        model: the model in words.
        budget: how long it was to train, in words.
        test: what was translated and how it was scored; must be alike wherever scores stand side by side.
    """

    experiment: str
    attention: str
    seed: int
    folder: str
    bleu: float
    bleu_lowercase: float
    chrf: float
    parameters: int
    tokens_per_second: float | None
    seconds: float | None
    updates: int | None
    entropy: float | None
    alignment_error: float | None
    model: str
    budget: str
    test: Mapping[str, Any]


def measure(run: Run, data: PreparedData) -> Result | None:
    """Read what a run has reached from its folder; None where it is not finished."""
    path = run.scores(data)
    if not path.is_file():
        return None
    try:
        scores = read_values(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} must be the scores of a run, but cannot be read: {error}; remove it") from None
    log = read_log(run.folder)
    speeds = [row["tokens_per_second"] for row in log if "tokens_per_second" in row]
    parameters, model = describe_model(run, data)
    return Result(
        experiment=run.experiment,
        attention=run.attention,
        seed=run.seed,
        folder=str(run.folder),
        **{key: scores[key]["score"] for key in SCORES},
        parameters=parameters,
        tokens_per_second=statistics.median(speeds) if speeds else None,
        seconds=log[-1]["seconds"] if log else None,
        updates=log[-1]["step"] if log else None,
        entropy=mean_entropy(scores),
        alignment_error=alignment_error(scores),
        model=model,
        budget=describe_budget(run.config.trainer),
        test={
            "corpus": data.manifest["corpus"]["name"],
            **{key: scores[key] for key in ("split", "source_language", "target_language", "sentences")},
            "references": hashlib.sha256(path.with_name("references.txt").read_bytes()).hexdigest(),
            "signatures": {key: scores[key]["signature"] for key in SCORES},
        },
    )


def mean_entropy(scores: Mapping[str, Any]) -> float | None:
    """Return the mean over all heads of all layers; None where it was not measured."""
    heads = list(itertools.chain.from_iterable(scores.get("attention_entropy") or []))
    return statistics.fmean(heads) if heads else None


def alignment_error(scores: Mapping[str, Any]) -> float | None:
    """Return the error rate in percent, that of the layer with the lowest; None where it was not measured."""
    rate = (scores.get("alignment") or {}).get("error_rate")
    return None if rate is None else 100 * rate


def describe_model(run: Run, data: PreparedData) -> tuple[int, str]:
    """Return the number of parameters of a run's model, and the model in words."""
    config = run.config
    with torch.device("meta"):  # without memory
        model = config.build(data.source_tokenizer.vocab_size, data.target_tokenizer.vocab_size)
    places = sum(isinstance(module, Attention) for module in model.modules())
    heads, project = (config.attention.settings[key] for key in ("num_heads", "project"))
    return model.num_parameters, (
        f"{config.encoder.target.__name__} and {config.decoder.target.__name__} of width {config.model.dim}, "
        f"the score in {places} {'attention' if places == 1 else 'attentions'} "
        f"of {heads} {'head' if heads == 1 else 'heads'} {'with' if project else 'without'} learned maps"
        + "".join(peculiarities(config))
    )


def peculiarities(config: RunConfig) -> list[str]:
    """Return what is not the usual in the attentions that the model has, in words."""
    found = []
    for name, part in (("attention", config.attention), ("self-attention", config.self_attention)):
        if name.replace("-", "_") in config.unused:
            continue
        for kind, usual in (("normalizer", Softmax), ("window", Global)):
            chosen = part.settings[kind]
            if chosen.target is not usual:
                values = ", ".join(f"{key} {value}" for key, value in chosen.settings.items())
                found.append(f"; {name} with {kind} {chosen.target.__name__}" + (f" ({values})" if values else ""))
    if config.decoder.settings.get("attend") == "before":
        found.append("; attention before the cell")
    return found


def describe_budget(trainer: TrainerConfig) -> str:
    """Say how long a run trains."""
    limits = {
        "updates": trainer.max_steps and f"{trainer.max_steps:,}",
        "minutes": trainer.max_time and duration(trainer.max_time),
        "passes over the corpus": trainer.epochs and f"{trainer.epochs:,}",
    }
    parts = [f"{limit} {unit}" for unit, limit in limits.items() if limit]
    if trainer.max_tokens == "auto":
        return f"{' or '.join(parts)}, as many padded tokens an update as were found to fit"
    return f"{' or '.join(parts)}, {trainer.max_tokens * trainer.batches:,} padded tokens an update"


def refuse_mixtures(results: Sequence[Result]) -> None:
    """Refuse scores that must not stand side by side.

    Raises:
        DataError: they come from different test sets, or were scored differently.
    """
    for result in results[1:]:
        for key, value in result.test.items():
            if value != results[0].test[key]:
                raise DataError(
                    f"`output` must hold scores of one test set, scored alike: `{key}` must be "
                    f"{results[0].test[key]!r}, as in {results[0].folder}, but is {value!r} in {result.folder} "
                    "instead; give another output, or remove `evaluation` from one of them to have it scored again"
                )
