"""Parallel text from the Hugging Face hub, through the ``datasets`` library."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from seq2seq.data.formats import Pair, single_line
from seq2seq.errors import DataError, listing


class HubDataset:
    """The splits of one dataset of the hub for one pair of languages.

    Two shapes of row are understood: flat columns named by language, and one column ``translation`` that maps
    languages to text. Other columns are ignored.

    Args:
        repository: name on the hub, ``owner/dataset``.
        revision: branch, tag or commit.
        source: language of the source side.
        target: language of the target side.
        split_names: the hub's name of a split, then ours, where they differ.
        way_out: what a user can do where the hub cannot be read; ends the error message.
    """

    def __init__(
        self,
        repository: str,
        *,
        revision: str,
        source: str,
        target: str,
        split_names: Mapping[str, str],
        way_out: str,
    ) -> None:
        self.repository, self.revision = repository, revision
        self._languages = (source, target)
        self._split_names = split_names
        self._way_out = way_out

    @cached_property
    def _splits(self) -> dict[str, Any]:
        """The datasets of the library, by our name of the split."""
        # Imported here: it costs seconds, and a machine that trains on prepared data may not have it.
        import datasets

        try:
            loaded = datasets.load_dataset(self.repository, revision=self.revision)
        except Exception as error:  # offline, 404, script dataset, broken file: as many unrelated classes
            reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
            raise DataError(
                f"dataset {self.repository} (revision {self.revision}) could not be read from the hub: {reason}. "
                f"{self._way_out}"
            ) from error
        return {self._split_names.get(name, name): split for name, split in loaded.items()}

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits.

        Raises:
            DataError: the hub cannot be read; the message names the local alternative.
        """
        return tuple(self._splits)

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split.

        Raises:
            DataError: a language has no column, or a row has no text in it; with the row's number from 1.
        """
        row = 0
        for batch in self._splits[split].iter(batch_size=1000):
            for pair in zip(*(self._column(batch, language, split) for language in self._languages), strict=True):
                row += 1
                for language, text in zip(self._languages, pair, strict=True):
                    if not isinstance(text, str):
                        raise DataError(
                            f"dataset {self.repository}, split {split}, row {row}: {language!r} must be text, "
                            f"but is {text!r} instead"
                        )
                yield single_line(pair[0]), single_line(pair[1])

    def _column(self, batch: Mapping[str, list[Any]], language: str, split: str) -> list[Any]:
        if language in batch:
            return batch[language]
        nested = batch.get("translation", [])
        # A language that one row lacks is a missing key there, so look at every row before refusing.
        if any(isinstance(row, Mapping) and language in row for row in nested):
            return [row.get(language) if isinstance(row, Mapping) else row for row in nested]
        columns = listing(nested[0] if nested and isinstance(nested[0], Mapping) else batch)
        raise DataError(
            f"dataset {self.repository}, split {split}, must have a column {language!r}, but has only {columns}"
        )

    def fingerprint(self) -> dict[str, Any]:
        """Return repository, revision and the SHA-256 of the text of each split, because a branch can move."""
        digests = {}
        for split in self._splits:
            digest = hashlib.sha256()
            for source, target in self.pairs(split):
                digest.update(f"{source}\n{target}\n".encode())
            digests[split] = digest.hexdigest()
        return {"repository": self.repository, "revision": self.revision, "sha256": digests}
