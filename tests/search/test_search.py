"""Greedy and beam searches against each other, against forced decoding, and against all sequences there are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny import batch_of, build, choices, random_batch, sentences
from toys import (
    EVERYTHING,
    LIMIT,
    PIECES,
    beam,
    brute_force,
    decisive,
    find,
    has_repeats,
    make,
    same,
    toy_sentences,
    with_limit,
)

from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.model import Seq2SeqModel
from seq2seq.search import Beam, Scorer
from seq2seq.search.scorer import States
from seq2seq.search.scoring import attention_weights, score_targets

SOURCE_LENGTHS = [6, 3, 1, 5, 6, 2]
PENALTIES = [0.0, 0.6, 1.0]
NORMALIZATIONS = ["average", "gnmt"]

every_normalization = pytest.mark.parametrize("normalization", NORMALIZATIONS)
every_penalty = pytest.mark.parametrize("penalty", PENALTIES)


@pytest.fixture(params=choices("decoder"))
def decoder(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=choices("encoder"))
def model(request: pytest.FixtureRequest, decoder: str) -> Seq2SeqModel:
    return decisive(build(f"encoder={request.param}", f"decoder={decoder}"))


@pytest.fixture(params=[1, 2])
def toy(request: pytest.FixtureRequest, decoder: str) -> Seq2SeqModel:
    return decisive(build(f"decoder={decoder}", vocabulary=PIECES[-1] + 1, seed=request.param), 2.0)


@pytest.fixture
def batch() -> Batch:
    return random_batch(SOURCE_LENGTHS, SOURCE_LENGTHS)


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_model_of_weights_that_are_no_numbers_is_refused(
    model: Seq2SeqModel, batch: Batch, number: float, size: int
) -> None:
    for change in (lambda: model.output.bias[EOS + 1 :].fill_(number), lambda: model.output.weight.fill_(number)):
        with torch.no_grad():
            change()
        for search in (beam(size), make("search=greedy"), make("search=sampling"), make("search=diverse_beam")):
            with pytest.raises(CheckpointError, match="the model's weights must be finite numbers"):
                find(model, batch, search)


@every_normalization
@every_penalty
def test_a_beam_of_one_is_greedy_search(
    model: Seq2SeqModel, batch: Batch, penalty: float, normalization: str
) -> None:
    alone = find(model, batch, beam(1, 1, penalty, normalization))
    for one, greedy in zip(alone, find(model, batch, make("search=greedy")), strict=True):
        assert one[0].ids == greedy[0].ids
        length = len(one[0].ids) + 1
        base = length if normalization == "average" else (5 + length) / 6
        assert one[0].score * base**penalty == pytest.approx(greedy[0].score * length, abs=1e-3)


def test_greedy_search_takes_the_likeliest_piece_at_every_step(model: Seq2SeqModel, batch: Batch) -> None:
    search = make("search=greedy")
    for row, found in enumerate(find(model, batch, search)):
        ids = [BOS, *found[0].ids]
        source = batch.source[row][: batch.source_lengths[row]].tolist()[:-1]
        again = batch_of([source])
        with torch.no_grad():
            logits = model.decode(torch.tensor([ids]), model.start(model.encode(again))).logits[0]
        logits[:, :EOS] = -1e9
        expected = [*found[0].ids, EOS]
        limit = int(search.limits(again.source_lengths))
        assert logits.argmax(-1).tolist()[: limit - 1] == expected[: limit - 1]


@pytest.mark.parametrize(
    ("coverage", "rules"), [(0.0, {}), (0.3, {}), (0.0, {"no_repeat_ngram": 1}), (0.3, {"repetition_penalty": 1.5})]
)
@every_normalization
@every_penalty
def test_a_beam_that_holds_everything_equals_brute_force(
    toy: Seq2SeqModel, penalty: float, normalization: str, coverage: float, rules: dict[str, float]
) -> None:
    many = beam(len(EVERYTHING), len(EVERYTHING), penalty, normalization, coverage)
    search = replace(with_limit(many, LIMIT), **rules)
    sources = toy_sentences()
    for source, found in zip(sources, find(toy, batch_of(sources), search), strict=True):
        expected = brute_force(toy, source, search)
        assert {tuple(one.ids) for one in found} == {tuple(one.ids) for one in expected}
        assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-4)
        assert found[0].ids == expected[0].ids
        [best] = find(toy, batch_of([source]), replace(search, n_best=1))
        assert same(best, expected[:1])


@pytest.mark.parametrize("name", ["search.beam_size=4", "search=greedy", "search=diverse_beam"])
@pytest.mark.parametrize("rules", [{}, {"no_repeat_ngram": 2, "repetition_penalty": 1.3}])
def test_a_sentence_is_translated_alike_alone_and_among_others_in_any_order(
    model: Seq2SeqModel, name: str, rules: dict[str, float]
) -> None:
    search = replace(make(name), **rules)
    sources = sentences(SOURCE_LENGTHS)
    together = find(model, batch_of(sources), search)
    reverse = find(model, batch_of(sources[::-1]), search)[::-1]
    for source, found, other in zip(sources, together, reverse, strict=True):
        assert same(found, find(model, batch_of([source]), search)[0])
        assert same(found, other)


@every_normalization
@every_penalty
def test_the_n_best_are_distinct_and_sorted(
    model: Seq2SeqModel, batch: Batch, penalty: float, normalization: str
) -> None:
    for found in find(model, batch, beam(5, 4, penalty, normalization)):
        assert len(found) == 4
        assert len({tuple(one.ids) for one in found}) == len(found)
        scores = [one.score for one in found]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("size", [1, 5])
@every_normalization
@every_penalty
def test_scores_are_those_of_forced_decoding(
    model: Seq2SeqModel, penalty: float, normalization: str, size: int
) -> None:
    search = beam(size, size, penalty, normalization)
    sources = sentences(SOURCE_LENGTHS)
    limits = search.limits(torch.tensor(SOURCE_LENGTHS) + 1).tolist()
    for source, limit, found in zip(sources, limits, find(model, batch_of(sources), search), strict=True):
        forced = score_targets(batch_of([source] * len(found), [one.ids for one in found]), model).sum(1)
        for hypothesis, total in zip(found, forced.tolist(), strict=True):
            length = len(hypothesis.ids) + 1
            base = length if normalization == "average" else (5 + length) / 6
            assert hypothesis.score == pytest.approx(total / base**penalty, abs=1e-4)
            assert length <= limit
            assert set(hypothesis.ids).isdisjoint(range(EOS + 1))


@every_normalization
@every_penalty
@pytest.mark.parametrize(
    ("size", "coverage", "rules"), [(4, 0.0, {}), (2, 0.3, {"no_repeat_ngram": 1, "repetition_penalty": 2.0})]
)
def test_stopping_early_loses_nothing(
    model: Seq2SeqModel,
    batch: Batch,
    size: int,
    penalty: float,
    normalization: str,
    coverage: float,
    rules: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same beam that never stops before the largest length finds nothing better."""
    search = replace(beam(size, 1, penalty, normalization, coverage), **rules)
    early = find(model, batch, search)
    all_of_them = find(model, batch, replace(search, n_best=size))
    steps = 0
    own = Scorer.step

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal steps
        steps += 1
        return own(*args, **kwargs)

    monkeypatch.setattr(Scorer, "step", counted)
    monkeypatch.setattr(Beam, "bound", lambda self, sums, limits: torch.full(sums.shape[:2], float("inf")))
    late = find(model, batch, replace(search, n_best=size))
    assert steps == int(search.limits(batch.source_lengths).max())
    for short, long, whole in zip(early, all_of_them, late, strict=True):
        assert same(short, whole[:1])
        assert same(long, whole)


