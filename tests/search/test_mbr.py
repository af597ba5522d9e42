"""Minimum Bayes risk decoding, and its utilities against sacreBLEU's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from toys import make

from seq2seq.search import Translation
from seq2seq.search.utility import UTILITIES

METRICS = {"chrf": CHRF(), "bleu": BLEU(effective_order=True)}

every_utility = pytest.mark.parametrize("utility", sorted(UTILITIES))

WORDS = ["the", "dog", "Hund", "sleeps", ".", ",", "3.5", "ß", "it's", "&quot;", "a-b", "dog", "é", "𝔘", "x"]
texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join) | st.text(max_size=20), max_size=6)


def reference(utility: str, candidates: list[str]) -> np.ndarray:
    """All pairs, one call of sacreBLEU each."""
    metric = METRICS[utility]
    scores = [[metric.sentence_score(one, [other]).score for other in candidates] for one in candidates]
    return np.array(scores, dtype=np.float64).reshape(len(candidates), len(candidates))


@every_utility
@settings(max_examples=60, deadline=None)
@given(texts)
def test_all_pairs_at_once_equal_sacrebleu_pair_by_pair(utility: str, candidates: list[str]) -> None:
    np.testing.assert_allclose(UTILITIES[utility](candidates), reference(utility, candidates), atol=1e-6)


@every_utility
def test_long_texts_of_many_repeats_equal_sacrebleu(utility: str) -> None:
    random = np.random.default_rng(1)
    candidates = [" ".join(random.choice(WORDS[:5], size=size)) for size in (1, 2, 3, 40, 80, 80)]
    found = UTILITIES[utility](candidates)
    np.testing.assert_allclose(found, reference(utility, candidates), atol=1e-6)
    assert np.diag(found) == pytest.approx(100.0)


@every_utility
def test_the_choice_is_that_of_brute_force(utility: str) -> None:
    random = np.random.default_rng(2)
    search = make("search=mbr", f"search.utility={utility}", "search.n_best=3")
    for _ in range(10):
        candidates = [" ".join(random.choice(WORDS, size=size)) for size in random.integers(1, 9, size=12)]
        candidates += candidates[:3]
        found = search.choose([Translation(text, 0.0) for text in candidates])
        expected = dict(zip(candidates, reference(utility, candidates).mean(1), strict=True))
        order = sorted(expected, key=lambda text: -expected[text])
        assert [one.text for one in found] == order[:3]
        assert [one.score for one in found] == pytest.approx([expected[text] for text in order[:3]])


@every_utility
def test_one_candidate_is_chosen(utility: str) -> None:
    search = make("search=mbr", f"search.utility={utility}")
    assert [one.text for one in search.choose([Translation("The dog sleeps.", -1.0)])] == ["The dog sleeps."]
    assert search.choose([Translation("", -1.0)]) == [Translation("", 0.0)]


def test_what_is_drawn_often_counts_often() -> None:
    search = make("search=mbr", "search.n_best=2")
    rare, often = "abc def", "uvw xyz"
    found = search.choose([Translation(text, 0.0) for text in (rare, often, often)])
    assert found == [Translation(often, pytest.approx(200 / 3)), Translation(rare, pytest.approx(100 / 3))]
