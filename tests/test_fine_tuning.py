"""``init_from``, ``freeze`` and ``tokenizer.model``: a run begins with what another has learned."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file
from small_runs import quick, same_tensors, train_run, write_corpus
from tiny import build, compose, run_config

from seq2seq import checkpoint, run
from seq2seq.checkpoint import Snapshot
from seq2seq.config import parse
from seq2seq.data.cleaning import OFF, CleaningConfig
from seq2seq.data.corpora.files import Files
from seq2seq.data.given import given_tokenizers
from seq2seq.data.model_fields import model_type
from seq2seq.data.prepare import prepare
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer
from seq2seq.errors import CheckpointError, ConfigError, DataError, UserError
from seq2seq.optim import AdamW, ExponentialAverage, Optimizer
from seq2seq.run import check_parts
from seq2seq.runs.config import RunConfig
from seq2seq.runs.finetuning import check_initial, freeze, take_weights, trainable

Start = Callable[..., Path]

CLEANING = CleaningConfig(max_length=None, max_ratio=None, **OFF)


class PowerCutError(Exception):
    """Stands for a process that dies between two updates."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two corpora that share some letters, and a run on the first."""
    root = tmp_path_factory.mktemp("place")
    write_corpus(root / "general")
    write_corpus(root / "special", "defghij")
    train_run([*quick(root / "general", root / "prepared"), f"run_dir={root / 'first'}"])
    return root


@pytest.fixture
def start(place: Path, tmp_path: Path) -> Start:
    """Trains a run on the second corpus in the folder ``name``."""

    def run(name: str, *overrides: str) -> Path:
        return train_run([*quick(place / "special", place / "prepared"), f"run_dir={tmp_path / name}", *overrides])

    return run


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, Tokenizer]:
    """Two tokenizers that share some pieces, in other places."""
    return tokenizer(tmp_path_factory.mktemp("one"), "abcdef"), tokenizer(tmp_path_factory.mktemp("two"), "defghi")


def tokenizer(folder: Path, letters: str, kind: str = "bpe", tags: tuple[str, ...] = (), size: int = 23) -> Tokenizer:
    draw = random.Random(2)
    text = [" ".join("".join(draw.choices(letters, k=3)) for _ in range(5)) for _ in range(200)]
    config = TokenizerConfig(
        type=kind,
        vocab_size=size,
        joint=True,
        character_coverage=1.0,
        byte_fallback=False,
        sample=1000,
    )
    return train_tokenizer(text, config, folder / "tokenizer.model", tags=tags)


def snapshot(model: torch.nn.Module, **tokenizers: Tokenizer) -> Snapshot:
    files = {f"{name}.model": one.serialized for name, one in tokenizers.items()}
    return Snapshot({name: value.detach().clone() for name, value in model.named_parameters()}, {}, files, {})


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / name / "model.safetensors")


def rows(one: Tokenizer) -> dict[str, int]:
    return {piece: row for row, piece in enumerate(one.pieces(range(one.vocab_size)))}


TIES = ["all", "target", "none"]


@pytest.mark.parametrize("now", TIES)
@pytest.mark.parametrize("before", TIES)
def test_all_that_two_models_share_is_taken_however_they_are_tied(
    vocabularies: tuple[Tokenizer, Tokenizer], before: str, now: str
) -> None:
    one = vocabularies[0]
    old = build(f"model.tie_embeddings={before}", vocabulary=one.vocab_size)
    new = build(f"model.tie_embeddings={now}", vocabulary=one.vocab_size, seed=2)
    taken = take_weights(new, snapshot(old, tokenizer=one), one, one)
    assert (taken.count, taken.absent, taken.unlike, taken.pieces) == (taken.total, [], [], [])
    theirs = dict(old.named_parameters(remove_duplicate=False))
    for name, parameter in new.named_parameters():
        assert torch.equal(parameter, theirs[name]), name
    assert taken.lines(Path("there"))[0] == f"Weights from there: {taken.total} of {taken.total} parameters taken"
    assert set(taken.unused) == set(dict(old.named_parameters())) - set(dict(new.named_parameters()))


