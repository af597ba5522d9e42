"""The comparison of attentions: what is refused, what is run, what counts as finished, what the table says."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiny import choices, compose

from seq2seq.cli import CONFIGS, read
from seq2seq.comparison import command as comparison
from seq2seq.comparison import plan as comparison_plan
from seq2seq.comparison.command import compare, report, train_all
from seq2seq.comparison.plan import CompareAttentionConfig, earlier_cells, plan, refuse_other_settings, row_name
from seq2seq.comparison.runs import Result, Run, measure, refuse_mixtures
from seq2seq.comparison.table import Spread, cells, markdown, write_table
from seq2seq.config import parse
from seq2seq.disk.lock import only_writer
from seq2seq.errors import ConfigError, DataError
from seq2seq.runs.config import RunConfig

ROOT = CONFIGS.parent
SIGNATURES = {"bleu": "case:mixed", "bleu_lowercase": "case:lc", "chrf": "nc:6"}

TEST = {"corpus": "captions", "split": "test", "source_language": "en", "target_language": "de", "sentences": 2}


def config_of(*overrides: str) -> CompareAttentionConfig:
    return parse(CompareAttentionConfig, compose(*overrides, name="compare_attention"))


def planned(*overrides: str) -> list[Run]:
    config = config_of(*overrides)
    wanted = itertools.product(config.seeds, config.experiments, config.attentions)
    return plan(config, wanted, partial(read, "train", RunConfig))


@cache
def only(experiment: str = "compare_bilstm") -> Run:
    """One planned run, composed only once."""
    [run] = planned(
        "attentions=[dot]", f"experiments=[{experiment}]", "seeds=[1]", 'overrides=["trainer.max_steps=1000"]'
    )
    return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A planned run that has not begun."""
    return replace(only(), folder=tmp_path / "compare_bilstm-dot-1")


class FakeData(SimpleNamespace):
    """What of prepared data a table needs."""

    def __init__(self) -> None:
        size = SimpleNamespace(vocab_size=50)
        super().__init__(source_tokenizer=size, target_tokenizer=size, manifest={"corpus": {"name": "captions"}})

    def resolve(self, split: str) -> str:
        return f"{split}_2016"


DATA: Any = FakeData()


