"""Checkpoints: whole or absent, checked to the last byte, never lost."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from seq2seq import checkpoint
from seq2seq.checkpoint import Snapshot, files
from seq2seq.errors import CheckpointError
from seq2seq.faults.sealing import seal
from seq2seq.upgrades import upgraded

Harm = Callable[[Path], None]

FILES = [
    "config.json",
    "manifest.json",
    "metrics.json",
    "model.safetensors",
    "tokenizer.model",
    "training.json",
    "training.safetensors",
]


def snapshot(number: float = 1.0) -> Snapshot:
    return Snapshot(
        weights={"a.weight": torch.full((3, 2), number), "b": torch.arange(4.0)},
        config={
            "settings": {"seed": 1, "name": "Größe", "trainer": {}},
            "languages": ["en", "de"],
            "data": "key",
            "precision": "float32",
        },
        tokenizers={"tokenizer.model": b"\x00pieces\xff"},
        metrics={"validation_bleu": 12.5},
        training_tensors={"optimizer.step": torch.tensor(7.0), "random.cpu": torch.arange(5, dtype=torch.uint8)},
        training={"step": 7, "position": {"epoch": 1, "batch": 2}, "best": None},
    )


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    return tmp_path / "run" / "checkpoints"


@pytest.fixture
def three(checkpoints: Path) -> list[Path]:
    return [checkpoint.save(snapshot(float(step)), checkpoints, step) for step in (1, 2, 10)]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n ")


def link(path: Path) -> None:
    elsewhere = path.parent.parent.parent / path.name
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def test_what_is_saved_is_what_is_loaded(checkpoints: Path) -> None:
    saved = snapshot()
    loaded = checkpoint.load(checkpoint.save(saved, checkpoints, 7), training=True)
    for found, expected in ((loaded.weights, saved.weights), (loaded.training_tensors, saved.training_tensors)):
        assert found.keys() == expected.keys()
        assert all(
            torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in expected.items()
        )
    config = {name: value for name, value in saved.config.items() if name != "languages"}
    assert loaded.config == {
        **config,
        "directions": [saved.config["languages"]],  # as it is called since there are several
        "settings": upgraded(config["settings"]),
    }
    assert loaded.tokenizers == saved.tokenizers
    assert loaded.metrics == saved.metrics
    assert loaded.training == saved.training


def test_translating_needs_no_training_state(checkpoints: Path) -> None:
    folder = checkpoint.save(replace(snapshot(), training={}, training_tensors={}), checkpoints, 7)
    assert sorted(path.name for path in folder.iterdir()) == [
        name for name in FILES if not name.startswith("training")
    ]
    loaded = checkpoint.load(folder)
    assert loaded.training == {}
    assert loaded.weights.keys() == {"a.weight", "b"}


def test_a_checkpoint_without_training_state_cannot_be_gone_on_from(checkpoints: Path) -> None:
    folder = checkpoint.save(replace(snapshot(), training={}, training_tensors={}), checkpoints, 7)
    with pytest.raises(CheckpointError, match="training"):
        checkpoint.load(folder, training=True)


# The manifest holds the hashes of all others, so a blank more in itself is no damage.
HARMS = [
    (name, harm)
    for name in FILES
    for harm in (truncate, flip, remove, grow, link)
    if name != "manifest.json" or harm not in (flip, grow)
]


@pytest.mark.parametrize(("name", "harm"), HARMS)
def test_no_damaged_file_goes_unnoticed(checkpoints: Path, name: str, harm: Harm) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert checkpoint.damage(folder, training=True) is None
    harm(folder / name)
    problem = checkpoint.damage(folder, training=True)
    assert problem is not None
    assert name in problem
    with pytest.raises(CheckpointError, match=f"{re.escape(str(folder))}.*{re.escape(name)}"):
        checkpoint.load(folder, training=True)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"format": 1}',
        b'{"format": 1, "files": 3}',
        b'{"format": 1, "files": {"a": 1}}',
        b"\xff",
    ],
)
def test_no_manifest_can_make_loading_fail_with_anything_but_a_message(checkpoints: Path, manifest: bytes) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    (folder / "manifest.json").write_bytes(manifest)
    with pytest.raises(CheckpointError, match=r"manifest\.json|damaged"):
        checkpoint.load(folder)


def rewrite(folder: Path, name: str, data: bytes) -> None:
    """Change a file together with the manifest, as a stranger would."""
    (folder / name).write_bytes(data)
    seal(folder)


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    rewrite(folder, "config.json", json.dumps({**config, **changes}).encode())


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", "[]", "config.json must be a group of values, but is [] instead"),
        ("config.json", "{}", "settings in config.json must be a group of values, but is None instead"),
        ("config.json", '{"settings": {"encoder": 3}}', "settings.encoder in config.json must be a group of values"),
        ("config.json", '{"settings": {}, "directions": [["en"]]}', "must have languages as its `directions`"),
        ("config.json", '{"settings": {}, "directions": []}', "must have languages as its `directions`"),
        ("config.json", '{"settings": {}, "languages": ["en", "../de"]}', "must have languages as its `languages`"),
        (
            "config.json",
            '{"settings": {}, "data": "", "precision": "compile"}',
            "must have `precision` as a run writes it",
        ),
        ("config.json", '{"settings": {}, "data": 3}', "must have `data` as a run writes it, but has 3 instead"),
        ("config.json", '{"settings": {"a": "\\ud800"}}', "config.json cannot be read"),
        ("config.json", '{"settings": ' + "[" * 100 + "]" * 100 + "}", "nested more than 32 levels deep"),
        ("config.json", '{"settings": ' + "[" * 9000, "config.json cannot be read: its values are nested too deeply"),
        ("config.json", '{"settings": ' + "9" * 5000 + "}", "a whole number of more than 64 bits"),
        ("config.json", '{"settings": [' + "[]," * 99_999 + "[]]}", "it has more than 100,000 values"),
        ("metrics.json", "[]", "metrics.json must be a group of values"),
        ("metrics.json", '{"validated_at": true}', "must have a step as `validated_at`, but has True instead"),
        ("training.json", "3", "training.json must be a group of values"),
        ("training.json", '{"step": 7, "position": 3}', "must have `position` as a run writes it"),
        ("training.json", '{"step": 7.0, "position": {}}', "must have `step` as a run writes it"),
        ("training.json", '{"step": 7, "position": {}, "best": "x"}', "must have `best` as a run writes it"),
    ],
)
def test_a_whole_checkpoint_that_makes_no_sense_is_refused_in_one_line(
    checkpoints: Path, name: str, content: str, words: str
) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    rewrite(folder, name, content.encode())
    assert checkpoint.damage(folder) is None
    with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
        checkpoint.load(folder, training=True)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("missing", ["data", "precision"])
def test_a_run_goes_on_only_from_a_checkpoint_that_says_how(checkpoints: Path, missing: str) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    config = json.loads((folder / "config.json").read_text())
    del config[missing]
    rewrite(folder, "config.json", json.dumps(config).encode())
    assert checkpoint.load(folder).weights  # translating needs neither
    with pytest.raises(CheckpointError, match=f"must have `{missing}` as a run writes it, but has none"):
        checkpoint.load(folder, training=True)


@pytest.mark.parametrize("weights", ["x", [1], {"a": "x"}, {"a": None}])
def test_weights_of_a_mixture_are_numbers_where_a_run_goes_on(checkpoints: Path, weights: Any) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    change_config(folder, settings={"trainer": {}, "mixing": {"weights": weights}})
    with pytest.raises(CheckpointError, match=r"settings\.mixing\.weights in config\.json must be numbers"):
        checkpoint.load(folder, training=True)


def packed(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(shape: Any, begin: Any, end: Any, kind: Any = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "must begin with the length of its header, but has 0 bytes"),
        (packed({}, length=2**60), "within its own 10, but claims 1,152,921,504,606,846,976"),
        (packed({}, length=3), "claims 3"),
        (packed(b"[]"), "must have a header with at most"),
        (packed(b"{"), "has a header that cannot be read"),
        (packed({"a": 3}), "must tell type, shape and place of 'a'"),
        (packed({"a": entry([1], 0, 4, "X")}, bytes(4)), "must tell type, shape and place of 'a'"),
        (packed({"a": entry([1], 0, 4, ["F32"])}, bytes(4)), "must tell type, shape and place of 'a'"),
        (packed({"a": entry([-1], 0, -4)}), "must tell type, shape and place of 'a'"),
        (packed({"a": entry([True], 0, 4)}, bytes(4)), "must tell type, shape and place of 'a'"),
        (packed({"a": entry([1] * 99, 0, 4)}, bytes(4)), "must tell type, shape and place of 'a'"),
        (packed({"a\n": entry([1], 0, 4)}, bytes(4)), "must tell type, shape and place of"),
        (packed({"a": entry([2], 0, 4)}, bytes(4)), "must have as many bytes of tensor 'a' as its shape needs"),
        (packed({"a": entry([2**32, 2**32], 0, 0)}), "must have as many bytes of tensor 'a' as its shape needs"),
        (packed({"a": entry([1], 4, 8)}, bytes(8)), "must have its tensors end to end, but 'a' is not"),
        (packed({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, bytes(4)), "end to end, but 'b' is not"),
        (packed({"a": entry([1], 0, 4)}, bytes(3)), "must have 4 bytes of tensors, but has 3"),
        (packed({"a": entry([1], 0, 4)}, bytes(5)), "must have 4 bytes of tensors, but has 5"),
        (packed({"a": entry([4], 0, 4, "BOOL")}, bytes(4)), "must hold floating-point numbers, but not in ['a']"),
        (packed({"a": entry([1], 0, 4, "I32")}, bytes(4)), "must hold floating-point numbers, but not in ['a']"),
    ],
)
def test_a_file_of_tensors_must_hold_what_it_claims(checkpoints: Path, data: bytes, words: str) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    rewrite(folder, "model.safetensors", data)
    with pytest.raises(CheckpointError, match=re.escape(words)) as caught:
        checkpoint.load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_weights_are_read_in_whatever_floating_type_they_are(checkpoints: Path, dtype: torch.dtype) -> None:
    weights = {
        "matrix": torch.randn(3, 5).to(dtype),
        "scalar": torch.tensor(2.5, dtype=dtype),
        "empty": torch.zeros(0, 3, dtype=dtype),
        "turned": torch.randn(4, 2).to(dtype).T,
    }
    loaded = checkpoint.load(checkpoint.save(replace(snapshot(), weights=weights), checkpoints, 7)).weights
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], value) and loaded[name].dtype == dtype for name, value in weights.items())


def test_what_is_read_is_what_the_library_reads(checkpoints: Path) -> None:
    kinds = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.float32]
    tensors = {str(kind): torch.randint(0, 2, (3, 2)).to(kind) for kind in kinds}
    folder = checkpoint.save(replace(snapshot(), training_tensors=tensors), checkpoints, 7)
    expected = load_file(folder / "training.safetensors")
    found = checkpoint.load(folder, training=True).training_tensors
    assert found.keys() == expected.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert all(found[name].dtype == value.dtype for name, value in tensors.items())


def test_large_tensors_are_in_memory_once_and_a_search_for_damage_takes_none(checkpoints: Path) -> None:
    size = 2**26
    weights = {str(number): torch.zeros(size // 16) for number in range(4)}
    folder = checkpoint.save(replace(snapshot(), weights=weights), checkpoints, 7)
    del weights
    code = """
