"""Several processes train one model: the same curve, one writer, one end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from several import PATIENCE, Ended, Harm, Values, curve, finish, furthest
from small_runs import quick
from tiny import compose, shrink

from seq2seq import checkpoint

STEPS = 8
CLOSE = 1e-4

slow = pytest.mark.slow


@pytest.fixture(scope="module")
def values(corpus: Path, prepared: Path) -> Values:
    """Settings of a run of a second, with dropout, an average and four batches an update."""
    return shrink(
        compose(
            *quick(corpus, prepared),
            f"trainer.max_steps={STEPS}",
            "trainer.accumulate=4",
            "trainer.validation_sentences=5",
        )
    )


@pytest.fixture(scope="module")
def alone(values: Values, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process that others are compared with."""
    run = tmp_path_factory.mktemp("alone") / "run"
    assert_ended_well(finish(values, run, 1))
    assert len(curve(run)) == 6
    return run


def assert_ended_well(ended: Ended) -> None:
    assert ended.statuses == [0] * len(ended.statuses), ended.printed


def changed(values: Values, **settings: object) -> Values:
    return {**values, "trainer": {**values["trainer"], **settings}}


def lines_of(ended: Ended) -> list[str]:
    """All lines that say what went wrong, whoever printed them."""
    return [line for printed in ended.printed for line in printed.splitlines() if line.startswith("error:")]


def test_two_processes_learn_what_one_learns_and_only_the_first_writes(
    values: Values, alone: Path, tmp_path: Path
) -> None:
    ended = finish(values, tmp_path / "run", 2)
    assert_ended_well(ended)
    assert furthest(tmp_path / "run", alone) < CLOSE
    assert "2 processes (ddp)" in ended.printed[0]
    assert ended.printed[1] == ""
    assert {path.name for path in (tmp_path / "run" / "checkpoints").iterdir()} == {
        path.name for path in (alone / "checkpoints").iterdir()
    }
    assert len([*(tmp_path / "run" / "tensorboard").iterdir()]) == 1


def test_a_model_that_is_shared_out_learns_the_same(values: Values, alone: Path, tmp_path: Path) -> None:
    ended = finish(changed(values, parallel="fsdp"), tmp_path / "run", 2)
    assert_ended_well(ended)
    assert "2 processes (fsdp)" in ended.printed[0]
    assert furthest(tmp_path / "run", alone) < CLOSE


@pytest.mark.slow
def test_four_processes_with_a_batch_each_are_one_with_four(values: Values, alone: Path, tmp_path: Path) -> None:
    assert_ended_well(finish(changed(values, accumulate="auto"), tmp_path / "run", 4))
    assert furthest(tmp_path / "run", alone) < CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
@pytest.mark.parametrize(
    "parts",
    [
        ("encoder=bilstm", "decoder=rnn", "attention=additive", "sampling=bpe_dropout"),
        ("encoder=bilstm", "decoder=rnn", "decoder.input_feeding=true", "freeze=[encoder.*]"),
        ("encoder=bilstm", "decoder=transformer", "objective=r_drop", "model.tie_embeddings=none"),
        ("encoder.positions=learned", "decoder.positions=rotary", "objective=attention_entropy"),
    ],
)
def test_every_kind_of_model_is_trained_by_two_processes(
    values: Values, corpus: Path, prepared: Path, tmp_path: Path, parts: tuple[str, ...], parallel: str
) -> None:
    own = shrink(compose("data=files", f"data.root={corpus}", *parts))
    settings = {**own, **{key: values[key] for key in ("trainer", "prepared_dir", "tokenizer", "evaluate_split")}}
    settings["model"] = {**own["model"], "dropout": 0.1}
    assert_ended_well(finish(settings, tmp_path / "one", 1))
    assert_ended_well(finish(changed(settings, parallel=parallel), tmp_path / "two", 2))
    assert furthest(tmp_path / "one", tmp_path / "two") < CLOSE


@pytest.mark.slow
def test_a_model_with_parameters_that_it_does_not_use_is_refused_by_name(values: Values, tmp_path: Path) -> None:
    settings = {**values, "encoder": {**values["encoder"], "_target_": "several.Forgetful"}}
    ended = finish(settings, tmp_path / "ddp", 2)
    assert ended.statuses == [2, 2], ended.printed
    [line] = lines_of(ended)
    assert "`trainer.parallel` must be fsdp" in line
    assert line.endswith("or give freeze=[encoder.forgotten]")
    assert_ended_well(finish(changed(settings, parallel="fsdp"), tmp_path / "fsdp", 2))
    assert_ended_well(finish({**settings, "freeze": ["encoder.forgotten"]}, tmp_path / "frozen", 2))


