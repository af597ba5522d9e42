"""The command that exports: compared before it is there, whole or absent, refused in one line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import batch_of, build, compose, sentences

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot
from seq2seq.config import parse
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.export import command, ctranslate2
from seq2seq.export.check import Agreement, compare, random_sources, translate
from seq2seq.export.command import ExportConfig, export
from seq2seq.export.description import forbid_special_pieces
from seq2seq.model import Seq2SeqModel
from seq2seq.search.scoring import score_targets
from seq2seq.translation.translator import Translator


class Ours:
    """An engine that is our own model, or one that is a little off."""

    def __init__(self, model: Seq2SeqModel, off: float = 0.0) -> None:
        self.model, self.off = model, off

    def translate(self, sources: Sequence[Sequence[int]], beam: int, longest: int, together: int) -> list[list[int]]:
        return translate(self.model, sources, beam, longest)

    def log_probabilities(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        scores = score_targets(batch_of(sources, targets), self.model) + self.off
        return [row[: len(ids) + 1] for row, ids in zip(scores.tolist(), targets, strict=True)]


def exporting(*overrides: str) -> Path:
    values = compose(*overrides, name="export")
    return export(parse(ExportConfig, values), values)


@pytest.fixture
def without_libraries(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets ``format=ctranslate2`` write a note, which is read back as our own model, off by something."""

    def pretend(off: float) -> None:
        def write(description: object, tokenizers: object, folder: Path, *, quantization: str, longest: int) -> None:
            (folder / "README.md").write_text(f"{quantization} {longest}", encoding="utf-8")

        def read(folder: Path, tokenizers: object) -> Ours:
            assert (folder / "README.md").is_file()
            model = models[0]
            forbid_special_pieces(model)
            return Ours(model.eval(), off)

        models: list[Seq2SeqModel] = []
        restore = Translator.restore

        def restored(content: Snapshot, *rest: object) -> Translator:
            models.append(restore(content, "cpu").model)
            return restore(content, "cpu")

        monkeypatch.setattr(command.Translator, "restore", restored)
        fake = command.Format(ctranslate2.ABILITIES, "json", write, read)  # a library that is always there
        monkeypatch.setitem(command.FORMATS, "ctranslate2", fake)

    return pretend


