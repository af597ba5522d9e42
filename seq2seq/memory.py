"""Memory that a run gives back only when it ends."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3

_KEPT = 2**30
"""Bytes of one piece, or of free room behind the last one, that are kept instead of given back."""


def keep_freed_memory() -> bool:
    """Have the C library keep large pieces of freed memory, for those that come after them.

    Each update needs the same hundreds of megabytes as the one before. Given back to the system in between, every
    page of them is fetched and cleared anew, which takes some hundredths of the time; a process that only trains has
    nobody to give them to.

    Returns:
        whether the C library is one that can.
    """
    if not sys.platform.startswith("linux"):
        return False
    with suppress(AttributeError, OSError):  # another C library than glibc
        library = ctypes.CDLL(None)
        return bool(library.mallopt(_MMAP_THRESHOLD, _KEPT) and library.mallopt(_TRIM_THRESHOLD, _KEPT))
    return False
