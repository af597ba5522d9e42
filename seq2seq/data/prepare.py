"""From a corpus to prepared data: read, clean and count, train the tokenizer, encode, write. Done once, then reused.

The training text streams through twice, first as clean text to a temporary file, then as ids to the store, so
memory does not grow with the corpus (but for what finds duplicates, see :mod:`seq2seq.data.hashing`). A folder
appears under its final name only once it is complete.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import platform
import random
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

import seq2seq
from seq2seq.data.cleaning import Cleaner, CleaningConfig, EarlierPairs, EvaluationText
from seq2seq.data.corpora import TRAIN, Corpus, is_validation
from seq2seq.data.encoding import SplitEncoder, in_chunks, linked_pairs
from seq2seq.data.folders import discard, publish, remove_stale, temporary_name
from seq2seq.data.formats import Pair, read_pairs
from seq2seq.data.given import given_tokenizers, refuse_missing_tags
from seq2seq.data.manifest import FORMAT, write_manifest
from seq2seq.data.model_fields import model_type
from seq2seq.data.portion import PortionBuild, total
from seq2seq.data.reservoir import Reservoir
from seq2seq.data.statistics import Examples, coverage, write_statistics
from seq2seq.data.store import Prepared, PreparedData, side_names
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer
from seq2seq.errors import DataError, listing

_ANY = 2**32 - 1  # pieces, where nothing limits them
_SAMPLE_SEED = 1  # fixed, not the run's: runs that differ in their seed share one vocabulary


def prepare(
    corpus: Corpus,
    cleaning: CleaningConfig,
    tokenizer: TokenizerConfig,
    *,
    root: Path,
    report: Callable[[str], None],
) -> PreparedData:
    """Return the prepared data of a corpus, building it unless ``root`` has it already.

    Args:
        corpus: where the pairs come from; a :class:`Prepared` one is used as it is.
        cleaning: which training pairs are kept.
        tokenizer: how the vocabulary is made.
        root: folder of all prepared data.
        report: gets a line of text at each stage, for the user.

    Raises:
        DataError: the corpus cannot be read or used.
        ConfigError: the tokenizer that is given cannot be used.
    """
    if isinstance(corpus, Prepared):
        report(f"Using {corpus.describe()}")
        return corpus.data
    given = () if tokenizer.model is None else given_tokenizers(tokenizer.model)
    if given:
        refuse_missing_tags(given[0], target_languages(corpus))
    identity: dict[str, Any] = {
        "format": FORMAT,
        "fingerprint": corpus.fingerprint(),
        "languages": [corpus.source, corpus.target],
        "cleaning": cleaning.identity(),
        "tokenizer": tokenizer.identity() if not given else {"models": [model.sha256 for model in given]},
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    folder = root / f"{corpus.name}-{corpus.source}-{corpus.target}-{key[:12]}"
    root.mkdir(parents=True, exist_ok=True)
    remove_stale(root)
    if folder.exists():
        try:
            data = PreparedData(folder)
        except DataError as error:
            report(f"{error}. Preparing {folder.name} again")
            discard(folder)
        else:
            report(f"Reusing prepared data in {folder}")
            return data

    temporary = temporary_name(root)
    temporary.mkdir()
    try:
        started = time.monotonic()
        report(f"Preparing {corpus.describe()}")
        _Build(corpus, cleaning, tokenizer, given, temporary, report).run(key, identity["fingerprint"])
        publish(temporary, folder)
        report(f"Prepared {folder} in {time.monotonic() - started:.1f} s")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return PreparedData(folder)


def target_languages(corpus: Corpus) -> list[str]:
    """Return the languages that training sources are to be translated into, in the order of their portions."""
    return [*dict.fromkeys(portion.target for portion in corpus.portions().values())]


class _Build:
    """One preparation: the steps share the corpus, the counts and the folder."""

    def __init__(
        self,
        corpus: Corpus,
        cleaning: CleaningConfig,
        tokenizer: TokenizerConfig,
        given: Sequence[Tokenizer],
        folder: Path,
        report: Callable[[str], None],
    ) -> None:
        self.corpus, self.cleaning, self.config, self.given = corpus, cleaning, tokenizer, given
        self.folder, self.report = folder, report
        self.sides = side_names(corpus.source, corpus.target)
        self.splits: dict[str, dict[str, Any]] = {}

    def run(self, key: str, fingerprint: dict[str, Any]) -> None:
        """Fill the folder; the manifest is the last file."""
        corpus = self.corpus
        for split in corpus.splits():  # first, so that a fault in a small file shows at once
            if split != TRAIN:
                self._copy_text(split)
        examples = Examples()
        earlier: dict[tuple[str, str], EarlierPairs] = {}
        portions = self._portions(examples, earlier)
        aligned = {TRAIN} if any(portion.aligned for portion in portions) else set()
        aligned |= {split for split in self.splits if corpus.alignments(split) is not None}
        if aligned:
            self.report(f"Word alignments: {listing(split for split in corpus.splits() if split in aligned)}")
        sample: Reservoir[Pair] = Reservoir(self.config.sample, random.Random(_SAMPLE_SEED))
        for portion in portions:
            portion.clean(sample)
        models = self._given_tokenizers() if self.given else self._train_tokenizers(sample.kept)
        del sample  # the largest thing in memory
        trained = [*models.values()]
        encoder = SplitEncoder(self.folder, self.sides, (trained[0], trained[-1]))
        longest = self.cleaning.max_length or _ANY
        with encoder.split(TRAIN, longest=longest + 1 if TRAIN in aligned else None) as writer:  # with a tag
            for portion in portions:
                portion.encode(writer)
        for split in filter(is_validation, self.splits):
            with encoder.split(split, longest=_ANY if split in aligned else None) as writer:
                pairs = linked_pairs(split, corpus.pairs(split), corpus.alignments(split))
                writer.write(in_chunks(pairs), corpus.languages(split)[1])
        self._tell(portions)
        values = {
            "key": key,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "corpus": {"name": corpus.name, "description": corpus.describe(), "fingerprint": fingerprint},
            "source": corpus.source,
            "target": corpus.target,
            "portions": [portion.entry for portion in portions],
            "splits": {
                name: self.splits.get(name, {})
                | encoder.entries.get(name, {})
                | ({"aligned": True} if name in aligned else {})
                for name in corpus.splits()
            },
            "aliases": dict(corpus.aliases),
            "cleaning": {
                "settings": asdict(self.cleaning),
                "counts": total([portion.cleaner.counts for portion in portions]),
                "overlap": total([portion.cleaner.overlap for portion in portions]),
                "duplicates": {
                    "pairs": sum(one.duplicates["pairs"] for one in earlier.values()),
                    "exact": all(one.duplicates["exact"] for one in earlier.values()),
                },
            },
            "tokenizer": {
                "settings": self._settings(),
                "files": {name: model.sha256 for name, model in models.items()},
            },
            "versions": {
                "seq2seq": seq2seq.__version__,
                "python": platform.python_version(),
                "numpy": np.__version__,
                "sentencepiece": sentencepiece.__version__,
            },
        }
        train = encoder.statistics[TRAIN]
        uses = [train.source.uses, train.target.uses]
        if len(models) == 1:
            uses = [uses[0] + uses[1]]
        statistics = {
            "examples": examples.pairs,
            "splits": {split: found.values() for split, found in encoder.statistics.items()},
            "coverage": {name: coverage(counts) for name, counts in zip(models, uses, strict=True)},
        }
        write_statistics(self.folder, statistics)
        write_manifest(self.folder, values)

    def _portions(self, examples: Examples, earlier: dict[tuple[str, str], EarlierPairs]) -> list[PortionBuild]:
        """Return what builds each portion; ``earlier`` is filled, for the portions of a direction share theirs."""
        evaluation = EvaluationText()
        for split in self.splits:
            evaluation.add(self.corpus.languages(split), read_pairs(*self._text_files(split)))
        portions = []
        for name, one in self.corpus.portions().items():
            direction = one.source, one.target
            seen = earlier.setdefault(direction, EarlierPairs(self.cleaning.duplicates))
            cleaner = Cleaner(self.cleaning, *direction, evaluation, seen)
            portions.append(PortionBuild(name, one, cleaner, examples, self.folder, self.report))
        return portions

    def _tell(self, portions: Sequence[PortionBuild]) -> None:
        """Report how many pairs were kept."""
        for portion in portions:
            of = f" of {portion.name}" if len(portions) > 1 else ""
            self.report(f"Training pairs{of}: {portion.cleaner.summary()}")
        shared = total([portion.cleaner.overlap for portion in portions])
        if not shared["either"]:
            return
        setting = self.cleaning.decontaminate
        outcome = f"those that share {'a side' if setting == 'either' else f'the {setting}'} are dropped"
        if setting == "none":
            outcome = "kept; cleaning.decontaminate=either drops them"
        self.report(
            f"Training pairs that are in other splits too: {shared['source']:,} by source, {shared['target']:,} by "
            f"target, {shared['both']:,} by both ({outcome})"
        )

    def _text_files(self, split: str) -> list[Path]:
        return [self.folder / f"{split}.{code}.txt" for code in self.corpus.languages(split)]

    def _train_tokenizers(self, sample: list[Pair]) -> dict[str, Tokenizer]:
        """Train one model or two; return them by file name, source first."""
        if self.config.joint:
            texts: list[Iterable[str]] = [itertools.chain.from_iterable(sample)]
        else:
            texts = [map(itemgetter(place), sample) for place in range(len(self.sides))]
        languages = target_languages(self.corpus)
        models: dict[str, Tokenizer] = {}
        for name, sentences in zip(self._model_names(len(texts)), texts, strict=True):
            # Sources say which language they are to become, where there is a choice.
            tags = languages if len(languages) > 1 and not models else []
            models[name] = train_tokenizer(sentences, self.config, self.folder / name, tags=tags)
        sizes = f"{self.config.vocab_size:,} pieces" + ("" if self.config.joint else " for each language")
        self.report(f"Tokenizer: {self.config.type}, {sizes}, from {len(sample):,} pairs")
        return models

    def _given_tokenizers(self) -> dict[str, Tokenizer]:
        """Write the given models; return them by file name, source first."""
        models = dict(zip(self._model_names(len(self.given)), self.given, strict=True))
        for name, model in models.items():
            model.save(self.folder / name)
        sizes = " and ".join(f"{model.vocab_size:,}" for model in self.given)
        self.report(f"Tokenizer: {sizes} pieces, from {self.config.model}")
        return models

    def _settings(self) -> dict[str, Any]:
        """Return what the vocabulary was made with, or of given models what is true of them."""
        if not self.given:
            return asdict(self.config)
        first = self.given[0]
        return {
            "model": self.config.model,
            "type": model_type(first.serialized),
            "vocab_size": first.vocab_size,
            "joint": len(self.given) == 1,
        }

    def _model_names(self, count: int) -> list[str]:
        return ["tokenizer.model"] if count == 1 else [f"tokenizer.{side}.model" for side in self.sides]

    def _copy_text(self, split: str) -> None:
        """Write the raw text of a split, which scores are computed against, and its links: nothing changed."""
        paths = self._text_files(split)
        count = 0
        with paths[0].open("w", encoding="utf-8") as source, paths[1].open("w", encoding="utf-8") as target:
            for pair in self.corpus.pairs(split):
                source.write(pair[0] + "\n")
                target.write(pair[1] + "\n")
                count += 1
        if not count:
            raise DataError(
                f"split {split!r} of {self.corpus.describe()} must have pairs, but is empty; remove or fill it"
            )
        self.splits[split] = {"pairs": count, "ids": False, "languages": list(self.corpus.languages(split))}
        if (lines := self.corpus.alignments(split)) is not None:
            with (self.folder / f"{split}.align.txt").open("w", encoding="utf-8") as handle:
                handle.writelines(line + "\n" for line in lines)