def test_a_folder_is_written_in_the_run_and_what_it_is_worth_is_said(
    exportable: Path, without_libraries: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    without_libraries(0.0)
    output = exporting(f"checkpoint={exportable}", "quantization=int8", "max_positions=40", "check=5")
    assert output == exportable / "exported" / "ctranslate2-int8"
    assert (output / "README.md").read_text(encoding="utf-8") == "int8 40"
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    printed = capsys.readouterr().out
    assert "Compared: of 5 sentences 5 are translated alike by greedy search and 5 by a beam of 5, and" in printed
    assert "log-probabilities differ by at most 0\n" in printed
    with pytest.raises(ConfigError, match=r"`output` must be a new folder, but .* is there already"):
        exporting(f"checkpoint={exportable}", "quantization=int8")


@pytest.mark.parametrize("off", [0.01, float("nan")])
def test_a_model_that_gives_other_numbers_is_not_left_there(
    exportable: Path, tmp_path: Path, without_libraries: Callable[[float], None], off: float
) -> None:
    without_libraries(off)
    with pytest.raises(CheckpointError, match=r"must translate as the checkpoint does.*but of 3 sentences 3 are"):
        exporting(f"checkpoint={exportable}", f"output={tmp_path / 'out'}", "check=3")
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_fewer_bits_may_differ(
    exportable: Path, tmp_path: Path, without_libraries: Callable[[float], None]
) -> None:
    without_libraries(0.5)
    assert exporting(f"checkpoint={exportable}", f"output={tmp_path / 'out'}", "quantization=int8").is_dir()


def test_a_disk_that_refuses_leaves_nothing(
    exportable: Path, tmp_path: Path, without_libraries: Callable[[float], None]
) -> None:
    without_libraries(0.0)
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write the exported model"):
        exporting(f"checkpoint={exportable}", f"output={tmp_path / 'file' / 'out'}")


def test_it_can_be_compared_with_sentences_of_ones_own(
    exportable: Path, tmp_path: Path, without_libraries: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    without_libraries(0.0)
    text = tmp_path / "text"
    text.write_text("abc de\n\n  \nfg\ngg a\n", encoding="utf-8")
    exporting(f"checkpoint={exportable}", f"output={tmp_path / 'out'}", "check=2", f"sentences={text}")
    assert "Compared: of 2 sentences" in capsys.readouterr().out
    text.write_text("\n \n", encoding="utf-8")
    with pytest.raises(DataError, match="`sentences` must be a file with text"):
        exporting(f"checkpoint={exportable}", f"output={tmp_path / 'other'}", f"sentences={text}")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(("format", "library"), [("ctranslate2", "ctranslate2"), ("huggingface", "transformers")])
def test_a_library_that_is_not_there_is_asked_for_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, format: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigError) as caught:
        exporting("checkpoint=nowhere", f"format={format}")
    assert str(caught.value) == (
        f"`format` {format} must have the library {library}, which is not installed; "
        "install it with `pip install -e '.[export]'`"
    )


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["format=ctranslate"], "`format` must be one of .* did you mean 'ctranslate2'"),
        (["quantization=int4"], "`quantization` must be one of"),
        (["format=huggingface", "quantization=int8"], "`quantization` must be float32 for format=huggingface"),
        (["target=de"], "`target` must be null without `sentences`"),
        (["check=0"], "`check` must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse(ExportConfig, compose("checkpoint=somewhere", *overrides, name="export"))


def test_a_checkpoint_in_no_run_needs_an_output(
    exportable: Path, tmp_path: Path, without_libraries: Callable[[float], None]
) -> None:
    without_libraries(0.0)
    alone = checkpoint.write(checkpoint.load(checkpoint.locate(exportable)), tmp_path / "alone")
    with pytest.raises(ConfigError, match=r"`output` must name a new folder where .*alone lies in no run"):
        exporting(f"checkpoint={alone}")


def test_nothing_is_written_of_a_model_that_the_format_cannot_hold(
    exportable: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_libraries: Callable[[float], None]
) -> None:
    without_libraries(0.0)
    way = command.FORMATS["ctranslate2"]
    unable = replace(way, abilities=replace(way.abilities, norms=("rms",)))
    monkeypatch.setitem(command.FORMATS, "ctranslate2", unable)
    with pytest.raises(ConfigError, match=r"`encoder.norm` must be rms for format=ctranslate2, but is layer"):
        exporting(f"checkpoint={exportable}", f"output={tmp_path / 'out'}")
    assert list(tmp_path.iterdir()) == []


def test_a_model_agrees_with_itself_and_not_with_another() -> None:
    model, other = build(), build(seed=2)
    sources = sentences(range(1, 41))
    assert compare(model, Ours(model), sources, 12) == Agreement(40, 40, 40, 0.0)
    found = compare(model, Ours(other), sources, 12)
    assert found.greedy < 20
    assert found.error > 0.1
    with pytest.raises(CheckpointError, match=r"must translate as the checkpoint does"):
        found.refuse_unless_same("ctranslate2")


def test_two_sentences_of_a_hundred_may_differ_by_chance() -> None:
    Agreement(100, 98, 50, 1e-6).refuse_unless_same("ctranslate2")
    with pytest.raises(CheckpointError, match="of 100 sentences 97 are"):
        Agreement(100, 97, 97, 1e-6).refuse_unless_same("ctranslate2")


def test_random_sentences_are_the_same_every_time_and_never_special(exportable: Path) -> None:
    tokenizer = Translator.load(exportable, device="cpu", precision="fp32").source_tokenizer
    found = random_sources(tokenizer, 200, 9)
    torch.manual_seed(99)
    assert random_sources(tokenizer, 200, 9) == found
    assert {len(ids) for ids in found} == set(range(1, 10))
    assert {i for ids in found for i in ids} == set(range(4, tokenizer.vocab_size))


def test_random_sentences_begin_with_a_tag_where_there_are_languages() -> None:
    class Tagged:
        def __init__(self) -> None:
            self.tags = {"de": 4, "fr": 5}
            self.vocab_size = 9

    tokenizer: Tokenizer = Tagged()
    found = random_sources(tokenizer, 50, 4)
    assert {ids[0] for ids in found} == {4, 5}
    assert {i for ids in found for i in ids[1:]} == {6, 7, 8}
    assert max(map(len, found)) == 4
