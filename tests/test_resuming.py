"""``resume=RUN``: a run goes on with its own settings, and with what is given beside."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from small_runs import quick, same_tensors, train_run, write_corpus
from tiny import compose

from seq2seq import checkpoint, cli
from seq2seq.commands.evaluate import EvaluateConfig
from seq2seq.comparison.plan import CompareAttentionConfig
from seq2seq.config import parse
from seq2seq.errors import ConfigError
from seq2seq.run import train
from seq2seq.runs import folder as runfolder
from seq2seq.runs.config import RunConfig
from seq2seq.terminal import print_anything, say

ROOT = cli.CONFIGS.parent

Jobs = list[dict[str, Any]]
Program = Callable[..., Jobs]
Refused = Callable[..., list[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and a short recurrent run on it."""
    root = tmp_path_factory.mktemp("place")
    write_corpus(root / "corpus")
    parts = ["encoder=bilstm", "decoder=rnn", "attention=dot", "trainer.max_steps=4"]
    train_run([*quick(root / "corpus", root / "prepared"), *parts, f"run_dir={root / 'runs' / 'first'}"])
    return root


@pytest.fixture
def here(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that run, in the current folder."""
    shutil.copytree(place / "runs", tmp_path / "runs", symlinks=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs ``train.py`` in this process, with a function that only notes its settings in the place of training."""

    def jobs(*arguments: str, function: Callable[[RunConfig, Any], object] = lambda config, values: None) -> Jobs:
        noted: Jobs = []

        def note(config: RunConfig, values: Any) -> None:
            assert parse(RunConfig, values) == config
            noted.append(values)
            function(config, values)

        HydraConfig.instance().cfg = None
        GlobalHydra.instance().clear()
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        cli.command("train", RunConfig)(note)()
        return noted

    return jobs


@pytest.fixture
def refused(program: Program, capsys: pytest.CaptureFixture[str]) -> Refused:
    """The lines that ``train.py`` ends with, before it trains."""

    def lines(*arguments: str) -> list[str]:
        with pytest.raises(SystemExit) as left:
            program(*arguments, function=lambda *_: pytest.fail("a job was run"))
        assert left.value.code == 2
        printed = capsys.readouterr().err.splitlines()
        assert all(line.startswith("error: ") for line in printed)
        return [line.removeprefix("error: ") for line in printed]

    return lines


def settings(folder: str | Path) -> dict[str, Any]:
    return dict(json.loads((Path(folder) / "config.json").read_text(encoding="utf-8")))


def log_of(folder: Path) -> Path:
    return folder / "log.jsonl"


def test_a_run_goes_on_with_its_own_settings(here: Path, program: Program) -> None:
    [values] = program("resume=runs/first")
    assert values == settings("runs/first") | {"resume": None, "run_dir": "runs/first"}


def test_what_is_given_beside_comes_on_top_and_nothing_else(here: Path, program: Program) -> None:
    [values] = program(
        "resume=runs/first",
        "trainer.max_steps=6",
        "search={beam_size: 3}",
        "data.root=elsewhere",
        "decoder.input_feeding=true",
        "+mixing.weights={files: 2}",
    )
    expected = settings("runs/first") | {"run_dir": "runs/first"}
    expected["trainer"]["max_steps"] = 6
    expected["search"]["beam_size"] = 3
    expected["data"]["root"] = "elsewhere"
    expected["decoder"]["input_feeding"] = True
    expected["mixing"]["weights"] = {"files": 2}
    assert values == expected


def test_a_choice_by_name_brings_all_its_settings_and_a_single_setting_comes_after(
    here: Path, program: Program
) -> None:
    [values] = program("scheduler.minimum=0.25", "resume=runs/first", "scheduler=cosine", "search=greedy")
    [plain] = program("scheduler=cosine", "search=greedy")
    assert values["scheduler"] == plain["scheduler"] | {"minimum": 0.25}
    assert values["search"] == plain["search"]
    assert values["encoder"] == settings("runs/first")["encoder"]


def test_a_choice_inside_a_part_changes_only_that(here: Path, program: Program) -> None:
    [values] = program("resume=runs/first", "attention/normalizer=sparsemax")
    assert values["attention"]["normalizer"]["_target_"].endswith(".Entmax")
    assert values["attention"]["score"] == settings("runs/first")["attention"]["score"]


def test_parts_inside_of_parts_are_those_of_the_run(here: Path, program: Program) -> None:
    values = settings("runs/first")
    made = compose("search=mbr", "search@search.candidates=beam", "attention=additive_normed", "data=deen_mix")
    inside = compose("attention/window@self_attention.window=sliding")
    changed = {key: made[key] for key in ("search", "attention", "data")}
    changed["self_attention"] = inside["self_attention"]
    Path("runs/first/config.json").write_text(json.dumps(values | changed))
    [now] = program(
        "resume=runs/first",
        "search.candidates.beam_size=3",
        "self_attention.window.width=7",
        "data.corpora.news.errors=replace",
    )
    changed["search"]["candidates"]["beam_size"] = 3
    changed["self_attention"]["window"]["width"] = 7
    changed["data"]["corpora"]["news"]["errors"] = "replace"
    assert now == values | changed | {"run_dir": "runs/first"}


def test_a_part_that_is_chosen_anew_brings_the_parts_inside_of_it(here: Path, program: Program) -> None:
    values = settings("runs/first") | {"search": compose("search=mbr", "search@search.candidates=beam")["search"]}
    Path("runs/first/config.json").write_text(json.dumps(values))
    [now] = program("resume=runs/first", "search=beam", "search.beam_size=3")
    assert now["search"] == compose("search=beam", "search.beam_size=3")["search"]
    [now] = program("resume=runs/first", "search=mbr")
    assert now["search"]["candidates"] == compose("search=mbr")["search"]["candidates"]


def test_settings_that_came_later_are_filled_in(here: Path, program: Program) -> None:
    old = settings("runs/first")
    for key in ("resume", "init_from", "freeze", "sampling"):
        del old[key]
    del old["tokenizer"]["model"]
    (here / "runs/first/config.json").write_text(json.dumps(old))
    [values] = program("resume=runs/first")
    assert (values["freeze"], values["tokenizer"]["model"]) == ([], None)


def test_the_same_folder_may_be_named_twice(here: Path, program: Program) -> None:
    [values] = program("resume=runs/first", f"run_dir={here}/runs/first")
    assert values["run_dir"] == "runs/first"


def test_several_runs_go_on_in_turn(here: Path, program: Program) -> None:
    shutil.copytree("runs/first", "runs/second", symlinks=True)
    jobs = program("-m", "resume=runs/first,runs/second", "trainer.max_steps=5,6")
    assert [(values["run_dir"], values["trainer"]["max_steps"]) for values in jobs] == [
        (name, steps) for name in ("runs/first", "runs/second") for steps in (5, 6)
    ]
    assert all(values["encoder"] == settings("runs/first")["encoder"] for values in jobs)


def test_a_run_that_goes_on_trains_and_keeps_settings_as_if_it_had_been_started_so(
    here: Path, place: Path, program: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    program("resume=runs/first", "trainer.max_steps=6", "trainer.log_every=1", function=train)
    said = capsys.readouterr().out.splitlines()
    assert "Going on with trainer.log_every 1 (was 2), trainer.max_steps 6 (was 4)" in said
    assert "Going on from step 4" in said
    kept = settings("runs/first")
    assert (kept["resume"], kept["run_dir"], kept["trainer"]["max_steps"]) == (None, "runs/first", 6)
    newest = checkpoint.load(checkpoint.newest_valid(here / "runs/first/checkpoints")[0], training=True)
    assert newest.training["step"] == 6
    assert newest.config["settings"] == kept
    program("resume=runs/first", function=train)
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("Going on with")]


def test_a_run_that_went_on_ends_in_the_same_bits(here: Path, place: Path, program: Program) -> None:
    for name, steps in (("whole", 6), ("parts", 3)):
        more = ["scheduler=constant", f"trainer.max_steps={steps}", f"run_dir={name}"]
        train_run([*quick(place / "corpus", place / "prepared"), *more])
    program("resume=parts", "trainer.max_steps=6", function=train)
    for name in ("model.safetensors", "training.safetensors"):
        assert same_tensors(*(here / folder / "checkpoints" / "last" / name for folder in ("whole", "parts")))


WRONG: list[tuple[Sequence[str], str]] = [
    (["resume=runs/frist"], "runs/frist does not exist; did you mean 'first'?"),
    (["resume=run/first"], "run/first does not exist; did you mean 'runs'?"),
    (["resume=nowhere"], "nowhere does not exist"),
    (["resume=runs"], "runs is none, because it has no config.json; it holds the runs first"),
    (["resume=."], ". is none, because it has no config.json; to begin a run there give run_dir=."),
    (
        ["-m", "resume=runs/first", "seed=1,2"],
        "`seed` must be 1, as it was when the first job in runs/first began, but is 2 instead; leave run_dir and",
    ),
    (
        ["resume=runs/first/checkpoints"],
        "runs/first/checkpoints has the checkpoints of a run; give resume=runs/first",
    ),
    (["resume=runs/first/checkpoints/last"], "checkpoints/last is a checkpoint; give resume=runs/first"),
    (["resume=runs/first/config.json"], "runs/first/config.json is a file; give the folder of the run"),
    (["-m", "resume=runs/first,runs/second"], "runs/second does not exist"),
    (["resume=5"], "`resume` must be a run folder with checkpoints, but 5 does not exist"),
    (["resume=runs/first", "experiment=compare_bilstm"], "`experiment` must not be given with resume=runs/first"),
    (["resume=runs/first", "run_dir=other"], "`run_dir` must be left out with resume=runs/first"),
    (["resume=runs/first,runs/second"], "`resume=runs/first,runs/second` must have one value; put -m before"),
    (["resume=runs/first", "trainer.max_stepz=3"], "did you mean 'trainer.max_steps'?"),
    (["resume=runs/first", "decoder.norm=rms"], "`decoder=rnn` has only attend, cell"),
    (["resume=runs/first", "trainer.max_steps=-1"], "`trainer.max_steps` must be at least 1, but is -1 instead"),
    (["resume=runs/first", "~trainer.log_every"], "`trainer.log_every` must have a value"),
    (["resum=runs/first"], "did you mean 'resume'?"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_a_run_that_cannot_go_on_so_is_refused_in_one_line(
    here: Path, refused: Refused, arguments: Sequence[str], words: str
) -> None:
    [line] = refused(*arguments)
    assert words in line, line


def test_a_run_without_checkpoints_never_begins_anew_in_silence(here: Path, refused: Refused) -> None:
    shutil.rmtree("runs/first/checkpoints")
    [line] = refused("resume=runs/first")
    assert line.startswith(
        "`resume` must have checkpoints of what it has a log of, but runs/first has a log of 4 steps"
    )
    log_of(here / "runs/first").unlink()
    [line] = refused("resume=runs/first")
    assert line.endswith("runs/first has none; begin it with run_dir=runs/first and its settings")


@pytest.mark.parametrize(
    "text", ["{", "[]", "null", "\xff", '{"seed": "\\ud800"}', "[" * 200_000], ids=lambda text: text[:9]
)
def test_settings_that_cannot_be_read_are_refused(here: Path, refused: Refused, text: str) -> None:
    (here / "runs/first/config.json").write_bytes(text.encode("latin-1"))
    [line] = refused("resume=runs/first")
    assert "has settings that cannot be read" in line


def test_a_run_folder_that_has_lost_its_settings_can_still_give_its_weights(here: Path, refused: Refused) -> None:
    Path("runs/first/config.json").unlink()
    [line] = refused("resume=runs/first")
    assert line.endswith(
        "no config.json; to begin a new run with the weights of its checkpoints give init_from=runs/first"
    )


def test_a_run_folder_whose_checkpoints_are_gone_is_refused(here: Path) -> None:
    shutil.rmtree("runs/first/checkpoints")
    values = settings("runs/first") | {"run_dir": "runs/first"}
    words = r"^`run_dir` must have .* runs/first has a log of 4 steps and no checkpoint.*remove runs/first/log\.jsonl"
    with pytest.raises(ConfigError, match=words):
        train(parse(RunConfig, values), values)


def test_a_log_without_a_step_is_no_reason_to_refuse(tmp_path: Path) -> None:
    assert runfolder.find_previous(tmp_path, {}, "key") is None
    log_of(tmp_path).write_text('{"step": 0}\n{"words": "hello"}\n[]\n{"step": "x"}\n')
    assert runfolder.find_previous(tmp_path, {}, "key") is None
    log_of(tmp_path).write_text('{"step": 0}\n{"step": 3}\n{"st')
    with pytest.raises(ConfigError, match="a log of 3 steps"):
        runfolder.find_previous(tmp_path, {}, "key")


def test_a_checkpoint_is_read_once(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: (read.append(str(path)), real(path, *rest, **more))[1]
    )
    values = settings("runs/first")
    key = checkpoint.load(checkpoint.locate(here / "runs/first")).config["data"]
    read.clear()
    assert runfolder.find_previous(here / "runs/first", values, key) is not None
    assert len([path for path in read if path.endswith("model.safetensors")]) == 1


@pytest.mark.parametrize(
    ("change", "warned"),
    [({"length_penalty": 0.5}, 0), ({"beam_size": 9, "n_best": 2}, 0), ({"max_length_extra": 3}, 1)],
)
def test_a_search_that_validates_otherwise_makes_earlier_values_no_measure(
    here: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], warned: int
) -> None:
    previous = checkpoint.load(checkpoint.locate(here / "runs/first"))
    before = settings("runs/first")
    now = before | {"search": before["search"] | change}
    found = runfolder.find_previous(here / "runs/first", now, previous.config["data"])
    assert found is not None
    printed = capsys.readouterr()
    assert printed.err.count("patience begins anew") == warned
    assert (found.training["best"] is None) == bool(warned)
    key, value = next(iter(change.items()))
    assert printed.out.count(f"Going on with search.{key} {value} (was ") == (not warned)


@pytest.mark.parametrize("size", ["1k", 1000, "1000"])
def test_a_beam_of_validations_may_be_written_in_any_way(size: object) -> None:
    before = {"trainer": {"validation_beam": 1000, "best_metric": "bleu"}, "search": {"length_penalty": 1.0}}
    now = {"trainer": before["trainer"] | {"validation_beam": size}, "search": {"length_penalty": 0.5}}
    assert runfolder.changed_yardsticks(before, now) == ["search.length_penalty"]


@pytest.mark.parametrize("weight", ["much", "2k", None, [1]])
def test_weights_of_a_stranger_s_settings_may_be_anything(weight: object) -> None:
    kept = runfolder.decisive({"trainer": {}, "mixing": {"weights": {"a": 2, "b": weight}}})
    assert kept["mixing.weights"] == f"{{a: 2, b: {weight}}}"


def test_settings_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()
    with pytest.raises(ConfigError, match=r"^`run_dir` must be a folder that can be written, but is not: .*config"):
        runfolder.write_settings(tmp_path, {"seed": 1})


def test_a_best_value_that_is_no_number_is_forgotten(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values, folder = settings("runs/first"), here / "runs/first"
    snapshot, _ = checkpoint.load_newest(folder / "checkpoints")
    assert snapshot is not None
    snapshot.training["best"] = float("nan")
    checkpoint.save(snapshot, folder / "checkpoints", snapshot.training["step"])
    found = runfolder.find_previous(folder, values, snapshot.config["data"])
    assert found is not None
    assert (found.training["best"], found.training["stale"]) == (None, 0)


def test_other_data_is_refused_with_the_way_to_fine_tune(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"^`data` must be what .* with it init_from to begin with the weights"):
        runfolder.find_previous(here / "runs/first", settings("runs/first"), "another key")


def test_a_comparison_decides_itself_what_goes_on() -> None:
    with pytest.raises(ConfigError, match="must leave resume to the comparison"):
        CompareAttentionConfig(["dot"], ["compare_bilstm"], [1], ["resume=runs/first"], "out", 1, None)


def test_only_what_trains_can_resume(here: Path) -> None:
    with pytest.raises(ConfigError, match=r"the checkpoint decides `resume`"):
        cli.read("evaluate", EvaluateConfig, ["checkpoint=runs/first", "resume=runs/frist"])


def test_settings_read_by_another_program_are_those_of_the_run(here: Path) -> None:
    config, values = cli.read("train", RunConfig, ["resume=runs/first", "trainer.max_steps=9"])
    assert values["decoder"] == settings("runs/first")["decoder"]
    assert (config.resume, config.run_dir, config.trainer.max_steps) == (None, "runs/first", 9)


def test_a_run_is_never_made_of_settings_that_still_name_another(here: Path) -> None:
    values = settings("runs/first") | {"resume": "runs/first", "run_dir": "new"}
    with pytest.raises(ConfigError, match="`resume` must be null by the time a run is made"):
        train(parse(RunConfig, values), values)
    assert not Path("new").exists()


def test_a_terminal_that_lacks_a_letter_shows_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    print_anything()
    say("für 10 €, \udcfc")
    assert shown.getvalue() == b"f\\xfcr 10 \\u20ac, \\udcfc\n"


@pytest.mark.slow
def test_a_folder_of_any_name_goes_on_in_any_locale(tmp_path: Path) -> None:
    name = "a b=ü,c"
    first = [*quick(write_corpus(tmp_path / "corpus", "äöüß"), tmp_path / "prepared"), "model=tiny"]
    first += ["trainer.max_steps=2", "tokenizer.vocab_size=20", f'run_dir="{name}"']
    calls = [
        (first, {"LC_ALL": "C", "TZ": "Pacific/Chatham"}, "training ends at step 2"),
        ([f'resume="{name}"', "trainer.max_steps=4"], {"PYTHONIOENCODING": "ascii", "TZ": "UTC"}, "ends at step 4"),
    ]
    for arguments, environment, words in calls:
        done = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "train.py"), *arguments],
            capture_output=True,
            encoding="utf-8",
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **environment},
        )
        assert done.returncode == 0, done.stderr
        assert words in done.stdout
    assert "\\xfc" in done.stdout  # a sample of a text that the terminal lacks the letters for
    assert (tmp_path / name / "checkpoints" / "step-00000004").is_dir()
    assert settings(tmp_path / name)["run_dir"] == name
