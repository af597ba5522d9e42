"""Lines as they come: from files, from pipes fast and slow, in whatever bytes."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from seq2seq.commands import inputs
from seq2seq.commands.inputs import Few, groups, is_several, named_files
from seq2seq.commands.meter import Meter, watched
from seq2seq.errors import DataError


def refuse(words: str) -> None:
    raise AssertionError(words)


@contextmanager
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end to write to of a pipe that is standard input."""
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield writing


def test_lines_that_come_slowly_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "PATIENCE", 0.0)
    with piped(monkeypatch) as pipe:
        found = groups(None, 100, refuse)
        for given in ("a\nb\n", "c\n"):
            os.write(pipe, given.encode())
            assert next(found) == given.split()
        os.write(pipe, b"d\nunfinish")
        assert next(found) == ["d"]  # whatever else is there is no line yet
        os.write(pipe, b"ed\n")
        assert next(found) == ["unfinished"]
        os.close(pipe)
        assert list(found) == []


def test_lines_that_come_fast_fill_groups_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "PATIENCE", 60.0)
    lines = [str(number) for number in range(20_000)]

    def write() -> None:
        with open(pipe, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines[:-1])
            file.write(lines[-1])

    with piped(monkeypatch) as pipe:
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        found = list(groups(None, 64, refuse))
        writer.join(10)
    assert [line for group in found for line in group] == lines
    assert [len(group) for group in found[:-1]] == [64] * (len(found) - 1)
    monkeypatch.setattr(inputs, "GROUP_BYTES", 10)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"123456\n" * 5)))
    assert [len(group) for group in groups(None, 64, refuse)] == [2, 2, 1]


def test_a_line_ends_at_a_line_feed_only_whatever_it_is_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"\xef\xbb\xbfa\r\n\r\n\x00b\rc\xe2\x80\xa8d\x0c\n\n e"
    expected = ["a", "", "\x00b\rc\u2028d\x0c", "", " e"]
    (tmp_path / "in").write_bytes(text)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(text,), daemon=True).start()
    for path in (None, tmp_path / "in", tmp_path / "pipe"):
        assert [line for group in groups(path, 2, refuse) for line in group] == expected


def test_bytes_that_are_no_utf8_are_replaced_with_some_warnings_and_a_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"ok\nab\xff\xfe\n" + b"\xc3\n" * 15)))
    warnings: list[str] = []
    few = Few(warnings.append, "lines had bytes that are no UTF-8")
    [group] = groups(None, 100, few)
    few.close()
    assert group == ["ok", "ab\ufffd\ufffd", *["\ufffd"] * 15]
    assert warnings[0] == "line 2, byte 3: 0xff is no UTF-8 there and is replaced"
    assert len(warnings) == 11
    assert warnings[-1] == "6 more lines had bytes that are no UTF-8"


def test_an_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "LONGEST_LINE", 1 << 17)
    monkeypatch.setattr("seq2seq.data.formats.lines.LONGEST_LINE", 1 << 17)
    monkeypatch.setattr(sys, "stdin", open("/dev/zero", encoding="utf-8"))  # noqa: SIM115  # closed with the process
    with pytest.raises(DataError, match=r"standard input, line 1: must have at most 131,072 bytes"):
        next(groups(None, 10, refuse))
    sys.stdin.close()


def test_files_are_named_by_themselves_or_by_patterns(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "[x].txt"):
        (tmp_path / name).touch()
    assert [path.name for path in named_files(f"{tmp_path}/?.txt")] == ["a.txt", "b.txt"]
    assert named_files([f"{tmp_path}/b.txt", f"{tmp_path}/a*"]) == [tmp_path / "b.txt", tmp_path / "a.txt"]
    assert named_files(f"{tmp_path}/[x].txt") == [tmp_path / "[x].txt"]
    assert [is_several(given) for given in ("a", "*.txt", ["a"], f"{tmp_path}/[x].txt")] == [False, True, True, False]
    with pytest.raises(DataError, match="must name each file once"):
        named_files([f"{tmp_path}/a.txt", f"{tmp_path}/*"])
    with pytest.raises(DataError, match="must name files that exist"):
        named_files("a\0b")


def test_how_far_it_is_is_told_now_and_then_and_never_of_short_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("seq2seq.commands.meter.time.monotonic", lambda: now)
    with Meter(bar=False) as meter:
        for seconds in (29, 31, 45, 62):
            now = float(seconds)
            meter.finished(3100)
    assert capsys.readouterr().err.splitlines() == [
        "translated 6,200 lines, 200 lines/s",
        "translated 12,400 lines, 200 lines/s",
    ]


@pytest.mark.parametrize(
    ("terminals", "reads", "writes", "shown"),
    [
        ("err", True, True, True),
        ("out err", True, False, True),
        ("out err", True, True, False),
        ("in err", True, True, False),
        ("in err", False, True, True),
        ("in out", False, False, False),
    ],
)
def test_a_bar_is_shown_only_on_a_terminal_of_its_own(
    monkeypatch: pytest.MonkeyPatch, terminals: str, reads: bool, writes: bool, shown: bool
) -> None:
    for name in ("in", "out", "err"):
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda name=name: name in terminals.split())
        monkeypatch.setattr(sys, f"std{name}", stream)
    assert watched(reads_terminal=reads, writes_terminal=writes) is shown


def test_a_bar_shows_what_is_done_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    to_stream = partial(Console, file=stream, force_terminal=True, width=80)
    monkeypatch.setattr("seq2seq.commands.meter.Console", lambda stderr: to_stream())
    with Meter(bar=True) as meter:
        meter.finished(1234)
        meter.show(1000)
    assert "translated 2,234 lines" in stream.getvalue()
    assert stream.getvalue().endswith("\x1b[2K")
