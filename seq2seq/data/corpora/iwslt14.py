"""IWSLT 2014, German-English TED talks, from the official archive (Cettolo et al., 2014)."""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast
from xml.sax.saxutils import unescape

from seq2seq.data.corpora.base import TRAIN, VALIDATION, Corpus
from seq2seq.data.formats import STRICT, Pair, Tally, decode, single_line
from seq2seq.errors import ConfigError, DataError, listing

LANGUAGES = ("de", "en")
ARCHIVE = "de-en.tgz"
TEST_SETS = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")
"""The sets that make up the test split, in its order."""

LARGEST = 256 << 20
"""Bytes that the unpacked archive may have; the official one has about a quarter of them."""

VALIDATION_EVERY = 23
"""Every so-manieth clean training pair is for validation."""

MAX_WORDS = 175
MAX_RATIO = 1.5

_TRAIN_FILES = {language: f"train.tags.de-en.{language}" for language in LANGUAGES}
_TEST_FILES = {language: [f"IWSLT14.{name}.de-en.{language}.xml" for name in TEST_SETS] for language in LANGUAGES}
_WANTED = frozenset([*_TRAIN_FILES.values(), *_TEST_FILES["de"], *_TEST_FILES["en"]])

_ABOUT_THE_TALK = re.compile("<url>|<talkid>|<keywords>")
_KEPT_TAGS = re.compile("</?(?:title|description)>")
_SEGMENT = re.compile(r"<seg id=\"[0-9]+\">(.*)</seg>")
_QUOTES = {"&quot;": '"', "&apos;": "'"}

# Near the words of the Moses tokenizer: punctuation stands alone, hyphens and inner full stops do not divide.
_WORD = re.compile(r"\w+(?:[-.,]\w+)*|'\w+|[^\w\s]")