@pytest.mark.parametrize(
    ("before", "after", "parallel"),
    [(2, 1, "ddp"), pytest.param(1, 2, "ddp", marks=slow), pytest.param(1, 2, "fsdp", marks=slow)],
)
def test_a_run_goes_on_with_another_number_of_processes(
    values: Values, alone: Path, tmp_path: Path, before: int, after: int, parallel: str
) -> None:
    """One that was asked to stop at step 6, in the process that writes or in the other."""
    stopped = finish(values, tmp_path / "run", before, Harm("SIGTERM", before - 1, 6))
    assert stopped.statuses == [143] * before, stopped.printed
    assert "stopped by SIGTERM at step 6" in stopped.printed[0]
    newest = checkpoint.newest_valid(tmp_path / "run" / "checkpoints")[0]
    assert newest is not None
    assert newest.name == "step-00000006"
    ended = finish(changed(values, parallel=parallel), tmp_path / "run", after)
    assert_ended_well(ended)
    assert "Going on from step 6" in ended.printed[0]
    assert furthest(tmp_path / "run", alone) < CLOSE


@pytest.mark.slow
def test_a_run_that_was_stopped_at_its_end_is_validated_before_anything_is_computed(
    values: Values, alone: Path, tmp_path: Path
) -> None:
    settings = changed(values, parallel="fsdp")
    assert finish(settings, tmp_path / "run", 2, Harm("SIGTERM", 0, STEPS)).statuses == [143, 143]
    assert_ended_well(finish(settings, tmp_path / "run", 2))
    assert furthest(tmp_path / "run", alone) < CLOSE


@pytest.mark.parametrize("rank", [pytest.param(0, marks=slow), 1])
def test_a_process_that_is_killed_takes_the_other_with_it_and_one_line_says_so(
    values: Values, tmp_path: Path, rank: int
) -> None:
    ended = finish(
        changed(values, max_steps=10**6, validate_every=10**6), tmp_path / "run", 2, Harm("SIGKILL", rank, 5)
    )
    assert ended.seconds < PATIENCE
    assert ended.statuses[rank] == -9
    assert ended.statuses[1 - rank] == 1
    [line] = lines_of(ended)
    words = rf"error: process {rank} of 2 at step [45] was lost: it was killed, or its machine is gone"
    assert re.fullmatch(words, line)
    assert "Traceback" not in "".join(ended.printed)


@pytest.mark.parametrize("rank", [pytest.param(0, marks=slow), 1])
def test_what_ends_one_process_ends_all_and_is_said_once(values: Values, tmp_path: Path, rank: int) -> None:
    ended = finish(values, tmp_path / "run", 2, Harm("memory", rank, 3))
    assert ended.seconds < PATIENCE
    assert ended.statuses == [2, 2], ended.printed
    assert lines_of(ended) == [f"error: process {rank} of 2 at step 2 failed: `trainer.max_tokens` must be less"]
    assert "Traceback" not in "".join(ended.printed)


@pytest.mark.slow
def test_a_bug_in_one_process_has_its_traceback_and_the_first_says_where(values: Values, tmp_path: Path) -> None:
    ended = finish(values, tmp_path / "run", 2, Harm("bug", 1, 3))
    assert ended.seconds < PATIENCE
    assert ended.statuses == [1, 1]
    assert lines_of(ended) == ["error: process 1 of 2 at step 2 failed: ZeroDivisionError: a bug"]
    assert "Traceback" in ended.printed[1]
    assert "Traceback" not in ended.printed[0]


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_all_go_back_together_where_the_losses_of_one_are_not_finite(
    values: Values, tmp_path: Path, parallel: str
) -> None:
    settings = changed(values, parallel=parallel, accumulate="auto", max_steps=30, validate_every=100)
    ended = finish(settings, tmp_path / "run", 2, Harm("infinite losses", 1, 8))
    assert_ended_well(ended)
    assert "20 updates up to step 27 (" in ended.printed[0]
    assert "going back to step 6, with 0.5 of the learning rate" in ended.printed[0]
    assert "training ends at step 30" in ended.printed[0]


@pytest.mark.slow
def test_a_limit_of_time_is_that_of_one_clock_and_the_first_evaluates(values: Values, tmp_path: Path) -> None:
    settings = {**changed(values, max_steps=None, max_time="3s", validate_every=10**6), "evaluate_split": "test"}
    ended = finish(settings, tmp_path / "run", 2)
    assert_ended_well(ended)
    assert ended.printed[1] == ""
    assert (tmp_path / "run" / "evaluation" / "test" / "translations.txt").is_file()


def test_a_number_of_processes_that_does_not_divide_the_batches_is_refused_in_one_line(
    values: Values, tmp_path: Path
) -> None:
    ended = finish(changed(values, accumulate=3), tmp_path / "run", 2)
    assert ended.statuses == [2, 2]
    [line] = lines_of(ended)
    assert line.startswith("error: `trainer.accumulate` must be a multiple of the number of processes, 2, which")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_that_was_begun_by_one_process_cannot_go_on_with_more_than_its_batches(
    values: Values, tmp_path: Path
) -> None:
    assert_ended_well(finish(changed(values, accumulate="auto", max_steps=2), tmp_path / "run", 1))
    ended = finish(changed(values, accumulate="auto"), tmp_path / "run", 2)
    assert ended.statuses == [2, 2]
    [line] = lines_of(ended)
    assert "a multiple of the number of processes, 2" in line
    assert "but is 1 instead" in line
