"""Searches against each other, against forced decoding, and against all sequences there are."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from tiny import batch_of, build, choices, random_batch, run_config, sentences

from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import BOS, EOS, PAD
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.model import Seq2SeqModel
from seq2seq.search import Hypothesis, SearchConfig, beam_search, greedy_search, search
from seq2seq.search.scoring import attention_weights, score_targets

SOURCE_LENGTHS = [6, 3, 1, 5, 6, 2]
PENALTIES = [0.0, 0.6, 1.0]
NORMALIZATIONS = ["average", "gnmt"]

# The toy vocabulary: what may be generated beside EOS, and the most pieces of a translation with it.
PIECES = (4, 5, 6, 7, 8)
LIMIT = 4
EVERYTHING = [ids for length in range(LIMIT) for ids in itertools.product(PIECES, repeat=length)]

every_normalization = pytest.mark.parametrize("normalization", NORMALIZATIONS)
every_penalty = pytest.mark.parametrize("penalty", PENALTIES)


def settings(
    beam: int = 1, n_best: int = 1, penalty: float = 1.0, normalization: str = "average", coverage: float = 0.0
) -> SearchConfig:
    return replace(
        run_config().search,
        beam_size=beam,
        n_best=n_best,
        length_penalty=penalty,
        length_normalization=normalization,
        coverage_penalty=coverage,
    )


def with_limit(config: SearchConfig, pieces: int) -> SearchConfig:
    """The same search for translations of at most this many pieces, EOS included, whatever the source."""
    return replace(config, max_length_ratio=1e-6, max_length_extra=pieces - 1)


def decisive(model: Seq2SeqModel, factor: float = 4.0) -> Seq2SeqModel:
    """Random weights give all pieces nearly the same probability; these do not."""
    with torch.no_grad():
        model.output.bias.normal_()
        model.target_embedding.weight.mul_(factor)
    return model


@pytest.fixture(params=choices("decoder"))
def decoder(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=choices("encoder"))
def model(request: pytest.FixtureRequest, decoder: str) -> Seq2SeqModel:
    return decisive(build(f"encoder={request.param}", f"decoder={decoder}"))


@pytest.fixture(params=[1, 2, 3])
def toy(request: pytest.FixtureRequest, decoder: str) -> Seq2SeqModel:
    return decisive(build(f"decoder={decoder}", vocabulary=PIECES[-1] + 1, seed=request.param), 2.0)


@pytest.fixture
def batch() -> Batch:
    return random_batch(SOURCE_LENGTHS, SOURCE_LENGTHS)


def toy_batch(lengths: tuple[int, ...] = (3, 5)) -> Batch:
    return batch_of(sentences(lengths, vocabulary=PIECES[-1] + 1))


def same(found: list[Hypothesis], expected: list[Hypothesis]) -> bool:
    """Whether two lists hold the same translations with the same scores."""
    ids, scores = zip(*found, strict=True)
    other_ids, other_scores = zip(*expected, strict=True)
    return ids == other_ids and scores == pytest.approx(other_scores, abs=1e-4)


@torch.no_grad()
def brute_force(model: Seq2SeqModel, source: list[int], config: SearchConfig) -> list[Hypothesis]:
    """Every translation there is, best first, scored by one pass over all of them."""
    batch = batch_of([source] * len(EVERYTHING), EVERYTHING)
    logits, _, weights = model.decode(batch.target[:, :-1], model.start(model.encode(batch)), need_weights=True)
    logits = logits.double()
    gold = batch.target[:, 1:]
    attention = sum(layer.mean(1) for layer in weights) / len(weights)  # (N,T,S)
    covered = (attention * (gold != PAD)[:, :, None]).sum(1).double()
    missing = covered.clamp(max=1).log().sum(1).tolist()
    gains = torch.log_softmax(logits, -1).gather(-1, gold[..., None])[..., 0].masked_fill(gold == PAD, 0.0)
    found = []
    for ids, total, lost in zip(EVERYTHING, gains.sum(1).tolist(), missing, strict=True):
        length = len(ids) + 1
        base = length if config.length_normalization == "average" else (5 + length) / 6
        found.append(Hypothesis(list(ids), total / base**config.length_penalty + config.coverage_penalty * lost))
    return sorted(found, key=lambda one: -one.score)


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_model_of_weights_that_are_no_numbers_is_refused(
    model: Seq2SeqModel, batch: Batch, number: float, beam: int
) -> None:
    for change in (lambda: model.output.bias[EOS + 1 :].fill_(number), lambda: model.output.weight.fill_(number)):
        with torch.no_grad():
            change()
        with pytest.raises(CheckpointError, match="the model's weights must be finite numbers"):
            search(model, batch, settings(beam))


@every_normalization
@every_penalty
def test_a_beam_of_one_is_greedy_search(
    model: Seq2SeqModel, batch: Batch, penalty: float, normalization: str
) -> None:
    config = settings(1, 1, penalty, normalization)
    for beam, greedy in zip(beam_search(model, batch, config), greedy_search(model, batch, config), strict=True):
        assert same(beam, greedy)


@pytest.mark.parametrize("coverage", [0.0, 0.3])
@every_normalization
@every_penalty
def test_a_beam_that_holds_everything_equals_brute_force(
    toy: Seq2SeqModel, penalty: float, normalization: str, coverage: float
) -> None:
    config = with_limit(settings(len(EVERYTHING), len(EVERYTHING), penalty, normalization, coverage), LIMIT)
    sources = sentences((3, 5), vocabulary=PIECES[-1] + 1)
    for source, found in zip(sources, beam_search(toy, batch_of(sources), config), strict=True):
        expected = brute_force(toy, source, config)
        assert {tuple(one.ids) for one in found} == set(EVERYTHING)
        assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=1e-4)
        assert found[0].ids == expected[0].ids
        best = beam_search(toy, batch_of([source]), replace(config, n_best=1))
        assert same(best[0], expected[:1])


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_a_sentence_is_translated_alike_alone_and_among_others(model: Seq2SeqModel, beam: int) -> None:
    config = settings(beam, beam)
    sources = sentences(SOURCE_LENGTHS)
    for source, found in zip(sources, search(model, batch_of(sources), config), strict=True):
        assert same(found, search(model, batch_of([source]), config)[0])


@every_normalization
@every_penalty
def test_the_n_best_are_distinct_and_sorted(
    model: Seq2SeqModel, batch: Batch, penalty: float, normalization: str
) -> None:
    for found in beam_search(model, batch, settings(5, 4, penalty, normalization)):
        assert len(found) == 4
        assert len({tuple(one.ids) for one in found}) == len(found)
        scores = [one.score for one in found]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("beam", [1, 5])
@every_normalization
@every_penalty
def test_scores_are_those_of_forced_decoding(
    model: Seq2SeqModel, penalty: float, normalization: str, beam: int
) -> None:
    config = settings(beam, beam, penalty, normalization)
    sources = sentences(SOURCE_LENGTHS)
    limits = config.limits(torch.tensor(SOURCE_LENGTHS) + 1).tolist()
    for source, limit, found in zip(sources, limits, search(model, batch_of(sources), config), strict=True):
        forced = score_targets(model, batch_of([source] * len(found), [one.ids for one in found])).sum(1)
        for hypothesis, total in zip(found, forced.tolist(), strict=True):
            length = len(hypothesis.ids) + 1
            base = length if normalization == "average" else (5 + length) / 6
            assert hypothesis.score == pytest.approx(total / base**penalty, abs=1e-4)
            assert length <= limit
            assert set(hypothesis.ids).isdisjoint(range(EOS + 1))


@pytest.mark.parametrize("beam", [2, 4])
@every_normalization
@every_penalty
@pytest.mark.parametrize("coverage", [0.0, 0.3])
def test_stopping_early_loses_nothing(
    model: Seq2SeqModel, batch: Batch, beam: int, penalty: float, normalization: str, coverage: float
) -> None:
    """Asking for as many translations as the beam holds makes the search go on for longer, over the same beam."""
    one = beam_search(model, batch, settings(beam, 1, penalty, normalization, coverage))
    all_of_them = beam_search(model, batch, settings(beam, beam, penalty, normalization, coverage))
    for short, long in zip(one, all_of_them, strict=True):
        assert same(short, long[:1])


@pytest.mark.parametrize("beam", [1, 3])
def test_a_translation_ends_within_its_limit(model: Seq2SeqModel, batch: Batch, beam: int) -> None:
    with torch.no_grad():
        model.output.bias[EOS] = -50.0  # a model that would never stop by itself
    config = settings(beam)
    limits = config.limits(batch.source_lengths).tolist()
    lengths = [len(found[0].ids) + 1 for found in search(model, batch, config)]
    assert lengths == limits == [int(1.5 * (length + 1)) + 11 for length in SOURCE_LENGTHS]


@pytest.mark.parametrize("beam", [1, 3])
def test_an_empty_translation_is_possible(model: Seq2SeqModel, batch: Batch, beam: int) -> None:
    with torch.no_grad():
        model.output.bias[EOS] = 50.0
    for found in search(model, batch, settings(beam)):
        assert found[0].ids == []
        assert found[0].score == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize("beam", [1, 3])
def test_padding_unknown_and_begin_are_never_chosen(model: Seq2SeqModel, batch: Batch, beam: int) -> None:
    with torch.no_grad():
        model.output.bias[:EOS] = 50.0
    config = settings(beam, beam)
    for found in search(model, batch, config):
        for hypothesis in found:
            assert set(hypothesis.ids).isdisjoint(range(EOS + 1))


def test_fewer_translations_come_back_where_no_more_exist(decoder: str) -> None:
    model = build(f"decoder={decoder}", vocabulary=6)
    config = with_limit(settings(20, 20), 2)
    found = beam_search(model, batch_of([[4, 5]]), config)[0]
    assert sorted(one.ids for one in found) == [[], [4], [5]]


def test_a_search_leaves_the_model_and_the_batch_as_they_were(model: Seq2SeqModel, batch: Batch) -> None:
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    source = batch.source.clone()
    beam_search(model, batch, settings(3))
    assert torch.equal(batch.source, source)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_forced_scores_are_log_probabilities_and_zero_on_padding(model: Seq2SeqModel, batch: Batch) -> None:
    scores = score_targets(model, batch)
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


@pytest.mark.parametrize("beam", [2, 5])
def test_a_sentence_is_covered_alike_alone_and_among_others(model: Seq2SeqModel, beam: int) -> None:
    config = with_limit(settings(beam, beam, coverage=0.5), 3)  # too short to look at everything
    sources = sentences(SOURCE_LENGTHS)
    together = beam_search(model, batch_of(sources), config)
    for source, found in zip(sources, together, strict=True):
        assert same(found, beam_search(model, batch_of([source]), config)[0])
    plain = beam_search(model, batch_of(sources), replace(config, coverage_penalty=0.0))
    assert sum(one[0].score < other[0].score for one, other in zip(together, plain, strict=True)) > len(plain) / 2


def test_coverage_is_refused_where_nothing_is_compared() -> None:
    with pytest.raises(ConfigError, match=r"`coverage_penalty` must be 0 where `search.beam_size` is 1.*0.2 instead"):
        settings(1, coverage=0.2)


def test_more_translations_than_the_beam_holds_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`n_best` must be at most `search.beam_size`, 3, but is 4"):
        settings(3, 4)


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
    found = settings(1, 1, penalty, normalization).penalty(torch.tensor([length]))
    assert found.item() == pytest.approx(expected)