@pytest.mark.parametrize("size", [1, 3])
def test_a_translation_ends_within_its_limit(model: Seq2SeqModel, batch: Batch, size: int) -> None:
    with torch.no_grad():
        model.output.bias[EOS] = -50.0  # a model that would never stop by itself
    search = beam(size)
    limits = search.limits(batch.source_lengths).tolist()
    lengths = [len(found[0].ids) + 1 for found in find(model, batch, search)]
    assert lengths == limits == [int(1.5 * (length + 1)) + 11 for length in SOURCE_LENGTHS]


@pytest.mark.parametrize("size", [1, 3])
def test_an_empty_translation_is_possible(model: Seq2SeqModel, batch: Batch, size: int) -> None:
    with torch.no_grad():
        model.output.bias[EOS] = 50.0
    for found in find(model, batch, beam(size)):
        assert found[0].ids == []
        assert found[0].score == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("name", choices("search"))
def test_padding_unknown_and_begin_are_never_chosen(model: Seq2SeqModel, batch: Batch, name: str) -> None:
    with torch.no_grad():
        model.output.bias[:EOS] = 50.0
    for found in find(model, batch, make(f"search={name}").over_pieces):
        for hypothesis in found:
            assert set(hypothesis.ids).isdisjoint(range(EOS + 1))


def test_fewer_translations_come_back_where_no_more_exist(decoder: str) -> None:
    """A beam may even be larger than the vocabulary."""
    model = build(f"decoder={decoder}", vocabulary=6)
    found = find(model, batch_of([[4, 5]]), with_limit(beam(20, 20), 2))[0]
    assert sorted(one.ids for one in found) == [[], [4], [5]]