def finish(run: Run, bleu: float = 30.0, **measured: Any) -> None:
    """Leave in a run's folder what a finished run leaves there."""
    folder = run.folder / "evaluation" / "test_2016"
    folder.mkdir(parents=True)
    scores: dict[str, Any] = {key: {"score": bleu, "signature": sign} for key, sign in SIGNATURES.items()}
    scores |= TEST
    scores |= measured
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "references.txt").write_text("eins\nzwei\n")
    rows = [
        {"step": 50, "seconds": 5.0, "tokens_per_second": 900.0},
        {"step": 100, "seconds": 11.0, "tokens_per_second": 1100.0},
        {"step": 100, "seconds": 11.0, "validation_loss": 3.0},
    ]
    (run.folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (run.folder / "config.json").write_text(json.dumps(run.values))


def measure_of(run: Run, **measured: Any) -> Result:
    """What a run has reached when it is finished, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        run = replace(run, folder=Path(folder) / run.folder.name)
        finish(run, **measured)
        result = measure(run, DATA)
    assert result is not None
    return result


def result_of(attention: str, seed: int, bleu: float, experiment: str = "some") -> Result:
    return Result(
        experiment=experiment,
        attention=attention,
        seed=seed,
        folder=f"runs/{experiment}-{attention}-{seed}",
        bleu=bleu,
        bleu_lowercase=bleu + 1,
        chrf=50.0,
        parameters=1_234_567,
        tokens_per_second=None,
        seconds=60.0 + seed,
        updates=1000,
        entropy=None,
        alignment_error=None,
        model="a model",
        budget="1,000 updates",
        test={**TEST, "signatures": SIGNATURES},
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("attentions=[dot,aditive]", r"`attentions\[1\]` must be one of additive, .*'aditive' .*mean 'additive'\?"),
        ("experiments=[compare_bilsm]", r"`experiments\[0\]` must be one of .*mean 'compare_bilstm'\?"),
        ("attentions=[]", r"`attentions` must be a list of different values, but is \[\] instead"),
        ("seeds=[1,1]", r"`seeds` must be a list of different values, but is \[1, 1\] instead"),
        ('overrides=["seed=5"]', r"`overrides\[0\]` must leave seed to the comparison, but is 'seed=5' instead"),
        ('overrides=["attention=dot"]', r"`overrides\[0\]` must leave attention to the comparison"),
        ('attentions=["dot","dot  "]', r"`attentions` must be a list of different values"),
        ('attentions=["dott attention.num_heads=2"]', r"`attentions\[0\]` must be one of .*'dott' .*mean 'dot'\?"),
        ('attentions=["dot seed=2"]', r"`attentions\[0\]` must leave seed to the comparison, but is 'seed=2'"),
        ("jobs=0", r"`jobs` must be at least 1, but is 0 instead"),
    ],
)
def test_what_cannot_be_compared_is_refused(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        planned(override)


def test_attentions_and_experiments_may_lie_outside_the_repository(tmp_path: Path) -> None:
    for group, base in (("attention", "cosine"), ("experiment", "compare_bilstm")):
        (tmp_path / group).mkdir()
        shutil.copy(CONFIGS / group / f"{base}.yaml", tmp_path / group / "mine.yaml")
    config = config_of("attentions=[mine]", "experiments=[mine]", "seeds=[1]")
    [run] = plan(config, [(1, "mine", "mine")], partial(read, "train", RunConfig), [tmp_path])
    assert run.overrides[0] == f"--config-dir={tmp_path}"
    assert run.values["attention"]["score"]["_target_"].endswith(".Cosine")
    assert read("train", RunConfig, run.overrides)[1] == run.values
    with pytest.raises(ConfigError, match=r"`attentions\[0\]` must be one of .*, but is 'mine' instead"):
        plan(config, [(1, "mine", "mine")], partial(read, "train", RunConfig))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            'modle.dim=3","model.dim=0',
            r"did you mean 'model.dim'\? \(in compare_bilstm-dot-1\)\n"
            r"`model.dim` must be at least 1 and at most 1048576, but is 0 instead \(in compare_bilstm-dot-1\)",
        ),
        ("evaluate_split=null", r"`evaluate_split` must name a split to compare by"),
    ],
)
def test_mistakes_in_the_overrides_are_found_before_anything_runs(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        planned("attentions=[dot]", f'overrides=["{override}"]')


def test_every_run_gets_its_attention_its_seed_and_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    # That every attention composes to parts that fit is asked by test_configs.py.
    monkeypatch.setattr(comparison_plan, "check_parts", lambda _: None)
    output, names = "runs/a b, c", choices("attention")
    config = config_of(f"attentions=[{','.join(names)}]", "seeds=[1,7]", f'output="{output}"')
    asked: list[list[str]] = []

    def fake(overrides: Sequence[str]) -> tuple[RunConfig, dict[str, Any]]:
        asked.append(list(overrides))
        return only().config, {}

    runs = plan(config, itertools.product(config.seeds, config.experiments, config.attentions), fake)
    assert len({run.folder for run in runs}) == len(runs) == 2 * 2 * len(names)
    for run, overrides in zip(runs, asked, strict=True):
        folder = f"{output}/{run.experiment}-{run.attention}-{run.seed}"
        assert run.folder == Path(folder)
        assert overrides == [
            f"experiment={run.experiment}",
            f"attention={run.attention}",
            f"attention@self_attention={run.attention}",
            f"seed={run.seed}",
            f'run_dir="{folder}"',
        ]


def test_seed_by_seed_a_transformer_has_heads_and_a_recurrent_model_the_classical_attention() -> None:
    runs = planned("attentions=[additive]", "seeds=[3,1]", 'output="a b, c"')
    assert [(run.seed, run.experiment) for run in runs] == [
        (3, "compare_bilstm"),
        (3, "compare_transformer"),
        (1, "compare_bilstm"),
        (1, "compare_transformer"),
    ]
    for run in runs:
        places = ("attention", "self_attention") if run.experiment == "compare_transformer" else ("attention",)
        heads = 4 if run.experiment == "compare_transformer" else 1
        assert (run.config.seed, run.config.run_dir) == (run.seed, f"a b, c/{run.experiment}-additive-{run.seed}")
        assert {run.values[place]["score"]["_target_"].rpartition(".")[2] for place in places} == {"Additive"}
        for place in places:
            assert (run.values[place]["num_heads"], run.values[place]["project"]) == (heads, heads > 1)


def test_a_row_may_have_settings_of_its_own() -> None:
    entry = "dot attention/normalizer=sparsemax  attention.dropout=0.1"
    [run] = planned(f'attentions=["{entry}"]', "experiments=[compare_bilstm]", "seeds=[1]")
    assert run.attention == "dot attention/normalizer=sparsemax attention.dropout=0.1"
    assert (run.values["attention"]["normalizer"]["alpha"], run.values["attention"]["dropout"]) == (2.0, 0.1)
    assert "normalizer Entmax (alpha 2.0)" in measure_of(run).model
    assert "| dot attention/normalizer=sparsemax attention.dropout=0.1 | 1 |" in markdown(
        [run], [measure_of(run)], []
    )


@pytest.mark.parametrize(
    ("entry", "other"),
    [
        ("dot attention.num_heads=2", "dot attention.num_heads=4"),
        ("dot attention/window=local_p", "dot attention.window=local_p"),
        ("dot a=../../x", "dot a=x"),
        ("dot " + "x" * 300, "dot " + "x" * 301),
    ],
)
def test_folders_of_rows_are_safe_and_their_own(entry: str, other: str) -> None:
    assert row_name(entry) != row_name(other)
    for name in (row_name(entry), row_name(other)):
        assert re.fullmatch(r"dot-[A-Za-z0-9._]+-[0-9a-f]{8}", name)
        assert len(name) < 100
        assert ".." not in name or "/" not in name
    assert row_name(entry) == row_name(entry.replace(" ", "   "))
    assert row_name("dot") == "dot"


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_scores_that_cannot_be_read_are_named(run: Run, text: str) -> None:
    finish(run)
    [scores] = run.folder.glob("evaluation/*/scores.json")
    scores.write_text(text)
    with pytest.raises(
        DataError, match=r"scores\.json must be the scores of a run, but cannot be read: .*; remove it"
    ):
        measure(run, DATA)


def test_settings_of_the_user_win_over_the_experiment() -> None:
    [run] = planned(
        "attentions=[dot]", "experiments=[compare_transformer]", "seeds=[1]", 'overrides=["attention.num_heads=2"]'
    )
    assert (run.values["attention"]["num_heads"], run.values["self_attention"]["num_heads"]) == (2, 4)


def test_a_run_is_finished_when_it_has_scores(run: Run) -> None:
    assert measure(run, DATA) is None
    (run.folder / "checkpoints").mkdir(parents=True)
    assert measure(run, DATA) is None
    finish(run)
    result = measure(run, DATA)
    assert result is not None
    assert (result.bleu, result.updates, result.seconds, result.tokens_per_second) == (30.0, 100, 11.0, 1000.0)
    assert result.parameters > 0
    assert "1 attention of 1 head without learned maps" in result.model
    assert result.budget.startswith("1,000 updates")
    assert result.test["signatures"] == SIGNATURES


def test_the_score_is_in_every_attention_of_a_transformer() -> None:
    run = only("compare_transformer")
    result = measure_of(run)
    layers = [run.values[part]["num_layers"] for part in ("encoder", "decoder")]
    assert f"{layers[0] + 2 * layers[1]} attentions of 4 heads with learned maps" in result.model


def test_an_output_folder_has_one_comparison(tmp_path: Path) -> None:
    config = config_of(f"output={tmp_path}", "attentions=[dot]", "experiments=[compare_bilstm]", "seeds=[1]")
    with (
        only_writer(tmp_path, setting="output"),
        pytest.raises(ConfigError, match=r"`output` must be a folder that nothing else writes, but .* is in use by"),
    ):
        compare(config, partial(read, "train", RunConfig))


def test_a_run_of_other_settings_is_not_taken_for_this_one(run: Run) -> None:
    refuse_other_settings([run])
    finish(run)
    refuse_other_settings([run])
    moved = replace(run, values={**run.values, "run_dir": "elsewhere", "prepared_dir": "there"})
    refuse_other_settings([moved])
    same = replace(run, values={**run.values, "trainer": {**run.values["trainer"], "max_steps": "1k"}})
    refuse_other_settings([same])
    longer = replace(run, values={**run.values, "trainer": {**run.values["trainer"], "max_steps": 9}})
    with pytest.raises(
        ConfigError, match=r"`trainer.max_steps` must be 1000, as it was .*, but is 9 instead; give ano"
    ):
        refuse_other_settings([longer])


def test_another_class_is_named_as_it_is_chosen(run: Run) -> None:
    finish(run)
    normalizer = {"_target_": "seq2seq.attention.normalizers.Entmax", "alpha": 1.5}
    other = replace(run, values={**run.values, "attention": {**run.values["attention"], "normalizer": normalizer}})
    with pytest.raises(ConfigError) as refused:
        refuse_other_settings([other])
    [line] = refused.value.mistakes
    assert line.startswith("`attention/normalizer` must be softmax, as it was when ")
    assert "but is entmax instead; give another output" in line


@pytest.mark.parametrize("text", ["", '{"model": {"di', "[1]", "[" * 200_000], ids=lambda text: text[:9])
def test_settings_torn_by_a_crash_are_refused_kindly(run: Run, text: str) -> None:
    run.folder.mkdir()
    (run.folder / "config.json").write_text(text)
    with pytest.raises(
        ConfigError, match=r"`output` must hold whole runs, but .*config.json cannot be read .*; remove"
    ):
        refuse_other_settings([run])


@pytest.mark.parametrize("text", ["", "[]", '{"runs": [{}]}', "[" * 200_000], ids=lambda text: text[:9])
def test_a_table_that_cannot_be_read_is_refused_with_the_way_out(run: Run, tmp_path: Path, text: str) -> None:
    (tmp_path / "table.json").write_text(text)
    with pytest.raises(ConfigError, match=r"`output` must hold the table .* cannot be read .*; remove that file"):
        earlier_cells(tmp_path, [run])


def test_finished_runs_of_earlier_calls_stay_in_the_table(run: Run, tmp_path: Path) -> None:
    assert earlier_cells(tmp_path, [run]) == []
    others = [
        replace(run, seed=seed, attention=name, folder=tmp_path / f"compare_bilstm-{row_name(name)}-{seed}")
        for seed, name in ((2, "dot"), (1, "cosine attention.num_heads=2"))
    ]
    runs = [run, *others]
    results = []
    for one in runs:
        finish(one)
        result = measure(one, DATA)
        assert result is not None
        results.append(result)
    write_table(runs, results, [], tmp_path)
    assert earlier_cells(tmp_path, [run]) == [(one.seed, one.experiment, one.attention) for one in others]
    assert earlier_cells(tmp_path, runs) == []
    shutil.rmtree(others[0].folder)
    assert earlier_cells(tmp_path, [run]) == [(1, "compare_bilstm", "cosine attention.num_heads=2")]
    (tmp_path / "table.json").write_text('{"runs": [')
    with pytest.raises(
        ConfigError, match=r"`output` must hold the table of a comparison, but .*table.json cannot be"
    ):
        earlier_cells(tmp_path, [run])


def test_the_spread_is_the_sample_standard_deviation() -> None:
    assert Spread.of([1.0, 2.0, 3.0]) == Spread(2.0, 1.0)
    assert Spread.of([30.0, 32.0]) == Spread(31.0, pytest.approx(2**0.5))
    assert Spread.of([5.0]) == Spread(5.0, None)


def grid(*attentions: str) -> list[Run]:
    return [replace(only(), attention=name, seed=seed) for seed in (1, 2, 3) for name in attentions]


def test_an_experiment_has_one_table_wherever_its_runs_stand() -> None:
    runs = [replace(only(), experiment=name, seed=seed) for seed, name in enumerate(("a", "b", "a"))]
    assert [(cell.experiment, cell.wanted) for cell in cells(runs, [])] == [("a", 2), ("b", 1)]
    runs[2] = replace(runs[2], attention="cosine")
    assert [cell.experiment for cell in cells(runs, [])] == ["a", "a", "b"]


def test_entropy_and_alignment_errors_are_shown_where_they_are_measured(run: Run) -> None:
    layers = [{"error_rate": 0.25}, {"error_rate": 0.5}]
    result = measure_of(
        run, attention_entropy=[[1.0, 2.0], [0.5, 0.5]], alignment={"error_rate": 0.25, "layers": layers}
    )
    assert (result.entropy, result.alignment_error) == (1.0, 25.0)
    page = markdown([run], [result], [])
    assert "| attention entropy | alignment error, % |" in page
    assert "| 100 | 1.00 | 25.0 |" in page
    bare = measure_of(run, attention_entropy=None, alignment=None)
    assert (bare.entropy, bare.alignment_error) == (None, None)
    assert "entropy" not in markdown([run], [bare], [])


def test_the_table_has_means_deviations_and_gaps() -> None:
    runs = grid("dot", "additive", "cosine")
    results = [result_of("dot", seed, bleu, "compare_bilstm") for seed, bleu in ((1, 29.0), (2, 30.0), (3, 31.0))]
    results.append(result_of("cosine", 1, 33.0, "compare_bilstm"))
    assert [(cell.attention, cell.seeds, cell.wanted) for cell in cells(runs, results)] == [
        ("dot", 3, 3),
        ("additive", 0, 3),
        ("cosine", 1, 3),
    ]
    lines = markdown(runs, results, ["model.dim=64"]).splitlines()
    assert "| dot | 3 | 30.0 ± 1.0 | 31.0 ± 1.0 | 50.0 ± 0.0 | 1,234,567 | – | 62 | 1,000 |" in lines
    assert "| additive | 0 of 3 |" + " – |" * 7 in lines
    assert "| cosine | 1 of 3 | 33.0 | 34.0 | 50.0 | 1,234,567 | – | 61 | 1,000 |" in lines
    assert any("`model.dim=64`" in line for line in lines)
    for signature in SIGNATURES.values():
        assert any(f"`{signature}`" in line for line in lines)


def test_the_json_holds_every_single_run(run: Run, tmp_path: Path) -> None:
    finish(run, bleu=31.25)
    result = measure(run, DATA)
    assert result is not None
    path = write_table([run], [result], ["model.dropout=0.2"], tmp_path)
    assert path.read_text(encoding="utf-8").startswith("# ")
    table = json.loads((tmp_path / "table.json").read_text(encoding="utf-8"))
    assert table["runs"][0]["bleu"] == table["cells"][0]["spreads"]["bleu"]["mean"] == 31.25
    assert table["runs"][0]["test"]["signatures"] == SIGNATURES
    assert (table["seeds"], table["overrides"]) == ([1], ["model.dropout=0.2"])
    assert {"seq2seq", "torch", "sacrebleu"} <= table["versions"].keys()


@pytest.mark.parametrize("other", [{"split": "validation"}, {"signatures": {**SIGNATURES, "bleu": "case:lc"}}])
def test_scores_of_other_tests_and_signatures_are_not_averaged(other: dict[str, Any]) -> None:
    one, two = result_of("dot", 1, 30.0), result_of("dot", 2, 31.0)
    refuse_mixtures([one, two])
    with pytest.raises(DataError, match=r"`output` must hold scores of one test set, scored alike"):
        refuse_mixtures([one, replace(two, test={**two.test, **other})])


def nothing() -> None:
    """What is done after each run where nothing is."""


Start = Callable[[Run, int | None], "subprocess.Popen[bytes]"]


def starting(code: str) -> Start:
    """A ``start`` whose processes run this code, with the run's folder as the argument."""

    def start(run: Run, threads: int | None) -> subprocess.Popen[bytes]:
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / comparison.OUTPUT).write_text("first line\nlast line\n")
        return subprocess.Popen([sys.executable, "-c", code, str(run.folder)])

    return start


