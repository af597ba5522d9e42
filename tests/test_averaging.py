"""Averages of checkpoints: the mean of each number, of one kind of model only, to be used like any checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import compose, shrink
from torch import Tensor

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot
from seq2seq.commands.average import AverageConfig, average
from seq2seq.commands.evaluate import EvaluateConfig, evaluate
from seq2seq.commands.translate import TranslateConfig, translate
from seq2seq.config import parse
from seq2seq.errors import CheckpointError, ConfigError
from seq2seq.run import train
from seq2seq.runs.config import RunConfig
from seq2seq.translation.translator import Translator

STEPS = [2, 4, 6]


def snapshot(weights: dict[str, Tensor], bleu: float = 0.0, step: int = 1) -> Snapshot:
    return Snapshot(
        weights=weights,
        config={
            "settings": {
                "model": {"dim": 2, "dropout": 0.1},
                "decoder": {"_target_": "x.Decoder", "num_layers": 1},
                "trainer": {"best_metric": "bleu"},
            },
            "directions": [["en", "de"]],
            "data": "key",
            "precision": "float32",
        },
        tokenizers={"tokenizer.model": b"pieces"},
        metrics={"step": step, "validated_at": step, "validation_bleu": bleu, "validation_loss": bleu},
        training_tensors={"optimizer.step": torch.tensor(1.0)},
        training={"step": step, "position": {"epoch": 0, "batch": 0}},
    )


def weights(scale: float = 1.0) -> dict[str, Tensor]:
    return {"a": scale * torch.randn(50, 7), "b": scale * torch.randn(9)}


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    return (tmp_path / "run" / "checkpoints").resolve()


def averaging(*overrides: str) -> Path:
    values = compose(*overrides, name="average")
    return average(parse(AverageConfig, values), values)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_average_of_a_checkpoint_with_itself_is_itself_to_the_bit(
    checkpoints: Path, count: int, dtype: torch.dtype
) -> None:
    parts = {name: value.to(dtype) for name, value in weights(1e-3).items()}
    parts["extremes"] = torch.tensor([0.0, -0.0, 1e-38, 3e38, 1 / 3]).to(dtype)
    folder = checkpoint.save(snapshot(parts), checkpoints, 1)
    found = checkpoint.average([folder] * count).weights
    assert found.keys() == parts.keys()
    for name, value in parts.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], value), name


def test_the_average_is_that_of_double_precision_rounded_once(checkpoints: Path) -> None:
    # Of very different size, so that a sum in single precision would be another.
    parts = [weights(scale) for scale in (1.0, 1e-4, 300.0, 1.0, 7e-6)]
    folders = [checkpoint.save(snapshot(part), checkpoints, step) for step, part in enumerate(parts, 1)]
    found = checkpoint.average(folders)
    for name in parts[0]:
        expected = torch.stack([part[name].double() for part in parts]).mean(0)
        assert torch.equal(found.weights[name], expected.float())
        assert not torch.equal(found.weights[name], sum(part[name] for part in parts) / len(parts))


def test_an_average_says_what_it_is_of_and_has_no_training_state(checkpoints: Path) -> None:
    folders = [checkpoint.save(snapshot(weights(), step=step), checkpoints, step) for step in (1, 2)]
    found = checkpoint.average(folders)
    assert found.metrics == {"step": 2, "averaged": ["step-00000001", "step-00000002"]}
    assert found.config == checkpoint.load(folders[1]).config
    assert found.tokenizers == {"tokenizer.model": b"pieces"}
    assert found.training == found.training_tensors == {}


def test_a_checkpoint_that_is_not_there_is_named_by_its_place(checkpoints: Path) -> None:
    there = checkpoint.save(snapshot(weights()), checkpoints, 1)
    with pytest.raises(CheckpointError, match=r"^`checkpoints\[1\]` must be .*nowhere does not exist"):
        averaging(f"checkpoints=[{there},{checkpoints / 'nowhere'}]", f"output={checkpoints.parent / 'both'}")


def test_parts_of_several_runs_are_told_apart(tmp_path: Path) -> None:
    folders = [
        checkpoint.save(snapshot(weights()), tmp_path / name / "checkpoints", 1).resolve() for name in ("one", "two")
    ]
    output = averaging(
        f"checkpoints=[{folders[0]},{tmp_path / 'two/checkpoints/step-00000001'}]", f"output={tmp_path / 'both'}"
    )
    assert checkpoint.load(output).metrics["averaged"] == [
        "one/checkpoints/step-00000001",
        "two/checkpoints/step-00000001",
    ]


Change = Callable[[Snapshot], Snapshot]


def settings(**sections: Any) -> Change:
    return lambda one: replace(one, config=one.config | {"settings": one.config["settings"] | sections})


OTHERS: list[tuple[Change, str]] = [
    (
        lambda one: replace(one, tokenizers={"tokenizer.model": b"others"}),
        r"same tokenizers .*: tokenizer.model is SHA-256 [0-9a-f]{16} and SHA-256 [0-9a-f]{16}$",
    ),
    (
        lambda one: replace(one, tokenizers={"source.model": b"pieces", "target.model": b"pieces"}),
        r"same tokenizers .*: source.model is absent and SHA-256 .*, and in 2 more$",
    ),
    (lambda one: replace(one, config=one.config | {"directions": [["de", "en"]]}), "same directions"),
    (settings(model={"dim": 4, "dropout": 0.1}), "same architecture .*: model.dim is 2 and 4$"),
    (
        settings(decoder={"_target_": "x.Other", "num_layers": 1}),
        r"same architecture .*: decoder._target_ is x.Decoder and x.Other$",
    ),
    (
        lambda one: replace(one, weights={**one.weights, "b": torch.ones(3, 3)}),
        r"same weights .*: b is float32 \(9,\) and float32 \(3, 3\)$",
    ),
    (
        lambda one: replace(one, weights={**one.weights, "b": one.weights["b"].bfloat16()}),
        r"same weights .*: b is float32 \(9,\) and bfloat16 \(9,\)$",
    ),
    (
        lambda one: replace(one, weights={"a": one.weights["a"]}),
        r"same weights .*: b is float32 \(9,\) and absent$",
    ),
]


@pytest.mark.parametrize(("change", "words"), OTHERS, ids=[words for _, words in OTHERS])
def test_checkpoints_of_another_kind_are_refused_by_name(checkpoints: Path, change: Change, words: str) -> None:
    one = checkpoint.save(snapshot(weights()), checkpoints, 1)
    other = checkpoint.save(change(snapshot(weights())), checkpoints, 2)
    with pytest.raises(CheckpointError, match=words) as caught:
        averaging(f"checkpoint={checkpoints.parent}", "last=2")
    assert f"{one} and {other} differ" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (checkpoints.parent / "averaged").exists()


def test_settings_that_do_not_change_the_model_may_differ(checkpoints: Path) -> None:
    checkpoint.save(snapshot(weights()), checkpoints, 1)
    checkpoint.save(settings(trainer={"best_metric": "loss"}, seed=2)(snapshot(weights())), checkpoints, 2)
    assert averaging(f"checkpoint={checkpoints.parent}", "last=2").is_dir()


@pytest.fixture
def five(checkpoints: Path) -> list[Path]:
    """Checkpoints of which the first, the fourth and the second have most BLEU; the third was not validated."""
    saved = []
    for step, bleu in enumerate((9.0, 5.0, 99.0, 7.0, 1.0), 1):
        one = snapshot(weights(), bleu, step)
        saved.append(checkpoint.save(replace(one, metrics={"step": 3}) if step == 3 else one, checkpoints, step))
    return saved


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("last=2", [4, 5]),
        ("last=5", [1, 2, 3, 4, 5]),
        ("best=1", [1]),
        ("best=3", [1, 2, 4]),
        ("best=4", [1, 2, 4, 5]),
    ],
)
def test_the_last_and_the_best_of_a_run_are_what_is_averaged(
    five: list[Path], asked: str, expected: list[int]
) -> None:
    run = five[0].parent.parent
    output = averaging(f"checkpoint={run}", asked)
    assert output == run / "averaged" / asked.replace("=", "-")
    found = checkpoint.load(output)
    assert found.metrics["averaged"] == [f"step-{step:08d}" for step in expected]
    mean = torch.stack([checkpoint.load(five[step - 1]).weights["a"].double() for step in expected]).mean(0)
    assert torch.equal(found.weights["a"], mean.float())


def test_the_best_are_those_of_the_metric_of_the_run(five: list[Path]) -> None:
    checkpoint.save(settings(trainer={"best_metric": "loss"})(snapshot(weights(), 6.0, 6)), five[0].parent, 6)
    found = checkpoint.load(averaging(f"checkpoint={five[0].parent}", "best=2"))
    assert found.metrics["averaged"] == ["step-00000002", "step-00000005"]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            "last=6",
            "`last` must be at most 5, as many checkpoints as .*run holds, but is 6 instead; how many are kept",
        ),
        ("best=5", "`best` must be at most 4, as many validated checkpoints as .* but is 5 .*trainer.keep_best$"),
    ],
)
def test_more_checkpoints_than_there_are_cannot_be_averaged(five: list[Path], asked: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        averaging(f"checkpoint={five[0].parent.parent}", asked)


def test_a_damaged_checkpoint_is_named(five: list[Path]) -> None:
    (five[3] / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match=f"{five[3]} cannot be used: model.safetensors is damaged"):
        averaging(f"checkpoint={five[0].parent.parent}", "last=3")


def test_one_checkpoint_is_no_run(five: list[Path]) -> None:
    with pytest.raises(ConfigError, match=f"`checkpoint` must be a run folder, but {five[1]} is the one checkpoint"):
        averaging(f"checkpoint={five[1]}", "last=1")


def test_no_checkpoint_counts_twice(five: list[Path]) -> None:
    checkpoint.point(five[0].parent, "best", five[0])
    both = f"checkpoints=[{five[0]},{five[0].parent.parent}]"
    with pytest.raises(ConfigError, match=f"must be different ones, but {five[0]} is meant by two"):
        averaging(both, f"output={five[0].parent.parent / 'x'}")


def test_checkpoints_outside_of_a_run_need_an_output(five: list[Path], tmp_path: Path) -> None:
    copies = shutil.copytree(five[0].parent, tmp_path / "copies")
    with pytest.raises(ConfigError, match=r"`output` must name a new folder where .*copies lies in no run"):
        averaging(f"checkpoint={copies}", "last=2")
    assert averaging(f"checkpoint={copies}", "last=2", f"output={tmp_path / 'new' / 'one'}").is_dir()


def test_nothing_is_ever_written_over(five: list[Path]) -> None:
    run = five[0].parent.parent
    first = averaging(f"checkpoint={run}", "last=2")
    before = (first / "model.safetensors").read_bytes()
    for given in ((), (f"output={first}",), (f"output={five[1]}",)):
        with pytest.raises(ConfigError, match=r"`output` must be a new folder, but .* is there already"):
            averaging(f"checkpoint={run}", "last=2", *given)
    assert (first / "model.safetensors").read_bytes() == before


def test_an_average_does_not_go_among_the_checkpoints_that_a_run_goes_on_from(five: list[Path]) -> None:
    checkpoints = five[0].parent
    with pytest.raises(ConfigError, match=f"`output` must be a folder outside of {checkpoints}"):
        averaging(f"checkpoint={checkpoints}", "last=2", f"output={checkpoints / 'step-00000009'}")


def test_a_failing_disk_leaves_nothing_half_written(five: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
        averaging(f"checkpoint={five[0].parent}", "last=2", f"output={tmp_path / 'file' / 'inside'}")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on a little of the embedded corpus, with all its checkpoints."""
    folder = tmp_path_factory.mktemp("finished").resolve()
    values = shrink(
        compose(
            f"run_dir={folder / 'run'}",
            f"prepared_dir={folder / 'prepared'}",
            "data.train=300",
            "data.validation=10",
            "data.test=10",
            "tokenizer.vocab_size=300",
            "model.tie_embeddings=all",
            f"trainer.max_steps={STEPS[-1]}",
            "trainer.validate_every=2",
            "trainer.validation_sentences=2",
            "trainer.keep_last=9",
            "trainer.precision=fp32",
            "trainer.device=cpu",
            "search.max_length_extra=2",
        )
    )
    return train(parse(RunConfig, values), values)


