"""Many chunks are shared out to processes, and nobody can tell by the result; whatever ends, no process stays."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path

import pytest

from seq2seq.data import processes
from seq2seq.data.cleaning import Cleaner, CleaningConfig, EarlierPairs, EvaluationText
from seq2seq.data.processes import AHEAD, ALONE, on_all_cores
from seq2seq.errors import DataError

EVERYTHING = CleaningConfig(
    max_length=60,
    max_ratio=3.0,
    max_characters=120,
    max_character_ratio=2.0,
    drop_control_characters=True,
    drop_identical=True,
    min_script_share=0.5,
    max_sign_difference=3,
    max_number_mismatch=0.5,
    language_confidence=0.9,
    decontaminate="either",
    duplicates="either",
)


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 2)


def squared(number: int) -> int:
    return number * number


def killed_at_20(number: int) -> int:
    if number == 20:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refused_at_20(number: int) -> int:
    if number == 20:
        raise DataError("no 20")
    return number


def jobs(count: int) -> Iterator[tuple[str, int]]:
    return ((f"chunk {number}", number) for number in range(count))


def rubbish(count: int) -> list[tuple[str, str]]:
    """Pairs of which each filter drops some."""
    draw = random.Random(1)
    english = ["The weather is nice today", "we went to the market", "on the 12th of May 1995", "Это не так", "…!?!"]
    german = [
        "Das Wetter ist heute schön",
        "wir gingen zum Markt",
        "am 12. Mai 1995",
        "so ist es\u202e nicht",
        "  ",
        "",
    ]
    return [
        tuple(" ".join(draw.choices(draw.choice([english, german]), k=draw.choice([1, 1, 2, 3, 9]))) for _ in "ab")
        if draw.random() < 0.5
        else (f"The {draw.randrange(500)} men are at the house.", f"Die {draw.randrange(500)} Männer sind am Haus.")
        for _ in range(count)
    ]


@pytest.mark.slow
def test_processes_clean_as_one_does_with_every_filter_on() -> None:
    pairs = rubbish(3000)
    chunks = [pairs[start : start + 100] for start in range(0, len(pairs), 100)]

    def cleaned(work: Callable[[Cleaner], list[object]]) -> tuple[object, ...]:
        evaluation, earlier = EvaluationText(), EarlierPairs(EVERYTHING.duplicates)
        evaluation.add(("en", "de"), pairs[:20])
        cleaner = Cleaner(EVERYTHING, "en", "de", evaluation, earlier)
        return work(cleaner), cleaner.counts, cleaner.overlap, earlier.duplicates

    alone = cleaned(lambda cleaner: [cleaner.clean(chunk) for chunk in chunks])
    items = [list(enumerate(chunk)) for chunk in chunks]
    together = cleaned(lambda cleaner: [found for _, found in cleaner.over(items, pair_of=itemgetter(1))])
    assert together == alone
    dropped = {name for name, count in alone[1].items() if count}
    assert dropped >= set(alone[1]) - {"too_long", "uneven", "kept"}  # which are asked about pieces


def test_results_come_in_the_order_of_the_chunks_which_are_taken_a_little_ahead_only() -> None:
    taken = 0

    def counted() -> Iterator[tuple[str, int]]:
        nonlocal taken
        for job in jobs(60):
            taken += 1
            yield job

    for place, result in enumerate(on_all_cores(squared, counted())):
        assert result == (f"chunk {place}", place, place * place)
        assert taken <= place + 1 + AHEAD * 2
    assert place == 59
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize(("cores", "count"), [(2, ALONE), (1, 100)])
def test_few_chunks_or_a_single_core_start_no_process(
    monkeypatch: pytest.MonkeyPatch, cores: int, count: int
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: cores)
    monkeypatch.setattr(processes, "ProcessPoolExecutor", None)
    assert [result for _, _, result in on_all_cores(squared, jobs(count))] == [i * i for i in range(count)]


def test_a_killed_process_is_one_clear_mistake_and_takes_the_others_along() -> None:
    with pytest.raises(
        DataError, match=r"^each of the 2 processes .* but one was killed, .* memory ran out; [^\n]*$"
    ):
        list(on_all_cores(killed_at_20, jobs(60)))
    assert multiprocessing.active_children() == []


def test_a_mistake_found_in_a_process_or_among_the_chunks_is_raised_as_it_is() -> None:
    def broken() -> Iterator[tuple[str, int]]:
        yield from jobs(10)
        raise DataError("no more")

    with pytest.raises(DataError, match=r"^no 20$"):
        list(on_all_cores(refused_at_20, jobs(60)))
    with pytest.raises(DataError, match=r"^no more$"):
        list(on_all_cores(squared, broken()))
    assert multiprocessing.active_children() == []


def test_giving_up_half_way_leaves_no_process() -> None:
    stream = on_all_cores(squared, jobs(1000))
    assert [next(stream)[2] for _ in range(20)] == [i * i for i in range(20)]
    assert len(multiprocessing.active_children()) == 2
    stream.close()
    assert multiprocessing.active_children() == []


# A main script without a guard: a process that imported it would begin everything anew.
SCRIPT = """
import itertools, multiprocessing, signal, sys
print("begun", flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
from seq2seq.data import processes
processes.cores = lambda: 2
for number, (_, _, result) in enumerate(processes.on_all_cores(len, ((0, "ab") for _ in itertools.count()))):
    if number == 30:
        print(len(multiprocessing.active_children()), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [("SIGTERM", 7), ("SIGINT", -signal.SIGINT), ("SIGKILL", -9)])
def test_a_script_without_a_guard_runs_once_and_when_it_is_stopped_no_process_stays(
    tmp_path: Path, number: str, status: int
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "begun\n"
        assert running.stdout.readline() == "2\n"  # at work
        if number == "SIGINT":  # as a terminal does, to the whole group
            os.killpg(running.pid, signal.SIGINT)
        else:
            running.send_signal(signal.Signals[number])
        # Both pipes end only when no process has them open any more.
        rest, mistakes = running.stdout.read(), running.stderr.read()
    assert (running.returncode, rest) == (status, "")
    assert mistakes.count("Traceback") == (number == "SIGINT")  # its own, and no other process's
