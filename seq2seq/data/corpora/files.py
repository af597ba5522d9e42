"""A folder of parallel text: ``<split>.<language>``, plain or compressed, and word alignments where there are any."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from seq2seq.data.alignment import read_alignments
from seq2seq.data.corpora.base import ALIASES, TRAIN, Corpus
from seq2seq.data.formats import COMPRESSIONS, Pair, count_pairs, read_pairs, without_compression
from seq2seq.errors import ConfigError, DataError, listing, suggest

FORMS = f"<split>.<language>[{'|'.join(COMPRESSIONS)}]"
"""How the files of a folder are named, for messages."""

_LINKS = "align"  # stands for the language in the name of a file of links: <split>.<source>-<target>.align


class ParallelFolder:
    """The splits that one folder holds for one pair of languages.

    Args:
        root: the folder; a relative path starts at the current directory.
        source: language code of the source files.
        target: language code of the target files.
    """

    def __init__(self, root: Path, source: str, target: str) -> None:
        self.root, self.source, self.target = root, source, target

    @cached_property
    def _files(self) -> dict[str, dict[str, Path]]:
        """Every text file of the folder: split, then language, then path."""
        if not self.root.is_dir():
            raise DataError(f"`data.root` must be an existing folder, but {str(self.root)!r} is not one")
        files: dict[str, dict[str, Path]] = {}
        for path in sorted(self.root.iterdir()):
            stem = without_compression(path).name
            split, _, language = stem.rpartition(".")
            if not split or split.startswith(".") or not path.is_file():
                continue
            earlier = files.setdefault(ALIASES.get(split, split), {}).setdefault(language, path)
            if earlier != path:
                _refuse_both(earlier, path)
        return files

    @cached_property
    def _pairs(self) -> dict[str, tuple[Path, Path]]:
        """The files of each split that exists in both languages, train first."""
        found = {
            split: (languages[self.source], languages[self.target])
            for split, languages in self._files.items()
            if self.source in languages and self.target in languages
        }
        if TRAIN not in found:
            raise DataError(self._why_no_training_text())
        return {TRAIN: found.pop(TRAIN), **found}

    def _why_no_training_text(self) -> str:
        # A lone README.md is no corpus in the language "md": a language counts where a split has it beside another.
        present = {code for languages in self._files.values() if len(languages) > 1 for code in languages}
        if not self._files:
            return f"{self.root} must hold files {FORMS}, but has none; give the folder that holds them"
        for key, code in (("source", self.source), ("target", self.target)):
            if code not in present:
                near = suggest(code, present)
                found = f"a language of {self.root} ({listing(present)})"
                return f"`data.{key}` must be {found}, but is {code!r} instead{near}"
        wanted = f"{TRAIN}.{self.source} and {TRAIN}.{self.target} (or with {listing(COMPRESSIONS)})"
        names = (path.name for languages in self._files.values() for path in languages.values())
        return f"{self.root} must hold {wanted} to train on, but has only {listing(names)}"

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have both languages.

        Raises:
            DataError: the folder, a language or the training split is missing.
        """
        return tuple(self._pairs)

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split, which must be one of :meth:`splits`."""
        return read_pairs(*self._pairs[split])

    def size(self, split: str) -> int | None:
        """Return the number of lines of the source."""
        return count_pairs(self._pairs[split][0])

    def alignments(self, split: str) -> Iterator[str] | None:
        """Return the lines of links of a split, from source to target, or None where it has no file of them.

        A file for the opposite direction serves where there is none for this one.
        """
        found = self._links(split)
        return None if found is None else read_alignments(found[0], self.pairs(split), swapped=found[1])

    def _links(self, split: str) -> tuple[Path, bool] | None:
        """The file of links of a split, and whether it is for the opposite direction."""
        names = (split, *(alias for alias, meant in ALIASES.items() if meant == split))
        for one, other in ((self.source, self.target), (self.target, self.source)):
            kinds = (self._files.get(f"{name}.{one}-{other}", {}) for name in names)
            paths = [files[_LINKS] for files in kinds if _LINKS in files]
            if len(paths) > 1:
                _refuse_both(*paths[:2])
            if paths:
                return paths[0], one != self.source
        return None

    def fingerprint(self) -> dict[str, Any]:
        """Return the SHA-256 of each file, by split and name."""
        files = {split: (*paths, *(self._links(split) or ())[:1]) for split, paths in self._pairs.items()}
        return {split: {path.name: sha256(path) for path in paths} for split, paths in files.items()}


def _refuse_both(one: Path, other: Path) -> NoReturn:
    raise DataError(f"{one} and {other} must not both exist, because they name the same split")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


class Files(Corpus):
    """Your own parallel text: a folder of files named ``<split>.<language>``, plain, .gz, .xz or .zst.

    Any name is a split; ``train`` must be there. Splits that lack one of the two languages are not listed. Word
    alignments of a split may stand beside it, in ``<split>.<source>-<target>.align``.

    Args:
        source: language code of the source files.
        target: language code of the target files.
        root: the folder; a relative path starts at the current directory.
    """

    name = "files"

    def __init__(self, *, source: str, target: str, root: str | None) -> None:
        super().__init__(source, target)
        if root is None:
            raise ConfigError(
                f"`root` must name a folder of files {FORMS}, but is null instead; give data.root=FOLDER"
            )
        self._folder = ParallelFolder(Path(root), source, target)

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have both languages, train first."""
        return self._folder.splits()

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split; see :func:`~seq2seq.data.formats.read_pairs` for what is refused."""
        return self._folder.pairs(self.resolve(split))

    def size(self, split: str) -> int | None:
        """Return the number of pairs of a split."""
        return self._folder.size(self.resolve(split))

    def alignments(self, split: str) -> Iterator[str] | None:
        """Return the lines of links of a split; see :func:`~seq2seq.data.alignment.read_alignments` for errors."""
        return self._folder.alignments(self.resolve(split))

    def fingerprint(self) -> dict[str, Any]:
        """Return the SHA-256 of each file."""
        return {"files": self._folder.fingerprint()}

    def describe(self) -> str:
        """Return one line for logs and reports."""
        return f"files {self.source}-{self.target} from {self._folder.root}"
