"""The first twenty losses of two small models, which no refactoring may change.

They were computed in single precision by one thread. A change that is meant to change them, such as another
initialisation, replaces them by what the failing test prints.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from tiny import build, learner, random_batch, run_config

from seq2seq.data.batching import Batch
from seq2seq.model import Seq2SeqModel
from seq2seq.training.learner import Learner

STEPS = 20

WITHOUT_DROPOUT = tuple(
    f"{part}.dropout=0" for part in ("model", "encoder", "decoder", "attention", "self_attention")
)

MODELS = {
    "transformer": ("encoder=transformer", "decoder=transformer"),
    "bilstm": ("encoder=bilstm", "decoder=rnn", "attention=additive", "decoder.input_feeding=true"),
}

CURVES: dict[str, list[float]] = {
    "transformer": [
        3.656108,
        3.460165,
        3.481034,
        3.356884,
        3.281865,
        3.226292,
        3.063831,
        3.052119,
        3.061780,
        3.029758,
        2.757481,
        2.867295,
        2.799107,
        2.769987,
        2.860697,
        2.626909,
        2.590710,
        2.702794,
        2.567236,
        2.689131,
    ],
    "bilstm": [
        3.120222,
        3.117203,
        3.109442,
        3.078414,
        3.078668,
        3.052892,
        3.046674,
        3.040965,
        3.036723,
        3.005504,
        2.956201,
        2.898376,
        2.922704,
        2.915884,
        2.988254,
        2.788812,
        2.861600,
        2.822743,
        2.823121,
        2.951896,
    ],
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def made(name: str) -> tuple[Seq2SeqModel, Learner]:
    parts = (*MODELS[name], *WITHOUT_DROPOUT)
    model, config = build(*parts).train(), run_config(*parts)
    return model, learner(model, config, ema_decay=0.9)


def batches(count: int, rows: int = 6) -> list[Batch]:
    draw = random.Random(1)
    lengths = [[[draw.randint(1, 9) for _ in range(rows)] for _ in range(2)] for _ in range(count)]
    return [random_batch(*both) for both in lengths]


@pytest.mark.parametrize("name", MODELS)
def test_the_first_losses_are_what_they_were(name: str) -> None:
    _, learning = made(name)
    found = []
    for step, batch in enumerate(batches(STEPS)):
        nll = learning.update([batch], batch.target_tokens, 1.0, step)
        assert nll is not None
        found.append(float(nll) / batch.target_tokens)
    assert found == pytest.approx(CURVES[name], rel=1e-4), found


@pytest.mark.parametrize("name", MODELS)
def test_four_batches_in_one_update_are_as_good_as_one_of_all_their_pairs(name: str) -> None:
    parts = batches(4)
    whole = joined(parts)
    found = []
    for given in (parts, [whole]):
        model, learning = made(name)
        nll = learning.update(given, sum(batch.target_tokens for batch in given), 1.0, 0)
        assert nll is not None
        found.append([nll, *model.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def joined(parts: list[Batch]) -> Batch:
    """One batch of the pairs of several."""
    rows = [row for part in parts for row in zip(part.source, part.source_lengths, part.target, strict=True)]
    sources, targets = (
        torch.nn.utils.rnn.pad_sequence([row[side] for row in rows], batch_first=True) for side in (0, 2)
    )
    lengths = torch.stack([row[1] for row in rows])
    return Batch(
        source=sources,
        source_lengths=lengths,
        source_padded=True,
        target=targets,
        target_tokens=sum(part.target_tokens for part in parts),
        links=None,
    )
