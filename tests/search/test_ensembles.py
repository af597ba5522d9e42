"""Several models as one, as a search sees them."""

from __future__ import annotations

import pytest
import torch
from tiny import batch_of, build, choices, sentences
from toys import decisive, find, make, same

from seq2seq.data.tokenizer import BOS
from seq2seq.search import Scorer
from seq2seq.search.scoring import score_targets

LENGTHS = [6, 3, 1, 5, 6, 2]
SEARCHES = ["search=greedy", "search.coverage_penalty=0.2", "search=diverse_beam", "search=sampling"]

every_search = pytest.mark.parametrize("name", SEARCHES)


@every_search
@pytest.mark.parametrize("decoder", choices("decoder"))
def test_an_ensemble_of_a_model_with_itself_is_the_model(decoder: str, name: str) -> None:
    model, batch = decisive(build(f"decoder={decoder}")), batch_of(sentences(LENGTHS))
    search = make(name)
    for one, two in zip(find(model, batch, search), find(Scorer(model, model, model), batch, search), strict=True):
        assert same(one, two)


def test_probabilities_of_an_ensemble_are_the_mean_of_those_of_its_models() -> None:
    models = [decisive(build(f"decoder={name}", seed=seed)) for seed, name in enumerate(choices("decoder"))]
    batch = batch_of(sentences(LENGTHS))
    tokens = torch.full((len(LENGTHS), 1), BOS)
    with torch.inference_mode():
        each = []
        for scorer in (*map(Scorer, models), Scorer(*models)):
            _, state, _ = scorer.step(tokens, scorer.start(batch))
            each.append(scorer.step(tokens + 5, state).scores.exp())
    torch.testing.assert_close(each[-1], (each[0] + each[1]) / 2)
    assert not torch.allclose(each[0], each[1], atol=0.05)


@pytest.mark.parametrize("name", ["search=greedy", "search.n_best=3", "search=sampling"])
def test_what_an_ensemble_finds_is_scored_by_forced_decoding_alike(name: str) -> None:
    models = [decisive(build(f"decoder={each}", seed=seed)) for seed, each in enumerate(choices("decoder"))]
    sources = sentences(LENGTHS)
    for source, found in zip(sources, find(Scorer(*models), batch_of(sources), make(name)), strict=True):
        targets = [one.ids for one in found]
        forced = score_targets(batch_of([source] * len(targets), targets), *models).sum(1).tolist()
        expected = [total / (len(ids) + 1) for total, ids in zip(forced, targets, strict=True)]
        assert [one.score for one in found] == pytest.approx(expected, abs=1e-4)
