import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seq2seq.errors import DataError
from seq2seq.evaluation.metrics import (
    bleu_tokenizer,
    corpus_bleu,
    corpus_chrf,
    primary_language,
    score_translations,
    sentence_scores,
)

TEXT = (
    "Der Mann , der mit seinem Hund im Park spielt , hat 3,5 Bälle . Zwei Kinder sehen zu ; sie lachen & rufen "
    '"Los !" während die Frau das 10-jährige Pferd füttert – it\'s fine .'
)
WORDS = TEXT.split()


def corpus(sentences: int, *, seed: int = 1) -> tuple[list[str], list[str]]:
    """Make translations and references that share words, order and case in part."""
    generator = random.Random(seed)
    translations, references = [], []
    for _ in range(sentences):
        reference = [generator.choice(WORDS) for _ in range(generator.randint(1, 14))]
        ours = [word for word in reference if generator.random() < 0.9]
        if generator.random() < 0.4:
            ours = ours[len(ours) // 2 :] + ours[: len(ours) // 2]
        if generator.random() < 0.3:
            ours = [word.lower() for word in ours]
        translations.append(" ".join(ours))
        references.append(" ".join(reference))
    translations[0] = ""  # a system may say nothing
    return translations, references


def command_line(folder: Path, translations: list[str], references: list[str], *arguments: str) -> Any:
    """Run the real sacrebleu command and return what it prints, by the name of the metric."""
    for name, lines in (("ours", translations), ("reference", references)):
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "SACREBLEU_SEED"}
    command = [sys.executable, "-m", "sacrebleu", "reference", "-i", "ours", "--confidence", "-w", "12", *arguments]
    printed = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, encoding="utf-8")
    found = json.loads(printed.stdout)
    return {each["name"]: each for each in (found if isinstance(found, list) else [found])}


def test_scores_intervals_and_signatures_equal_the_sacrebleu_command(tmp_path: Path) -> None:
    translations, references = corpus(150)
    ours = score_translations(translations, references, target_language="de")
    theirs = command_line(tmp_path, translations, references, "-m", "bleu", "chrf", "ter")
    theirs["BLEU, lower-cased"] = command_line(tmp_path, translations, references, "-m", "bleu", "-lc", "-s", "none")[
        "BLEU"
    ]
    assert list(ours) == ["bleu", "chrf", "ter", "bleu_lowercase"]
    for score in ours.values():
        expected = theirs[score.name]
        assert score.confidence is not None
        assert round(score.score, 12) == expected["score"]
        assert float(f"{score.confidence:.12f}") == expected["confidence_var"]
        assert score.signature == expected["signature"]
        assert "bs:1000|seed:12345" in score.signature


def test_chinese_is_scored_as_the_command_scores_it_when_told_the_language(tmp_path: Path) -> None:
    translations, references = ["我喜欢狗。", "他在公园里跑步。"] * 3, ["我喜欢猫。", "他在公园跑步。"] * 3
    ours = score_translations(translations, references, target_language="zh-CN")["bleu"]
    theirs = command_line(tmp_path, translations, references, "-m", "bleu", "-l", "en-zh")["BLEU"]
    assert (round(ours.score, 12), ours.signature) == (theirs["score"], theirs["signature"])


@pytest.mark.parametrize("language", ["ja", "ko", "jpn_Jpan", "KO"])
def test_japanese_and_korean_are_cut_into_characters_and_the_signature_says_so(language: str) -> None:
    scores = score_translations(["犬が走る。"], ["犬が走る。"], bootstrap=0, target_language=language)
    assert "tok:char" in scores["bleu"].signature
    assert "tok:char" in scores["bleu_lowercase"].signature
    assert scores["bleu"].score == pytest.approx(100)


@pytest.mark.parametrize(
    ("code", "language", "tokenizer"),
    [("de", "de", "13a"), ("zho_Hans", "zh", "zh"), ("zh_TW", "zh", "zh"), ("pt-BR", "pt", "13a"), ("", "", "13a")],
)
def test_a_language_code_may_carry_script_and_region(code: str, language: str, tokenizer: str) -> None:
    assert primary_language(code) == language
    assert bleu_tokenizer(code) == tokenizer


def test_quick_scores_equal_the_full_ones() -> None:
    translations, references = corpus(40)
    scores = score_translations(translations, references, bootstrap=0, target_language="de")
    assert corpus_bleu(translations, references) == scores["bleu"].score
    assert corpus_chrf(translations, references) == scores["chrf"].score


def test_quick_bleu_follows_the_target_language() -> None:
    pair = ["他在公园里跑步很快。"], ["他在公园跑步很快。"]
    full = score_translations(*pair, bootstrap=0, target_language="zh")["bleu"].score
    assert corpus_bleu(*pair, target_language="zh") == full > corpus_bleu(*pair)


@pytest.mark.parametrize("bootstrap", [0, 1])
def test_without_a_bootstrap_there_is_no_interval_and_the_signature_claims_none(bootstrap: int) -> None:
    for score in score_translations(*corpus(5), bootstrap=bootstrap, target_language="de").values():
        assert score.confidence is None
        assert "bs:" not in score.signature


def test_the_same_corpus_always_gets_the_same_interval() -> None:
    first, second = (score_translations(*corpus(20), bootstrap=50, target_language="de") for _ in range(2))
    assert first == second


def test_sentence_scores_rank_a_perfect_line_above_a_poor_one() -> None:
    perfect, poor, empty = sentence_scores(["Ein Hund läuft.", "Eine Katze.", ""], ["Ein Hund läuft."] * 3)
    assert perfect == pytest.approx(100)
    assert 0 < poor < 50
    assert empty == 0


def test_lower_casing_forgives_case_and_nothing_else() -> None:
    scores = score_translations(
        ["EIN HUND LÄUFT HEUTE ."], ["ein hund läuft heute ."], bootstrap=0, target_language="de"
    )
    assert scores["bleu"].score < scores["bleu_lowercase"].score == pytest.approx(100)


@pytest.mark.parametrize("function", [corpus_bleu, corpus_chrf, sentence_scores])
def test_a_mismatch_names_both_numbers_of_lines(function: Any) -> None:
    with pytest.raises(DataError, match="3 translations but 2 references"):
        function(["a", "b", "c"], ["a", "b"])
    with pytest.raises(DataError, match="nothing to score"):
        function([], [])


def test_a_mismatch_is_found_before_anything_is_scored() -> None:
    with pytest.raises(DataError, match="1 translations but 2 references"):
        score_translations(["a"], ["a", "b"], target_language="de")
    with pytest.raises(DataError, match="nothing to score"):
        score_translations([], [], target_language="de")


def test_resamples_that_score_nothing_at_all_do_no_harm() -> None:
    """With one sentence right and many wrong, some resampled corpora have a BLEU of exactly zero."""
    references = ["the cat sat on the mat", *("a b c d e f g" for _ in range(3))]
    translations = ["the cat sat on the mat", *("x y z" for _ in range(3))]
    scores = score_translations(translations, references, target_language="en")
    assert all(score.confidence is not None and score.confidence >= 0 for score in scores.values())