def test_a_run_that_fails_is_named_and_the_others_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = run, replace(run, folder=tmp_path / "bad")
    monkeypatch.setattr(comparison, "start", starting("import sys; sys.exit(3 * sys.argv[1].endswith('bad'))"))
    finish(good)
    failed, stopped_by = train_all([bad, good], 2, None, {run.experiment: DATA}, nothing)
    assert (failed, stopped_by) == ([bad], None)
    printed = capsys.readouterr()
    assert re.search(r"bad failed with status 3: last line \(all of its output is in .*output.txt\)", printed.err)
    assert f"{good.folder.name} has BLEU 30.0" in printed.out


def test_a_run_that_ends_without_scores_has_failed(run: Run) -> None:
    run.folder.mkdir()
    (run.folder / comparison.OUTPUT).write_text("nothing\n")
    assert not report(run, 0, {run.experiment: DATA})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_and_waited_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    code = f"""
import pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
def save(*_):
    time.sleep(0.2)
    (folder / "saved").touch()
    sys.exit(130)
signal.signal({int(number)}, save)
(folder / "ready").touch()
time.sleep(60)
"""
    monkeypatch.setattr(comparison, "start", starting(code))
    runs = [replace(run, folder=tmp_path / name) for name in ("a", "b", "later")]

    def interrupt() -> None:
        while not all((one.folder / "ready").exists() for one in runs[:2]):
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    failed, stopped_by = train_all(runs, 2, None, {run.experiment: DATA}, nothing)
    assert (failed, stopped_by) == ([], number)
    assert [(one.folder / "saved").exists() for one in runs[:2]] == [True, True]
    assert not runs[2].folder.exists()


