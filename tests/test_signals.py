"""Signals that ask a run to stop: the first is a wish, the second an order."""

from __future__ import annotations

import subprocess
import sys

STUBBORN = """
import os, signal
from seq2seq.signals import SignalHandling
with SignalHandling(lambda number: print("asked", number, flush=True)):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    print("never reached")
"""


def test_a_second_signal_ends_the_process_and_says_so_in_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", STUBBORN], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert done.stdout == "asked 2\n"
    assert done.stderr == "stopped at once by a second SIGINT; what was not saved is lost\n"