import resource, sys
from pathlib import Path
from seq2seq import checkpoint
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
folder, start = Path(sys.argv[1]), peak()
assert checkpoint.damage(folder) is None
middle = peak()
kept = checkpoint.load(folder)
print(middle - start, peak() - middle)
"""
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    searched, loaded = map(int, done.stdout.split())
    assert searched < size / 4
    assert loaded < 1.25 * size


@pytest.mark.parametrize("entry", [None, 3, {}, {"bytes": "9"}, {"bytes": -1}, {"bytes": 1.5}, {"bytes": True}])
def test_a_manifest_must_give_sizes_and_hashes(checkpoints: Path, entry: Any) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["config.json"] = {"sha256": "0" * 64, **entry} if isinstance(entry, dict) else entry
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"must say bytes and sha256 of config\.json, but says"):
        checkpoint.load(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.model", "model.safetensors"])
def test_a_file_that_is_larger_than_any_is_not_read(checkpoints: Path, name: str) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    size = files.largest(name) + 1
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name]["bytes"] = size
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=f"{re.escape(name)} must have at most .* bytes"):
        checkpoint.load(folder)


def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(checkpoints: Path) -> None:
    for name in ("manifest.json", "config.json"):
        folder = checkpoint.save(snapshot(), checkpoints, 7)
        (folder / name).unlink()
        os.mkfifo(folder / name)
        assert f"{name} is not a plain file" in str(checkpoint.damage(folder))


def forget(folder: Path, name: str) -> None:
    """Take a file out of the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("harm", [remove, link])
