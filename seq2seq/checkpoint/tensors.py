"""Safetensors, read in one pass: each tensor straight to its place, hashed on the way.

The format is eight bytes with the length of a header, the header, which is JSON, and the bytes of all tensors. The
library would need the whole file in memory beside the tensors, or a map of it that another process can pull away.
Here the file is never held, and nothing is taken into memory before the header accounts for every byte of the file.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from seq2seq.checkpoint.files import DamagedError, Source
from seq2seq.disk.plainjson import is_whole, parsed
from seq2seq.errors import shown

LARGEST_HEADER = 2**23
"""Bytes of a header; a tensor takes about a hundred."""

MOST_TENSORS = 2**16

_MOST_AXES = 8

_MOST_VALUES = 16 * MOST_TENSORS  # lists, objects and commas of a header; a matrix has eight

_PREFIX = 8  # bytes before the header, which say how long it is

_METADATA = "__metadata__"

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The types that are read, by their name in a header."""


class _Place(NamedTuple):
    """Where the bytes of a tensor are, counted from the end of the header, and what they mean."""

    begin: int
    end: int
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]


def read_tensors(source: Source, *, floating: bool) -> dict[str, Tensor]:
    """Return the tensors of a file, by name.

    Args:
        source: the file, open at its start.
        floating: whether all of them must be floating-point numbers, of whatever width.

    Raises:
        DamagedError: it is no such file, or one that does not hold what it claims.
    """
    places = _places(source)
    wrong = [place.name for place in places if floating and not place.dtype.is_floating_point]
    if wrong:
        raise DamagedError(f"{source.name} must hold floating-point numbers, but not in {shown(wrong)}")
    tensors: dict[str, Tensor] = {}
    for place in places:
        try:
            tensor = torch.empty(place.shape, dtype=place.dtype, device="cpu")
        except (RuntimeError, MemoryError) as error:
            reason = str(error).partition("\n")[0]
            raise DamagedError(f"{source.name} has no room in memory: {reason}") from error
        source.fill(tensor.view(-1).view(torch.uint8).numpy().data)
        tensors[place.name] = tensor
    return tensors


def _places(source: Source) -> list[_Place]:
    """Return where every tensor is, in the order of the file."""
    size = source.left
    if size < _PREFIX:
        raise DamagedError(f"{source.name} must begin with the length of its header, but has {size} bytes")
    length = int.from_bytes(source.read(_PREFIX), "little")
    if length > min(LARGEST_HEADER, source.left):
        raise DamagedError(
            f"{source.name} must have a header of at most {LARGEST_HEADER:,} bytes within its own {size:,}, but "
            f"claims {length:,}"
        )
    try:
        header = parsed(source.read(length), most=_MOST_VALUES)
    except ValueError as error:
        raise DamagedError(f"{source.name} has a header that cannot be read: {error}") from error
    if not isinstance(header, dict) or len(header) > MOST_TENSORS:
        raise DamagedError(f"{source.name} must have a header with at most {MOST_TENSORS:,} tensors, but has not")
    header.pop(_METADATA, None)
    places = sorted(_place(source.name, name, entry) for name, entry in header.items())
    end = 0
    for place in places:
        if place.begin != end:
            raise DamagedError(f"{source.name} must have its tensors end to end, but {place.name!r} is not")
        end = place.end
    if end != source.left:
        raise DamagedError(f"{source.name} must have {end:,} bytes of tensors, but has {source.left:,}")
    return places


def _place(file: str, name: str, entry: Any) -> _Place:
    values: dict[str, Any] = entry if isinstance(entry, dict) else {}
    kind, shape, offsets = (values.get(key, ()) for key in ("dtype", "shape", "data_offsets"))
    sane = isinstance(kind, str) and isinstance(shape, list) and isinstance(offsets, list)
    sane = sane and len(offsets) == 2 and len(shape) <= _MOST_AXES and all(map(is_whole, [*shape, *offsets]))
    if not sane or kind not in DTYPES or not name.isprintable():
        raise DamagedError(f"{file} must tell type, shape and place of {shown(name)}, but has {shown(entry)}")
    dtype = DTYPES[kind]
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise DamagedError(f"{file} must have as many bytes of tensor {shown(name)} as its shape needs")
    return _Place(begin, end, name, dtype, tuple(shape))