@pytest.mark.parametrize("ties", TIES)
def test_rows_of_another_vocabulary_are_taken_by_spelling_never_by_place(
    vocabularies: tuple[Tokenizer, Tokenizer], ties: str
) -> None:
    before, now = vocabularies
    old = build(f"model.tie_embeddings={ties}", vocabulary=before.vocab_size)
    new = build(f"model.tie_embeddings={ties}", vocabulary=now.vocab_size, seed=2)
    fresh = {name: value.detach().clone() for name, value in new.named_parameters(remove_duplicate=False)}
    taken = take_weights(new, snapshot(old, tokenizer=before), now, now)
    shared = rows(before).keys() & rows(now).keys()
    assert 4 < len(shared) < now.vocab_size
    assert any(rows(before)[piece] != rows(now)[piece] for piece in shared)
    theirs = dict(old.named_parameters(remove_duplicate=False))
    for name, value in new.named_parameters(remove_duplicate=False):
        if name.startswith(("source_embedding", "target_embedding", "output")):
            for piece, row in rows(now).items():
                expected = theirs[name][rows(before)[piece]] if piece in shared else fresh[name][row]
                assert torch.equal(value[row], expected), (name, piece)
        else:
            assert torch.equal(value, theirs[name]), name
    sides = ["target"] if ties == "all" else ["source", "target"]
    assert [words.split()[1] for words in taken.pieces] == sides
    assert all(f"{len(shared)} of {now.vocab_size} pieces" in words for words in taken.pieces)


def test_each_side_has_a_vocabulary_of_its_own(vocabularies: tuple[Tokenizer, Tokenizer]) -> None:
    one, other = vocabularies
    old, new = (build("model.tie_embeddings=none", vocabulary=one.vocab_size, seed=seed) for seed in (1, 2))
    taken = take_weights(new, snapshot(old, source=one, target=other), one, one)
    assert torch.equal(new.source_embedding.weight, old.source_embedding.weight)
    assert not torch.equal(new.target_embedding.weight, old.target_embedding.weight)
    assert [words.split()[1] for words in taken.pieces] == ["target"]


def test_what_does_not_fit_is_told(vocabularies: tuple[Tokenizer, Tokenizer]) -> None:
    one = vocabularies[0]
    old = build("encoder=bilstm", "decoder=rnn", vocabulary=one.vocab_size)
    new = build("encoder=bilstm", "model.tie_embeddings=none", "decoder=transformer", vocabulary=one.vocab_size)
    given = snapshot(old, tokenizer=one)
    kept = {name: value for name, value in given.weights.items() if name != "encoder.forwards.0.bias_hh_l0"}
    given = replace(given, weights=kept | {"output.bias": torch.zeros(3)})
    taken = take_weights(new, given, one, one)
    lines = taken.lines(Path("there"))
    assert 0 < taken.count == taken.total - len(taken.absent) - len(taken.unlike)
    assert lines[0] == f"Weights from there: {taken.count} of {taken.total} parameters taken"
    assert lines[1].startswith("    not there: encoder.forwards.0.bias_hh_l0, decoder.")
    assert lines[1].endswith(f" and {len(taken.absent) - 6} more")
    assert lines[2] == f"    of another shape: output.bias (3,) there, ({one.vocab_size},) here"
    assert lines[3].startswith("    unused: decoder.")


def test_a_checkpoint_of_which_nothing_fits_is_refused(vocabularies: tuple[Tokenizer, Tokenizer]) -> None:
    one = vocabularies[0]
    model = build(vocabulary=one.vocab_size)
    given = Snapshot({"other": torch.zeros(3)}, {}, {"tokenizer.model": one.serialized}, {})
    with pytest.raises(ConfigError, match=r"`init_from` must have parameters that this model has.*unused: other\)"):
        take_weights(model, given, one, one)


def test_nothing_of_a_checkpoints_configuration_is_built(place: Path, start: Start, tmp_path: Path) -> None:
    given = checkpoint.load(checkpoint.locate(place / "first"))
    given.config["settings"] = {"encoder": {"_target_": "antigravity.Encoder"}}
    folder = checkpoint.save(given, tmp_path / "strange", 1)
    run = start("tuned", f"init_from={folder}", "trainer.max_steps=1")
    assert (run / "checkpoints" / "last").is_dir()


