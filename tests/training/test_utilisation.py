"""What an update costs: counted exactly, for every part, and told as a share of the device's speed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import VOCABULARY, build, choices, compose, random_batch
from tiny_runs import Run

from seq2seq.config import parse
from seq2seq.flops import PairCost, pair_cost, powers, powers_of
from seq2seq.model import ModelOutput, Seq2SeqModel
from seq2seq.objectives import RDrop
from seq2seq.runs.config import RunConfig
from seq2seq.training.log import read_log
from seq2seq.training.utilisation import Gauge, in_units, matmul_rate

PARTS = [
    (group, name)
    for group in ("encoder", "decoder", "attention", "attention/window", "attention/normalizer")
    for name in choices(group)
]


def lengths(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, dtype=np.int64)


def of_pair(cost: PairCost | None, source: int, target: int) -> int:
    assert cost is not None
    return cost.of_forward(powers(lengths(source), lengths(target)))


def of_model(*overrides: str, vocabulary: int = VOCABULARY, **sizes: int) -> PairCost | None:
    """The cost of an unshrunk model."""
    config = parse(RunConfig, compose(*overrides, *(f"model.{key}={value}" for key, value in sizes.items())))
    return pair_cost(config.build(vocabulary, vocabulary))


def test_a_transformer_costs_what_its_sizes_say() -> None:
    width, inner, layers, vocabulary = 48, 72, 2, 31
    stacks = [
        f"{side}.{key}" for side in ("encoder", "decoder") for key in (f"num_layers={layers}", "activation=relu")
    ]
    cost = of_model(
        *stacks,
        f"encoder.feed_forward_dim={inner}",
        f"decoder.feed_forward_dim={inner}",
        dim=width,
        vocabulary=vocabulary,
    )
    square = width * width
    for s, t in ((3, 9), (17, 1), (40, 33)):
        encoder = layers * (4 * square * s + 2 * s * s * width + 2 * width * inner * s)
        own = layers * (4 * square * t + 2 * t * t * width)
        to_source = layers * (2 * square * t + 2 * square * s + 2 * s * t * width)
        decoder = own + to_source + layers * 2 * width * inner * t
        assert of_pair(cost, s, t) == 2 * (encoder + decoder + width * vocabulary * t)


@pytest.mark.parametrize("input_feeding", [False, True])
def test_a_recurrent_model_costs_what_its_sizes_say(input_feeding: bool) -> None:
    units, embedding, hidden, vocabulary, layers = 32, 24, 20, 29, 2
    cost = of_model(
        "encoder=bilstm",
        f"encoder.num_layers={layers}",
        "decoder=rnn",
        f"decoder.input_feeding={input_feeding}",
        "attention=additive",
        f"attention.score.dim={hidden}",
        dim=units,
        embedding_dim=embedding,
        vocabulary=vocabulary,
    )
    half = units // 2
    for s, t in ((3, 9), (17, 2), (40, 33)):
        reading = 2 * sum(4 * half * (width + half) for width in (embedding, units)) * s
        step = 4 * units * (embedding + units * input_feeding + units)
        attention = hidden * (units * s + units * t) + hidden * s * t + units * s * t
        writing = (step + 2 * units * units + units * embedding + embedding * vocabulary) * t
        starting = units * units
        assert of_pair(cost, s, t) == 2 * (reading + attention + writing + starting)


@pytest.mark.slow
def test_the_small_transformer_of_the_benchmark_costs_what_is_known_of_it() -> None:
    """45 million operations a target token, at the lengths of Multi30k."""
    cost = of_model("experiment=speed_transformer", vocabulary=8000)
    assert cost is not None
    sums = np.array([29000, 454230, 470126, 7818328, 8047163, 8548792])
    assert cost.of_update(sums) / sums[2] == pytest.approx(45.3e6, rel=0.005)


@pytest.mark.parametrize(("group", "name"), PARTS)
def test_the_cost_of_every_part_is_known(group: str, name: str) -> None:
    cost = pair_cost(build(f"{group}={name}"))
    assert of_pair(cost, 5, 4) > 0


def test_the_cost_of_a_batch_is_that_of_its_pairs_without_padding() -> None:
    batch = random_batch([5, 2, 7], [3, 6, 2])
    cost = pair_cost(build())
    assert cost is not None
    assert cost.of_forward(powers_of(batch)) == sum(of_pair(cost, s, t) for s, t in ((6, 4), (3, 7), (8, 3)))
    assert cost.of_update(powers_of(batch)) == 3 * cost.of_forward(powers_of(batch))


def test_counting_leaves_the_model_and_the_random_numbers_as_they_are() -> None:
    model = build("model.dropout=0.1").train()
    before = [parameter.clone() for parameter in model.parameters()]
    state = torch.get_rng_state()
    pair_cost(model)
    assert model.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_cost_that_is_no_polynomial_is_not_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., ModelOutput] = Seq2SeqModel.forward

    def cubic(self: Seq2SeqModel, batch: object) -> ModelOutput:
        output = real(self, batch)
        steps = output.hidden.shape[1]
        torch.ones(steps, steps) @ torch.ones(steps, steps)
        return output

    monkeypatch.setattr(Seq2SeqModel, "forward", cubic)
    cost = pair_cost(build())
    assert cost is None
    assert Gauge(cost, 1, 1.0).values(powers(lengths(3), lengths(3)), 1.0) == {}
    assert "unknown" in str(Gauge(cost, 1, 1.0))


def test_utilisation_is_operations_a_second_as_a_share_of_the_rate() -> None:
    cost = PairCost(lengths(0, 10, 20, 0, 0, 0))
    sums = powers(lengths(3, 4), lengths(2, 1))
    once = 3 * (10 * 7 + 20 * 3)
    assert Gauge(cost, 1, 1000.0).values(sums, 2.0) == {"flops_per_second": once / 2, "utilisation": once / 2000}
    assert Gauge(cost, RDrop.passes, 1000.0).values(sums, 2.0)["utilisation"] == 2 * once / 2000
    assert "100% is 1 kFLOP/s" in str(Gauge(cost, 1, 1000.0))


def test_the_rate_of_matrix_products_is_measured_once() -> None:
    rate = matmul_rate(torch.device("cpu"), torch.float32)
    assert rate > 1e6
    assert matmul_rate(torch.device("cpu"), torch.float32) == rate


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 "), (999, "999 "), (45.23e6, "45.2 M"), (2e11, "200 G"), (7.9e14, "790 T"), (5e17, "5e+05 T")],
)
def test_large_numbers_have_units(number: float, words: str) -> None:
    assert in_units(number) == words


def test_every_report_of_a_run_tells_its_utilisation(
    start: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [row for row in read_log(start("run")) if "train_loss" in row]
    assert len(rows) == 4
    rate = matmul_rate(torch.device("cpu"), torch.float32)
    assert all(row["flops_per_second"] / rate == pytest.approx(row["utilisation"]) for row in rows)
    assert all(0 < row["utilisation"] < 1 for row in rows)
    assert "% of the device)" in capsys.readouterr().out