@pytest.mark.parametrize("name", choices("search"))
def test_a_search_leaves_the_model_and_the_batch_as_they_were(model: Seq2SeqModel, batch: Batch, name: str) -> None:
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    source = batch.source.clone()
    find(model, batch, make(f"search={name}").over_pieces)
    assert torch.equal(batch.source, source)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


def test_forced_scores_are_log_probabilities_and_zero_on_padding(model: Seq2SeqModel, batch: Batch) -> None:
    scores = score_targets(batch, model)
    padding = batch.target[:, 1:] == PAD
    assert bool((scores[padding] == 0).all())
    assert bool((scores[~padding] < 0).all())
    state = model.start(model.encode(batch))
    expected = torch.log_softmax(model.decode(batch.target[:, :1], state).logits[:, 0], -1)
    first = batch.target[:, 1]
    assert bool((batch.target[:, 0] == BOS).all())
    torch.testing.assert_close(scores[:, 0], expected.gather(1, first[:, None])[:, 0], atol=1e-4, rtol=1e-4)


def test_attention_weights_of_a_given_target_cover_every_position(model: Seq2SeqModel, batch: Batch) -> None:
    for weights in attention_weights(model, batch):
        rows, heads, steps, places = weights.shape
        assert (rows, steps, places) == (len(batch.source), batch.target.shape[1] - 1, batch.source.shape[1])
        torch.testing.assert_close(weights.sum(-1), torch.ones(rows, heads, steps))


@pytest.mark.parametrize("size", [2, 5])
def test_a_sentence_is_covered_alike_alone_and_among_others(model: Seq2SeqModel, size: int) -> None:
    search = with_limit(beam(size, size, coverage=0.5), 3)  # too short to look at everything
    sources = sentences(SOURCE_LENGTHS)
    together = find(model, batch_of(sources), search)
    for source, found in zip(sources, together, strict=True):
        assert same(found, find(model, batch_of([source]), search)[0])
    plain = find(model, batch_of(sources), replace(search, coverage_penalty=0.0))
    assert sum(one[0].score < other[0].score for one, other in zip(together, plain, strict=True)) > len(plain) / 2


@pytest.mark.parametrize("diversity", [0.0, 0.7])
def test_a_diverse_beam_of_one_group_is_a_beam(model: Seq2SeqModel, batch: Batch, diversity: float) -> None:
    own = make("search=diverse_beam", "search.beam_size=4", "search.n_best=3", "search.groups=1")
    for diverse, plain in zip(
        find(model, batch, replace(own, diversity=diversity)), find(model, batch, beam(4, 3)), strict=True
    ):
        assert same(diverse, plain)


def test_the_first_group_is_a_beam_and_others_keep_away_from_it(model: Seq2SeqModel, batch: Batch) -> None:
    """Where avoiding costs everything, no two groups begin alike; where it costs nothing, all groups are the same."""
    search = make("search=diverse_beam", "search.beam_size=6", "search.n_best=3", "search.groups=3")
    plain = find(model, batch, beam(2, 1))
    for strong, none, alone in zip(
        find(model, batch, replace(search, diversity=1000.0)),
        find(model, batch, replace(search, diversity=0.0)),
        plain,
        strict=True,
    ):
        assert alone[0].ids in [one.ids for one in strong]
        # An empty translation has chosen no piece, so any group may have it.
        begins = [tuple(one.ids[:1]) for one in strong if one.ids]
        assert len(set(begins)) == len(begins)
        assert len(strong) == 3
        assert none[0].ids == alone[0].ids


def test_scores_of_a_diverse_beam_are_those_of_forced_decoding(model: Seq2SeqModel) -> None:
    sources = sentences(SOURCE_LENGTHS)
    search = make("search=diverse_beam", "search.n_best=6")
    for source, found in zip(sources, find(model, batch_of(sources), search), strict=True):
        assert same(found, find(model, batch_of([source]), search)[0])
        scores = [one.score for one in found]
        assert scores == sorted(scores, reverse=True)
        assert len({tuple(one.ids) for one in found}) == len(found) > 1
        forced = score_targets(batch_of([source] * len(found), [one.ids for one in found]), model).sum(1).tolist()
        expected = [total / (len(one.ids) + 1) for total, one in zip(forced, found, strict=True)]
        assert scores == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", choices("search"))
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_search_repeats_an_n_gram_where_it_must_not(
    model: Seq2SeqModel, batch: Batch, name: str, size: int
) -> None:
    search = make(f"search={name}").over_pieces
    with torch.no_grad():
        model.output.bias[EOS] = -50.0
    free, bound = (
        [one.ids for found in find(model, batch, search) for one in found]
        for search in (search, replace(search, no_repeat_ngram=size))
    )
    assert any(has_repeats(ids, size) for ids in free)
    assert not any(has_repeats(ids, size) for ids in bound)