def test_a_new_run_begins_with_the_averaged_weights_of_the_best_checkpoint(
    place: Path, start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    real = ExponentialAverage.__init__

    def noted(self: ExponentialAverage, parameters: Any, decay: float) -> None:
        real(self, parameters, decay)
        seen.append(dict(enumerate(map(torch.clone, self.averages))))

    monkeypatch.setattr(ExponentialAverage, "__init__", noted)
    given = ("trainer.max_steps=1", f"init_from={place / 'first'}", f"tokenizer.model={place / 'first'}")
    run = start("tuned", *given)
    best = weights(place / "first", "best")
    assert sorted(tensor.sum().item() for tensor in seen[-1].values()) == sorted(
        tensor.sum().item() for tensor in best.values()
    )
    assert f"{len(best)} of {len(best)} parameters taken" in capsys.readouterr().out
    old, new = (checkpoint.load(checkpoint.locate(folder)).tokenizers for folder in (place / "first", run))
    assert old == new


def test_a_run_that_began_with_weights_of_another_goes_on_without_it(
    place: Path, start: Start, tmp_path: Path
) -> None:
    source = shutil.copytree(place / "first", tmp_path / "source", symlinks=True)
    given = (f"init_from={source}", f"tokenizer.model={source}", "scheduler=constant")
    whole = start("whole", *given)
    start("parts", *given, "trainer.max_steps=4")
    shutil.rmtree(source)
    parts = start("parts", *given)
    for name in ("model.safetensors", "training.safetensors"):
        assert same_tensors(*(folder / "checkpoints" / "last" / name for folder in (whole, parts)))
    with pytest.raises(UserError, match="source does not exist"):
        start("new", *given)
    assert not (tmp_path / "new").exists()


def test_other_initial_weights_do_not_go_unnoticed(place: Path, start: Start) -> None:
    start("tuned", f"init_from={place / 'first'}", "trainer.max_steps=2")
    with pytest.raises(ConfigError, match=r"^`init_from` must be .*first', as it was when .* but is null instead"):
        start("tuned", "trainer.max_steps=3")


def test_a_missing_source_is_refused_before_any_data_is_read(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "prepare_data", lambda _: pytest.fail("data was read"))
    values = compose(f"init_from={place / 'frist'}", f"run_dir={tmp_path / 'run'}")
    with pytest.raises(CheckpointError, match=r"^`init_from` must be .*frist does not exist; did you mean 'first'\?"):
        run.train(parse(RunConfig, values), values)


# Frozen parameters.


@pytest.mark.parametrize("encoder", ["transformer", "bilstm"])
def test_frozen_parameters_stay_as_they_are_to_the_bit(
    place: Path, start: Start, encoder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = (f"encoder={encoder}", "decoder=rnn", "freeze=[encoder.*,'*embedding*']", "trainer.clip_norm=0.01")
    given = () if encoder == "bilstm" else (f"init_from={place / 'first'}", f"tokenizer.model={place / 'first'}")
    short = start("run", *parts, *given, "trainer.max_steps=2")
    before = weights(short)
    said = capsys.readouterr().out
    frozen = {name for name in before if name.startswith("encoder.") or "embedding" in name}
    numbers = [sum(before[name].numel() for name in names) for names in (frozen, before)]
    assert f"Frozen: {numbers[0]:,} of {numbers[1]:,} parameters" in said.splitlines()
    start("run", *parts, *given, "trainer.max_steps=6")
    after = weights(short)
    raw = load_file(short / "checkpoints" / "last" / "training.safetensors")
    for name in before:
        assert torch.equal(before[name], after[name]) == (name in frozen), name
        assert torch.equal(raw[f"raw.{name}"], after[name]) == (name in frozen), name
    assert not [key for key in raw if key.startswith("optimizer.") and any(key.endswith(name) for name in frozen)]
    if given:
        best = weights(place / "first", "best")
        assert all(torch.equal(best[name], after[name]) for name in frozen)


def test_a_run_with_frozen_parts_that_died_goes_on_to_the_same_bits(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parts = ("freeze=['*norm*',output.bias,decoder.*]", "trainer.accumulate=2")
    whole = start("whole", *parts)
    taken = 0
    real = Optimizer.step

    def counted(self: Optimizer, factor: float) -> None:
        nonlocal taken
        taken += 1
        if taken == 6:
            raise PowerCutError
        real(self, factor)

    with monkeypatch.context() as patch:
        patch.setattr(AdamW, "step", counted)
        with pytest.raises(PowerCutError):
            start("broken", *parts)
    assert start("broken", *parts) == tmp_path / "broken"
    for name in ("model.safetensors", "training.safetensors"):
        assert same_tensors(*(folder / "checkpoints" / "last" / name for folder in (whole, tmp_path / "broken")))


def test_what_is_frozen_may_not_change_while_a_run_goes_on(start: Start) -> None:
    start("run", "freeze=[encoder.*]", "trainer.max_steps=2")
    with pytest.raises(ConfigError, match=r"^`freeze` must be \['encoder\.\*'\], as it was .* but is \[\] instead"):
        start("run", "trainer.max_steps=3")


@pytest.mark.parametrize("name", ["target_embedding.weight", "output.weight", "source_embedding.*"])
def test_a_tied_parameter_is_frozen_by_any_of_its_names(name: str) -> None:
    model = build("model.tie_embeddings=all")
    frozen, numbers = freeze(model, [name])
    assert frozen == model.target_embedding.weight.numel() < numbers == model.num_parameters
    assert not model.output.weight.requires_grad
    assert {name for name, _ in trainable(model)} == dict(model.named_parameters()).keys() - {
        "target_embedding.weight"
    }


def test_even_one_vector_alone_can_be_trained(start: Start) -> None:
    names = [name for name in dict(build().named_parameters()) if name != "output.bias"]
    run = start("run", f"freeze=[{','.join(names)}]", "trainer.max_steps=3")
    raw = load_file(run / "checkpoints" / "last" / "training.safetensors")
    assert {key.split(".", 2)[2] for key in raw if key.startswith("optimizer.")} == {"output.bias"}


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        (
            ["encodr.*"],
            r"^`freeze\[0\]` must match a parameter .*'encodr.\*' matches none; did you mean 'encoder.\*'\?",
        ),
        (["encoder"], r"did you mean 'encoder.\*'\?"),
        (["output.bais"], r"did you mean 'output.bias'\?"),
        (["encoder.*", "xyz"], r"^`freeze\[1\]` must match a parameter of the model, such as .*matches none$"),
        (["*"], r"^`freeze` must leave something to train, but \['\*'\] freezes every parameter"),
    ],
)
def test_patterns_that_cannot_be_meant_are_refused_before_any_data_is_read(patterns: list[str], words: str) -> None:
    config = run_config(f"freeze={json.dumps(patterns)}")
    with pytest.raises(ConfigError, match=words):
        check_parts(config)


# Tokenizers that are given.


def test_the_types_of_models_are_those_of_the_library(tmp_path: Path) -> None:
    for kind in ("bpe", "unigram"):
        assert model_type(tokenizer(tmp_path, "abcd", kind).serialized) == kind
    for kind in ("word", "char"):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["ab ba abb"] * 9),
            model_writer=model,
            model_type=kind,
            vocab_size=7 if kind == "word" else 6,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        assert model_type(model.getvalue()) == kind


