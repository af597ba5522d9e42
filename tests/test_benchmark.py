"""The benchmark: how it alternates, what it counts, what it prints. No test here asserts how long anything takes."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path

import pytest
import torch
from small_runs import quick, train_run, write_corpus
from tiny import choices, compose

from seq2seq.assembly import training_batches
from seq2seq.benchmark.attention import AttentionSizes, attention_steps, half_padded
from seq2seq.benchmark.command import BenchmarkConfig, benchmark, parts
from seq2seq.benchmark.decode import BASELINE, DecodingRow, decode_tables
from seq2seq.benchmark.kernels import decisions
from seq2seq.benchmark.table import Row, Table, machine, processor
from seq2seq.benchmark.timing import LEAST_ROUNDS, Timing, alternate, update
from seq2seq.benchmark.training import LEAST_UPDATES, PHASES, WARM_UP, TrainingTable, training_table
from seq2seq.cli import CONFIGS
from seq2seq.config import Values, parse
from seq2seq.data.batching import Batch, Position
from seq2seq.errors import ConfigError
from seq2seq.memory import Step, peak_bytes
from seq2seq.run import prepare_data
from seq2seq.runs.config import RunConfig
from seq2seq.training.gradients import Gradients

ROOT = CONFIGS.parent
CPU = torch.device("cpu")
KIB = 1024

TINY = (
    "device=cpu",
    "seconds=0.001",
    "attention.batch=2",
    "attention.heads=2",
    "attention.lengths=[3]",
    "attention.width=4",
    "attention.precisions=[fp32]",
)


def compose_run(overrides: Sequence[str]) -> tuple[RunConfig, Values]:
    """What scripts/benchmark.py asks Hydra for; here each file is composed only once for all tests."""
    values = compose(*overrides)
    return parse(RunConfig, values), values


def config_of(*overrides: str) -> BenchmarkConfig:
    return parse(BenchmarkConfig, compose(*overrides, name="benchmark"))


class Machine:
    """A machine on which steps take the seconds that are written down for them, round after round."""

    def __init__(self, **seconds: Iterable[float]) -> None:
        self.seconds = {name: itertools.chain([1e9], times) for name, times in seconds.items()}  # first, to warm up
        self.done: list[str] = []
        self.steps: dict[str, Step] = {name: partial(self.done.append, name) for name in seconds}

    def stopwatch(self, step: Step) -> float:
        step()
        return next(self.seconds[self.done[-1]])

    def rounds(self) -> list[list[str]]:
        """The order of each round after the one that warms up, where no step has left."""
        size = len(self.steps)
        return [self.done[place : place + size] for place in range(size, len(self.done), size)]


def test_ratios_are_those_of_the_same_round() -> None:
    machine = Machine(base=[1, 10, 100, 1000, 7], other=[2, 30, 400, 5000, 0])
    timings = alternate(machine.steps, baseline="base", seconds=5432 * 2, stopwatch=machine.stopwatch)
    assert timings["other"] == Timing(seconds=215, ratio=3.5, low=2.75, high=4.25, rounds=4)
    assert timings["base"] == Timing(seconds=55, ratio=1, low=1, high=1, rounds=4)


def test_no_step_keeps_its_place_or_its_neighbour() -> None:
    machine = Machine(a=repeat(1.0), b=repeat(1.0), c=repeat(1.0), d=repeat(1.0))
    alternate(machine.steps, baseline="a", seconds=32, stopwatch=machine.stopwatch)
    orders = machine.rounds()
    assert len(orders) == 8
    assert all(set(order) == set("abcd") for order in orders)
    for name in "abcd":
        assert {order.index(name) for order in orders} == {0, 1, 2, 3}
        assert len({order[order.index(name) - 1] for order in orders if order[0] != name}) > 1


def test_a_slow_step_leaves_when_its_share_is_spent() -> None:
    machine = Machine(base=repeat(1.0), slow=repeat(100.0), fast=repeat(0.5))
    timings = alternate(machine.steps, baseline="base", seconds=30, stopwatch=machine.stopwatch)
    assert {name: timing.rounds for name, timing in timings.items()} == {"base": 20, "slow": LEAST_ROUNDS, "fast": 20}


def test_peak_memory_counts_what_is_held_at_once() -> None:
    def step() -> None:
        first = torch.empty(KIB, dtype=torch.uint8)
        second = torch.empty(2 * KIB, dtype=torch.uint8)
        del first
        third = torch.empty(KIB, dtype=torch.uint8)
        assert second.numel() > third.numel()

    assert peak_bytes(step, CPU) == 3 * KIB
    assert peak_bytes(lambda: None, CPU) == 0


def test_peak_memory_counts_gradients_and_what_is_kept_for_them() -> None:
    hidden = torch.randn(KIB, requires_grad=True)
    step = update(lambda: torch.exp(hidden), [hidden], torch.ones(KIB), torch.float32)
    assert peak_bytes(step, CPU) == 2 * 4 * KIB


def test_every_score_is_measured_with_every_normalizer_and_none_twice() -> None:
    found = parts(compose_run, 2)
    scores = {name for name, _ in found}
    assert scores == set(choices("attention")) - {"multi_head"}
    assert {normalizer for _, normalizer in found} == set(choices("attention/normalizer"))
    assert len(found) == len(scores) * len(choices("attention/normalizer"))
    for part in found.values():
        attention = part(8, 8)
        assert (attention.num_heads, attention.project, attention.dropout) == (2, False, 0.0)


@pytest.mark.parametrize("mask", ["none", "causal", "padded"])
def test_both_sides_compute_the_same_attention(mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[torch.Tensor] = []

    def keep(output: Callable[[], torch.Tensor], *_: object) -> Step:
        results.append(output())
        return output

    monkeypatch.setattr("seq2seq.benchmark.attention.update", keep)
    name = ("scaled_dot", "softmax")
    found = {name: parts(compose_run, 2)[name]}
    sizes = parse(AttentionSizes, compose(*TINY, f"attention.mask={mask}", name="benchmark")["attention"])
    attention_steps(sizes, found, 6, CPU, torch.float32)
    kernel, ours = results
    torch.testing.assert_close(kernel.transpose(1, 2).flatten(2), ours)


def test_padded_sentences_have_half_to_full_length() -> None:
    assert half_padded(4, 7, CPU).sum(1).tolist() == [4, 5, 6, 7]
    assert half_padded(1, 1, CPU).tolist() == [[True]]


def test_the_command_prints_a_table_of_every_attention(capsys: pytest.CaptureFixture[str]) -> None:
    benchmark(config_of(*TINY, "attention.mask=causal"), compose_run)
    page = capsys.readouterr().out
    head, _, kernel, *ours = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    assert head[:3] == ["score", "normalizer", "time, ratio"]
    assert kernel[:3] == ["fused kernel alone", "softmax", "1.00"]
    assert {tuple(row[:2]) for row in ours} == set(parts(compose_run, 2))
    assert "(B,H,T,S,d) = (2,2,3,3,4), mask: causal" in page
    assert torch.__version__ in page


def test_a_table_is_made_for_each_precision_and_length(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output = tmp_path / "new" / "attention.md"
    overrides = [*TINY, "attention.lengths=[2,3]", "attention.precisions=[fp32,bf16]", f"output={output}"]
    benchmark(config_of(*overrides), compose_run)
    assert output.read_text(encoding="utf-8") == capsys.readouterr().out.removesuffix("\n")
    values = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
    assert values["facts"].keys() == machine(CPU).keys()
    titles = [re.findall(r"fp32|bf16|\d,\d", table["title"]) for table in values["tables"]]
    assert [(found[0], found[2]) for found in titles] == [
        ("fp32", "2,2"),
        ("fp32", "3,3"),
        ("bf16", "2,2"),
        ("bf16", "3,3"),
    ]
    for table in values["tables"]:
        assert table["rows"][0]["timing"]["ratio"] == 1
        assert all(row["peak"] > 0 and row["timing"]["rounds"] >= LEAST_ROUNDS for row in table["rows"])


@pytest.fixture
def run_on_a_folder(tmp_path: Path) -> list[str]:
    """Overrides for a small run on text of its own."""
    words = ("one", "two", "three", "four", "five")
    for split, count in (("train", 60), ("validation", 4)):
        lines = [" ".join(words[place % 5] for place in range(number % 4 + 1)) for number in range(count)]
        for language in ("en", "de"):
            (tmp_path / f"{split}.{language}").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    small = ("model=tiny", "encoder.num_layers=1", "decoder.num_layers=1", "tokenizer.vocab_size=24")
    data = ("data=files", f"data.root={tmp_path}", f"prepared_dir={tmp_path}/prepared", "cleaning=none")
    return [*small, *data, "trainer.max_tokens=64", "trainer.precision=fp32", "name=small"]


def measured_training(overrides: Sequence[str]) -> TrainingTable:
    [table] = training_table(compose_run(overrides)[0], CPU, 0.001)
    return table


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_phases_of_an_update_are_told_apart_and_add_up(run_on_a_folder: list[str], accumulate: int) -> None:
    table = measured_training([*run_on_a_folder, f"trainer.accumulate={accumulate}"])
    assert tuple(table.seconds) == PHASES
    assert all(seconds > 0 for seconds in table.seconds.values())
    whole = sum(table.seconds.values())
    assert table.tokens / whole == pytest.approx(table.tokens_per_second, rel=0.05)
    assert table.updates >= LEAST_UPDATES
    assert table.quartiles[0] <= table.quartiles[1]
    assert table.utilisation is not None
    assert table.flops_per_token is not None
    assert table.utilisation == pytest.approx(table.flops_per_token * table.tokens_per_second / table.matmul_rate)
    assert 0 <= table.padding < 1
    assert table.graphs is None


def test_what_is_timed_is_what_trains(run_on_a_folder: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Batch] = []
    real = Gradients.add

    def add(self: Gradients, batches: Sequence[Batch], tokens: int, step: int) -> torch.Tensor:
        seen.extend(batches)
        return real(self, batches, tokens, step)

    monkeypatch.setattr(Gradients, "add", add)
    overrides = [*run_on_a_folder, "seed=3"]
    measured_training(overrides)
    config = compose_run(overrides)[0]
    expected = training_batches(config, prepare_data(config)).start(Position())
    assert len(seen) >= WARM_UP + LEAST_UPDATES
    for batch, (other, _) in zip(seen, expected, strict=False):
        assert torch.equal(batch.source, other.source)


def test_the_command_prints_a_table_of_training(
    run_on_a_folder: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    listed = ",".join(f'"{override}"' for override in run_on_a_folder)
    output = tmp_path / "training.md"
    benchmark(config_of(*TINY, "what=train", f"train=[{listed}]", f"output={output}"), compose_run)
    page = capsys.readouterr().out
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows[2:]] == [*PHASES, "whole update"]
    assert rows[-1][2] == "100.0%"
    assert "## Training small, float32, batches of 64 tokens" in page
    for words in ("target tokens a second", "parameters: ", "utilisation: ", "peak memory: "):
        assert words in page
    [table] = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))["tables"]
    assert table["parameters"] > 1000


def test_wrong_settings_of_training_are_refused(run_on_a_folder: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"`trainer.compile` must be 'none' where encoder or decoder is recurrent"):
        measured_training([*run_on_a_folder, "encoder=bilstm", "trainer.compile=default"])


def test_both_ways_of_a_decision_can_be_done() -> None:
    found = list(decisions(CPU))
    assert len({(one.way, one.other) for one in found}) == len(found)
    for decision in found[:2]:
        decision.ours()
        decision.theirs()


def test_a_table_compares_with_its_first_row() -> None:
    timing = Timing(0.0123, 1.5, 1.25, 1.75, 1234)
    rows = [Row(("kernel",), timing, 2**20), Row(("ours",), timing, 3 * 2**20)]
    lines = Table("Title", ["name"], rows).markdown().splitlines()
    assert lines[0] == "## Title"
    assert lines[-1] == "| ours | 1.50 | 1.25 – 1.75 | 12.3 | 1,234 | 3.00 | 3.0 |"
    assert "MiB" not in Table("Title", ["name"], [Row(("ours",), timing, None)]).markdown()


def test_the_processor_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    facts = tmp_path / "cpuinfo"
    monkeypatch.setattr("seq2seq.benchmark.table.CPU_FACTS", facts)
    assert processor()
    facts.write_text("processor : 0\nmodel name : Abacus 7\n")
    assert processor() == "Abacus 7"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            "what=atention",
            r"`what` must be one of attention, decode, kernels, train, but is 'atention' "
            r".*did you mean 'attention'\?",
        ),
        ("train=1", r"`train` must be a list"),
        ("device=gpu", r"`device` must be one of auto, cpu, cuda"),
        ("seconds=0", r"`seconds` must be greater than 0, but is 0\.0 instead"),
        ("attention.heads=0", r"`attention.heads` must be at least 1, but is 0 instead"),
        ("attention.lengths=[]", r"`attention.lengths` must be a list of different values, but is \[\] instead"),
        ("attention.lengths=[8,8]", r"`attention.lengths` must be a list of different values, but is \[8, 8\]"),
        ("attention.lengths=[8,-1]", r"`attention.lengths\[1\]` must be at least 1, but is -1 instead"),
        ("attention.precisions=[fp16]", r"`attention.precisions\[0\]` must be one of bf16, fp32, but is 'fp16'"),
        ("attention.mask=casual", r"`attention.mask` must be one of .*did you mean 'causal'\?"),
        ("output=table.txt", r"`output` must be a file that ends in .md, but is 'table.txt' instead"),
    ],
)
def test_wrong_settings_are_refused(override: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config_of(override)
    [mistake] = caught.value.mistakes
    assert re.match(words, mistake), mistake


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="`output` must be in a folder that can be written"):
        benchmark(config_of(*TINY, f"output={tmp_path}/file/table.md"), compose_run)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("what", ["attention", "kernels"])
def test_the_script_prints_tables_and_nothing_on_standard_error(what: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/benchmark.py"), f"what={what}", *TINY],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "time, ratio" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_measured_in_each_precision_on_the_same_lines(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("decode")
    run = train_run([*quick(write_corpus(folder / "corpus"), folder / "p"), f"run_dir={folder / 'r'}"])
    (tmp_path / "in").write_text("The dog sleeps.\n\nShe runs.\n", encoding="utf-8")
    monkeypatch.setattr("seq2seq.benchmark.decode.others", lambda *_: {})  # which need not be installed
    values = (f"decode.checkpoint={run}", f"decode.input={tmp_path / 'in'}", f"decode.references={tmp_path / 'in'}")
    config = config_of("what=decode", *TINY, *values, "decode.beams=[1,2]", "decode.max_tokens=[64]")
    greedy, beam = decode_tables(config.decode, CPU, 1e-3)
    assert greedy.title == "Translating 3 lines, greedy search"
    assert beam.title == "Translating 3 lines, a beam of 2"
    first = greedy.rows[0]
    assert isinstance(first, DecodingRow)
    assert first.names == (BASELINE, "64 pieces")
    assert (first.alike, first.timing.ratio) == (1.0, 1.0)
    assert first.pieces >= first.sentences  # there is an end mark in every line
    assert first.bleu is not None
    assert [row.names[0] for row in greedy.rows][1:] == ["seq2seq, fp32, patience 1", *list_of("bf16")]
    assert len(greedy.markdown().splitlines()) == 4 + len(greedy.rows)


def list_of(precision: str) -> list[str]:
    return [f"seq2seq, {precision}", f"seq2seq, {precision}, patience 1"]


def test_nothing_to_translate_is_refused_by_name() -> None:
    with pytest.raises(ConfigError) as refused:
        list(decode_tables(config_of("what=decode", "decode.beams=[]").decode, CPU, 1.0))
    for key in ("checkpoint", "input", "beams"):
        assert f"`decode.{key}` must" in str(refused.value)
