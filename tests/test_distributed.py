"""The processes that train one model: what starts them, what they say to each other, what they are refused for."""

from __future__ import annotations

import math
import socket
import threading

import pytest
import torch
import torch.distributed as dist

from seq2seq.distributed import watching
from seq2seq.distributed.places import Place, device_of, require_backends
from seq2seq.distributed.processes import Processes
from seq2seq.distributed.watching import Course, Watch
from seq2seq.errors import UserError
from seq2seq.runtime import seed_batch
from seq2seq.training.validation import in_turn


def test_without_anything_in_the_environment_there_is_one_process() -> None:
    assert Place.of({}) == Place(0, 1, 0, 1)


def test_what_torchrun_says_is_read() -> None:
    said = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    assert Place.of({**said, "MASTER_ADDR": "node", "MASTER_PORT": "1"}) == Place(5, 8, 1, 4, "node")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"MASTER_ADDR": ""}, "lacks MASTER_ADDR; start several processes with torchrun, or unset RANK"),
        ({"RANK": "8"}, "must number the processes as torchrun does, but has RANK='8' WORLD_SIZE='8'"),
        ({"LOCAL_RANK": "one"}, "LOCAL_RANK='one'"),
    ],
)
def test_an_environment_that_is_not_whole_is_refused_in_one_line(change: dict[str, str], words: str) -> None:
    said = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    with pytest.raises(UserError, match=words):
        Place.of({**said, "MASTER_ADDR": "node", "MASTER_PORT": "1", **change})


def test_more_processes_than_gpus_are_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match=r"^`--nproc-per-node` of torchrun must be at most .*, 2, but is 4 instead; "):
        device_of(Place(0, 8, 0, 4), "auto")
    assert device_of(Place(0, 8, 0, 4), "cpu") == torch.device("cpu")


def test_each_process_has_a_gpu_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert device_of(Place(6, 8, 2, 4), "cuda") == torch.device("cuda", 2)
    assert chosen == [2]


@pytest.mark.parametrize(("name", "device"), [("gloo", "cpu"), ("nccl", "cuda")])
def test_a_torch_without_what_processes_need_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, device: str
) -> None:
    for each in ("gloo", "nccl"):
        monkeypatch.setattr(dist, f"is_{each}_available", lambda each=each: each != name)
    with pytest.raises(
        UserError, match=rf"(?i)^torch must be built with {name} for several processes, but .* is not; "
    ):
        require_backends(torch.device(device))


def test_one_process_agrees_with_itself() -> None:
    alone = Processes()
    assert alone.is_first
    assert alone.sums([1.0, 2.0]) == alone.largest([1.0, 2.0]) == [1.0, 2.0]
    assert alone.told("a") == "a"
    assert alone.gathered({"a": [math.inf]}) == [{"a": [math.inf]}]
    assert [alone.any(here) for here in (False, True)] == [False, True]


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_what_is_dealt_out_comes_back_in_order(count: int) -> None:
    things = list("abcde")
    assert in_turn([things[rank::count] for rank in range(count)]) == things


def test_what_is_drawn_on_a_batch_depends_on_its_place_alone() -> None:
    def drawn(*place: int) -> list[float]:
        seed_batch(*place)
        return torch.rand(3).tolist()

    first = drawn(1, 5, 0)
    torch.rand(17)
    assert drawn(1, 5, 0) == first
    others = [drawn(*place) for place in ((2, 5, 0), (1, 6, 0), (1, 5, 1), (1, 0, 5))]
    assert len({tuple(numbers) for numbers in (first, *others)}) == 5


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        return one, server.accept()[0]


@pytest.fixture
def no_end(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses that this process would have been ended with."""
    ended: list[int] = []
    monkeypatch.setattr(watching, "_end", ended.append)
    return ended


def test_processes_that_are_done_harm_nobody(no_end: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    one, other = pair()
    watches = [Watch({1: one}, Course(2), speaks=True), Watch({0: other}, Course(2), speaks=True)]
    threads = [threading.Thread(target=watch.close) for watch in watches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [watch.status for watch in watches] == [None, None]
    assert no_end == []
    assert capsys.readouterr().err == ""


def test_a_process_without_last_words_was_lost(no_end: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    one, other = pair()
    watch = Watch({3: one}, Course(4, 12), speaks=True)
    other.close()
    watch.wait_for_reason()
    watch._thread.join(10)
    assert watch.status == watching.LOST
    assert capsys.readouterr().err.startswith("error: process 3 of 4 at step 12 was lost")
    assert not watch.fail("a consequence", 2)


def test_the_first_process_says_what_another_has_failed_of(
    no_end: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = pair()
    first = Watch({1: one}, Course(2, 7), speaks=True)
    second = Watch({0: other}, Course(2, 7), speaks=False)
    assert second.fail("too little memory\x1b[2J", 2)
    first.wait_for_reason()
    first._thread.join(10)
    assert (first.status, second.status) == (2, 2)
    assert capsys.readouterr().err == "error: too little memory\\x1b[2J\n"
    assert second._answered.is_set()  # so that it does not end before that is said
