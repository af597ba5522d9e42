"""Translating and evaluating as a user does: files, pipes, and a checkpoint of one's own making."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pytest
import sacrebleu.utils
from sacrebleu.dataset import DATASETS
from tiny import build, choices, compose, shrink

import seq2seq
from seq2seq import checkpoint
from seq2seq.cli import fail
from seq2seq.commands.evaluate import EvaluateConfig, evaluate
from seq2seq.commands.translate import TranslateConfig, translate
from seq2seq.config import parse
from seq2seq.data.alignment import words_of
from seq2seq.disk.lock import only_writer
from seq2seq.errors import CheckpointError, ConfigError, DataError
from seq2seq.evaluation.evaluate import TestSet, evaluate_translator
from seq2seq.evaluation.report import write_report
from seq2seq.run import train
from seq2seq.runs.config import RunConfig
from seq2seq.search import Beam, Hypothesis, Request, Scorer
from seq2seq.terminal import say, warn
from seq2seq.translation.ensemble import Ensemble
from seq2seq.translation.parts import joined
from seq2seq.translation.translator import Translator

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a little of the embedded corpus."""
    folder = tmp_path_factory.mktemp("finished")
    values = shrink(
        compose(
            f"run_dir={folder / 'run'}",
            f"prepared_dir={folder / 'prepared'}",
            "data.train=300",
            "data.validation=10",
            "data.test=10",
            "tokenizer.vocab_size=300",
            "trainer.max_steps=4",
            "trainer.validation_sentences=4",
            "trainer.precision=fp32",
            "search.max_length_extra=2",
        )
    )
    return train(parse(RunConfig, values), values)


def translating(run: Path, *overrides: str) -> None:
    search = () if any(override.startswith("search=") for override in overrides) else ("search=greedy",)
    values = compose(f"checkpoint={run}", *search, "search.max_length_extra=2", *overrides, name="translate")
    translate(parse(TranslateConfig, values), values)


def test_training_ends_with_a_whole_report(run: Path) -> None:
    folder = run / "evaluation" / "test"
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert {"bleu", "chrf", "ter", "bleu_lowercase", "seconds", "sentences_per_second"} <= scores.keys()
    assert scores["sentences"] == 10
    lines = [
        (folder / name).read_text(encoding="utf-8").splitlines() for name in ("translations.txt", "references.txt")
    ]
    assert [len(part) for part in lines] == [10, 10]
    assert "<svg" in (folder / "report.html").read_text(encoding="utf-8")


