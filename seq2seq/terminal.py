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


def say(words: str) -> None:
    """Print a line for the user, at once."""
    print(printable(words), flush=True)


def warn(words: str) -> None:
    """Print a warning where it cannot mix with translations."""
    print(f"warning: {printable(words)}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Return ``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