@pytest.mark.slow
def test_the_command_goes_on_where_it_stopped(tmp_path: Path) -> None:
    output = tmp_path / "table"
    overrides = [
        "data=grammar",
        "data.train=300",
        "data.validation=10",
        "data.test=10",
        "tokenizer.vocab_size=300",
        "model.dim=16",
        "trainer.max_steps=4",
        "trainer.log_every=2",
        "trainer.validation_sentences=4",
        "search.max_length_extra=2",
        f"prepared_dir={tmp_path / 'prepared'}",
    ]
    command = [
        sys.executable,
        str(ROOT / "scripts" / "compare_attention.py"),
        "attentions=[dot,cosine]",
        "experiments=[compare_bilstm]",
        "seeds=[1]",
        f"output={output}",
        f"overrides={json.dumps(overrides)}",
    ]
    runs = {name: output / f"compare_bilstm-{name}-1" for name in ("dot", "cosine")}

    def call() -> subprocess.CompletedProcess[str]:
        done = subprocess.run([*command, "jobs=2", "threads=1"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while first.poll() is None and not (runs["cosine"] / "output.txt").exists():
        time.sleep(0.05)
    first.send_signal(signal.SIGINT)
    printed, _ = first.communicate(timeout=60)
    assert first.returncode == 130, printed
    assert "the same command goes on from here" in printed
    table = json.loads((output / "table.json").read_text(encoding="utf-8"))
    assert {cell["attention"]: cell["seeds"] for cell in table["cells"]} == {"dot": 1, "cosine": 0}

    log = (runs["dot"] / "log.jsonl").read_bytes()
    assert "1 of 2 runs are finished" in call().stdout
    assert (runs["dot"] / "log.jsonl").read_bytes() == log
    assert (runs["dot"] / "output.txt").read_text(encoding="utf-8").count("$ ") == 1
    table = json.loads((output / "table.json").read_text(encoding="utf-8"))
    assert {cell["attention"]: cell["seeds"] for cell in table["cells"]} == {"dot": 1, "cosine": 1}
    assert {one["updates"] for one in table["runs"]} == {4}

    [scores] = runs["dot"].glob("evaluation/*/scores.json")
    scores.unlink()
    call()  # evaluates again, trains no further
    assert scores.is_file()
    assert "Going on from step 4" in (runs["dot"] / "output.txt").read_text(encoding="utf-8")
    assert "2 of 2 runs are finished" in call().stdout