def test_coverage_is_refused_where_nothing_is_compared() -> None:
    words = r"`coverage_penalty` must be 0 where the `beam_size` beside it is 1.*0.2 instead"
    with pytest.raises(ConfigError, match=words):
        beam(1, coverage=0.2)


def test_more_translations_than_the_beam_holds_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`n_best` must be at most the `beam_size` beside it, 3, but is 4"):
        beam(3, 4)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("search=diverse_beam", "search.groups=4"),
            r"`search.groups` must divide the `beam_size` beside it, 6, but is 4",
        ),
        (
            ("search=mbr", "search@search.candidates=beam", "search.candidates.n_best=5000"),
            r"`search.candidates.n_best` must be at most the `beam_size` beside it, 5, but is 5000",
        ),
        (("search=mbr", "search.n_best=33"), r"`search.n_best` must be at most the number of candidates, 32, but is"),
        (("search=mbr", "search@search.candidates=greedy", "search.n_best=2"), "number of candidates, 1, but is 2"),
        (("search.repetition_penalty=0.9",), r"`search.repetition_penalty` must be at least 1, but is 0.9 instead"),
        (("search=sampling", "search.epsilon=1.0"), r"`search.epsilon` must be greater than 0 and less than 1, but"),
        (("search=sampling", "search.top_p=0"), r"`search.top_p` must be greater than 0 and at most 1, but is 0"),
        (
            ("search=sampling", "search.temperature=0"),
            r"`search.temperature` must be at least 0.001",
        ),
        (("search=mbr", "search@search.candidates=mbr"), r"`search.candidates._target_` must name a kind of PieceSe"),
    ],
)
def test_what_cannot_be_searched_is_refused_by_name(overrides: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(*overrides)


@pytest.mark.parametrize(
    ("normalization", "penalty", "length", "expected"),
    [
        ("average", 0.0, 7, 1.0),
        ("average", 1.0, 7, 7.0),
        ("average", 0.5, 9, 3.0),
        ("gnmt", 1.0, 7, 2.0),
        ("gnmt", 2.0, 13, 9.0),
    ],
)
def test_length_penalties_at_points_worked_out_by_hand(
    normalization: str, penalty: float, length: int, expected: float
) -> None:
    found = beam(1, 1, penalty, normalization).penalty(torch.tensor([length]))
    assert found.item() == pytest.approx(expected)


@pytest.mark.parametrize("size", [2, 5])
def test_a_sentence_ends_when_enough_translations_have_ended(
    decoder: str, batch: Batch, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(f"decoder={decoder}")
    with torch.no_grad():
        model.output.bias[EOS] += 1.0  # translations end at every step, and better ones may always come
    exact = find(model, batch, beam(size))
    rows: list[int] = []
    own = Scorer.step

    def counted(self: Scorer, tokens: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(len(tokens))
        return own(self, tokens, *args, **kwargs)

    monkeypatch.setattr(Scorer, "step", counted)
    work = []
    for patience in (None, 100.0, 1.0, 1e-3):
        rows.clear()
        found = find(model, batch, replace(beam(size), patience=patience))
        work.append(sum(rows))
        assert all(one[0].score <= best[0].score + 1e-5 for one, best in zip(found, exact, strict=True))
        assert patience in (1.0, 1e-3) or found == exact
    assert work[0] == work[1] > work[2] > work[3]


def test_all_hypotheses_of_a_sentence_share_one_memory(model: Seq2SeqModel, batch: Batch) -> None:
    """Whatever the beam, and neither a step nor a new order of hypotheses copies it."""
    scorer = Scorer(model)
    state = scorer.start(batch)
    places = memory_of(state)
    state = state.expand(5)
    for _ in range(2):
        state = scorer.step(torch.full((5 * len(batch.source), 1), BOS), state).state
        state = state.reorder(torch.arange(5 * len(batch.source)))
        assert memory_of(state) == places
    sizes = [size for _, size in places]
    assert max(sizes) <= 2 * batch.source.numel() * 2 * model.decoder.output_dim  # keys and values, no beams


def memory_of(state: States) -> list[tuple[int, int]]:
    """Where the memory of the source lies, and how many numbers it has."""
    return [
        (tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes() // tensor.element_size())
        for part in state.parts
        for pair in part.memory
        for tensor in pair
    ]


def test_the_logits_of_all_steps_share_one_memory(model: Seq2SeqModel, batch: Batch) -> None:
    scorer = Scorer(model)
    tokens = torch.full((len(batch.source), 1), BOS)
    first = scorer.step(tokens, scorer.start(batch))
    place, values = first.scores.data_ptr(), first.scores.clone()
    second = scorer.step(tokens[:2], scorer.start(batch).select(torch.arange(2), torch.arange(2)))
    assert second.scores.data_ptr() == place
    assert torch.allclose(second.scores, values[:2], atol=1e-5)
