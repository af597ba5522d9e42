"""Wrong commands: one clear line for each mistake, exit status 2, and not a byte of data read."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from tiny import compose

from seq2seq import cli, run
from seq2seq.cli import command
from seq2seq.commandline.composed import Composed, Groups
from seq2seq.commandline.unheeded import unheeded
from seq2seq.commands import average as averaging
from seq2seq.commands import evaluate as reporting
from seq2seq.commands import translate as translating
from seq2seq.commands.average import AverageConfig
from seq2seq.commands.evaluate import EvaluateConfig
from seq2seq.commands.translate import TranslateConfig
from seq2seq.comparison.command import compare
from seq2seq.comparison.plan import CompareAttentionConfig
from seq2seq.config import parse
from seq2seq.errors import ConfigError, suggest
from seq2seq.runs import preparation
from seq2seq.runs.config import RunConfig

ROOT = cli.CONFIGS.parent

Mistakes = Callable[..., list[str]]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Mistakes:
    """Runs a command in this process, exactly as its script would, and returns the lines it ends with."""
    monkeypatch.chdir(tmp_path)

    def no_data(*_: object, **__: object) -> None:
        raise AssertionError("the mistake must be found before any data is read")

    monkeypatch.setattr(preparation, "prepare", no_data)

    def compare_runs(config: CompareAttentionConfig, _: object) -> None:
        compare(config, partial(cli.read, "train", RunConfig))

    commands: dict[str, Any] = {
        "train": (RunConfig, run.train),
        "evaluate": (EvaluateConfig, reporting.evaluate),
        "translate": (TranslateConfig, translating.translate),
        "average": (AverageConfig, averaging.average),
        "compare_attention": (CompareAttentionConfig, compare_runs),
    }

    def mistakes(*arguments: str, script: str = "train") -> list[str]:
        schema, function = commands[script]
        HydraConfig.instance().cfg = None  # as in a fresh process
        GlobalHydra.instance().clear()
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the command sets it; this sees to its being unset again
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
        with pytest.raises(SystemExit) as left:
            command(script, schema)(function)()
        assert left.value.code == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        lines = printed.err.splitlines()
        assert all(line.startswith("error: ") for line in lines)
        return [line.removeprefix("error: ") for line in lines]

    return mistakes


WRONG: list[tuple[str, str]] = [
    # misspelt keys
    ("modle.dim=64", r"`modle.dim` must be a known setting, .* did you mean 'model.dim'\?"),
    ("model.dmi=64", r"`model.dmi` must be a known setting, .* did you mean 'model.dim'\?"),
    ("trainer.max_step=5", r"`trainer.max_step` must be a known setting, .* '(trainer.)?max_steps'\?"),
    ("trainer.evaluate_split=valid", "there is none of that name; did you mean 'evaluate_split'?"),
    ("encoder.max_tokens=3", "there is none of that name; did you mean 'trainer.max_tokens' or 'search.max_tokens'?"),
    ("atention=dot", r"`atention` must be a known setting, .* did you mean 'attention'\?"),
    ("trainer.xyzzy=5", r"`trainer.xyzzy` must be a known setting, .*clip_norm, .*max_steps"),
    ("+model.extra=1", r"`model.extra` must be a setting of ModelConfig \(.*dim.*\), but is unknown"),
    (
        "+decoder.num_layer=1",
        r"`decoder.num_layer` must be a setting of TransformerDecoder .* 'decoder.num_layers'\?",
    ),
    ("~model.dim", r"`model.dim` must have a value, because ModelConfig needs it, but is missing"),
    # misspelt groups
    ("encoder=bilstmm", r"`encoder` must be one of bilstm, transformer, but is 'bilstmm' .*'bilstm'\?"),
    ("attention=dott", r"`attention` must be one of additive, .*, but is 'dott' instead; did you mean 'dot'\?"),
    ("attention@self_attention=dott", r"`(attention@)?self_attention` must be one of additive, .* 'dott' .* 'dot'\?"),
    ("data=gramar", r"`data` must be one of .*, but is 'gramar' instead; did you mean 'grammar'\?"),
    ("experiment=recrod", r"`experiment` must be one of .*, but is 'recrod' instead"),
    # several values
    ("attention=dot,general", r"`attention=dot,general` must have one value; put -m before the overrides"),
    ("-m attention=dot,foo", r"`attention` must be one of .*, but is 'foo' instead"),
    # wrong types
    ("model.dim=wide", r"`model.dim` must be a number such as .*'8k'.*, but is 'wide' instead"),
    ("model.dim=1.5", r"`model.dim` must be a whole number, but is 1.5 instead"),
    ("model.dim=null", r"`model.dim` must be a whole number, but is None instead"),
    ("model.dim={a: 1}", r"`model.dim` must be a whole number, but is \{'a': 1\} instead"),
    ("model.dim=true", r"`model.dim` must be a whole number, but is True instead"),
    ("optimizer.betas=0.9", r"`optimizer.betas` must be a list, but is 0.9 instead"),
    ("optimizer.betas=[0.9]", r"`optimizer.betas` must "),
    ("optimizer.betas=[0.9,0.99,0.999]", r"`optimizer.betas` must "),
    ("optimizer.betas=[0.9,1.5]", r"`optimizer.betas\[1\]` must be at least 0 and less than 1, but is 1.5"),
    ("decoder=rnn decoder.input_feeding=maybe", r"`decoder.input_feeding` must be true or false, but is 'maybe'"),
    ("model=5", r"`model` must be one of base, small, tiny, but is '5' instead"),
    ("seed=one", r"`seed` must be a whole number, but is 'one' instead"),
    ("data.source=5", r"`data.source` must be text, but is 5 instead"),
    ("trainer.clip_norm=.nan", r"`trainer.clip_norm` must be a .*number"),
    ("trainer.clip_norm=inf", r"`trainer.clip_norm` must be a .*number"),
    # out of range
    ("model.dim=0", r"`model.dim` must be at least 1 and at most 1048576, but is 0 instead"),
    ("model.dim=-3", r"`model.dim` must be at least 1 and at most 1048576, but is -3 instead"),
    ("model.dropout=1", r"`model.dropout` must be at least 0 and less than 1, but is 1.0 instead"),
    ("seed=-1", r"`seed` must be at least 0 and at most 9223372036854775807, but is -1 instead"),
    ("optimizer.learning_rate=0", r"`optimizer.learning_rate` must be greater than 0, but is 0.0 instead"),
    ("scheduler.warmup=2", r"`scheduler.warmup` must be at least 0 and less than 1, but is 2.0 instead"),
    ("cleaning.max_ratio=0.5", r"`cleaning.max_ratio` must be at least 1, but is 0.5 instead"),
    ("tokenizer.character_coverage=0.5", r"`tokenizer.character_coverage` must be at least 0.98 and at most 1"),
    # words that are not among the choices
    ("model.tie_embeddings=al", r"`model.tie_embeddings` must be one of all, none, target, .*'all'\?"),
    ("encoder.positions=rotery", r"`encoder.positions` must be one of .*, but is 'rotery' .*'rotary'\?"),
    ("trainer.precision=fp16", r"`trainer.precision` must be one of auto, bf16, fp32, but is 'fp16' instead"),
    ("trainer.device=gpu", r"`trainer.device` must be one of auto, cpu, cuda, but is 'gpu' instead"),
    # units
    ("trainer.max_time=15q", r"`trainer.max_time` must be a number such as .*'15m'.*, but is '15q' instead"),
    ("trainer.max_time=-5m", r"`trainer.max_time` must be a number such as .*'15m'.*, but is '-5m' instead"),
    ("trainer.max_time=0m", r"`trainer.max_time` must be greater than 0"),
    ("trainer.max_steps=2kk", r"`trainer.max_steps` must be a number such as .*'8k'.*, but is '2kk' instead"),
    ("trainer.max_steps=1.0005k", r"`trainer.max_steps` must be .*, but is '1.0005k' instead"),
    # combinations that cannot be
    ("attention.num_heads=5", r"`attention.num_heads` must divide the query width 128, but is 5 instead"),
    ("self_attention.num_heads=5", r"`self_attention.num_heads` must divide the query width 128, but is 5 instead"),
    (
        "encoder=bilstm decoder=rnn attention=dot model.dim=7",
        r"`model.dim` must be even for two directions, but is 7",
    ),
    ("encoder.positions=rotary self_attention.num_heads=128", r"`encoder.positions` rotary .* have 1 instead"),
    ("tokenizer.joint=false", r"`model.tie_embeddings` must be 'target' or 'none' where `tokenizer.joint` is false"),
    ("search.n_best=6", r"`search.n_best` must be at most the `beam_size` beside it, 5, but is 6 instead"),
    (
        "search=greedy search.beam_size=3",
        r"`search=greedy` has only .*; choose `search=beam` or `search=diverse",
    ),
    ("search=mbr search.no_repeat_ngram=3", r"has it further inside; write search.candidates.no_repeat_ngram$"),
    ("search=sampling search.top_p=1.1", r"`search.top_p` must be greater than 0 and at most 1, but is 1.1 instead"),
    (
        "trainer.max_steps=null trainer.max_epochs=null trainer.max_time=null",
        r"^`trainer.max_epochs`, `trainer.max_steps` or `trainer.max_time` must be set, or training would never end, "
        "but all are null instead; give trainer.max_epochs=auto$",
    ),
    (
        "trainer.max_epochs=aut",
        "`trainer.max_epochs` must be a number such as .*, or 'auto', but is 'aut' instead; did you mean 'auto'",
    ),
    (
        "trainer.validation_sentences=0",
        r"`trainer.best_metric` must be 'loss' where `trainer.validation_sentences` is 0",
    ),
    ("data.source=xx", r"`data.source` must be one of de, en, but is 'xx' instead"),
    ("data.source=de", r"`data.target` must differ from the source language, but both are 'de'"),
    ("data=files", r"`data.root` must name a folder.* give data.root=FOLDER"),
    ("data=paths", r"`data.train` must name files, but is null instead; give data.train=FILE"),
    ("data=paths data.train=a.tsv data.columns=[0,1]", r"`data.columns\[0\]` must be at least 1, but is 0 instead"),
    (
        "data=paths data.train=a.tsv data.errors=ignore",
        r"`data.errors` must be one of replace, strict, but is 'ignore'",
    ),
    ("data=paths data.train=[a,b,c]", r"`data.train` must have 2 values, but is \['a', 'b', 'c'\] instead"),
    ("data=prepared", r"`data.folder` must name a prepared folder.* give data.folder=FOLDER"),
    ("data=multi30k data.target=it", r"`data.target` must be one of cs, de, en, fr, but is 'it' instead"),
    # code
    ("encoder._target_=nothing", r"`encoder._target_` must name a class as 'package.module.Class', but is 'nothing'"),
    ("encoder._target_=seq2seq.encoders.lstm.LSTM", r"`encoder._target_` must name a class that can be imported"),
    ("encoder._target_=os.system", r"`encoder._target_` must name a kind of Encoder, but 'os.system' is not one"),
    ("encoder._target_=seq2seq.optim.AdamW", r"`encoder._target_` must name a kind of Encoder"),
    # overrides that cannot be read
    ("model.dim=[1", r"the override 'model.dim=\[1' must be KEY=VALUE"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=[arguments for arguments, _ in WRONG])
def test_a_mistake_is_explained_in_one_line(refuse: Mistakes, arguments: str, words: str) -> None:
    # Values with blanks in braces are one argument; a shell would get them quoted.
    lines = refuse(*([arguments] if "{" in arguments else arguments.split()))
    assert len(lines) == 1, lines
    assert re.search(words, lines[0]), lines[0]


NORMALIZERS = "entmax, softmax, sparsemax"

GROUPS: list[tuple[str, str]] = [
    # a group written as a setting
    ("attention.normalizer=sparsemax", "; write `attention/normalizer=sparsemax`"),
    ("attention.window=sliding", "; write `attention/window=sliding`"),
    ("self_attention=dot", "; write `attention@self_attention=dot`"),
    ("self_attention.normalizer=sparsemax", "; write `attention/normalizer@self_attention.normalizer=sparsemax`"),
    ("self_attention.window=sliding", "; write `attention/window@self_attention.window=sliding`"),
    (
        "attention.normalizer=null",
        f"; write `attention/normalizer=NAME`, where NAME must be one of {NORMALIZERS}, but is null instead",
    ),
    ("attention.normalizer=sparsmax", "but is 'sparsmax' instead; did you mean 'sparsemax'?"),
    ("attention.score=dot", "; choose the score with `attention=dot`"),
    ("attention/score=dot", "; choose the score with `attention=dot`"),
    ("self_attention.score=dot", "; choose the score with `attention@self_attention=dot`"),
    ("encoder.attention=dot", "; write `attention=dot` or `attention@self_attention=dot`"),
    # a group written in another wrong way
    (
        "attention/normalizer@self_attention=sparsemax",
        "; write `attention/normalizer@self_attention.normalizer=sparsemax`",
    ),
    ("attention/window@self_attention=sliding", "; write `attention/window@self_attention.window=sliding`"),
    ("self_attention/window=sliding", "; write `attention/window@self_attention.window=sliding`"),
    ("self_attention/normalizer=entmax", "; write `attention/normalizer@self_attention.normalizer=entmax`"),
    ("attention/normalizer@attention.normalizer=sparsemax", "; write `attention/normalizer=sparsemax`"),
    (
        "attention/normalizer@self_attention/normalizer=sparsemax",
        "; write `attention/normalizer@self_attention.normalizer=sparsemax`",
    ),
    ("window=sliding", "; write `attention/window=sliding` or `attention/window@self_attention.window=sliding`"),
    (
        "normalizer=sparsemax",
        "; write `attention/normalizer=sparsemax` or `attention/normalizer@self_attention.normalizer=sparsemax`",
    ),
    ("score=dot", "; choose the score with `attention=dot` or `attention@self_attention=dot`"),
    # a setting of another choice
    (
        "attention.window.width=11",
        "`attention/window=global` has no settings; choose `attention/window=local_m`, `attention/window=local_p` "
        "or `attention/window=sliding`",
    ),
    (
        "attention.normalizer.alpha=1.5",
        "`attention/normalizer=softmax` has no settings; choose `attention/normalizer=entmax` "
        "or `attention/normalizer=sparsemax`",
    ),
    ("attention.score.temperature=2", "none of that name; only `attention=cosine` has it"),
    ("decoder.attend=before", "; only `decoder=rnn` has it"),
    # names from papers, and names that are not near
    ("attention=bahdanau", "; did you mean 'additive' or 'additive_normed'?"),
    ("attention=concat", "; did you mean 'additive'?"),
    ("attention=luong", "; did you mean 'dot' or 'general'?"),
    ("attention=euclidean_squared", "; did you mean 'euclidean'?"),
    ("attention=relative", "but is 'relative' instead"),
    ("attention=null", "scaled_dot, but is null instead"),
]


@pytest.mark.parametrize(("argument", "end"), GROUPS, ids=[argument for argument, _ in GROUPS])
def test_a_choice_that_is_wrongly_written_is_told_how_it_is_written(
    refuse: Mistakes, argument: str, end: str
) -> None:
    [line] = refuse(argument)
    assert line.endswith(end), line


OF_RUNS: list[tuple[str, str, str]] = [
    ("evaluate", "attention=dot", "the checkpoint decides `attention`; it cannot be changed here"),
    ("evaluate", "objective=cross_entropy", "the checkpoint decides `objective`; it cannot be changed here"),
    ("translate", "model=tiny", "the checkpoint decides `model`; it cannot be changed here"),
    ("translate", "encoder.num_layers=2", "the checkpoint decides `encoder.num_layers`; it cannot be changed here"),
    ("evaluate", "self_attention=dot", "the checkpoint decides `self_attention`; it cannot be changed here"),
    ("evaluate", "trainer.device=cpu", "it cannot be changed here; did you mean 'device'?"),
    ("compare_attention", "attention=dot", "give `attentions=[dot]`"),
    ("compare_attention", "self_attention=dot", "give `attentions=[dot]`"),
    ("compare_attention", "seed=3", "give `seeds=[3]`"),
    ("compare_attention", "attention/normalizer=sparsemax", "'attentions=[\"dot attention/normalizer=sparsemax\"]'"),
    (
        "compare_attention",
        "trainer.max_steps=40",
        "put settings of the runs into overrides: 'overrides=[\"trainer.max_steps=40\"]'",
    ),
    (
        "compare_attention",
        "overrides=trainer.max_steps=5",
        "`overrides` must be a list, but is trainer.max_steps=5 instead; write 'overrides=[\"trainer.max_steps=5\"]'",
    ),
    ("compare_attention", "attentions=dot,general", "write 'attentions=[dot,general]'"),
    ("compare_attention", "attentions=dot", "write 'attentions=[dot]'"),
]


@pytest.mark.parametrize(("script", "argument", "words"), OF_RUNS, ids=[" ".join(row[:2]) for row in OF_RUNS])
def test_a_setting_of_training_is_sent_where_it_belongs(
    refuse: Mistakes, script: str, argument: str, words: str
) -> None:
    lines = refuse(*([] if script == "compare_attention" else ["checkpoint=x"]), argument, script=script)
    assert len(lines) == 1
    assert words in lines[0], lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["encoder=bilstm", "decoder=rnn", "self_attention.dropout=0.1"],
            ["`self_attention.dropout` has no effect, because neither encoder nor decoder attends to itself"],
        ),
        (
            ["tokenizer.model=some.model", "tokenizer.vocab_size=99"],
            ["`tokenizer.vocab_size` has no effect, because `tokenizer.model` is given"],
        ),
        (["decoder=rnn", "self_attention.dropout=0.1"], []),
        (
            ["model=tiny", "experiment=compare_bilstm"],
            [
                "`model.dim` is 256, as `experiment=compare_bilstm` has it, not 64 as in `model=tiny`; "
                "give model.dim=64",
            ],
        ),
        (["model=tiny", "experiment=compare_bilstm", "model.dim=64", "model.dropout=0"], []),
        (["model=tiny"], []),
    ],
)
def test_what_changes_nothing_is_said(arguments: list[str], words: list[str]) -> None:
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(cli.CONFIGS), version_base="1.3"):
        now = Composed.of("train", arguments)
    found = unheeded(arguments, now, Groups.of([]), parse(RunConfig, now.values).unused)
    assert all(any(line.startswith(start) for line in found) for start in words)
    assert bool(found) == bool(words), found


@pytest.mark.parametrize(
    ("name", "known", "nearest"),
    [
        ("dott", ["dot", "additive"], "dot"),
        ("dmi", ["dim", "dropout"], "dim"),
        ("maxsteps", ["max_steps", "max_time"], "max_steps"),
        ("modle.dim", ["model.dim", "model"], "model.dim"),
        ("euclidean_squared", ["euclidean", "euclidean_unsquared"], "euclidean"),
        ("relative", ["additive", "general"], None),
        ("None", ["cosine"], None),
        ("report_every", ["checkpoint_every", "log_every"], None),
    ],
)
def test_only_what_is_near_is_suggested(name: str, known: list[str], nearest: str | None) -> None:
    assert suggest(name, known) == (f"; did you mean '{nearest}'?" if nearest else "")


def test_there_are_more_than_enough_mistakes_here() -> None:
    assert len(WRONG) == len({arguments for arguments, _ in WRONG}) >= 25


@pytest.mark.parametrize("arguments", ["model.dim=0", "encoder=bilstmm", "attention.num_heads=5"])
def test_a_refused_command_leaves_nothing_behind(refuse: Mistakes, arguments: str, tmp_path: Path) -> None:
    refuse(arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        (["model.dim=0", "trainer.max_tokens=0", "seed=-1"], ["model.dim", "trainer.max_tokens", "seed"]),
        (["encoder=bilstmm", "atention=dot"], ["encoder", "atention"]),
        (["encoder=bilstmm", "modle.dim=3", "seed=-1"], ["encoder", "modle.dim", "seed"]),
        (["data.source=5", "search.beam_size=none", "+model.a=1"], ["data.source", "search.beam_size", "model.a"]),
    ],
)
def test_all_mistakes_are_reported_together(refuse: Mistakes, arguments: list[str], keys: list[str]) -> None:
    lines = refuse(*arguments)
    assert len(lines) == len(keys)
    for key in keys:
        assert any(line.startswith(f"`{key}`") for line in lines), (key, lines)


SWEEPS: list[tuple[list[str], list[str]]] = [
    (["model.dim=64,0"], ["model.dim"]),
    (
        ["model.dim=64,0,-1", "seed=1,2", "trainer.max_tokens=128,none"],
        ["model.dim", "model.dim", "trainer.max_tokens"],
    ),
    (["attention=dot,cosine", "trainer.max_steps=range(-1,2)"], ["trainer.max_steps", "trainer.max_steps"]),
    (["attention=choice(dot,general)", "trainer.patience=choice(1,0)"], ["trainer.patience"]),
    (["attention=glob(*)", "seed=1,-1"], ["seed"]),
    (["attention=dot,dott"], ["attention"]),
    (["experiment=swept"], ["model.dim"]),
    (["run_dir=one", "seed=1,2"], ["seed"]),
]


@pytest.mark.parametrize(("arguments", "keys"), SWEEPS, ids=[" ".join(arguments) for arguments, _ in SWEEPS])
def test_mistakes_of_every_job_of_a_sweep_are_reported_before_the_first_is_run(
    refuse: Mistakes, arguments: list[str], keys: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "prepare_data", lambda _: pytest.fail("a job was run"))
    folder = tmp_path / "configs" / "experiment"
    folder.mkdir(parents=True)
    (folder / "swept.yaml").write_text("# @package _global_\nhydra: {sweeper: {params: {model.dim: '64,0'}}}\n")
    lines = refuse("-m", f"--config-dir={folder.parent}", *arguments)
    assert sorted(lines) == sorted(set(lines))
    assert sorted(line.partition("` must")[0][1:] for line in lines) == keys
    assert [path.name for path in tmp_path.iterdir()] == ["configs"]


def test_a_sweep_without_mistakes_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setattr(
        sys, "argv", ["train.py", "-m", "name=${hydra:job.name}", "seed=range(1,3)", "attention=dot,general"]
    )
    HydraConfig.instance().cfg = None
    GlobalHydra.instance().clear()
    run_with: list[tuple[int, str]] = []
    command("train", RunConfig)(
        lambda config, _: run_with.append((config.seed, config.attention.settings["score"].target.__name__))
    )()
    assert run_with == [(1, "Dot"), (1, "General"), (2, "Dot"), (2, "General")]


def test_a_setting_that_another_choice_has_is_explained(refuse: Mistakes) -> None:
    [line] = refuse("decoder=rnn", "decoder.norm=rms")
    assert line.startswith("`decoder.norm` must be a known setting")
    assert "cell, dropout, input_feeding, num_layers" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there_is_refused(refuse: Mistakes) -> None:
    [line] = refuse("trainer.device=cuda")
    assert line.startswith("`trainer.device` must be a device this machine has, but is 'cuda'")


ON_CHECKPOINTS = [("evaluate", []), ("translate", []), ("average", ["last=2"])]


@pytest.mark.parametrize(("script", "given"), ON_CHECKPOINTS)
def test_a_checkpoint_must_be_given(refuse: Mistakes, script: str, given: list[str]) -> None:
    [line] = refuse(*given, script=script)
    assert line.startswith("`checkpoint` must be given")


@pytest.mark.parametrize(("script", "given"), ON_CHECKPOINTS)
def test_a_checkpoint_must_exist(refuse: Mistakes, script: str, given: list[str]) -> None:
    [line] = refuse("checkpoint=runs/nowhere", *given, script=script)
    assert line.startswith("`checkpoint` must be a run folder or a checkpoint, but runs/nowhere does not exist")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["checkpoint=x"], "one of `last`, `best` and `checkpoints` must be given, but none is; give last=5"),
        (["checkpoint=x", "last=2", "best=3"], "must be given, but best, last are"),
        (["checkpoint=x", "last=0"], "`last` must be at least 1, but is 0 instead"),
        (["checkpoint=x", "checkpoints=[a,b]", "output=o"], "`checkpoint` must be null beside `checkpoints`"),
        (["checkpoints=[a,b]"], "`output` must name a new folder beside `checkpoints`"),
        (["checkpoints=a", "output=o"], "`checkpoints` must be a list, but is a instead; write 'checkpoints=[a]'"),
        (["checkpoint=x", "lst=2"], "did you mean 'last'?"),
        (["checkpoint=x", "last=2", "model.dim=3"], "the checkpoint decides `model.dim`; it cannot be changed here"),
    ],
)
def test_which_checkpoints_are_averaged_must_be_clear(
    refuse: Mistakes, arguments: list[str], words: str, tmp_path: Path
) -> None:
    lines = refuse(*arguments, script="average")
    assert any(words in line for line in lines), lines
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("script", ["evaluate", "translate"])
def test_other_commands_explain_mistakes_as_well(refuse: Mistakes, script: str) -> None:
    lines = refuse("checkpoint=x", "search.beam_sise=3", "device=gpu", script=script)
    assert any("did you mean 'search.beam_size'?" in line for line in lines)
    assert any(line.startswith("`device` must be one of auto, cpu, cuda") for line in lines)


def test_a_mended_command_is_accepted() -> None:
    """The overrides that the messages offer do compose."""
    values = compose(
        "encoder=bilstm", "attention=dot", "model.dim=64", "trainer.max_time=15m", "trainer.max_steps=8k"
    )
    assert (values["model"]["dim"], values["trainer"]["max_time"]) == (64, "15m")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        ("train", ["modle.dim=64"], "did you mean 'model.dim'?"),
        ("train", ["encoder=bilstmm"], "did you mean 'bilstm'?"),
        ("train", ["trainer.max_time=15q"], "`trainer.max_time`"),
        ("train", ["model.dim=0", "attention=dott"], "`model.dim`"),
        ("prepare", ["tokenizer.vocab_sise=64"], "did you mean 'tokenizer.vocab_size'?"),
        ("evaluate", ["checkpoint=nowhere"], "`checkpoint`"),
        ("translate", ["checkpoint=nowhere"], "`checkpoint`"),
        ("average", ["checkpoint=nowhere", "last=2"], "`checkpoint`"),
        ("compare_attention", ["attentions=[dott]"], "did you mean 'dot'?"),
    ],
)
def test_a_script_ends_with_status_2_and_without_a_traceback_in_no_time(
    script: str, arguments: list[str], words: str, tmp_path: Path
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / f"{script}.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime  # of the processor: what else the machine does takes nothing of it
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert words in done.stderr
    assert seconds < 3


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["data=mixture", "data.corpora.x=multi30k"], "write `+data@data.corpora.x=multi30k`"),
        (["data=mixture", "+data.corpora.x=multi30k"], "write `+data@data.corpora.x=multi30k`"),
        (["data=mixture", "data@data.corpora.a=grammar"], "write `+data@data.corpora.a=grammar`"),
        (["data=mixture", "data@data.corpora.a=gramar"], "NAME must be one of .*did you mean 'grammar'"),
        (
            ["data=mixture", "+data@data.corpora.a=grammar", "data.corpora.a.soruce=de"],
            "did you mean 'data.corpora.a.source'",
        ),
        (["data=grammar", "data.seeed=1"], "did you mean 'data.seed'"),
        (["data=grammar", "data.both_directions=true"], "choose `data=deen_mix` or `data=mixture`"),
        (["data=deen_mix", "data.source=en"], "`data.source` must be a known setting"),
        (["data=mixture", "+data@data.corpora.a=grammar", "mixing.temperature=0"], "`mixing.temperature` must be"),
    ],
)
def test_mistakes_about_corpora_within_a_mixture_are_answered_with_the_way(given: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("+", r"\+")):
        cli.read("train", run.RunConfig, given)


def test_sections_that_prepared_data_has_settled_have_no_use() -> None:
    config = parse(RunConfig, compose("data=prepared"))
    assert {"cleaning", "tokenizer"} <= set(config.unused)
    assert not {"cleaning", "tokenizer"} & set(parse(RunConfig, compose()).unused)


@pytest.mark.parametrize("group", sorted({path.parent.name for path in cli.CONFIGS.glob("*/*.yaml")}))
def test_the_settings_of_every_choice_can_be_told(group: str) -> None:
    groups = Groups([cli.CONFIGS])
    for name in groups.options(group):
        assert isinstance(groups.settings(group, name), dict)
