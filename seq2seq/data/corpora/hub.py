"""Parallel text from the Hugging Face hub, through the ``datasets`` library."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from seq2seq.data.formats import Pair, single_line
from seq2seq.errors import DataError, listing

Fetch = Literal["stream", "download"]
"""``stream`` reads over the network and keeps nothing; ``download`` keeps the text in the library's cache."""

ROWS_AT_ONCE = 1000
"""Rows in memory together."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHORT_COMMIT = re.compile(r"[0-9a-f]{7,39}")


class HubDataset:
    """The splits of one dataset of the hub for one pair of languages.

    Two shapes of row are understood: flat columns named by language, and one column ``translation`` that maps
    languages to text. Other columns are ignored.

    Args:
        repository: name on the hub, ``owner/dataset``.
        revision: branch, tag or hash of a commit, of which seven digits are enough.
        config: configuration of the dataset, such as ``de-en``; None where it has but one.
        data_dir: folder in the repository; None for all of it.
        fetch: whether to keep what is fetched.
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
        config: str | None,
        data_dir: str | None,
        fetch: Fetch,
        source: str,
        target: str,
        split_names: Mapping[str, str],
        way_out: str,
    ) -> None:
        self.repository, self.revision = repository, revision
        self._config, self._data_dir, self._fetch = config, data_dir, fetch
        self._languages = (source, target)
        self._split_names = split_names
        self._way_out = way_out

    @cached_property
    def _builder(self) -> Any:
        """The library's description of the dataset: where its files are, and of which commit."""
        # Imported here: it costs seconds, and a machine that trains on prepared data may not have it.
        import datasets

        try:
            builder = datasets.load_dataset_builder(
                self.repository, self._config, data_dir=self._data_dir, revision=self._whole_revision()
            )
        except Exception as error:  # offline, 404, gated, script dataset: as many unrelated classes
            raise self._unreadable(error) from error
        # Without a network the library takes whatever is in its cache, of whichever commit.
        pinned = _COMMIT.fullmatch(self.revision) or _SHORT_COMMIT.fullmatch(self.revision)
        if pinned and _COMMIT.fullmatch(str(builder.hash)) and not builder.hash.startswith(self.revision):
            raise self._unreadable(DataError(f"only commit {builder.hash} of it is in the cache"))
        return builder

    def _whole_revision(self) -> str:
        """Return the revision, a short hash made whole, for the library knows only whole ones of the hub."""
        if not _SHORT_COMMIT.fullmatch(self.revision) or Path(self.repository).is_dir():  # a copy has no commits
            return self.revision
        import huggingface_hub  # as above

        try:
            commits = huggingface_hub.HfApi().list_repo_commits(self.repository, repo_type="dataset")
        except Exception:  # as above; without a network the library's cache may have the commit
            return self.revision
        found = [commit.commit_id for commit in commits if commit.commit_id.startswith(self.revision)]
        if len(found) != 1:
            raise DataError(f"{len(found)} of its {len(commits)} commits begin with {self.revision}")
        return str(found[0])

    @cached_property
    def _splits(self) -> dict[str, Any]:
        """The datasets of the library, by our name of the split."""
        builder = self._builder
        try:
            if self._fetch == "stream":
                loaded = builder.as_streaming_dataset()
            else:
                builder.download_and_prepare()
                loaded = builder.as_dataset()
        except Exception as error:  # cut off, disk full, broken file
            raise self._unreadable(error) from error
        return {self._split_names.get(name, name): split for name, split in loaded.items()}

    @property
    def commit(self) -> str | None:
        """The commit that is read; None for a dataset that does not come from the hub.

        Raises:
            DataError: the hub cannot be read; the message names the local alternative.
        """
        found = str(self._builder.hash)
        return found if _COMMIT.fullmatch(found) else None

    def splits(self) -> tuple[str, ...]:
        """Return the names of the splits.

        Raises:
            DataError: the hub cannot be read; the message names the local alternative.
        """
        return tuple(self._splits)

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split.

        Raises:
            DataError: a language has no column, or a row has no text in it, with the row's number from 1; or the hub
                cannot be read any more.
        """
        row = 0
        for batch in self._batches(split):
            for pair in zip(*(self._column(batch, language, split) for language in self._languages), strict=True):
                row += 1
                for language, text in zip(self._languages, pair, strict=True):
                    if not isinstance(text, str):
                        raise DataError(
                            f"dataset {self.repository}, split {split}, row {row}: {language!r} must be text, "
                            f"but is {text!r} instead"
                        )
                yield single_line(pair[0]), single_line(pair[1])

    def size(self, split: str) -> int | None:
        """Return the number of rows of a split; None where a stream does not tell."""
        loaded = self._splits[split]
        if self._fetch != "stream":
            return int(loaded.num_rows)
        entry = (self._builder.info.splits or {}).get(str(loaded.split))
        return entry.num_examples if entry is not None and entry.num_examples else None

    def _batches(self, split: str) -> Iterator[Mapping[str, list[Any]]]:
        """Yield columns of some rows; what the library raises on the way becomes an error of the user's."""
        batches = iter(self._splits[split].iter(batch_size=ROWS_AT_ONCE))
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except Exception as error:  # a stream can break at any row
                raise self._unreadable(error) from error
            yield batch

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
        """Return what decides the text: repository and commit.

        Where there is no commit, it is the SHA-256 of the text of each split.
        """
        if self.commit is not None:
            place = {"config": self._config, "data_dir": self._data_dir}
            return {"repository": self.repository, "commit": self.commit, **place}
        digests = {}
        for split in self._splits:
            digest = hashlib.sha256()
            for source, target in self.pairs(split):
                digest.update(f"{source}\n{target}\n".encode())
            digests[split] = digest.hexdigest()
        return {"repository": self.repository, "revision": self.revision, "sha256": digests}

    def _call(self) -> str:
        """The call of the library that has to work."""
        places = [repr(self.repository)] + ([repr(self._config)] if self._config else [])
        places += [f"data_dir={self._data_dir!r}"] if self._data_dir else []
        revision = "main" if _SHORT_COMMIT.fullmatch(self.revision) else self.revision  # the call wants whole hashes
        return f"datasets.load_dataset({', '.join(places)}, revision={revision!r})"

    def _unreadable(self, error: Exception) -> DataError:
        lines = str(error).strip().splitlines() or ["no reason given"]
        reason = lines[0] if isinstance(error, DataError) else f"{type(error).__name__}: {lines[0]}"
        return DataError(
            f"dataset {self.repository} (revision {self.revision}) could not be read from the hub: "
            f"{reason.rstrip('.')}. The call that must work in Python is {self._call()}. {self._way_out}"
        )
