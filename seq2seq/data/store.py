"""Prepared data on disk: token ids to map into memory, raw text to score against, and a manifest of it all.

A prepared folder holds, for source language ``en`` and target language ``de``:

* ``manifest.json``: where the text came from, what was dropped, versions, and the size of every other file;
* ``tokenizer.model``, or ``tokenizer.en.model`` and ``tokenizer.de.model``;
* ``train.en.ids.npy`` and ``train.en.offsets.npy``, likewise ``de`` and ``validation``: see :class:`Sequences`;
* ``<split>.en.txt`` and ``<split>.de.txt`` for every split but train: the raw text, one sentence a line.

It needs nothing outside itself: copied to another machine, it trains there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import IO, Any, ClassVar

import numpy as np
import numpy.typing as npt

from seq2seq.data.corpora import TRAIN, Corpus, resolve_split
from seq2seq.data.formats import Pair, read_lines
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import ConfigError, DataError, listing

FORMAT = 1
"""Version of the folder's layout; a reader refuses any other."""

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Sequences:
    """Many sequences of ids, end to end in one array.

    Attributes:
        ids: all ids, without BOS and EOS; unsigned 16 or 32 bits, usually mapped from disk.
        offsets: (N+1,) int64; sequence i is ``ids[offsets[i]:offsets[i + 1]]``.
    """

    ids: npt.NDArray[np.unsignedinteger[Any]]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> npt.NDArray[np.unsignedinteger[Any]]:
        if not 0 <= index < len(self):
            raise IndexError(f"sequence {index} of {len(self)}")
        sequence: npt.NDArray[np.unsignedinteger[Any]] = self.ids[self.offsets[index] : self.offsets[index + 1]]
        return sequence

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(N,) number of ids in each sequence; computed once."""
        return np.diff(self.offsets)

    @classmethod
    def open(cls, stem: Path) -> Sequences:
        """Map the files ``<stem>.ids.npy`` and ``<stem>.offsets.npy`` into memory.

        Raises:
            DataError: a file is missing or is no array of the right kind.
        """
        ids, offsets = (_map(Path(f"{stem}.{part}.npy")) for part in ("ids", "offsets"))
        if ids.dtype.kind != "u" or offsets.dtype != np.int64 or not len(offsets) or offsets[-1] != len(ids):
            raise DataError(f"{stem}.ids.npy and {stem}.offsets.npy must belong together, but do not; prepare again")
        return cls(ids, offsets)


def _map(path: Path) -> npt.NDArray[Any]:
    try:
        # As a plain array: the memmap class itself is slow to slice.
        mapped: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
        return mapped
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path} must be an array of token ids, but cannot be read: {error}; prepare again"
        ) from error


class SequenceWriter:
    """Writes :class:`Sequences` piece by piece, holding none of them in memory. A context manager.

    Args:
        stem: path without ``.ids.npy`` and ``.offsets.npy``.
        vocab_size: decides the width of an id.
    """

    def __init__(self, stem: Path, vocab_size: int) -> None:
        self._ids = _GrowingArray(Path(f"{stem}.ids.npy"), np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32))
        self._offsets = _GrowingArray(Path(f"{stem}.offsets.npy"), np.dtype(np.int64))
        self._offsets.append(np.zeros(1, dtype=np.int64))

    @property
    def tokens(self) -> int:
        """Number of ids written so far."""
        return self._ids.length

    def append(self, sequences: Sequence[Sequence[int]]) -> None:
        """Add sequences of ids at the end."""
        ends = self.tokens + np.cumsum([len(ids) for ids in sequences], dtype=np.int64)
        self._ids.append(np.array([i for ids in sequences for i in ids], dtype=self._ids.dtype))
        self._offsets.append(ends)

    def __enter__(self) -> SequenceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ids.close()
        self._offsets.close()


class _GrowingArray:
    """A one-dimensional .npy file that grows at its end; its header is only right once it is closed."""

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.dtype, self.length = dtype, 0
        self._handle: IO[bytes] = path.open("wb")
        self._write_header()

    def append(self, values: npt.NDArray[Any]) -> None:
        self._handle.write(values.astype(self.dtype, copy=False).tobytes())
        self.length += len(values)

    def close(self) -> None:
        self._handle.seek(0)
        self._write_header()
        self._handle.close()

    def _write_header(self) -> None:
        # The format reserves room for the digits of a growing length, so the header always takes as many bytes.
        np.lib.format.write_array_header_1_0(
            self._handle,
            {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False, "shape": (self.length,)},
        )


class PreparedData:
    """A prepared folder, opened.

    Args:
        folder: as written by :func:`seq2seq.data.prepare.prepare`.

    Attributes:
        folder: where it is.
        manifest: the JSON values of ``manifest.json``.
        source: source language.
        target: target language.
        splits: names of all splits; those but ``train`` have raw text.
        source_tokenizer: encodes the source language.
        target_tokenizer: encodes the target language; the same object where the vocabulary is joint.

    Raises:
        DataError: the folder is not prepared data, or a file is missing or of another size than the manifest says.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = _read_manifest(self.folder)
        self.source, self.target = str(self.manifest["source"]), str(self.manifest["target"])
        self.splits = tuple(self.manifest["splits"])
        hashes: dict[str, str] = self.manifest["tokenizer"]["files"]
        models = [Tokenizer.load(self.folder / name) for name in hashes]
        for model, (name, sha256) in zip(models, hashes.items(), strict=True):
            if model.sha256 != sha256:
                raise DataError(
                    f"{self.folder / name} must be the tokenizer of these ids, but has changed; prepare again"
                )
        self.source_tokenizer, self.target_tokenizer = models[0], models[-1]

    def resolve(self, split: str) -> str:
        """Return the canonical name of a split, as :meth:`seq2seq.data.corpora.Corpus.resolve` of its corpus does.

        Raises:
            DataError: there is no such split.
        """
        return resolve_split(split, self.splits, self.manifest["aliases"])

    def ids(self, split: str) -> tuple[Sequences, Sequences]:
        """Return source and target ids of ``train`` or ``validation``, mapped from disk.

        Raises:
            DataError: the split does not exist or was kept as text only.
        """
        split = self.resolve(split)
        if not self.manifest["splits"][split]["ids"]:
            known = (name for name, entry in self.manifest["splits"].items() if entry["ids"])
            raise DataError(f"`split` must be one of {listing(known)} to have token ids, but is {split!r} instead")
        source, target = (Sequences.open(self.folder / f"{split}.{code}") for code in (self.source, self.target))
        return source, target

    def text(self, split: str) -> tuple[list[str], list[str]]:
        """Return the raw source and target sentences of any split but ``train``.

        Raises:
            DataError: the split does not exist or is ``train``.
        """
        split = self.resolve(split)
        if split == TRAIN:
            known = (name for name in self.splits if name != TRAIN)
            raise DataError(f"`split` must be one of {listing(known)} to have raw text, but is {TRAIN!r} instead")
        source, target = (
            list(read_lines(self.folder / f"{split}.{code}.txt")) for code in (self.source, self.target)
        )
        return source, target


