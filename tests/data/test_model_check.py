"""SentencePiece models of strangers: whatever they do to the library, they do to a process of their own."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path

import pytest
import sentencepiece

from seq2seq.data import model_check, model_trial
from seq2seq.data.model_check import accept, check
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer
from seq2seq.errors import DataError

CONFIG = TokenizerConfig(
    type="bpe", vocab_size=20, joint=True, character_coverage=1.0, byte_fallback=False, sample=1000
)
SENTENCES = ["abba cab", "bad dab", "a cab"] * 20


@pytest.fixture
def strange(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model has been seen before."""
    monkeypatch.setattr(model_check, "_accepted", set())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return train_tokenizer(SENTENCES, CONFIG, tmp_path_factory.mktemp("model") / "m").serialized


def piece(text: bytes, score: float = -1.0) -> bytes:
    """A field with a piece, to put behind a model."""
    inner = b"\x0a" + size(text) + text + b"\x15" + struct.pack("<f", score)
    return b"\x0a" + size(inner) + inner


def setting(group: int, number: int, value: bytes) -> bytes:
    """A field within a group of settings."""
    key = number << 3 | 2
    inner = size(bytes(key), key) + size(value) + value
    return bytes([group << 3 | 2]) + size(inner) + inner


def size(data: bytes, number: int | None = None) -> bytes:
    """A length, or another number, in groups of seven bits."""
    left, found = len(data) if number is None else number, bytearray()
    while left > 127:
        found.append(left & 127 | 128)
        left >>= 7
    return bytes([*found, left])


@pytest.mark.usefixtures("strange")
def test_a_good_model_is_tried_once_in_each_process(model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    check(model, "m")
    monkeypatch.setattr(sys, "executable", "/nowhere")
    check(model, "m")
    with pytest.raises(DataError, match="must be tried in a process of its own, but none can be started"):
        check(model + piece(b"zz"), "m")


@pytest.mark.usefixtures("strange")
def test_a_model_of_our_own_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere")
    trained = train_tokenizer(SENTENCES, CONFIG, tmp_path / "m")
    assert Tokenizer.load(tmp_path / "m").sha256 == trained.sha256


@pytest.mark.parametrize("rule", ["identity", "nmt_nfkc", "nfkc_cf"])
@pytest.mark.parametrize("kind", ["bpe", "unigram", "char", "word"])
def test_models_that_others_have_trained_are_accepted(kind: str, rule: str) -> None:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=written,
        model_type=kind,
        vocab_size=12 if kind in ("bpe", "unigram") else 8,
        hard_vocab_limit=False,
        normalization_rule_name=rule,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        minloglevel=2,
    )
    model_trial.inspect(written.getvalue())
    model_trial.use(written.getvalue())


@pytest.mark.parametrize(
    ("added", "words"),
    [
        (b"\x0b", "not in the format of a model"),
        (b"\xff" * 20, "not in the format of a model"),
        (b"\x0a\x7f", "it ends too early"),
        (piece(b"x" * 5000), "a piece of more than 4,096 bytes"),
        (piece(b"zz", float("nan")), "scores that are not finite"),
        (piece(b"\xff\xfe"), "invalid start byte"),
        (setting(2, 44, b"?" * 5000), "it writes unknown pieces with text of more than 4,096 bytes"),
        (setting(2, 44, b"\xff"), "invalid start byte"),
        (setting(3, 2, bytes(4) + b"x" * 2000 + b"\0"), "it replaces characters by text of more than 1,024 bytes"),
        (setting(5, 2, bytes(4)), "it has rules that change the text of translations"),
    ],
)
@pytest.mark.usefixtures("strange")
def test_a_model_that_would_do_harm_later_is_refused_in_one_line(model: bytes, added: bytes, words: str) -> None:
    with pytest.raises(DataError, match=f"^m must be a SentencePiece model, but cannot be read as one: .*{words}"):
        check(model + added, "m")


def test_a_model_of_very_many_pieces_is_not_given_to_the_library(model: bytes) -> None:
    with pytest.raises(model_trial.Wrong, match="more than 524,288 pieces"):
        model_trial.inspect(model + piece(b"a") * 2**19)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("import os; os.abort()", r"makes the library crash \(status -6\)"),
        ("import time; time.sleep(60)", "makes the library hang"),
        ("import sys; sys.exit(1)", r"makes the library crash \(status 1\)"),
    ],
)
@pytest.mark.usefixtures("strange")
def test_a_trial_that_dies_or_hangs_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str, words: str
) -> None:
    program = tmp_path / "trial.py"
    program.write_text(harm)
    monkeypatch.setattr(model_trial, "__file__", str(program))
    monkeypatch.setattr(model_check, "PATIENCE", 0.5 if "sleep" in harm else 20.0)
    with pytest.raises(DataError, match=f"m must be a SentencePiece model, but reading it {words}"):
        check(b"model", "m")


def test_an_accepted_model_is_known_by_its_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere")
    accept(b"whatever it is")
    check(b"whatever it is", "m")
