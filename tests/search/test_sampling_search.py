"""Sampling: what is drawn from, and that chance depends on nothing but seed, line, draw and step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import batch_of, build, choices, sentences
from toys import PIECES, decisive, find, make, same, toy_sentences, with_limit

from seq2seq.data.tokenizer import EOS
from seq2seq.model import Seq2SeqModel
from seq2seq.search.sampling import uniform
from seq2seq.search.scoring import score_targets

LENGTHS = [6, 3, 1, 5, 6, 2, 4, 4]

# Probabilities of five pieces, and what truncations leave of them, worked out by hand.
SHARES = [0.4, 0.05, 0.3, 0.2, 0.05]


@pytest.fixture(params=choices("decoder"))
def model(request: pytest.FixtureRequest) -> Seq2SeqModel:
    return decisive(build(f"decoder={request.param}"), 2.0)


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({}, [0.4, 0.05, 0.3, 0.2, 0.05]),
        ({"top_k": 1}, [1, 0, 0, 0, 0]),
        ({"top_k": 2}, [4, 0, 3, 0, 0]),
        ({"top_k": 9}, [0.4, 0.05, 0.3, 0.2, 0.05]),
        ({"top_p": 0.3}, [1, 0, 0, 0, 0]),
        ({"top_p": 0.5}, [4, 0, 3, 0, 0]),
        ({"top_p": 0.75}, [4, 0, 3, 2, 0]),
        ({"top_p": 1.0}, [0.4, 0.05, 0.3, 0.2, 0.05]),
        ({"epsilon": 0.1}, [4, 0, 3, 2, 0]),
        ({"epsilon": 0.9}, [1, 0, 0, 0, 0]),
        ({"top_k": 3, "top_p": 0.5, "epsilon": 0.01}, [4, 0, 3, 0, 0]),
        ({"top_k": 3, "top_p": 0.99, "epsilon": 0.25}, [4, 0, 3, 0, 0]),
        ({"temperature": 0.5}, [16, 0.25, 9, 4, 0.25]),
        ({"temperature": 2.0}, np.sqrt(SHARES)),
        ({"temperature": 0.5, "epsilon": 0.1}, [16, 0, 9, 4, 0]),
    ],
)
def test_truncation_leaves_what_the_papers_say(settings: dict[str, float], left: list[float]) -> None:
    search = replace(make("search=sampling"), **settings)
    found = search.distribution(torch.tensor([SHARES, SHARES[::-1]], dtype=torch.float64).log())
    expected = torch.tensor(np.array(left) / np.sum(left))
    torch.testing.assert_close(found, torch.stack([expected, expected.flip(0)]))


def test_what_may_not_come_next_is_never_drawn() -> None:
    scores = torch.full((4, 7), float("-inf"))
    scores[:, 3] = -5.0
    for settings in ({}, {"top_k": 3}, {"top_p": 0.5}, {"epsilon": 0.5}):
        found = replace(make("search=sampling"), **settings).distribution(scores)
        assert found[:, 3].tolist() == [1.0] * 4


@pytest.mark.parametrize("settings", [{}, {"top_k": 3}, {"top_p": 0.7}, {"epsilon": 0.1}, {"temperature": 0.5}])
def test_first_pieces_are_drawn_as_often_as_the_truncated_distribution_says(settings: dict[str, float]) -> None:
    """Chi-squared with a fixed seed."""
    model = decisive(build(vocabulary=PIECES[-1] + 1), 2.0)
    draws = 20_000
    search = with_limit(replace(make("search=sampling"), n_best=draws, **settings), 2)
    batch = batch_of(toy_sentences([4]))
    [found] = find(model, batch, search)
    counts = np.bincount([one.ids[0] if one.ids else EOS for one in found], minlength=PIECES[-1] + 1)
    with torch.no_grad():
        logits = model.decode(torch.tensor([[2]]), model.start(model.encode(batch))).logits[0, -1]
    scores = logits.log_softmax(-1)
    scores[:EOS] = float("-inf")
    expected = search.distribution(scores[None])[0].numpy() * draws
    possible = expected > 0
    assert counts[~possible].sum() == 0
    chi = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert chi < 25, (counts, expected)  # at most 5 degrees of freedom: one seed in 7000 is above


def test_chances_are_uniform_and_each_has_its_own() -> None:
    found = uniform(1, np.arange(50), 20, 30)
    assert found.shape == (50, 20, 30)
    assert len(np.unique(found)) == found.size
    assert 0 <= found.min() < found.max() < 1
    counts = np.histogram(found, bins=50, range=(0, 1))[0]
    assert ((counts - 600) ** 2 / 600).sum() < 90  # 49 degrees of freedom
    for axis in range(3):  # neighbours have nothing to do with each other
        near = np.moveaxis(found, axis, 0)
        assert abs(np.corrcoef(near[:-1].ravel(), near[1:].ravel())[0, 1]) < 0.03
    assert not np.intersect1d(found, uniform(2, np.arange(50), 20, 30)).size


@pytest.mark.parametrize("settings", [{}, {"top_k": 5, "temperature": 0.8}, {"top_p": 0.9}, {"epsilon": 0.02}])
def test_draws_are_the_same_in_any_batch_and_any_order(model: Seq2SeqModel, settings: dict[str, float]) -> None:
    search = replace(make("search=sampling"), n_best=3, **settings)
    sources = sentences(LENGTHS)
    numbers = torch.arange(len(sources)) + 17
    together = find(model, batch_of(sources), search, numbers=numbers)
    order = torch.tensor([5, 0, 7, 2, 1, 6, 4, 3])
    mixed = find(model, batch_of([sources[row] for row in order]), search, numbers=numbers[order])
    for place, row in enumerate(order.tolist()):
        assert same(mixed[place], together[row])
        alone = find(model, batch_of([sources[row]]), search, numbers=numbers[row : row + 1])
        assert same(alone[0], together[row])


def test_equal_lines_are_drawn_apart_and_seeds_differ(model: Seq2SeqModel) -> None:
    search = make("search=sampling", "search.n_best=2")
    batch = batch_of(sentences([6]) * 4)
    found = find(model, batch, search)
    assert same(found[0], find(model, batch, search)[0])
    drawn = {tuple(one.ids) for line in found for one in line}
    assert len(drawn) > 4
    others = find(model, batch, replace(search, seed=2))
    assert [[one.ids for one in line] for line in others] != [[one.ids for one in line] for line in found]


def test_more_draws_begin_with_the_fewer_ones(model: Seq2SeqModel) -> None:
    search = make("search=sampling")
    batch = batch_of(sentences(LENGTHS))
    few, many = (find(model, batch, replace(search, n_best=count)) for count in (2, 7))
    for short, long in zip(few, many, strict=True):
        assert same(short, long[:2])


def test_a_drawn_translation_is_scored_by_the_whole_distribution(model: Seq2SeqModel) -> None:
    search = make("search=sampling", "search.n_best=4", "search.temperature=0.7", "search.top_k=5")
    sources = sentences(LENGTHS)
    limits = search.limits(torch.tensor(LENGTHS) + 1).tolist()
    for source, limit, found in zip(sources, limits, find(model, batch_of(sources), search), strict=True):
        forced = score_targets(batch_of([source] * 4, [one.ids for one in found]), model).sum(1).tolist()
        for one, total in zip(found, forced, strict=True):
            assert one.score == pytest.approx(total / (len(one.ids) + 1), abs=1e-4)
            assert len(one.ids) < limit


def test_little_temperature_and_one_piece_are_greedy_search(model: Seq2SeqModel) -> None:
    batch = batch_of(sentences(LENGTHS))
    greedy = find(model, batch, make("search=greedy"))
    for override in ("search.temperature=0.001", "search.top_k=1", "search.top_p=0.00001", "search.epsilon=0.999"):
        for drawn, likeliest in zip(find(model, batch, make("search=sampling", override)), greedy, strict=True):
            assert same(drawn, likeliest)
