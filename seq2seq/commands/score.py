"""The command that scores: from a checkpoint and translations that are given to their probabilities."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from seq2seq.commands.inputs import BUFFERED_LINES
from seq2seq.commands.outputs import output_lines, refuse_overwriting
from seq2seq.commands.translate import check_language, several
from seq2seq.config import NonNegativeFloat, PositiveInt, Values
from seq2seq.data.batching import batches_in_order, make_batch, pack
from seq2seq.data.formats import Pair, read_pairs, single_line
from seq2seq.data.sequences import Integers
from seq2seq.errors import DataError
from seq2seq.runtime import DeviceName, in_halves
from seq2seq.search.base import length_penalty
from seq2seq.search.scoring import score_targets
from seq2seq.terminal import warn
from seq2seq.translation.ensemble import load_together
from seq2seq.translation.translator import Translator, evaluating

TOO_LARGE = "a single pair of lines cannot be scored in the memory of the device; give device=cpu, or leave it out"

LONGEST = 4096
"""Pieces of a line, at most: attention takes the square of them in memory and time."""


@dataclass(frozen=True)
class ScoreConfig:
    """What to score, with what.

    Attributes:
        checkpoint: a run folder (its best checkpoint) or one checkpoint; a list of them scores as an ensemble.
        source: a text file, one sentence a line.
        target: a text file with the translation of each line.
        output: where scores go; null for standard output.
        language: of the translations, where the model has several; null where it has one.
        length_penalty: alpha of the length normalisation.
        length_normalization: ``average`` divides by length^alpha, ``gnmt`` by ((5 + length) / 6)^alpha.
        max_tokens: pieces in one batch, padding included, on the longer side.
        device: where to compute.
        allow_code: packages beside seq2seq whose classes the checkpoint may name.
    """

    checkpoint: Sequence[str] | str
    source: str
    target: str
    output: str | None
    language: str | None
    length_penalty: NonNegativeFloat
    length_normalization: Literal["average", "gnmt"]
    max_tokens: PositiveInt
    device: DeviceName
    allow_code: Sequence[str]


@dataclass(frozen=True)
class PairScore:
    """What a model thinks of one translation; logarithms are natural.

    Attributes:
        log_probability: of the whole translation.
        score: the same, divided by the length penalty.
        pieces: the translation as the model writes it, EOS included.
        log_probabilities: of each piece, given those before it.
    """

    log_probability: float
    score: float
    pieces: list[str]
    log_probabilities: list[float]


def score(config: ScoreConfig, values: Values) -> None:
    """Write one line of JSON for each pair of lines.

    Raises:
        UserError: the checkpoint or a file cannot be used.
    """
    output = None if config.output is None else Path(config.output)
    refuse_overwriting(output, {"source": config.source, "target": config.target})
    translator, directions = load_together(several(config.checkpoint), config.device, config.allow_code, warn)
    check_language("language", config.language, translator, directions)
    pairs, done = iter(read_pairs(config.source, config.target)), 0
    with output_lines(config.output) as write:
        while chunk := list(islice(pairs, BUFFERED_LINES)):
            for found in score_pairs(translator, chunk, config, first=done + 1):
                write(json.dumps(asdict(found), ensure_ascii=False))
            done += len(chunk)


def score_pairs(
    translator: Translator, pairs: Sequence[Pair], config: ScoreConfig, *, first: int = 1
) -> Iterator[PairScore]:
    """Give what the models think of each pair, in order.

    A pair of two empty lines has no pieces and the score 0, as an empty line that is translated.

    Args:
        translator: the model or the ensemble.
        pairs: lines and their translations.
        config: how to score.
        first: number of the first pair, for messages.

    Raises:
        DataError: a line is too long, or empty where its translation is not.
    """
    lines, translations = ([single_line(text).strip() for text in side] for side in zip(*pairs, strict=True))
    sources, targets = translator.encode(lines, config.language), translator.target_tokenizer.encode(translations)
    for number, (source, target) in enumerate(zip(sources, targets, strict=True), first):
        if max(len(source), len(target)) > LONGEST:
            side, ids = (config.source, source) if len(source) > LONGEST else (config.target, target)
            raise DataError(f"{side}, line {number} must have at most {LONGEST} pieces, but has {len(ids)}")
        if target and not source:
            raise DataError(f"{config.source}, line {number} must have text, as its translation has, but is empty")
    source_ids, target_ids = pack(sources), pack(targets)
    filled = np.flatnonzero(source_ids.lengths)
    widths = np.maximum(source_ids.lengths, target_ids.lengths)[filled] + 1
    device = translator.model.device
    scored: dict[int, list[float]] = {}

    def scores_of(rows: Integers) -> list[list[float]]:
        batch = make_batch(source_ids, target_ids, rows).to(device)
        found: list[list[float]] = score_targets(batch, *translator.models).tolist()
        return found

    with evaluating(translator.models):
        for part in batches_in_order(widths, config.max_tokens):
            rows = filled[part]
            scored |= zip(rows.tolist(), in_halves(rows, scores_of, TOO_LARGE), strict=True)
    for row, ids in enumerate(targets):
        each = scored[row][: len(ids) + 1] if row in scored else []
        pieces = [*translator.target_tokenizer.pieces(ids), "</s>"] if each else []
        length = torch.tensor(max(1, len(each)))
        divisor = float(length_penalty(length, config.length_penalty, config.length_normalization))
        total = math.fsum(each)
        yield PairScore(total, total / divisor, pieces, each)
