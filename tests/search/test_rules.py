"""What may come next: repetition, given beginnings, and the order of the rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny import batch_of, build, choices, sentences
from toys import decisive, find, has_repeats, make, same

from seq2seq.data.batching import padded
from seq2seq.data.tokenizer import EOS, PAD
from seq2seq.model import Seq2SeqModel
from seq2seq.search.rules import forbid_repeats, penalise_repetition
from seq2seq.search.scoring import score_targets

LENGTHS = [6, 3, 1, 5, 6, 2]
NEVER = float("-inf")

every_search = pytest.mark.parametrize("name", choices("search"))


@pytest.fixture(params=choices("decoder"))
def model(request: pytest.FixtureRequest) -> Seq2SeqModel:
    return decisive(build(f"decoder={request.param}"))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_forbidden_are_exactly_the_pieces_that_would_repeat_an_n_gram(size: int) -> None:
    written = torch.randint(4, 7, (40, 9), generator=torch.Generator().manual_seed(1))
    scores = torch.zeros(40, 8)
    forbid_repeats(scores, written, size)
    for row in range(40):
        before = written[row].tolist()
        grams = {tuple(before[place : place + size]) for place in range(len(before) - size + 1)}
        for piece in range(8):
            repeats = tuple([*before, piece][-size:]) in grams
            assert (scores[row, piece].item() == NEVER) == repeats


@pytest.mark.parametrize("theta", [1.0, 1.2, 3.0])
def test_the_repetition_penalty_at_points_worked_out_by_hand(theta: float) -> None:
    shares = torch.tensor([[0.5, 0.3, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64)
    found = penalise_repetition(shares.log(), torch.tensor([[0, 2, 0], [1, 1, 1]]), theta).exp()
    raised = torch.tensor([[0.5**theta, 0.3, 0.1**theta, 0.1], [0.25, 0.25**theta, 0.25, 0.25]], dtype=torch.float64)
    torch.testing.assert_close(found, raised / raised.sum(1, keepdim=True))


@pytest.mark.parametrize("decoder", choices("decoder"))
def test_a_repetition_penalty_makes_greedy_translations_less_repetitive(decoder: str) -> None:
    model = decisive(build(f"decoder={decoder}"), 1.0)
    with torch.no_grad():
        model.output.bias[EOS] = -50.0
    batch = batch_of(sentences(LENGTHS))

    def different(theta: float) -> int:
        search = replace(make("search=greedy"), repetition_penalty=theta)
        return sum(len(set(found[0].ids)) for found in find(model, batch, search))

    assert different(1.0) < different(1.5) < different(5.0)


@every_search
def test_every_translation_begins_as_it_must(model: Seq2SeqModel, name: str) -> None:
    search = make(f"search={name}").over_pieces
    sources = sentences(LENGTHS)
    starts = [[5, 6, 7], [], [9], [4, 4, 4, 4, 4], [8, 5], [9]]
    prefixes = padded(starts)
    together = find(model, batch_of(sources), search, prefixes=prefixes)
    free = find(model, batch_of(sources), search)
    for row, (start, found) in enumerate(zip(starts, together, strict=True)):
        assert all(one.ids[: len(start)] == start for one in found)
        alone = find(
            model,
            batch_of([sources[row]]),
            search,
            numbers=torch.tensor([row]),
            prefixes=prefixes[row : row + 1, : len(start)],
        )
        assert same(alone[0], found)
    assert same(together[1], free[1])


def test_a_given_beginning_is_scored_as_any_other_piece(model: Seq2SeqModel) -> None:
    sources = sentences(LENGTHS)
    starts = [[5, 6, 7]] * len(sources)
    for search in (make("search.beam_size=4", "search.n_best=3"), make("search=greedy"), make("search=sampling")):
        found = find(model, batch_of(sources), search, prefixes=torch.tensor(starts))
        for source, hypotheses in zip(sources, found, strict=True):
            targets = [one.ids for one in hypotheses]
            forced = score_targets(batch_of([source] * len(targets), targets), model).sum(1).tolist()
            expected = [total / (len(ids) + 1) for total, ids in zip(forced, targets, strict=True)]
            assert [one.score for one in hypotheses] == pytest.approx(expected, abs=1e-4)


@every_search
def test_a_beginning_may_break_rules_that_hold_after_it(model: Seq2SeqModel, name: str) -> None:
    with torch.no_grad():
        model.output.bias[EOS] = -50.0
    search = replace(make(f"search={name}").over_pieces, no_repeat_ngram=1, max_length_extra=6)
    sources = sentences([5, 5])
    found = find(model, batch_of(sources), search, prefixes=torch.tensor([[4, 4, 4], [PAD, PAD, PAD]]))
    for one in found[0]:
        assert one.ids[:3] == [4, 4, 4]
        assert not has_repeats(one.ids[2:], 1)
        assert len(one.ids) > 5


def test_a_beginning_as_long_as_a_translation_may_be_leaves_only_the_end(model: Seq2SeqModel) -> None:
    for name in choices("search"):
        search = make(f"search={name}").over_pieces
        limit = int(search.limits(torch.tensor([4])))
        start = [5] * (limit - 1)
        [found] = find(model, batch_of(sentences([3])), search, prefixes=torch.tensor([start]))
        assert {tuple(one.ids) for one in found} == {tuple(start)}
