import math

import numpy as np
import pytest

from seq2seq.evaluation.analysis import (
    attention_entropy,
    copied_share,
    length_buckets,
    length_ratio,
    length_unit,
    repeated_share,
    units,
)
from seq2seq.evaluation.metrics import corpus_bleu, corpus_chrf


def test_entropy_is_zero_for_one_piece_and_log_s_for_all_alike() -> None:
    sharp = np.zeros((3, 4))
    sharp[:, 1] = 1
    weights = np.stack([sharp, np.full((3, 4), 0.25)])
    entropy = attention_entropy(weights.astype(np.float32))
    assert entropy.shape == (2,)
    assert entropy.tolist() == pytest.approx([0, math.log(4)])
    assert math.copysign(1, entropy[0]) == 1  # printed as 0.00, not -0.00


def test_entropy_is_the_mean_over_target_positions() -> None:
    weights = np.array([[[1.0, 0.0], [0.5, 0.5]]])
    assert attention_entropy(weights)[0] == pytest.approx(math.log(2) / 2)


@pytest.mark.parametrize("shape", [(3, 4), (1, 2, 3, 4), (2, 0, 3), (2, 3, 0)])
def test_entropy_refuses_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(H, T, S\)"):
        attention_entropy(np.zeros(shape))


def test_buckets_hold_every_sentence_once_and_score_as_the_corpus_would() -> None:
    lengths = [0, 1, 5, 6, 10, 60, 61, 200]
    sources = [" ".join(["wort"] * length) for length in lengths]
    references = [f"this is sentence number {i} of the test" for i in range(8)]
    translations = [reference.replace("test", "set") for reference in references]
    buckets = length_buckets(sources, translations, references, source_language="de", target_language="en")
    assert [(bucket.label, bucket.sentences) for bucket in buckets] == [
        ("1–5", 3),
        ("6–10", 2),
        ("41–60", 1),
        ("61+", 2),
    ]
    assert buckets[0].bleu == corpus_bleu(translations[:3], references[:3])
    assert buckets[0].chrf == corpus_chrf(translations[:3], references[:3])


def test_languages_without_spaces_are_counted_in_characters() -> None:
    assert (length_unit("zh-CN"), length_unit("ja"), length_unit("ko"), length_unit("de")) == (
        "characters",
        "characters",
        "words",
        "words",
    )
    assert units("我 喜欢", "zh") == ["我", "喜", "欢"]
    assert units(" ein  Hund ", "de") == ["ein", "Hund"]


def test_length_ratio_is_taken_over_the_whole_corpus() -> None:
    assert length_ratio(["a b", "c"], ["a b c", "d e f"], language="en") == 0.5
    assert length_ratio(["a"], [""], language="en") is None


def test_repeated_share_counts_what_stood_earlier_in_the_same_line() -> None:
    assert repeated_share(["a b c d", "a b c d"], language="en") == 0
    assert repeated_share(["a a a a a a"], language="en") == pytest.approx(2 / 3)
    assert repeated_share(["a a b"], order=1, language="en") == pytest.approx(1 / 3)
    assert repeated_share(["short", ""], language="en") == 0


def test_copied_share_ignores_space_around_and_empty_sources() -> None:
    assert copied_share(["Hallo", "Welt ", "", "Hund", " "], ["Hallo", "Welt", "", "dog", ""]) == 2 / 3
    assert copied_share([], []) == copied_share([""], [""]) == 0
