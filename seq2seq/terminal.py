"""Words for whoever sits at the terminal: lines, warnings and lengths of time."""

from __future__ import annotations

import io
import sys

from seq2seq.errors import printable


def print_anything() -> None:
    """Let a terminal that lacks a character show its number, instead of ending the program with an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class _Voice:
    """Whether this process says anything."""

    silent = False


def silence() -> None:
    """Say nothing from now on: of several processes that do the same, one speaks for all."""
    _Voice.silent = True


def say(words: str) -> None:
    """Print a line for the user, at once."""
    if not _Voice.silent:
        print(printable(words), flush=True)


def warn(words: str) -> None:
    """Print a warning where it cannot mix with translations."""
    _to_stderr("warning", words)


def complain(words: str) -> None:
    """Print why a command ends without having done what it was asked for."""
    _to_stderr("error", words)


def _to_stderr(kind: str, words: str) -> None:
    if not _Voice.silent:
        print(f"{kind}: {printable(words)}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return ``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
