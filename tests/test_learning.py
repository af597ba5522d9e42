"""Every encoder with every decoder learns what it must: to copy, and to turn a sequence around."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from tiny import batch_of, choices, compose

from seq2seq.config import parse
from seq2seq.data.alignment import Link
from seq2seq.data.batching import Position, TrainingBatches, pack
from seq2seq.data.tokenizer import EOS, WORD_START
from seq2seq.evaluation.attention import corpus_alignment
from seq2seq.model import Seq2SeqModel
from seq2seq.optim import Progress
from seq2seq.runs.config import RunConfig
from seq2seq.search import Request, Scorer
from seq2seq.training.validation import validation_search

LETTERS = 12
VOCABULARY = EOS + 1 + LETTERS
HELD_OUT = 300
SECONDS = 60

Ids = list[int]
TASKS: dict[str, Callable[[Ids], Ids]] = {"copy": list, "reverse": lambda ids: ids[::-1]}


class Letters:
    """Stands for a tokenizer: every letter is a word."""

    vocab_size = VOCABULARY
    tags: ClassVar[dict[str, int]] = {}

    def pieces(self, ids: Ids) -> list[str]:
        return [f"{WORD_START}{i}" for i in ids]


WORDS = Letters()


def sequences(count: int) -> list[Ids]:
    """Distinct sequences of letters."""
    draw = random.Random(1)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < count:
        found[tuple(draw.randrange(EOS + 1, VOCABULARY) for _ in range(draw.randint(3, 9)))] = None
    return [list(ids) for ids in found]


def settings(encoder: str, decoder: str) -> RunConfig:
    values = compose(
        "model=tiny",
        f"encoder={encoder}",
        f"decoder={decoder}",
        "attention=multi_head",
        "search=greedy",
        "encoder.num_layers=2",
        "encoder.dropout=0",
        "decoder.num_layers=2",
        "decoder.dropout=0",
        "objective.label_smoothing=0",
    )
    for part in ("encoder", "decoder"):
        if "feed_forward_dim" in values[part]:
            values[part]["feed_forward_dim"] = 128
    return parse(RunConfig, values)


def learn(config: RunConfig, pairs: list[tuple[Ids, Ids]], steps: int) -> Seq2SeqModel:
    """Train with nothing but the public parts."""
    model = config.build(VOCABULARY, VOCABULARY).train()
    optimizer, schedule = config.optimizer(list(model.named_parameters())), config.scheduler()
    objective = config.objective().train()
    sources, targets = (pack(side) for side in zip(*pairs, strict=True))
    batches = TrainingBatches(sources, targets, max_tokens=1024, multiple=4, seed=1)
    for step, (batch, _) in zip(range(steps), batches.start(Position()), strict=False):
        (objective(model, batch).total / batch.target_tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step(schedule.factor(Progress(step, step / steps)))
        optimizer.zero_grad()
    return model.eval()


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(TASKS))
@pytest.mark.parametrize("decoder", choices("decoder"))
@pytest.mark.parametrize("encoder", choices("encoder"))
def test_every_pair_learns_the_task_within_a_minute(encoder: str, decoder: str, task: str) -> None:
    torch.set_num_threads(2)
    start = time.process_time()
    config = settings(encoder, decoder)
    pairs = [(ids, TASKS[task](ids)) for ids in sequences(8000 + HELD_OUT)]
    model = learn(config, pairs[HELD_OUT:], steps=400)
    sources, targets = zip(*pairs[:HELD_OUT], strict=True)
    for beam in (1, 4):
        search = validation_search(config.search, beam).over_pieces
        found = search.find(Scorer(model), Request(batch_of(sources)))
        right = sum(one[0].ids == target for one, target in zip(found, targets, strict=True))
        assert right / HELD_OUT >= 0.99, f"{right} of {HELD_OUT} with a beam of {beam}"
    gold = [[Link(*places) for places in enumerate(TASKS[task](list(range(len(ids)))))] for ids in sources]
    aligned = corpus_alignment(model, WORDS, WORDS, sources, targets, gold)
    assert aligned is not None
    assert aligned.layers[aligned.lowest].error_rate < 0.2, aligned.layers
    # By the processor's clock of two threads, so that what else the machine does takes little of it.
    assert (time.process_time() - start) / 2 < SECONDS