def test_every_line_in_is_one_line_out_in_order(run: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("The dog sleeps.\n\n  \nA man sees the house.\n", encoding="utf-8")
    translating(run, f"input={source}", f"output={output}")
    lines = output.read_text(encoding="utf-8").split("\n")
    assert len(lines) == 5
    assert lines[1] == lines[2] == lines[4] == ""
    translator = Translator.load(run)
    search = parse(
        TranslateConfig, compose(f"checkpoint={run}", "search=greedy", "search.max_length_extra=2", name="translate")
    ).search
    assert [lines[0], lines[3]] == translator.translate(["The dog sleeps.", "A man sees the house."], search)


def test_json_lines_hold_the_n_best_with_their_scores(run: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("The dog sleeps.\n\n", encoding="utf-8")
    translating(run, f"input={source}", f"output={output}", "format=jsonl", "search=beam", "search.n_best=2")
    first, second = (json.loads(line)["translations"] for line in output.read_text(encoding="utf-8").splitlines())
    assert len(first) == 2
    assert first[0]["score"] >= first[1]["score"]
    assert second == [{"text": "", "score": 0.0}]


def test_a_file_is_never_translated_over_itself(run: Path, tmp_path: Path) -> None:
    path, link = tmp_path / "text.txt", tmp_path / "link.txt"
    path.write_text("the dog\n", encoding="utf-8")
    link.symlink_to(path)
    for output in (path, link):
        with pytest.raises(DataError, match=r"^`output` must be another file than `input`, which would be lost"):
            translating(run, f"input={path}", f"output={output}")
    assert path.read_text(encoding="utf-8") == "the dog\n"


def test_a_translation_goes_through_a_link_and_into_a_pipe(run: Path, tmp_path: Path) -> None:
    source, kept, link, pipe = (tmp_path / name for name in ("in.txt", "kept.txt", "link.txt", "pipe"))
    source.write_text("The dog sleeps.\nShe runs.\n", encoding="utf-8")
    kept.write_text("old\n", encoding="utf-8")
    link.symlink_to(kept)
    translating(run, f"input={source}", f"output={link}")
    assert link.is_symlink()
    assert len(kept.read_text(encoding="utf-8").splitlines()) == 2
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    translating(run, f"input={source}", f"output={pipe}")
    reader.join(10)
    assert pipe.is_fifo()
    assert got == [kept.read_text(encoding="utf-8")]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "kept.txt", "link.txt", "pipe"]


def test_the_report_tells_every_section_of_the_settings(run: Path) -> None:
    note = (run / "evaluation" / "test" / "report.md").read_text(encoding="utf-8")
    settings = json.loads((run / "config.json").read_text(encoding="utf-8"))
    sections = [name for name, values in settings.items() if isinstance(values, dict)]
    assert {"model", "tokenizer", "cleaning", "sampling", "mixing", "trainer", "search"} <= set(sections)
    assert all(f"| {name.replace('_', chr(92) + '_')} |" in note for name in sections)


def test_a_translation_that_fails_leaves_the_old_output(run: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    output.write_text("precious\n", encoding="utf-8")
    source = source.with_suffix(".gz")
    source.write_bytes(gzip.compress(b"fine\n" * 999)[:-9])
    with pytest.raises(DataError, match=r"in\.gz cannot be read to its end"):
        translating(run, f"input={source}", f"output={output}")
    assert output.read_text(encoding="utf-8") == "precious\n"


def test_standard_input_gives_utf8_whatever_the_locale(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, got = io.BytesIO("Ünïcode\nbroken \udcff".encode("utf-8", "surrogateescape")), io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given, encoding="ascii"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(got, encoding="ascii"))
    translating(run)
    assert got.getvalue().decode("utf-8").count("\n") == 2


def lines_of(path: Path) -> list[str]:
    return path.read_bytes().decode().split("\n")[:-1]


def test_a_line_that_is_too_long_is_translated_in_parts_and_named_with_its_place(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sentences = ["The dog sleeps.", "A man sees the house.", "She runs."]
    source, output = tmp_path / "in", tmp_path / "out"
    source.write_text(f"\n{' '.join(sentences)}\n{sentences[2]}\n", encoding="utf-8")
    most = max(len(ids) for ids in Translator.load(run).encode(sentences, None))
    translating(run, f"input={source}", f"output={output}", f"search.max_source_length={most}")
    long, short = lines_of(output)[1:]
    assert "line 2 has " in capfd.readouterr().err
    source.write_text("".join(f"{one}\n" for one in sentences), encoding="utf-8")
    translating(run, f"input={source}", f"output={output}", f"search.max_source_length={most}")
    assert long == " ".join(lines_of(output))
    assert short == lines_of(output)[2]
    assert capfd.readouterr().err == ""


def test_warnings_of_one_call_go_where_it_says(run: Path) -> None:
    always: list[str] = []
    once: list[str] = []
    translator = Translator.load(run, warn=always.append)
    search = EchoSearch(**vars(translator.search.over_pieces) | {"max_source_length": 12})
    line = "The dog sleeps. A man sees the house. She runs."
    translator.in_parts([line], search, warn=once.append)
    assert (len(always), len(once)) == (0, 1)
    translator.in_parts([line], search)
    assert (always, len(once)) == (once, 1)


@pytest.mark.parametrize("text", ["The dog sees a man. " * 5000, "x" * 100_000, "鶏。" * 50_000, "dog " * 25_000])
def test_a_line_of_a_hundred_thousand_characters_is_one_line_still(run: Path, text: str) -> None:
    warnings: list[str] = []
    translator = Translator.load(run, warn=warnings.append)
    search = EchoSearch(**vars(translator.search.over_pieces) | {"max_source_length": 256, "beam_size": 1})
    [parts] = translator.in_parts([text], search)
    assert re.fullmatch(rf"line 1 has [\d,]+ pieces, .*, and is translated in {len(parts):,} parts", warnings[0])
    assert all(len(part.ids) <= 256 for part in parts)
    assert "".join(part.text for part in parts).replace(" ", "") == text.replace(" ", "")
    assert "\n" not in joined(parts)[0].text


@dataclass(frozen=True, kw_only=True)
class EchoSearch(Beam):
    """Gives each sentence as its own translation, scored by its length, so that any number is quickly translated."""

    def find(self, scorer: Scorer, request: Request) -> list[list[Hypothesis]]:
        rows = zip(request.batch.source.tolist(), request.batch.source_lengths.tolist(), strict=True)
        return [[Hypothesis(ids[: length - 1], float(length))] for ids, length in rows]


def test_the_score_of_a_line_in_parts_is_the_mean_weighted_by_pieces(run: Path) -> None:
    translator = Translator.load(run, warn=lambda words: None)
    search = EchoSearch(**vars(translator.search.over_pieces) | {"max_source_length": 12})
    line = "The dog sleeps. A man sees the house. She runs."
    [parts] = translator.in_parts([line], search)
    assert len(parts) > 1
    [whole] = joined(parts)
    assert whole.text == line
    lengths = [len(part.ids) for part in parts]
    assert whole.score == pytest.approx(sum(n * (n + 1) for n in lengths) / sum(lengths))


def test_links_of_a_line_in_parts_lead_to_the_words_of_the_whole_line(run: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    sentences = ["The dog sleeps.", "A man sees the house.", "She runs."]
    source.write_text(" ".join(sentences) + "\n", encoding="utf-8")
    most = max(len(ids) for ids in Translator.load(run).encode(sentences, None))
    given = ("format=jsonl", "alignments=true", f"search.max_source_length={most}")

    def found() -> list[tuple[str, list[tuple[int, int]]]]:
        translating(run, f"input={source}", f"output={output}", *given)
        best = [json.loads(line)["translations"][0] for line in lines_of(output)]
        return [
            (one["text"], [tuple(map(int, link.split("-"))) for link in one["alignment"].split()]) for one in best
        ]

    [(_, whole)] = found()
    source.write_text("".join(f"{one}\n" for one in sentences), encoding="utf-8")
    words, expected = [0, 0], []
    for sentence, (text, links) in zip(sentences, found(), strict=True):
        expected += [(words[0] + first, words[1] + second) for first, second in links]
        words = [words[0] + len(words_of(sentence)), words[1] + len(words_of(text))]
    assert whole == expected
    assert whole


def test_attention_to_a_line_in_parts_is_that_to_each_of_them(run: Path) -> None:
    sentences = ["The dog sleeps.", "A man sees the house.", "She runs."]
    translator = Translator.load(run, warn=lambda words: None)
    most = max(len(ids) for ids in translator.encode(sentences, None))
    search = EchoSearch(**vars(translator.search.over_pieces) | {"max_source_length": most})
    entropies = []
    for sources in ([" ".join(sentences)], sentences):
        test = TestSet("test", "en", "de", sources, sources)
        entropies.append(evaluate_translator(translator, test, search, history=[], facts={}).entropy)
    whole, each = entropies
    assert whole is not None
    assert each is not None
    assert whole.uniform == pytest.approx(each.uniform)
    for found, expected in zip(whole.heads, each.heads, strict=True):
        assert found == pytest.approx(expected)


BAD = [
    b"",
    b"  \t ",
    "😀".encode(),
    "鶏 ქართული".encode(),
    b"\x00\x01\x1b[31m",
    b"a\rb",
    "a\u2028b\x85c".encode(),
    b"a\xffb\xfe",
]


@pytest.mark.parametrize("piped", [False, True])
def test_any_bytes_are_translated_line_by_line(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], piped: bool
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"".join(line + b"\n" for line in BAD))
    if piped:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(source.read_bytes())))
    translating(run, f"output={output}", *([] if piped else [f"input={source}"]))
    assert len(lines_of(output)) == len(BAD)
    assert lines_of(output)[:2] == ["", ""]
    assert capfd.readouterr().err.splitlines() == [
        "warning: line 8, byte 2: 0xff is no UTF-8 there and is replaced",
    ]


def test_several_files_are_translated_into_a_folder_under_their_names(run: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text("The dog sleeps.\nShe runs.\n", encoding="utf-8")
    (texts / "b.txt.gz").write_bytes(gzip.compress(b"She runs.\n"))
    translating(run, f"input='{texts}/*'", f"output={tmp_path / 'out' / 'de'}")
    found = {path.name: lines_of(path) for path in (tmp_path / "out" / "de").iterdir()}
    assert {name: len(lines) for name, lines in found.items()} == {"a.txt": 2, "b.txt": 1}
    assert found["a.txt"][1] == found["b.txt"][0] != ""
    translating(run, f"input=[{texts / 'b.txt.gz'},{texts / 'a.txt'}]", f"output={tmp_path / 'other'}")
    assert lines_of(tmp_path / "other" / "a.txt") == found["a.txt"]


def test_nothing_is_lost_where_several_files_are_translated(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Translator, "restore", None)
    for name in ("one/a.txt", "two/a.txt", "out/a.txt"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("The dog sleeps.\n", encoding="utf-8")

    def refused(*overrides: str) -> str:
        with pytest.raises((DataError, ConfigError)) as caught:
            translating(run, *overrides)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    one, two = tmp_path / "one" / "a.txt", tmp_path / "two" / "a.txt"
    assert "would both become" in refused(f"input=[{one},{two}]", f"output={tmp_path / 'new'}")
    assert "out/a.txt exists; move it away" in refused(f"input=[{one}]", f"output={tmp_path / 'out'}")
    assert "a.txt exists; move it away" in refused(f"input='{tmp_path}/one/*'", f"output={tmp_path / 'one'}")
    assert "must be a folder" in refused(f"input=[{one}]", f"output={two}")
    assert "must name each file once" in refused(f"input=[{one},{one}]", f"output={tmp_path / 'new'}")
    assert "did you mean 'a.txt'" in refused(f"input={tmp_path}/one/a.tx")
    assert "matches none" in refused(f"input='{tmp_path}/*.tmx'")
    assert "is a folder; give a pattern" in refused(f"input={tmp_path}/one")
    assert "is an empty list" in refused("input=[]")
    assert "`prefixes` must be null" in refused(f"input=[{one}]", "prefixes=x")
    assert not (tmp_path / "new").exists()


def test_three_lines_of_python_translate_with_the_checkpoint_s_own_search(run: Path) -> None:
    translator = seq2seq.Translator.load(run)
    lines = ["The dog sleeps.", "", "She runs."]
    search = parse(RunConfig, json.loads((run / "config.json").read_text(encoding="utf-8"))).search
    assert translator.search == search
    assert translator.translate(lines) == translator.translate(lines, search)
    with pytest.raises(TypeError, match="must be a list of texts, but are one text"):
        translator.translate("The dog sleeps.")
    assert translator.translate(["The \ud800 dog."]) == translator.translate(["The \ufffd dog."])
    members = Ensemble([translator, translator])
    assert members.translate(lines) == translator.translate(lines)


def test_a_stranger_s_search_that_asks_for_too_much_is_refused(run: Path) -> None:
    snapshot = checkpoint.load(checkpoint.locate(run, print))
    snapshot.config["settings"]["search"]["beam_size"] = 4000
    with pytest.raises(CheckpointError, match=r"at most 1,024 hypotheses"):
        Translator.restore(snapshot).translate(["The dog sleeps."])
    del snapshot.config["settings"]["search"]
    with pytest.raises(CheckpointError, match=r"must have a section `search`"):
        Translator.restore(snapshot).translate(["The dog sleeps."])


@pytest.mark.slow
def test_the_package_is_imported_without_torch() -> None:
    code = "import sys, seq2seq; print('torch' in sys.modules, 'Translator' in seq2seq.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_translating_can_be_given_up_before_any_batch_and_leaves_the_model_as_it_was(run: Path) -> None:
    translator = Translator.load(run)
    shares: list[float] = []

    def give_up(share: float) -> None:
        shares.append(share)
        if len(shares) == 3:
            raise KeyboardInterrupt

    search = replace(translator.search.over_pieces, max_tokens=1)
    with pytest.raises(KeyboardInterrupt):
        translator.translate(["The dog sleeps."] * 4, search, between=give_up)
    assert shares == [0, 0.25, 0.5]
    assert translator.model.training


@pytest.mark.slow
def test_a_pipe_is_translated_in_order_and_in_constant_memory(run: Path) -> None:
    lines = 20_000
    letters = str.maketrans("0123456789", "abdeghilno")
    texts = [f"The dog sees {str(number).translate(letters)}." for number in range(lines)]
    memory: list[int] = []
    command = [sys.executable, str(Path(__file__).with_name("echoing.py")), str(run)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        writer = threading.Thread(target=feed, args=(child.stdin, texts), daemon=True)
        writer.start()
        for number, line in enumerate(child.stdout):
            assert line.decode().split() == texts[number].split()
            if number % 1000 == 0:
                status = Path(f"/proc/{child.pid}/status").read_text(encoding="utf-8")
                memory.append(int(re.search(r"VmRSS:\s+(\d+)", status)[1]))
        assert number == lines - 1
    assert child.returncode == 0
    assert max(memory) < 1.1 * memory[5]


def feed(pipe: IO[bytes], texts: Iterable[str]) -> None:
    with pipe:
        pipe.writelines(f"{text}\n".encode() for text in texts)


@pytest.mark.slow
def test_a_slow_pipe_is_translated_before_it_ends_and_a_closed_one_ends_it_quietly(run: Path) -> None:
    command = [sys.executable, "scripts/translate.py", f"checkpoint={run}", "search=greedy", "device=cpu"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        for _ in range(2):
            child.stdin.write(b"The dog sleeps.\n")
            child.stdin.flush()
            assert child.stdout.readline().strip()
        child.stdout.close()
        child.stdin.write(b"The dog sleeps.\n" * 10)
        child.stdin.close()
        assert child.stderr.read() == b""
    assert child.returncode == 0


def test_no_control_character_leaves_a_translation(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator.load(run)
    monkeypatch.setattr(translator.target_tokenizer, "decode", lambda rows: ["a\x1b[31m\r\u2028b"] * len(rows))
    search = parse(TranslateConfig, compose(f"checkpoint={run}", name="translate")).search
    assert translator.translate(["The dog sleeps."], search) == ["a [31m  b"]


def test_a_full_disk_behind_standard_output_is_an_error_of_one_line(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"The dog sleeps.\n")))
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(DataError, match="standard output cannot be written: No space left on device"):
            translating(run)
        full.buffer.raw.close()


def test_nothing_printed_can_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("\x1b[2J\u202egnp.exe\nnext line")
    warn("\x9b31m")
    with pytest.raises(SystemExit, match="2"):
        fail(DataError("\x07 bell"))
    printed = capsys.readouterr()
    assert printed.out == "\\x1b[2J\\x202egnp.exe\nnext line\n"
    assert printed.err == "warning: \\x9b31m\nerror: \\x07 bell\n"


def test_another_corpus_gets_a_folder_of_its_own(run: Path, tmp_path: Path) -> None:
    for language in ("en", "de"):
        for split in ("train", "test"):
            (tmp_path / f"{split}.{language}").write_text("The dog sleeps.\n", encoding="utf-8")
    before = (run / "evaluation" / "test" / "scores.json").read_bytes()
    given = ("data=files", f"data.root={tmp_path}", "search.max_length_extra=2")
    values = compose(f"checkpoint={run}", *given, name="evaluate")
    [report] = evaluate(parse(EvaluateConfig, values), values)
    assert report.parent.name == "files-test"
    assert (run / "evaluation" / "test" / "scores.json").read_bytes() == before


def test_another_search_or_checkpoint_gets_a_folder_of_its_own(run: Path) -> None:
    before = (run / "evaluation" / "test" / "scores.json").read_bytes()
    names = []
    for path, *given in ((run, "search.beam_size=2"), (run / "checkpoints" / "step-00000004",), (run,)):
        values = compose(f"checkpoint={path}", "search.max_length_extra=2", *given, name="evaluate")
        [report] = evaluate(parse(EvaluateConfig, values), values)
        names.append(report.parent.name)
        if path == run and given:
            assert (run / "evaluation" / "test" / "scores.json").read_bytes() == before
    best = (run / "checkpoints" / "best").resolve().name
    assert names == ["test-beam_size-2", "test" if best == "step-00000004" else "test-step-00000004", "test"]


@pytest.mark.parametrize("decoder", choices("decoder"))
def test_attention_of_every_decoder_is_measured_and_drawn(
    run: Path, tmp_path: Path, decoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.evaluation.evaluate.DRAWN_PIECES", (1, 200))  # an untrained model does not stop
    own = Translator.load(run)
    model = build(f"decoder={decoder}", vocabulary=own.target_tokenizer.vocab_size)
    translator = Translator(model, own.source_tokenizer, own.target_tokenizer)
    gold = write_aligned_corpus(tmp_path)
    search = parse(TranslateConfig, compose(f"checkpoint={run}", "search=greedy", name="translate")).search
    test = TestSet("test", "en", "de", ALIGNED, ALIGNED, gold)
    write_report(evaluate_translator(translator, test, search, history=[], facts={}), tmp_path / "out")
    scores = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))
    entropies, alignment = scores["attention_entropy"], scores["alignment"]
    assert [len(heads) for heads in entropies] == [len(layer["heads"]) for layer in alignment["layers"]]
    assert all(0 < value < scores["attention_entropy_uniform"] + 1e-6 for heads in entropies for value in heads)
    layers = len(entropies)
    parts = ["mean", *(f"layer-{layer + 1}" for layer in range(layers))] if layers > 1 else ["attention"]
    maps = {path.name for path in (tmp_path / "out" / "attention").iterdir()}
    assert maps == {f"line-{line}-{part}.png" for line in (1, 3) for part in parts}
    note = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert all(f"](attention/{name})" in note for name in maps)


def evaluated(run: Path, output: Path, *overrides: str) -> Any:
    """The scores of a new evaluation."""
    values = compose(
        f"checkpoint={run}",
        f"output={output}",
        "search=greedy",
        "search.max_length_extra=2",
        *overrides,
        name="evaluate",
    )
    evaluate(parse(EvaluateConfig, values), values)
    return json.loads((output / "scores.json").read_text(encoding="utf-8"))


ALIGNED = ["The dog sleeps.", "", "A man sees the unbelievable house ."]


def write_aligned_corpus(folder: Path) -> list[str]:
    """Sentences that translate to themselves, so word k translates word k; return their alignment."""
    for language, split in itertools.product(("en", "de"), ("train", "test")):
        (folder / f"{split}.{language}").write_text("".join(f"{line}\n" for line in ALIGNED), encoding="utf-8")
    return [" ".join(f"{word}-{word}" for word in range(len(line.split()))) for line in ALIGNED]


def test_attention_is_held_against_a_file_of_alignments(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold = write_aligned_corpus(tmp_path)
    file = tmp_path / "gold.align"
    file.write_text("".join(f"{line}\n" for line in gold), encoding="utf-8")
    found = evaluated(run, tmp_path / "out", "data=files", f"data.root={tmp_path}", f"alignments={file}")["alignment"]
    rates = [found, found["mean"], *found["layers"], *(head for layer in found["layers"] for head in layer["heads"])]
    assert all(0 <= each[key] <= 1 for each in rates for key in ("error_rate", "precision", "recall"))
    assert found["error_rate"] == min(layer["error_rate"] for layer in found["layers"])
    assert found["layers"][found["lowest_layer"] - 1]["error_rate"] == found["error_rate"]
    assert "Alignment error rate" in capsys.readouterr().out
    for name in ("report.md", "report.html"):
        assert "Alignment error rate" in (tmp_path / "out" / name).read_text(encoding="utf-8")


def test_a_corpus_brings_its_own_alignments(run: Path, tmp_path: Path) -> None:
    gold = write_aligned_corpus(tmp_path)
    (tmp_path / "test.en-de.align").write_text("".join(f"{line}\n" for line in gold), encoding="utf-8")
    corpus = ("data=files", f"data.root={tmp_path}")
    own = evaluated(run, tmp_path / "out", *corpus)["alignment"]
    assert own is not None
    file = tmp_path / "test.en-de.align"
    assert evaluated(run, tmp_path / "out", *corpus, f"alignments={file}")["alignment"] == own


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0-0\n\n", r"gold must have one line .* 2 lines for 3 pairs"),
        ("0-0\n\n0-0\n\n", r"gold must have one line .* 4 lines for 3 pairs"),
        ("0-0 3-0\n\n\n", r"gold, line 1 must link words .* have 3 and 3 words.*'3-0'"),
        ("\n0-0\n\n", r"gold, line 2 must link words .* have 0 and 0 words.*'0-0'"),
        ("\n\nzero\n", r"gold, line 3 must hold links such as 0-0"),
    ],
)
def test_alignments_that_do_not_fit_are_refused_before_anything_is_translated(
    run: Path, tmp_path: Path, text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_aligned_corpus(tmp_path)
    (tmp_path / "gold").write_text(text, encoding="utf-8")
    monkeypatch.setattr(Translator, "hypotheses", None)
    with pytest.raises(DataError, match=words):
        evaluated(run, tmp_path / "out", "data=files", f"data.root={tmp_path}", f"alignments={tmp_path / 'gold'}")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def newstest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of sacreBLEU that holds three sentences as wmt14/full."""
    stem = "wmt14_full.en-de"
    monkeypatch.setattr(sacrebleu.utils, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(DATASETS["wmt14/full"], "_outdir", str(tmp_path))
    for field in ("src", "ref", "docid", "genre", "origlang"):
        (tmp_path / f"{stem}.{field}").write_text("".join(f"{line}\n" for line in ALIGNED), encoding="utf-8")


@pytest.mark.usefixtures("newstest")
def test_a_test_set_is_named_and_its_origin_stands_beside_the_scores(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = compose(f"checkpoint={run}", "testset=wmt14/full", "search.max_length_extra=2", name="evaluate")
    [report] = evaluate(parse(EvaluateConfig, values), values)
    folder = report.parent
    assert folder == run / "evaluation" / "wmt14_full"
    printed = capsys.readouterr().out
    assert "Test set: wmt14/full en-de from sacreBLEU" in printed
    assert printed.index("Test set:") < printed.index("BLEU  ")
    scores = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    assert (scores["split"], scores["sentences"]) == ("wmt14/full", 3)
    assert scores["origin"]["md5"] == DATASETS["wmt14/full"].md5[0]
    assert (folder / "references.txt").read_text(encoding="utf-8").splitlines() == ALIGNED
    for name in ("report.md", "report.html"):
        assert scores["origin"]["description"] in (folder / name).read_text(encoding="utf-8").replace("\\", "")
    own = json.loads((run / "evaluation" / "test" / "scores.json").read_text(encoding="utf-8"))
    assert own["origin"] is None


@pytest.mark.usefixtures("newstest")
def test_a_named_test_set_may_have_alignments(run: Path, tmp_path: Path) -> None:
    gold = [" ".join(f"{word}-{word}" for word in range(len(line.split()))) for line in ALIGNED]
    (tmp_path / "gold").write_text("".join(f"{line}\n" for line in gold), encoding="utf-8")
    assert evaluated(run, tmp_path / "out", "testset=wmt14/full", f"alignments={tmp_path / 'gold'}")["alignment"]


def test_a_named_test_set_and_a_corpus_exclude_each_other() -> None:
    values = compose("checkpoint=x", "testset=wmt20", "data=grammar", "split=test", name="evaluate")
    with pytest.raises(ConfigError) as caught:
        parse(EvaluateConfig, values)
    assert [mistake.split(" must ")[0] for mistake in caught.value.mistakes] == ["`data`", "`split`"]


def test_a_test_set_that_there_is_not_is_refused_before_anything_is_translated(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Translator, "restore", None)
    values = compose(f"checkpoint={run}", "testset=wmt14/ful", name="evaluate")
    with pytest.raises(DataError, match=r"'wmt14/ful' instead; did you mean 'wmt14/full'"):
        evaluate(parse(EvaluateConfig, values), values)


def test_the_wrong_direction_is_refused(run: Path) -> None:
    values = compose(f"checkpoint={run}", "data=grammar", "data.source=de", "data.target=en", name="evaluate")
    with pytest.raises(DataError, match="must be en-de, the direction of the checkpoint, but is de-en"):
        evaluate(parse(EvaluateConfig, values), values)


def test_a_run_folder_has_one_writer(run: Path) -> None:
    with (
        only_writer(run),
        pytest.raises(ConfigError, match=r"`run_dir` .* in use by process \d+ on .*, since \d{4}-"),
        only_writer(run),
    ):
        pass
    with only_writer(run):
        pass