class Prepared(Corpus):
    """A prepared folder in the place of a corpus, for a machine that has nothing else.

    Languages, cleaning and tokenizer are those it was prepared with.

    Args:
        folder: as written by :func:`seq2seq.data.prepare.prepare`; a relative path starts at the current directory.
    """

    name: ClassVar[str] = "prepared"

    def __init__(self, *, folder: str | None) -> None:
        if folder is None:
            raise ConfigError("`folder` must name a prepared folder, but is null instead; give data.folder=FOLDER")
        self.data = PreparedData(folder)
        super().__init__(self.data.source, self.data.target)

    def splits(self) -> tuple[str, ...]:
        """Return the splits of the folder."""
        return self.data.splits

    def resolve(self, split: str) -> str:
        """Return the canonical name of a split, as the original corpus would."""
        return self.data.resolve(split)

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield raw text; for ``train``, of which only ids were kept, the text that they decode to."""
        if self.resolve(split) != TRAIN:
            yield from zip(*self.data.text(split), strict=True)
            return
        source, target = self.data.ids(TRAIN)
        for i in range(len(source)):
            [left] = self.data.source_tokenizer.decode([source[i].tolist()])
            [right] = self.data.target_tokenizer.decode([target[i].tolist()])
            yield left, right

    def fingerprint(self) -> dict[str, Any]:
        """Return the key that the folder was prepared under."""
        return {"prepared": self.data.manifest["key"]}

    def describe(self) -> str:
        """Return the line of the original corpus, and the folder."""
        return f"{self.data.manifest['corpus']['description']}, prepared in {self.data.folder}"


def write_manifest(folder: Path, values: dict[str, Any]) -> None:
    """Write ``manifest.json``, adding the layout's version and the size of every file already in the folder."""
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    text = json.dumps({"format": FORMAT, **values, "files": files}, indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version, files = manifest["format"], dict(manifest["files"])
    except FileNotFoundError:
        raise DataError(f"{folder} must be a folder of prepared data, but has no {MANIFEST}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} must be the manifest of prepared data, but cannot be read: {error!r}") from error
    if version != FORMAT:
        raise DataError(f"{folder} must have format {FORMAT}, but has format {version}; prepare it again")
    _check_sizes(folder, files.items())
    return dict(manifest)


def _check_sizes(folder: Path, files: Iterable[tuple[str, int]]) -> None:
    for name, size in files:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing from the prepared data; copy it again, or prepare again")
        if path.stat().st_size != size:
            raise DataError(
                f"{path} must have {size} bytes, but has {path.stat().st_size}; copy it again, or prepare again"
            )