@pytest.fixture(scope="module")
def averaged(run: Path) -> Path:
    return averaging(f"checkpoint={run}", "last=3")


def test_an_average_translates_like_any_checkpoint(averaged: Path, tmp_path: Path) -> None:
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_text("The dog sleeps.\n\nA man sees the house.\n", encoding="utf-8")
    given = (f"checkpoint={averaged}", f"input={source}", f"output={output}", "search.max_length_extra=2")
    values = compose(*given, name="translate")
    translate(parse(TranslateConfig, values), values)
    assert len(output.read_text(encoding="utf-8").splitlines()) == 3


def test_tied_weights_stay_tied(run: Path, averaged: Path) -> None:
    model = Translator.load(averaged, precision="fp32").model
    assert model.source_embedding.weight is model.target_embedding.weight is model.output.weight
    paths = [run / "checkpoints" / f"step-{step:08d}" for step in STEPS]
    parts = [Translator.load(path, precision="fp32").model.output.weight.double() for path in paths]
    assert not torch.equal(parts[0], parts[2])
    assert torch.equal(model.output.weight, torch.stack(parts).mean(0).float())


def test_the_report_of_an_average_does_not_take_the_place_of_the_runs_own(run: Path, averaged: Path) -> None:
    own = run / "evaluation" / "test"
    before = {path.name: path.read_bytes() for path in own.iterdir() if path.is_file()}
    assert before
    values = compose(f"checkpoint={averaged}", "search.max_length_extra=2", name="evaluate")
    [report] = evaluate(parse(EvaluateConfig, values), values)
    assert report.parent == run / "evaluation" / "test-last-3"
    assert {path.name: path.read_bytes() for path in own.iterdir() if path.is_file()} == before
    note = (report.parent / "report.md").read_text(encoding="utf-8")
    assert all(f"step-{step:08d}" in note for step in STEPS)
    assert json.loads((report.parent / "scores.json").read_text(encoding="utf-8"))["sentences"] == 10


def test_a_run_goes_on_as_if_nothing_had_been_averaged(run: Path, averaged: Path) -> None:
    assert checkpoint.newest_valid(run / "checkpoints")[0] == run / "checkpoints" / f"step-{STEPS[-1]:08d}"
    assert checkpoint.locate(run).parent == run / "checkpoints"
    assert checkpoint.locate(averaged) == averaged


def test_it_is_said_what_to_type_next(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "an average"
    averaging(f"checkpoint={run}", "best=2", f"output='{output}'")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("Averaging 2 checkpoints: step-")
    assert printed[-1] == f"To evaluate it: python scripts/evaluate.py 'checkpoint={output}'"
    values = compose(f"checkpoint={output}", "search.max_length_extra=2", name="evaluate")
    [report] = evaluate(parse(EvaluateConfig, values), values)
    assert report.parent == output / "evaluation" / "test"
