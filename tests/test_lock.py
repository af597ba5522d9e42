"""One writer for a folder: whoever comes second is told who was first, and the dead hold nothing."""

from __future__ import annotations

import errno
import fcntl
import json
import multiprocessing
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from competing import compete

from seq2seq.disk.lock import LOCK, OWNER, TAKING, Owner, only_writer, started
from seq2seq.errors import ConfigError
from seq2seq.runs.folder import make_run_folder


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int = errno.EOPNOTSUPP) -> None:
    """Let this be a file system without locks."""

    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refused)


def leave_behind(folder: Path, **changes: Any) -> Path:
    """Write what a process would leave that died in a folder on a file system without locks."""
    gone = {"process": dead_process(), "host": socket.gethostname(), "started": "1", "since": "2026-01-02 03:04:05"}
    path = folder / OWNER
    path.write_text(json.dumps(gone | changes))
    return path


def dead_process() -> int:
    process = multiprocessing.get_context("spawn").Process()
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


@pytest.mark.parametrize(
    ("locks", "stale"),
    [(True, False), (False, False), (False, True)],
    ids=["locks", "no locks", "no locks and a dead owner"],
)
def test_of_ten_processes_at_once_exactly_one_goes_on(tmp_path: Path, locks: bool, stale: bool) -> None:
    if stale:
        leave_behind(tmp_path)
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(10), context.Queue()
    processes = [context.Process(target=compete, args=(str(tmp_path), locks, start, results)) for _ in range(10)]
    for process in processes:
        process.start()
    found = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert found.count("written") == 1
    refused = [words for words in found if words != "written"]
    assert all("must be a folder that nothing else writes" in words for words in refused)
    with only_writer(tmp_path):
        pass


def test_a_lock_file_names_its_process_its_machine_and_when_it_began(tmp_path: Path) -> None:
    with only_writer(tmp_path):
        owner = Owner.named_in((tmp_path / LOCK).read_text())
    assert owner is not None
    assert (owner.process, owner.host) == (os.getpid(), socket.gethostname())
    assert owner.started == started(os.getpid())
    assert time.strptime(owner.since, "%Y-%m-%d %H:%M:%S")
    assert owner.alive


def test_what_a_process_has_written_before_does_not_matter_where_there_are_locks(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(b"process 1 on another machine, since the ice age \xff")
    with only_writer(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_without_locks_a_living_process_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_locks(monkeypatch, number)
    with only_writer(tmp_path):
        words = rf"in use by process {os.getpid()} on .*; remove .*{OWNER} if that"
        with pytest.raises(ConfigError, match=words), only_writer(tmp_path):
            pass
        assert (tmp_path / OWNER).is_file()
    assert not (tmp_path / OWNER).exists()
    with only_writer(tmp_path):
        pass


def test_without_locks_a_dead_process_is_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse_locks(monkeypatch)
    leave_behind(tmp_path)
    with only_writer(tmp_path):
        pass
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {tmp_path} was in use by process ")
    assert "which has died" in line
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@pytest.mark.skipif(started(os.getpid()) is None, reason="this system does not say when a process began")
def test_another_process_with_the_number_of_a_dead_one_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_locks(monkeypatch)
    leave_behind(tmp_path, process=os.getpid())
    with only_writer(tmp_path):
        pass


@pytest.mark.parametrize(
    "changes", [{"host": "elsewhere"}, {"process": os.getpid(), "started": None}], ids=["host", "no start time"]
)
def test_without_locks_a_process_that_may_be_there_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    refuse_locks(monkeypatch)
    path = leave_behind(tmp_path, **changes)
    with pytest.raises(ConfigError, match=rf"in use by process \d+ on .*; remove {path} if"), only_writer(tmp_path):
        pass
    path.unlink()
    with only_writer(tmp_path):
        pass


UNREADABLE = ["", "{", "[]", "null", '{"process": "x"}', '{"process": -1}', "[" * 200_000, "9" * 10_000]


@pytest.mark.parametrize("content", UNREADABLE, ids=lambda text: text[:15])
def test_a_file_that_names_nobody_is_somebodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    refuse_locks(monkeypatch)
    (tmp_path / OWNER).write_text(content)
    with pytest.raises(ConfigError, match=rf"in use by another process; remove .*{OWNER}"), only_writer(tmp_path):
        pass


def test_two_processes_do_not_take_the_place_of_a_dead_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_locks(monkeypatch)
    leave_behind(tmp_path)
    (tmp_path / TAKING).mkdir()
    with pytest.raises(ConfigError, match=f"in use by another process; remove .*{TAKING}"), only_writer(tmp_path):
        pass


@pytest.mark.parametrize("locks", [True, False])
def test_a_folder_that_cannot_be_written_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    real = Path.open

    def read_only(self: Path, mode: str = "r", *arguments: Any, **settings: Any) -> Any:
        if not locks and self.name == LOCK:
            return real(self, mode, *arguments, **settings)
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    if not locks:
        refuse_locks(monkeypatch)
    monkeypatch.setattr(Path, "open", read_only)
    with (
        pytest.raises(ConfigError, match=r"`output` must be a folder that can be written, but is not: .*Read-only"),
        only_writer(tmp_path, setting="output"),
    ):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to the superuser")
def test_a_run_folder_that_is_read_only_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / LOCK).touch()
    run.chmod(0o500)
    with pytest.raises(ConfigError, match="`run_dir` must be a folder that can be written, but is not"):
        make_run_folder(str(run), "name")


def test_a_run_folder_is_tried_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", read_only)
    with pytest.raises(ConfigError, match=r"`run_dir` must be a folder that can be written, but is not: .*Read-only"):
        make_run_folder(str(tmp_path), "name")


def test_a_name_that_the_locale_cannot_write_is_refused() -> None:
    with pytest.raises(ConfigError, match="`run_dir` must be of characters that this locale can write"):
        make_run_folder("a\udcc3b", "name")


def test_fifty_jobs_of_the_same_second_get_fifty_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda _: "20260102-030405")
    with ThreadPoolExecutor(max_workers=50) as pool:
        runs = list(pool.map(lambda _: make_run_folder(None, "many"), range(50)))
    assert len({run.resolve() for run in runs}) == 50
    assert all(run.is_dir() and run.name.startswith("20260102-030405-") for run in runs)


def test_a_name_that_is_drawn_twice_is_taken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(time, "strftime", lambda _: "now")
    draws: Queue[str] = Queue()
    for word in ("aa", "aa", "aa", "bb"):
        draws.put(word)
    monkeypatch.setattr("secrets.token_hex", lambda _: draws.get_nowait())
    assert [make_run_folder(None, "two").name for _ in range(2)] == ["now-aa", "now-bb"]
