"""Multi30k: 29,000 image captions in English, German, French and Czech (Elliott et al., 2016)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

from seq2seq.data.corpora.base import ALIASES, Corpus
from seq2seq.data.corpora.files import FORMS, ParallelFolder
from seq2seq.data.corpora.hub import HubDataset
from seq2seq.data.formats import Pair
from seq2seq.errors import ConfigError, DataError

LANGUAGES = ("cs", "de", "en", "fr")
REPOSITORY = "bentrevett/multi30k"
REVISION = "main"  # the dataset has no tags; the fingerprint holds the commit, should the branch move
HUB_LANGUAGES = ("de", "en")
DATA_VARIABLE = "SEQ2SEQ_DATA"
WAY_OUT = (
    f"Give a local folder of files {FORMS} with `data.root=FOLDER`, "
    f"or set {DATA_VARIABLE} to a folder that holds such a folder `multi30k`"
)


class Multi30k(Corpus):
    """Multi30k, task 1, raw text, in any direction between cs, de, en and fr.

    Read from ``root`` if given; else from the folder ``multi30k`` in the folder that the environment variable
    SEQ2SEQ_DATA names, if set; else from the hub, which has German and English only. ``test`` means
    ``test_2016_flickr``, the set that papers report; the hub calls the same sentences ``test``.

    Args:
        source: language to translate from.
        target: language to translate into.
        root: local folder of files ``<split>.<language>``, plain or compressed.
    """

    name = "multi30k"
    aliases = MappingProxyType({**ALIASES, "test": "test_2016_flickr"})

    def __init__(self, *, source: str, target: str, root: str | None) -> None:
        super().__init__(source, target, languages=LANGUAGES)
        if root is None and (data := os.environ.get(DATA_VARIABLE)):
            folder = Path(data) / "multi30k"
            if not folder.is_dir():
                raise DataError(
                    f"{folder} must be a folder of files {FORMS}, because {DATA_VARIABLE} is set, but is not there; "
                    f"give data.root=FOLDER, or unset {DATA_VARIABLE} to read from the hub"
                )
            root = str(folder)
        self._origin: ParallelFolder | HubDataset
        if root is not None:
            self._origin = ParallelFolder(Path(root), source, target)
            return
        for key, code in (("source", source), ("target", target)):
            if code not in HUB_LANGUAGES:
                raise ConfigError(f"`{key}` must be de or en on the hub, but is {code!r} instead. {WAY_OUT}")
        self._origin = HubDataset(
            REPOSITORY,
            revision=REVISION,
            config=None,
            data_dir=None,
            fetch="download",
            source=source,
            target=target,
            split_names=self.aliases,
            way_out=WAY_OUT,
        )

    def splits(self) -> tuple[str, ...]:
        """Return the splits that have both languages; the 2017 test set has no Czech."""
        return self._origin.splits()

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the captions of a split, as published."""
        return self._origin.pairs(self.resolve(split))

    def size(self, split: str) -> int | None:
        """Return the number of pairs of a split."""
        return self._origin.size(self.resolve(split))

    def alignments(self, split: str) -> Iterator[str] | None:
        """Return the lines of links of a split that a local folder has; the hub has none."""
        return self._origin.alignments(self.resolve(split)) if isinstance(self._origin, ParallelFolder) else None

    def fingerprint(self) -> dict[str, Any]:
        """Return the hashes of the files or the commit of the hub."""
        return {"multi30k": self._origin.fingerprint()}

    def describe(self) -> str:
        """Return one line for logs and reports."""
        where = self._origin.root if isinstance(self._origin, ParallelFolder) else f"the hub ({REPOSITORY})"
        return f"Multi30k {self.source}-{self.target} from {where}"