@pytest.mark.parametrize("name", [name for name in FILES if name != "manifest.json"])
def test_a_file_that_the_manifest_does_not_vouch_for_is_not_used(checkpoints: Path, name: str, harm: Harm) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    forget(folder, name)
    harm(folder / name)
    with pytest.raises(CheckpointError, match=re.escape(str(folder))):
        checkpoint.load(folder, training=True)


def test_a_file_that_was_put_beside_the_others_is_not_read(checkpoints: Path) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    (folder / "other.model").write_bytes(b"not vouched for")
    assert checkpoint.load(folder).tokenizers.keys() == {"tokenizer.model"}


def test_a_manifest_cannot_lead_outside_its_checkpoint(checkpoints: Path) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    (checkpoints / "secret").write_text("secret")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["../secret"] = {"bytes": 6, "sha256": "0"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert "not a plain file" in str(checkpoint.damage(folder))


def test_a_later_format_is_refused_by_name(checkpoints: Path) -> None:
    folder = checkpoint.save(snapshot(), checkpoints, 7)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    assert "format is 99, but this version reads 1" in str(checkpoint.damage(folder))


def test_the_newest_whole_checkpoint_is_found_by_number(three: list[Path], checkpoints: Path) -> None:
    assert checkpoint.newest_valid(checkpoints) == (three[2], [])


@pytest.mark.parametrize("harm", [truncate, flip, remove])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning_for_each(
    three: list[Path], checkpoints: Path, harm: Harm
) -> None:
    harm(three[2] / "model.safetensors")
    harm(three[1] / "training.safetensors")
    found, warnings = checkpoint.newest_valid(checkpoints)
    assert found == three[0]
    assert len(warnings) == 2
    assert str(three[2]) in warnings[0]
    assert "model.safetensors" in warnings[0]
    assert str(three[1]) in warnings[1]
    assert "training.safetensors" in warnings[1]


def test_the_newest_checkpoint_is_loaded_as_it_is_found(three: list[Path], checkpoints: Path) -> None:
    flip(three[2] / "model.safetensors")
    loaded, warnings = checkpoint.load_newest(checkpoints)
    assert loaded is not None
    assert float(loaded.weights["a.weight"][0, 0]) == 2.0
    assert loaded.training == snapshot().training
    assert warnings == checkpoint.newest_valid(checkpoints)[1]
    assert len(warnings) == 1
    assert checkpoint.load_newest(checkpoints / "nothing") == (None, [])


def test_where_all_are_damaged_all_are_named(three: list[Path], checkpoints: Path) -> None:
    for folder in three:
        flip(folder / "model.safetensors")
    with pytest.raises(CheckpointError) as caught:
        checkpoint.newest_valid(checkpoints)
    assert all(str(folder) in str(caught.value) for folder in three)


def test_checkpoints_are_ordered_by_number_however_long_their_names_are(checkpoints: Path) -> None:
    steps = (99_999_999, 100_000_000, 1_000_000_000)
    folders = [checkpoint.save(snapshot(), checkpoints, step) for step in reversed(steps)][::-1]
    assert checkpoint.steps_in(checkpoints) == folders
    assert checkpoint.newest_valid(checkpoints)[0] == folders[2]
    checkpoint.set_aside(checkpoints, steps[1])
    assert checkpoint.steps_in(checkpoints) == folders[:2]
    assert kept_after(checkpoints, 1, 0, "bleu") == [steps[1]]


def test_a_folder_of_a_user_s_own_is_no_checkpoint_of_the_run(three: list[Path], checkpoints: Path) -> None:
    (checkpoints / "step-backup").mkdir()
    (checkpoints / "step-00000002-copy").mkdir()
    assert checkpoint.newest_valid(checkpoints) == (three[2], [])
    assert checkpoint.steps_in(checkpoints) == three
    checkpoint.prune(checkpoints, 1, 0, "bleu")
    assert (checkpoints / "step-backup").is_dir()
    assert (checkpoints / "step-00000002-copy").is_dir()


def test_where_all_earlier_ones_are_damaged_there_is_none_before(three: list[Path], checkpoints: Path) -> None:
    for folder in three[:2]:
        flip(folder / "model.safetensors")
    found, warnings = checkpoint.load_newest(checkpoints, before=10)
    assert found is None
    assert [str(folder) in words for folder, words in zip(three[1::-1], warnings, strict=True)] == [True, True]
    newest, warnings = checkpoint.load_newest(checkpoints)
    assert newest is not None
    assert (float(newest.weights["a.weight"][0, 0]), warnings) == (10.0, [])


def test_a_run_without_checkpoints_has_no_newest_one(tmp_path: Path) -> None:
    assert checkpoint.newest_valid(tmp_path / "nothing") == (None, [])


def test_pruning_keeps_the_newest_the_best_and_the_last(checkpoints: Path) -> None:
    folders = [checkpoint.save(snapshot(float(step)), checkpoints, step) for step in range(1, 7)]
    checkpoint.point(checkpoints, "best", folders[1])
    checkpoint.point(checkpoints, "last", folders[3])
    checkpoint.prune(checkpoints, 1, 1, "bleu")
    assert sorted(path.name for path in checkpoints.glob("step-*")) == [folders[i].name for i in (1, 3, 5)]
    assert checkpoint.locate(checkpoints / "best") == folders[1].resolve()


def validated(checkpoints: Path, step: int, **metrics: float) -> Path:
    """A checkpoint that was validated at its own step."""
    return checkpoint.save(
        replace(snapshot(), metrics={"step": step, "validated_at": step, **metrics}), checkpoints, step
    )


def kept_after(checkpoints: Path, keep_last: int, keep_best: int, metric: checkpoint.Metric) -> list[int]:
    checkpoint.prune(checkpoints, keep_last, keep_best, metric)
    return sorted(int(path.name.removeprefix("step-")) for path in checkpoints.glob("step-*"))


@pytest.mark.parametrize(("metric", "kept"), [("bleu", [2, 4, 6]), ("loss", [1, 3, 6])])
def test_pruning_keeps_those_validated_best(checkpoints: Path, metric: checkpoint.Metric, kept: list[int]) -> None:
    scores = {1: (3.0, 1.5), 2: (9.0, 3.0), 3: (5.0, 1.0), 4: (7.0, 4.0), 5: (1.0, 2.0), 6: (2.0, 5.0)}
    for step, (bleu, loss) in scores.items():
        validated(checkpoints, step, validation_bleu=bleu, validation_loss=loss)
    assert kept_after(checkpoints, 1, 2, metric) == kept


def test_the_best_may_be_among_the_newest_and_the_earlier_of_equals_is_better(checkpoints: Path) -> None:
    for step, bleu in enumerate((5.0, 5.0, 5.0, 9.0), 1):
        validated(checkpoints, step, validation_bleu=bleu)
    assert kept_after(checkpoints, 1, 2, "bleu") == [1, 4]


ODD: list[bytes | dict[str, object]] = [
    {"step": 7, "validated_at": 6, "validation_bleu": 99.0, "validation_loss": 0.0},  # of the step before
    {"step": 7, "validation_bleu": 99.0, "validation_loss": 0.0},
    {"step": 7, "validated_at": 7},
    {"step": None, "validated_at": None, "validation_bleu": 99.0, "validation_loss": 0.0},
    {"step": 7, "validated_at": 7, "validation_bleu": math.nan, "validation_loss": math.nan},
    {"step": 7, "validated_at": 7, "validation_bleu": math.inf, "validation_loss": -math.inf},
    {"step": 7, "validated_at": 7, "validation_bleu": 10**400, "validation_loss": -(10**400)},
    {"step": 7, "validated_at": 7, "validation_bleu": "much", "validation_loss": [1]},
    b"",
    b"[]",
    b"7",
    b"\xff",
    b"[" * 10**6,
]


@pytest.mark.parametrize("metrics", ODD, ids=lambda metrics: str(metrics)[:60])
@pytest.mark.parametrize("metric", ["bleu", "loss"])
def test_what_does_not_say_how_good_it_is_is_not_among_the_best(
    checkpoints: Path, metric: checkpoint.Metric, metrics: bytes | dict[str, object]
) -> None:
    validated(checkpoints, 1, validation_bleu=1.0, validation_loss=9.0)
    strange = checkpoint.save(snapshot(), checkpoints, 7)
    (strange / "metrics.json").write_bytes(metrics if isinstance(metrics, bytes) else json.dumps(metrics).encode())
    checkpoint.save(snapshot(), checkpoints, 8)
    assert kept_after(checkpoints, 1, 1, metric) == [1, 8]


def test_metrics_that_are_missing_are_no_error(checkpoints: Path) -> None:
    validated(checkpoints, 1, validation_bleu=1.0)
    (checkpoint.save(snapshot(), checkpoints, 7) / "metrics.json").unlink()
    checkpoint.save(snapshot(), checkpoints, 8)
    assert kept_after(checkpoints, 1, 2, "bleu") == [1, 8]


def test_a_link_is_replaced_in_place(three: list[Path], checkpoints: Path) -> None:
    for folder in three:
        checkpoint.point(checkpoints, "last", folder)
        assert (checkpoints / "last").resolve() == folder.resolve()
    assert sorted(path.name for path in checkpoints.iterdir()) == ["last", *sorted(folder.name for folder in three)]


def test_links_survive_when_the_run_is_moved(three: list[Path], checkpoints: Path, tmp_path: Path) -> None:
    checkpoint.point(checkpoints, "best", three[1])
    moved = checkpoints.parent.rename(tmp_path / "moved")
    assert checkpoint.locate(moved) == (moved / "checkpoints" / three[1].name).resolve()


def test_saving_a_step_again_replaces_it(checkpoints: Path) -> None:
    checkpoint.save(snapshot(1.0), checkpoints, 7)
    folder = checkpoint.save(snapshot(2.0), checkpoints, 7)
    assert float(checkpoint.load(folder).weights["a.weight"][0, 0]) == 2.0
    assert [path.name for path in checkpoints.iterdir()] == [folder.name]


@pytest.mark.parametrize("broken", ["fsync", "replace"])
@pytest.mark.parametrize("step", [1, 2])
def test_a_failing_disk_leaves_the_old_checkpoint_as_it_was(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch, broken: str, step: int
) -> None:
    """Both for a new step and for one that is there already."""
    old = checkpoint.save(snapshot(1.0), checkpoints, 1)
    checkpoint.point(checkpoints, "last", old)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(CheckpointError, match=r"cannot write .*No space left on device"):
        checkpoint.save(snapshot(2.0), checkpoints, step)
    monkeypatch.undo()
    assert checkpoint.newest_valid(checkpoints) == (old, [])
    assert float(checkpoint.load(checkpoint.locate(checkpoints)).weights["a.weight"][0, 0]) == 1.0
    assert sorted(path.name for path in checkpoints.iterdir()) == ["last", old.name]


def test_what_a_killed_process_left_is_not_taken_for_a_checkpoint(checkpoints: Path) -> None:
    old = checkpoint.save(snapshot(), checkpoints, 1)
    half = checkpoints / ".step-00000002-12345"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert checkpoint.newest_valid(checkpoints) == (old, [])


def test_a_checkpoint_whose_replacement_was_cut_short_is_one_again(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies when the old folder has given up its name and the new one has not got it."""
    folder = checkpoint.save(snapshot(1.0), checkpoints, 7)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(snapshot(2.0), checkpoints, 7)
    assert not folder.exists()
    checkpoint.remove_unfinished(checkpoints)
    assert [path.name for path in checkpoints.iterdir()] == [folder.name]
    assert checkpoint.newest_valid(checkpoints) == (folder, [])
    assert float(checkpoint.load(folder).weights["a.weight"][0, 0]) == 1.0


def test_a_checkpoint_that_was_replaced_is_gone_for_good(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process dies when both folders are there."""
    folder = checkpoint.save(snapshot(1.0), checkpoints, 7)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        checkpoint.save(snapshot(2.0), checkpoints, 7)
    assert len(list(checkpoints.iterdir())) == 2
    checkpoint.remove_unfinished(checkpoints)
    assert [path.name for path in checkpoints.iterdir()] == [folder.name]
    assert float(checkpoint.load(folder).weights["a.weight"][0, 0]) == 2.0


def test_a_run_folder_means_its_best_checkpoint_else_its_last(three: list[Path], checkpoints: Path) -> None:
    run = checkpoints.parent
    checkpoint.point(checkpoints, "last", three[2])
    assert checkpoint.locate(run) == three[2].resolve()
    checkpoint.point(checkpoints, "best", three[0])
    assert checkpoint.locate(run) == checkpoint.locate(checkpoints) == three[0].resolve()
    assert checkpoint.locate(checkpoints / "last") == three[2].resolve()
    assert checkpoint.locate(three[1]) == three[1].resolve()


@pytest.mark.parametrize("name", ["model.safetensors", "metrics.json"])
def test_where_the_best_checkpoint_is_damaged_the_last_is_taken_with_a_warning(
    three: list[Path], checkpoints: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.point(checkpoints, "last", three[2])
    checkpoint.point(checkpoints, "best", three[0])
    flip(three[0] / name)
    assert checkpoint.locate(checkpoints.parent) == three[2].resolve()
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: the checkpoint {three[0]} cannot be used: {name} is damaged")
    assert line.endswith(f"taking {three[2]}")
    heard: list[str] = []
    assert checkpoint.locate(checkpoints, heard.append) == three[2].resolve()
    assert len(heard) == 1
    assert checkpoint.locate(checkpoints / "best") == three[0].resolve()  # what is named is what is meant


def test_where_the_best_checkpoint_has_no_manifest_the_last_is_taken_with_a_warning(
    three: list[Path], checkpoints: Path
) -> None:
    checkpoint.point(checkpoints, "last", three[2])
    checkpoint.point(checkpoints, "best", three[0])
    (three[0] / checkpoint.MANIFEST).unlink()
    heard: list[str] = []
    assert checkpoint.locate(checkpoints.parent, heard.append) == three[2].resolve()
    assert len(heard) == 1
    assert f"{three[0].resolve()} cannot be used: {checkpoint.MANIFEST}" in heard[0]
    assert heard[0].endswith(f"; taking {three[2].resolve()}")


def test_where_nothing_whole_is_left_the_best_checkpoint_says_why(
    three: list[Path], checkpoints: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint.point(checkpoints, "last", three[2])
    checkpoint.point(checkpoints, "best", three[0])
    for folder in (three[0], three[2]):
        flip(folder / "model.safetensors")
    assert checkpoint.locate(checkpoints.parent) == three[1].resolve()
    assert len(capsys.readouterr().err.splitlines()) == 2
    flip(three[1] / "model.safetensors")
    with pytest.raises(CheckpointError, match=re.escape(f"{three[0]} cannot be used: model.safetensors is damaged")):
        checkpoint.locate(checkpoints.parent)


def test_what_is_located_is_loaded_as_it_is_read_once(
    three: list[Path], checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.point(checkpoints, "best", three[0])
    flip(three[0] / "model.safetensors")
    read: list[str] = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: (read.append(str(path)), real(path, *rest, **more))[1]
    )
    heard: list[str] = []
    folder, loaded = checkpoint.load_located(checkpoints.parent, heard.append)
    assert folder == three[2].resolve()
    assert float(loaded.weights["a.weight"][0, 0]) == 10.0
    assert read.count(str(folder / "model.safetensors")) == 1
    assert [words.endswith(f"; taking {folder}") for words in heard] == [True]
    assert checkpoint.load_located(three[1])[0] == three[1].resolve()
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        checkpoint.load_located(three[0])


def test_what_is_missing_is_named_by_its_setting(tmp_path: Path) -> None:
    for find in (checkpoint.locate, checkpoint.load_located):
        with pytest.raises(CheckpointError, match=r"^`init_from` must be a run folder or a checkpoint, but"):
            find(tmp_path, setting="init_from")


def test_a_run_folder_without_links_means_its_newest_checkpoint(three: list[Path], checkpoints: Path) -> None:
    assert checkpoint.locate(checkpoints.parent) == three[2].resolve()


def test_a_model_is_not_lost_with_what_training_would_go_on_from(three: list[Path]) -> None:
    flip(three[2] / "training.safetensors")
    assert checkpoint.load(checkpoint.locate(three[2])).weights.keys() == {"a.weight", "b"}
    with pytest.raises(CheckpointError, match=r"training\.safetensors is damaged"):
        checkpoint.load(three[2], training=True)


def test_a_misspelt_run_folder_gets_the_nearest_name(three: list[Path], checkpoints: Path) -> None:
    with pytest.raises(CheckpointError, match=r"rum does not exist; did you mean 'run'\?"):
        checkpoint.locate(checkpoints.parent.parent / "rum")
    with pytest.raises(CheckpointError, match=r"no/where does not exist"):
        checkpoint.locate(checkpoints / "no" / "where")


def test_a_place_without_checkpoints_says_what_it_holds_instead(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    with pytest.raises(CheckpointError, match=r"holds none \(found: config.json\)"):
        checkpoint.locate(tmp_path)
    with pytest.raises(CheckpointError, match=r"holds none \(found: a file\)"):
        checkpoint.locate(tmp_path / "config.json")