@pytest.mark.parametrize("damage", [b"\x12", b"\x12\x02\x18", b"\x12\x02\x18\x09", b"\x0b", b"\x12\x03\x1a\x01\x00"])
def test_bytes_that_are_no_model_have_no_type(damage: bytes) -> None:
    with pytest.raises(DataError, match="must say of which type it is"):
        model_type(damage)


def test_a_tokenizer_is_found_in_a_file_a_checkpoint_or_a_run(place: Path) -> None:
    run = place / "first"
    [expected] = checkpoint.load(checkpoint.locate(run)).tokenizers.values()
    last = run / "checkpoints" / "last"
    for path in (run, run / "checkpoints", last, last / "tokenizer.model"):
        assert [one.serialized for one in given_tokenizers(str(path))] == [expected]


def test_two_tokenizers_come_together(tmp_path: Path, vocabularies: tuple[Tokenizer, Tokenizer]) -> None:
    one, other = vocabularies
    model = build("model.tie_embeddings=none", vocabulary=23)
    folder = checkpoint.save(snapshot(model, source=one, target=other), tmp_path, 1)
    assert [given.sha256 for given in given_tokenizers(str(folder))] == [one.sha256, other.sha256]
    with pytest.raises(ConfigError, match=r"`model.tie_embeddings` must be .* as .* has, but is 'all' instead"):
        check_parts(run_config(f"tokenizer.model={folder}"))
    check_parts(run_config(f"tokenizer.model={folder}", "model.tie_embeddings=none"))


def test_a_tokenizer_that_is_damaged_or_not_there_is_refused(place: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkpoint.locate(place / "first"), tmp_path / "copy")
    (folder / "tokenizer.model").write_bytes((folder / "tokenizer.model").read_bytes() + b"\x08\x01")
    for path, words in (
        (folder, "tokenizer.model is damaged"),
        (tmp_path / "coyp", r"coyp does not exist; did you mean 'copy'\?"),
        (place / "general", r"general has no tokenizer \(found: test\.de"),
        (place / "general" / "test.de", r"must be a SentencePiece model"),
    ):
        with pytest.raises(ConfigError, match=rf"^`tokenizer\.model` must be .*{words}"):
            given_tokenizers(str(path))


