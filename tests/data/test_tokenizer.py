"""The tokenizer: text comes back as it went in, and impossible settings are explained."""

import dataclasses
import os
import random

import pytest
import sentencepiece

from seq2seq.data import model_check, tokenizer
from seq2seq.data.tokenizer import BOS, EOS, PAD, UNK, Tokenizer, TokenizerConfig, train_tokenizer
from seq2seq.errors import DataError

CONFIG = TokenizerConfig(
    type="unigram", vocab_size=100, joint=True, character_coverage=1.0, byte_fallback=False, sample=1000
)


def sentences(count: int = 400) -> list[str]:
    """Sentences of invented words, with characters that normalisation would change."""
    draw = random.Random(0)
    syllables = [
        "hun",
        "de",
        "läu",
        "ft",
        "stra",
        "ße",
        "über",
        "bel",
        "lt",
        "klei",
        "ne",
        "schnell",
        "ma",
        "rit",
        "o",
    ]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(300)] + ["½", "„laut“", "ﬁx"]
    return [" ".join(draw.choices(words, k=draw.randint(1, 9))) for _ in range(count)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_tokenizer(sentences(), CONFIG, tmp_path_factory.mktemp("tokenizer") / "tokenizer.model")


def test_the_special_ids_and_the_size_are_as_asked_for(trained):
    assert trained.vocab_size == 100
    assert trained.pieces([PAD, UNK, BOS, EOS]) == ["<pad>", "<unk>", "<s>", "</s>"]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_text_comes_back_as_it_went_in(tmp_path, kind, byte_fallback):
    config = dataclasses.replace(
        CONFIG, type=kind, byte_fallback=byte_fallback, vocab_size=330 if byte_fallback else 80
    )
    trained = train_tokenizer(sentences(), config, tmp_path / "m")
    text = ["½ über ﬁx „laut“", "", "straße"]
    assert trained.decode(trained.encode(text)) == text


def test_bytes_spell_characters_never_seen(tmp_path):
    config = dataclasses.replace(CONFIG, byte_fallback=True, vocab_size=330)
    trained = train_tokenizer(sentences(), config, tmp_path / "m")
    assert trained.decode(trained.encode(["犬 🐕"])) == ["犬 🐕"]


def test_encoding_adds_no_special_ids_and_text_cannot_forge_them(trained):
    special = {PAD, BOS, EOS}
    assert not special & {i for ids in trained.encode(["hunde bellt", "</s> <pad> <s>"]) for i in ids}


def test_decoding_leaves_out_padding_and_sentence_marks(trained):
    [ids] = trained.encode(["hunde bellt"])
    assert trained.decode([[BOS, *ids, EOS, PAD, PAD], []]) == ["hunde bellt", ""]


def test_nothing_is_encoded_and_decoded_to_nothing(trained):
    assert trained.encode([]) == []
    assert trained.decode([]) == []


def test_one_batch_gives_what_single_sentences_give(trained):
    text = sentences(500)
    ids = trained.encode(text)
    assert ids == [trained.encode([sentence])[0] for sentence in text]
    assert trained.decode(ids) == text


def test_pieces_join_to_the_sentence(trained):
    [ids] = trained.encode(["stra kleine hunde"])
    assert "".join(trained.pieces(ids)).replace("▁", " ").strip() == "stra kleine hunde"


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_training_twice_gives_the_same_bytes_whatever_the_number_of_cores(tmp_path, monkeypatch, kind):
    config = dataclasses.replace(CONFIG, type=kind, vocab_size=80)
    first = train_tokenizer(sentences(), config, tmp_path / "a")
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    assert train_tokenizer(sentences(), config, tmp_path / "b").sha256 == first.sha256


def test_training_is_silent(tmp_path, capfd):
    train_tokenizer(sentences(), CONFIG, tmp_path / "m")
    assert capfd.readouterr() == ("", "")


def test_a_saved_tokenizer_loads_as_the_same(tmp_path, trained):
    trained.save(tmp_path / "m")
    loaded = Tokenizer.load(tmp_path / "m")
    assert (loaded.serialized, loaded.sha256) == (trained.serialized, trained.sha256)


def test_long_lines_are_not_dropped_in_silence(tmp_path):
    trained = train_tokenizer([*sentences(), "hunde ξ " * 2000], CONFIG, tmp_path / "m")
    assert UNK not in trained.encode(["ξ"])[0]


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_a_vocabulary_too_large_for_the_corpus_is_refused_with_a_size_that_works(tmp_path, kind):
    config = dataclasses.replace(CONFIG, type=kind, vocab_size=4000)
    with pytest.raises(
        DataError, match=r"`tokenizer.vocab_size` must be at most \d+ .* but is 4000 instead"
    ) as caught:
        train_tokenizer(sentences(), config, tmp_path / "m")
    largest = int(str(caught.value).split("at most ")[1].split()[0])
    working = dataclasses.replace(config, vocab_size=largest)
    assert train_tokenizer(sentences(), working, tmp_path / "m").vocab_size == largest


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_a_vocabulary_smaller_than_the_characters_is_refused_with_a_size_that_works(tmp_path, byte_fallback):
    config = dataclasses.replace(CONFIG, vocab_size=10, byte_fallback=byte_fallback)
    with pytest.raises(
        DataError, match=r"`tokenizer.vocab_size` must be more than \d+, .* but is 10 instead"
    ) as caught:
        train_tokenizer(sentences(), config, tmp_path / "m")
    least = int(str(caught.value).split("more than ")[1].split(",")[0])
    working = dataclasses.replace(config, vocab_size=least + 1)
    assert train_tokenizer(sentences(), working, tmp_path / "m").vocab_size == least + 1


@pytest.mark.parametrize("text", [[], ["", " "]])
def test_training_on_nothing_is_refused(tmp_path, text):
    with pytest.raises(DataError, match="needs text to train on"):
        train_tokenizer(text, CONFIG, tmp_path / "m")


@pytest.mark.parametrize("junk", [b"", b"junk" * 100, b"\0" * 100, b"\x0a\xff\xff\xff\xff\x0f"])
def test_a_file_that_is_no_model_is_refused(tmp_path, junk):
    (tmp_path / "junk.model").write_bytes(junk)
    with pytest.raises(DataError, match=r"junk\.model must be a SentencePiece model"):
        Tokenizer.load(tmp_path / "junk.model")


def test_a_truncated_model_is_refused(tmp_path, trained):
    (tmp_path / "m").write_bytes(trained.serialized[: len(trained.serialized) // 2])
    with pytest.raises(DataError, match="must be a SentencePiece model"):
        Tokenizer.load(tmp_path / "m")


def test_a_model_above_the_size_limit_is_refused(tmp_path, trained, monkeypatch):
    trained.save(tmp_path / "m")
    monkeypatch.setattr(model_check, "MAX_MODEL_BYTES", 1000)
    with pytest.raises(DataError, match="at most 1000 bytes"):
        Tokenizer.load(tmp_path / "m")


def test_a_missing_model_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.model must be a tokenizer model, but cannot be opened"):
        Tokenizer.load(tmp_path / "absent.model")


def test_a_model_with_other_special_ids_is_refused_with_the_way_to_make_it_fit(tmp_path):
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences()), model_prefix=str(tmp_path / "other"), vocab_size=80, minloglevel=2
    )
    with pytest.raises(DataError, match=r"but has pad=-1, unk=0, bos=1, eos=2; train it with `--pad_id=0"):
        Tokenizer.load(tmp_path / "other.model")


def test_a_process_that_may_use_one_core_encodes_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3}, raising=False)
    assert tokenizer._threads(range(10_000)) == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 4}, raising=False)
    assert tokenizer._threads(range(10_000)) == 2