class Iwslt14(Corpus):
    """IWSLT 2014 German-English by the standard recipe, as raw text.

    The recipe is that of fairseq's ``prepare-iwslt14.sh``: of the training file, lines with the address, number and
    keywords of a talk go and titles and descriptions stay; pairs with an empty side, more than 175 words or a ratio
    above 1.5 go; every 23rd pair that is left is for validation; five development and test sets together are the test
    split. There it gives 160,239, 7,283 and 6,750 pairs. It counts words of the Moses tokenizer, which here are only
    estimated, so train and validation differ from it in their numbers and in which pair falls where; the test split
    is the same. The recipe also tokenises and lower-cases; here text is left as it is, XML entities resolved.

    Args:
        source: ``de`` or ``en``.
        target: the other one.
        archive: the official ``de-en.tgz`` of release 2014-01, or a folder that holds it or its files.
    """

    name = "iwslt14"

    def __init__(self, *, source: str, target: str, archive: str | None) -> None:
        super().__init__(source, target, languages=LANGUAGES)
        if archive is None:
            raise ConfigError(
                f"`archive` must name the official {ARCHIVE} of release 2014-01, or a folder of its files, "
                "but is null instead; give data.archive=PATH"
            )
        self._archive = Path(archive)

    @cached_property
    def _files(self) -> Mapping[str, bytes]:
        """The contents of the files that are needed, by name."""
        files = read_files(self._archive, _WANTED)
        if missing := _WANTED - files.keys():
            raise DataError(f"{self._archive} must hold {listing(_WANTED)}, but lacks {listing(missing)}")
        return files

    @cached_property
    def _splits(self) -> dict[str, list[Pair]]:
        """German-English pairs by split."""
        clean = [pair for pair in zip(*map(self._training_lines, LANGUAGES), strict=True) if is_clean(pair)]
        return {
            TRAIN: [pair for number, pair in enumerate(clean, start=1) if number % VALIDATION_EVERY],
            VALIDATION: clean[VALIDATION_EVERY - 1 :: VALIDATION_EVERY],
            "test": [
                pair
                for german, english in zip(*_TEST_FILES.values(), strict=True)
                for pair in self._aligned(german, english)
            ],
        }

    def _training_lines(self, language: str) -> list[str]:
        """The text of the training file, titles and descriptions included."""
        name, other = _TRAIN_FILES[language], _TRAIN_FILES["en" if language == "de" else "de"]
        lines = [line for line in self._lines(name) if not _ABOUT_THE_TALK.search(line)]
        count = sum(1 for line in self._lines(other) if not _ABOUT_THE_TALK.search(line))
        if len(lines) != count:
            raise DataError(_uneven(self._archive, name, len(lines), other, count))
        return [_KEPT_TAGS.sub("", line).strip() for line in lines]

    def _aligned(self, german: str, english: str) -> list[Pair]:
        """The segments of two files of a test set."""
        sides = [
            [unescape(found[1], _QUOTES).strip() for found in map(_SEGMENT.search, self._lines(name)) if found]
            for name in (german, english)
        ]
        if len(sides[0]) != len(sides[1]):
            raise DataError(_uneven(self._archive, german, len(sides[0]), english, len(sides[1])))
        return list(zip(*sides, strict=True))

    def _lines(self, name: str) -> Iterator[str]:
        for number, line in enumerate(self._files[name].removesuffix(b"\n").split(b"\n"), start=1):
            where = f"{self._archive}, {name}, line {number}"
            yield single_line(decode(line.removesuffix(b"\r"), where, STRICT, Tally()))

    def splits(self) -> tuple[str, ...]:
        """Return train, validation and test."""
        return (TRAIN, VALIDATION, "test")

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split in the direction asked for.

        Raises:
            DataError: the archive is missing or damaged, or its files do not belong together.
        """
        for german, english in self._splits[self.resolve(split)]:
            yield (german, english) if self.source == "de" else (english, german)

    def fingerprint(self) -> dict[str, Any]:
        """Return the SHA-256 of each file that is read, and the version of the recipe."""
        return {
            "iwslt14": 1,
            "sha256": {name: hashlib.sha256(text).hexdigest() for name, text in sorted(self._files.items())},
        }

    def describe(self) -> str:
        """Return one line for logs and reports."""
        return f"IWSLT14 {self.source}-{self.target} from {self._archive}"


def is_clean(pair: Pair) -> bool:
    """Return whether the recipe keeps a training pair: 1 to 175 words on each side, none 1.5 times the other."""
    shorter, longer = sorted(len(_WORD.findall(side)) for side in pair)
    return shorter > 0 and longer <= MAX_WORDS and longer <= MAX_RATIO * shorter


def _uneven(archive: Path, one: str, count: int, other: str, other_count: int) -> str:
    return (
        f"{archive}: {one} and {other} must have the same number of sentences, but have {count} and {other_count}; "
        "is the archive whole?"
    )


def read_files(place: Path, wanted: Collection[str]) -> dict[str, bytes]:
    """Return the contents of named files of an archive or a folder; nothing is written to disk.

    Files are known by their last name, whichever folder of the archive they are in; a path that leads out of it
    leads nowhere. Links and devices are passed over.

    Args:
        place: a tar file, plain or gzip; or a folder with the files, with a folder ``de-en`` of them, or with the
            archive, where release 2014-01 has it or at its top.
        wanted: names of files.

    Raises:
        DataError: missing, damaged or too large, or it has one of the files twice.
    """
    if not place.is_dir():
        return _read_tar(place, wanted)
    for folder in (place, place / "de-en"):
        names = [name for name in wanted if (folder / name).is_file()]
        if names:
            return {name: (folder / name).read_bytes() for name in names}
    for archive in (place / ARCHIVE, place / "texts" / "de" / "en" / ARCHIVE):
        if archive.is_file():
            return _read_tar(archive, wanted)
    raise DataError(f"`data.archive` must hold {ARCHIVE} or its files, but {place} has neither")


def _read_tar(path: Path, wanted: Collection[str]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            stream = _Bounded(cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw, path)
            # "r|" reads forward only, and members are read here, by us: nothing is ever extracted.
            with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|") as tar:
                for member in tar:
                    name = member.name.rpartition("/")[2]
                    if name not in wanted or not member.isreg():
                        continue
                    if name in files:
                        raise DataError(f"{path} must hold {name} once, but has it twice")
                    content = tar.extractfile(member)
                    files[name] = content.read() if content else b""
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(
            f"`data.archive` must be the official {ARCHIVE} or a folder of its files, "
            f"but {path} cannot be read: {reason}"
        ) from error
    return files


class _Bounded(io.RawIOBase):
    """A stream that refuses to give more than LARGEST bytes: a small file can unpack to a very large one."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path, self._left = stream, path, LARGEST

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > self._left:
            raise DataError(f"{self._path} must unpack to at most {LARGEST:,} bytes, but is larger")
        found = self._stream.read(size)
        self._left -= len(found)
        return found