@pytest.mark.parametrize("text", ["{", "[]", '{"files": 5}', "[" * 200_000, "9" * 10_000], ids=lambda text: text[:9])
def test_a_tokenizer_beside_a_manifest_that_cannot_be_read_is_refused(place: Path, tmp_path: Path, text: str) -> None:
    folder = shutil.copytree(checkpoint.locate(place / "first"), tmp_path / "copy")
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ConfigError, match=r"manifest\.json must say what tokenizer\.model is, but cannot be read"):
        given_tokenizers(str(folder))


def test_prepared_data_is_known_by_the_model_that_is_given_not_by_its_place(
    place: Path, tmp_path: Path, vocabularies: tuple[Tokenizer, Tokenizer]
) -> None:
    corpus = Files(root=str(place / "general"), source="en", target="de")
    lines: list[str] = []
    keys = []
    for name, size in (("a.model", 50), ("b.model", 60)):
        vocabularies[0].save(tmp_path / name)
        config = TokenizerConfig("bpe", size, True, 1.0, False, 10, model=str(tmp_path / name))
        data = prepare(corpus, CLEANING, config, root=tmp_path / "prepared", report=lines.append)
        keys.append(data.manifest["key"])
    assert keys[0] == keys[1]
    assert data.source_tokenizer.serialized == vocabularies[0].serialized
    assert data.manifest["tokenizer"]["settings"] == {
        "model": str(tmp_path / "a.model"),
        "type": "bpe",
        "vocab_size": 23,
        "joint": True,
    }
    assert f"Tokenizer: 23 pieces, from {tmp_path / 'a.model'}" in lines
    assert lines[-1].startswith("Reusing prepared data")


def test_the_setting_for_given_models_leaves_the_keys_of_all_other_data_as_they_were() -> None:
    config = TokenizerConfig("bpe", 50, True, 1.0, False, 10)
    assert config.identity() == {
        "type": "bpe",
        "vocab_size": 50,
        "joint": True,
        "character_coverage": 1.0,
        "byte_fallback": False,
        "sample": 10,
    }


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sampling_must_suit_the_model_that_is_given(tmp_path: Path, kind: str) -> None:
    tokenizer(tmp_path, "abcd", kind)
    given = f"tokenizer.model={tmp_path / 'tokenizer.model'}"
    check_parts(run_config(given, f"sampling={'bpe_dropout' if kind == 'bpe' else 'unigram'}", "tokenizer=bpe"))
    with pytest.raises(ConfigError, match=f"`sampling` must suit the tokenizer, which is of type '{kind}'"):
        check_parts(
            run_config(given, f"sampling={'unigram' if kind == 'bpe' else 'bpe_dropout'}", "tokenizer=unigram")
        )


def test_the_size_of_the_model_that_is_given_counts(
    tmp_path: Path, vocabularies: tuple[Tokenizer, Tokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    vocabularies[0].save(tmp_path / "one.model")
    sizes: list[tuple[int, int]] = []
    real = RunConfig.build
    monkeypatch.setattr(RunConfig, "build", lambda self, *given: (sizes.append(given), real(self, *given))[1])
    check_parts(run_config(f"tokenizer.model={tmp_path / 'one.model'}", "tokenizer.vocab_size=99"))
    assert sizes == [(23, 23)]


def test_a_model_without_the_tag_of_a_language_is_refused(place: Path, tmp_path: Path) -> None:
    corpus = Files(root=str(place / "general"), source="en", target="de")
    config = TokenizerConfig("bpe", 50, True, 1.0, False, 10, model=str(tmp_path / "tokenizer.model"))
    tokenizer(tmp_path, "abcdefg", tags=("fr", "en"), size=30)
    with pytest.raises(ConfigError, match=r"`tokenizer\.model` must have a tag .* none for de \(found: en, fr\)"):
        prepare(corpus, CLEANING, config, root=tmp_path / "prepared", report=lambda _: None)
    tokenizer(tmp_path, "abcdefg", tags=("fr", "de"), size=30)
    data = prepare(corpus, CLEANING, config, root=tmp_path / "prepared", report=lambda _: None)
    assert data.ids("train")[0][0][0] == data.source_tokenizer.tags["de"]


def test_random_weights_are_not_frozen_in_silence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_initial(None, ["encoder.*"])
    assert capsys.readouterr().err.startswith("warning: `freeze` keeps random weights as they are, because there is")
    check_initial(None, [])
    check_initial(str(place / "first"), ["encoder.*"])
    assert capsys.readouterr().err == ""


def test_settings_that_a_given_model_has_settled_have_no_use() -> None:
    used = run_config("tokenizer.model=somewhere").unused
    assert "tokenizer.vocab_size" in used
    assert "tokenizer.model" not in used
    assert not [name for name in run_config().unused if name.startswith("tokenizer")]
