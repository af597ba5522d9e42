"""Searches in as many parts as memory asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np

from seq2seq.data.sequences import Integers
from seq2seq.errors import UserError
from seq2seq.runtime import is_out_of_memory

T = TypeVar("T")


def in_halves(rows: Integers, find: Callable[[Integers], list[T]]) -> list[T]:
    """Return what is found for some sentences, in their order; together, or in halves where memory does not suffice.

    Args:
        rows: which sentences; at least one.
        find: gives one result for each of the rows that it gets.

    Raises:
        UserError: not even one of them fits.
    """
    try:
        return find(rows)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if len(rows) == 1:
        raise UserError(
            "a single sentence cannot be translated in the memory of the device; lower `search.max_source_length` or "
            "keep fewer hypotheses"
        )
    return [one for half in np.array_split(rows, 2) for one in in_halves(half, find)]
