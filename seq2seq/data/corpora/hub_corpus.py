"""Corpora of the Hugging Face hub by name: WMT, IWSLT 2017, OPUS. What differs between them stands in their YAML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

from seq2seq.data.corpora.base import TRAIN, Corpus
from seq2seq.data.corpora.held_out import Cut, HeldOut
from seq2seq.data.corpora.hub import Fetch, HubDataset
from seq2seq.data.formats import Pair
from seq2seq.errors import ConfigError, listing

PAIR = "{pair}"
"""Stands for the pair of languages in a configuration or folder of the hub."""


class HubCorpus(Corpus):
    """A dataset of the hub that has one configuration or folder for each pair of languages.

    The hub has most pairs in one direction only. The other direction reads the same text and swaps its sides.

    Args:
        source: language to translate from.
        target: language to translate into.
        name: short name for folders and logs.
        repository: name on the hub, ``owner/dataset``.
        revision: branch, tag or hash of a commit, of which seven digits are enough; the commit that is read goes
            into the fingerprint.
        pairs: the pairs of languages there are, as the hub spells them, such as ``de-en``.
        config: configuration of the hub, where ``{pair}`` stands for the pair; None where there is but one.
        data_dir: folder of the repository, likewise; None for all of it.
        fetch: ``stream`` reads over the network and keeps nothing, ``download`` keeps the text in the hub's cache.
        held_out: what is cut from the training text for the splits that the hub lacks; None for nothing.
    """

    def __init__(
        self,
        *,
        source: str,
        target: str,
        name: str,
        repository: str,
        revision: str,
        pairs: Sequence[str],
        config: str | None,
        data_dir: str | None,
        fetch: Fetch,
        held_out: HeldOut | None,
    ) -> None:
        if not re.fullmatch(r"\w[\w-]*", name):
            raise ConfigError(f"`name` must be letters, digits, '_' and '-', but is {name!r} instead")
        self.name = name  # one class serves every corpus of the hub
        super().__init__(source, target, languages={code for pair in pairs for code in pair.split("-")})
        wanted = [f"{source}-{target}", f"{target}-{source}"]
        pair = next((pair for pair in wanted if pair in pairs), None)
        if pair is None:
            raise ConfigError(
                f"`target` must make a pair that {name} has, in either direction ({listing(pairs)}), "
                f"but {source}-{target} is none"
            )
        self._swapped = pair != wanted[0]
        self._held_out = held_out
        self._dataset = HubDataset(
            repository,
            revision=revision,
            config=config and config.replace(PAIR, pair),
            data_dir=data_dir and data_dir.replace(PAIR, pair),
            fetch=fetch,
            source=source,
            target=target,
            split_names=self.aliases,
            way_out=(
                "Or give a folder of files train.<language> and validation.<language> from elsewhere: "
                f"`data=files data.root=FOLDER data.source={source} data.target={target}`"
            ),
        )

    @cached_property
    def _cut(self) -> Cut | None:
        """The splits cut from the training text; None where the hub has all that is wanted."""
        present = self._dataset.splits()
        if self._held_out is None or not (sizes := self._held_out.sizes(present)):
            return None
        return Cut(self._dataset.pairs(TRAIN), sizes, seed=self._held_out.seed, swapped=self._swapped)

    def splits(self) -> tuple[str, ...]:
        """Return the splits of the hub and those cut from the training text.

        Raises:
            DataError: the hub cannot be read; the message names the local alternative.
        """
        return (*self._dataset.splits(), *(self._cut.sizes if self._cut else ()))

    def pairs(self, split: str) -> Iterator[Pair]:
        """Yield the pairs of a split; see :meth:`HubDataset.pairs` for what is refused."""
        split = self.resolve(split)
        cut = self._cut
        if cut is None or (split != TRAIN and split not in cut.sizes):
            yield from self._dataset.pairs(split)
        else:
            yield from (pair for pair in self._dataset.pairs(TRAIN) if cut.split_of(pair) == split)

    def size(self, split: str) -> int | None:
        """Return the number of pairs of a split, of training text with what is cut from it."""
        split = self.resolve(split)
        return self._cut.sizes[split] if self._cut and split in self._cut.sizes else self._dataset.size(split)

    def fingerprint(self) -> dict[str, Any]:
        """Return what decides the text: the commit of the hub and the cut."""
        cut = self._held_out and asdict(self._held_out)
        return {"hub": self._dataset.fingerprint(), "held_out": cut}

    def describe(self) -> str:
        """Return one line for logs and reports."""
        origin = f"{self._dataset.repository}, revision {self._dataset.revision}"
        cut = ""
        if self._held_out is not None and self._cut is not None:
            sizes = " and ".join(f"{size:,} {split}" for split, size in self._cut.sizes.items())
            cut = f"; {sizes} pairs cut from train with seed {self._held_out.seed}"
        return f"{self.name} {self.source}-{self.target} from the hub ({origin}){cut}"
