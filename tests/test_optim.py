"""Optimizers, schedules and the average of weights, against points and formulas worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import build, choices, run_config
from torch import nn

from seq2seq.errors import ConfigError
from seq2seq.optim import (
    AdamW,
    Constant,
    Cosine,
    ExponentialAverage,
    InverseSquareRoot,
    Optimizer,
    Progress,
    Schedule,
    WarmupStableDecay,
)
from seq2seq.run import check_parts


def at(step: int = 0, fraction: float = 0.0) -> Progress:
    return Progress(step, fraction)


@pytest.mark.parametrize(
    ("schedule", "progress", "expected"),
    [
        (Constant(warmup_steps=4), at(0), 0.25),
        (Constant(warmup_steps=4), at(3), 1.0),
        (Constant(warmup_steps=4), at(1000), 1.0),
        (InverseSquareRoot(warmup_steps=100), at(0), 0.01),
        (InverseSquareRoot(warmup_steps=100), at(99), 1.0),
        (InverseSquareRoot(warmup_steps=100), at(399), 0.5),
        (InverseSquareRoot(warmup_steps=100), at(9999), 0.1),
        (Cosine(warmup=0.2, minimum=0.0), at(fraction=0.1), 0.5),
        (Cosine(warmup=0.2, minimum=0.0), at(fraction=0.2), 1.0),
        (Cosine(warmup=0.2, minimum=0.0), at(fraction=0.6), 0.5),
        (Cosine(warmup=0.2, minimum=0.0), at(fraction=1.0), 0.0),
        (Cosine(warmup=0.0, minimum=0.1), at(fraction=0.0), 1.0),
        (Cosine(warmup=0.0, minimum=0.1), at(fraction=1 / 3), 0.1 + 0.9 * 0.75),
        (Cosine(warmup=0.0, minimum=0.1), at(fraction=1.0), 0.1),
        (WarmupStableDecay(warmup=0.1, decay=0.4, minimum=0.02), at(fraction=0.0), 0.001),
        (WarmupStableDecay(warmup=0.1, decay=0.4, minimum=0.02), at(fraction=0.05), 0.5),
        (WarmupStableDecay(warmup=0.1, decay=0.4, minimum=0.02), at(fraction=0.1), 1.0),
        (WarmupStableDecay(warmup=0.1, decay=0.4, minimum=0.02), at(fraction=0.6), 1.0),
        (WarmupStableDecay(warmup=0.1, decay=0.4, minimum=0.02), at(fraction=0.8), 0.51),
        (WarmupStableDecay(warmup=0.1, decay=0.4, minimum=0.02), at(fraction=1.0), 0.02),
        (WarmupStableDecay(warmup=0.0, decay=0.0, minimum=0.02), at(fraction=0.0), 1.0),
        (WarmupStableDecay(warmup=0.0, decay=0.0, minimum=0.02), at(fraction=1.0), 1.0),
    ],
)
def test_schedules_at_points_worked_out_by_hand(schedule: Schedule, progress: Progress, expected: float) -> None:
    assert schedule.factor(progress) == pytest.approx(expected)


SHIPPED = {name: run_config(f"scheduler={name}").scheduler() for name in choices("scheduler")}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_the_largest_factor_of_every_shipped_schedule_is_one(name: str) -> None:
    factors = [SHIPPED[name].factor(Progress(step, step / 10_000)) for step in range(10_001)]
    peak = factors.index(max(factors))
    assert max(factors) == pytest.approx(1.0)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert min(factors) > 0


def named(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return list(model.named_parameters())


def adamw(model: nn.Module, weight_decay: float = 0.1) -> AdamW:
    return AdamW(named(model), learning_rate=0.01, betas=(0.9, 0.98), epsilon=1e-9, weight_decay=weight_decay)


def steps(model: nn.Module, optimizer: Optimizer, first: int, last: int) -> None:
    """Updates with gradients that depend on the number of the update only."""
    for step in range(first, last):
        draw = torch.Generator().manual_seed(step)
        for parameter in model.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimizer.step(1.0 / (1 + step))
        optimizer.zero_grad()


@pytest.mark.parametrize("name", choices("optimizer"))
def test_an_optimizer_that_goes_on_from_its_state_takes_the_very_same_steps(name: str) -> None:
    part = run_config(f"optimizer={name}").optimizer
    whole, broken = build(), build()
    optimizer = part(named(whole))
    steps(whole, optimizer, 0, 6)

    before = part(named(broken))
    steps(broken, before, 0, 3)
    state = {key: value.clone() for key, value in before.state().items()}
    assert state
    after = part(named(broken))
    after.load_state(state)
    steps(broken, after, 3, 6)

    for (label, value), other in zip(whole.state_dict().items(), broken.state_dict().values(), strict=True):
        assert torch.equal(value, other), label
    assert after.learning_rate == optimizer.learning_rate


def test_a_loaded_state_is_a_copy() -> None:
    model = build()
    optimizer = adamw(model)
    steps(model, optimizer, 0, 2)
    state = {key: value.clone() for key, value in optimizer.state().items()}
    kept = {key: value.clone() for key, value in state.items()}
    again = adamw(model)
    again.load_state(state)
    steps(model, again, 2, 4)
    assert all(torch.equal(state[key], kept[key]) for key in kept)


def test_one_step_of_adamw_is_the_formula() -> None:
    model = nn.Linear(3, 2, dtype=torch.float64)
    weight = model.weight.detach().clone()
    gradient = torch.randn_like(weight)
    optimizer = adamw(model)
    model.weight.grad = gradient.clone()
    optimizer.step(0.5)
    rate = 0.01 * 0.5
    # After one step, the bias corrections leave the gradient and its square.
    expected = weight * (1 - rate * 0.1) - rate * gradient / (gradient.abs() + 1e-9)
    torch.testing.assert_close(model.weight.detach(), expected)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_weight_decay_acts_on_matrices_but_not_on_embeddings(positions: str) -> None:
    model = build("model.tie_embeddings=none", "encoder=transformer", f"encoder.positions={positions}")
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    matrices = {name for name, value in named(model) if value.ndim > 1 and id(value) not in embeddings}
    before = {name: value.detach().clone() for name, value in named(model)}
    optimizer = adamw(model, weight_decay=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(1.0)
    after = dict(named(model))
    assert {name for name in before if not torch.equal(after[name], before[name])} == matrices
    for name in matrices:
        torch.testing.assert_close(after[name].detach(), before[name] * (1 - 0.01 * 0.5))


@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_an_average_follows_its_closed_form(decay: float) -> None:
    model = nn.Linear(2, 2, dtype=torch.float64)
    average = ExponentialAverage(model.parameters(), decay)
    values = [model.weight.detach().clone()]
    factors = []
    for step in range(30):
        with torch.no_grad():
            model.weight.normal_()
        average.update(step)
        values.append(model.weight.detach().clone())
        factors.append(min(decay, (1 + step) / (10 + step)))
    # Every value counts with (1 - d) of its own step, times the decays of all later ones.
    shares = [math.prod(factors)] + [(1 - d) * math.prod(factors[i + 1 :]) for i, d in enumerate(factors)]
    assert sum(shares) == pytest.approx(1.0)
    expected = sum(share * value for share, value in zip(shares, values, strict=True))
    torch.testing.assert_close(average.averages[0], expected)


def averaged_model() -> tuple[nn.Linear, ExponentialAverage]:
    model = nn.Linear(2, 2)
    average = ExponentialAverage(model.parameters(), 0.9)
    with torch.no_grad():
        model.weight.add_(1.0)
    average.update(0)
    return model, average


def test_averages_are_in_the_weights_place_inside_the_block_only() -> None:
    model, average = averaged_model()
    raw, mean = model.weight.detach().clone(), average.averages[0].clone()
    with average.applied():
        assert torch.equal(model.weight, mean)
        assert not torch.equal(model.weight, raw)
    assert torch.equal(model.weight, raw)
    assert torch.equal(average.averages[0], mean)


def test_the_weights_come_back_after_an_error() -> None:
    model, average = averaged_model()
    raw, mean = model.weight.detach().clone(), average.averages[0].clone()
    with pytest.raises(RuntimeError, match="disk"), average.applied():
        raise RuntimeError("the disk is full")
    assert torch.equal(model.weight, raw)
    assert torch.equal(average.averages[0], mean)


def test_a_rate_that_would_fall_before_it_has_risen_is_refused() -> None:
    WarmupStableDecay(warmup=0.5, decay=0.5, minimum=0.0)
    with pytest.raises(ConfigError, match=r"^`scheduler\.decay` must be at most .*, 0\.1, but is 0\.5 instead"):
        check_parts(run_config("scheduler.warmup=0.9", "scheduler.decay=0.5"))
