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
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

import seq2seq
from seq2seq.data.alignment import format_links, links_after_cleaning, links_of
from seq2seq.data.cleaning import Cleaner, CleaningConfig, EarlierPairs, EvaluationText
from seq2seq.data.corpora import TRAIN, VALIDATION, Corpus
from seq2seq.data.encoding import Linked, SplitEncoder
from seq2seq.data.folders import discard, publish, remove_stale, temporary_name
from seq2seq.data.formats import Pair, read_lines, read_pairs
from seq2seq.data.progress import Progress
from seq2seq.data.statistics import Examples, coverage, write_statistics
from seq2seq.data.store import FORMAT, Prepared, PreparedData, write_manifest
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer
from seq2seq.errors import DataError, listing

CHUNK = 10_000
"""Pairs encoded together: enough for all threads, little enough to stay in cache."""

_ANY = 2**32  # pieces, where nothing limits them
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
    """
    if isinstance(corpus, Prepared):
        report(f"Using {corpus.describe()}")
        return corpus.data
    identity: dict[str, Any] = {
        "format": FORMAT,
        "fingerprint": corpus.fingerprint(),
        "languages": [corpus.source, corpus.target],
        "cleaning": cleaning.identity(),
        "tokenizer": asdict(tokenizer),
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
        _Build(corpus, cleaning, tokenizer, temporary, report).run(key, identity["fingerprint"])
        publish(temporary, folder)
        report(f"Prepared {folder} in {time.monotonic() - started:.1f} s")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return PreparedData(folder)


class _Build:
    """One preparation: the steps share the corpus, the counts and the folder."""

    def __init__(
        self,
        corpus: Corpus,
        cleaning: CleaningConfig,
        tokenizer: TokenizerConfig,
        folder: Path,
        report: Callable[[str], None],
    ) -> None:
        self.corpus, self.cleaning, self.config = corpus, cleaning, tokenizer
        self.folder, self.report = folder, report
        self.examples = Examples()
        self.splits: dict[str, dict[str, Any]] = {}
        self.aligned = [split for split in corpus.splits() if corpus.alignments(split) is not None]

    def run(self, key: str, fingerprint: dict[str, Any]) -> None:
        """Fill the folder; the manifest is the last file."""
        corpus = self.corpus
        if self.aligned:
            self.report(f"Word alignments: {listing(self.aligned)}")
        for split in corpus.splits():  # first, so that a fault in a small file shows at once
            if split != TRAIN:
                self._copy_text(split)
        languages = corpus.source, corpus.target
        evaluation, earlier = EvaluationText(), EarlierPairs(self.cleaning.duplicates)
        for split in self.splits:
            evaluation.add(languages, read_pairs(*self._text_files(split)))
        self.cleaner = Cleaner(self.cleaning, *languages, evaluation, earlier)
        clean = [self.folder / f"clean.{part}" for part in ("source", "target", "links")]
        source, target, links = clean
        sample, passed = self._clean(source, target, links)
        models = self._train_tokenizers(sample)
        trained = [*models.values()]
        del sample  # the largest thing in memory
        encoder = SplitEncoder(self.folder, languages, (trained[0], trained[-1]))
        lines = read_lines(links) if TRAIN in self.aligned else None
        pairs = _linked(TRAIN, read_pairs(source, target), lines)
        progress = Progress(self.report, "Encoding", passed)
        longest = self.cleaning.max_length or _ANY
        encoder.write(
            TRAIN, progress.over(_chunks(pairs)), aligned=TRAIN in self.aligned, longest=longest, keep=self._keep
        )
        for path in clean:
            path.unlink()
        self._refuse_nothing("kept after cleaning")
        self.report(f"Training pairs: {self.cleaner.summary()}")
        if self.cleaner.overlap["either"]:
            self.report(self._overlap())
        if VALIDATION in self.splits:
            chunks = _chunks(self._linked_pairs(VALIDATION))
            aligned = VALIDATION in self.aligned
            encoder.write(VALIDATION, chunks, aligned=aligned, longest=_ANY, keep=lambda source, target, pair: True)
        values = {
            "key": key,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "corpus": {"name": corpus.name, "description": corpus.describe(), "fingerprint": fingerprint},
            "source": corpus.source,
            "target": corpus.target,
            "splits": {
                name: self.splits.get(name, {})
                | encoder.entries.get(name, {})
                | ({"aligned": True} if name in self.aligned else {})
                for name in corpus.splits()
            },
            "aliases": dict(corpus.aliases),
            "cleaning": {
                "settings": asdict(self.cleaning),
                "counts": self.cleaner.counts,
                "overlap": self.cleaner.overlap,
                "duplicates": earlier.duplicates,
            },
            "tokenizer": {
                "settings": asdict(self.config),
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
        if self.config.joint:
            uses = [uses[0] + uses[1]]
        statistics = {
            "examples": self.examples.pairs,
            "splits": {split: found.values() for split, found in encoder.statistics.items()},
            "coverage": {name: coverage(counts) for name, counts in zip(models, uses, strict=True)},
        }
        write_statistics(self.folder, statistics)
        write_manifest(self.folder, values)

    def _keep(self, source: list[int], target: list[int], pair: Pair) -> bool:
        outcome = self.cleaner.decide(source, target)
        if outcome != "kept":
            self.examples.add(outcome, pair)
        return outcome == "kept"

    def _overlap(self) -> str:
        shared = self.cleaner.overlap
        setting = self.cleaning.decontaminate
        outcome = f"those that share {'a side' if setting == 'either' else f'the {setting}'} are dropped"
        if setting == "none":
            outcome = "kept; cleaning.decontaminate=either drops them"
        return (
            f"Training pairs that are in other splits too: {shared['source']:,} by source, {shared['target']:,} by "
            f"target, {shared['both']:,} by both ({outcome})"
        )

    def _text_files(self, split: str) -> tuple[Path, Path]:
        return self.folder / f"{split}.{self.corpus.source}.txt", self.folder / f"{split}.{self.corpus.target}.txt"

    def _linked_pairs(self, split: str) -> Iterator[Linked]:
        return _linked(split, self.corpus.pairs(split), self.corpus.alignments(split))

    def _clean(self, source_path: Path, target_path: Path, links_path: Path) -> tuple[list[Pair], int]:
        """Write the clean training text, one file a side, and its links where it has any.

        Returns:
            an even sample of it (Vitter, 1985), and the number of all clean pairs.
        """
        draw = random.Random(_SAMPLE_SEED)
        sample: list[Pair] = []
        passed = 0
        chunks = Progress(self.report, "Cleaning", None).over(_chunks(self._linked_pairs(TRAIN)))
        with (
            source_path.open("w", encoding="utf-8") as source,
            target_path.open("w", encoding="utf-8") as target,
            links_path.open("w", encoding="utf-8") as links_file,
            closing(self.cleaner.over(chunks, pair_of=itemgetter(0))) as cleaned,
        ):
            for chunk, outcomes in cleaned:
                for (raw, links), pair in zip(chunk, outcomes, strict=True):
                    if isinstance(pair, str):
                        self.examples.add(pair, raw)
                        continue
                    source.write(pair[0] + "\n")
                    target.write(pair[1] + "\n")
                    if TRAIN in self.aligned:
                        links_file.write(format_links(links_after_cleaning(links, raw, pair)) + "\n")
                    passed += 1
                    if len(sample) < self.config.sample:
                        sample.append(pair)
                    elif (place := draw.randrange(passed)) < self.config.sample:
                        sample[place] = pair
        if not passed:
            self._refuse_nothing("left")
        return sample, passed

    def _train_tokenizers(self, sample: list[Pair]) -> dict[str, Tokenizer]:
        """Train one model or two; return them by file name, source first."""
        if self.config.joint:
            texts: dict[str, Iterable[str]] = {"tokenizer.model": itertools.chain.from_iterable(sample)}
        else:
            texts = {
                f"tokenizer.{self.corpus.source}.model": (pair[0] for pair in sample),
                f"tokenizer.{self.corpus.target}.model": (pair[1] for pair in sample),
            }
        models = {
            name: train_tokenizer(sentences, self.config, self.folder / name) for name, sentences in texts.items()
        }
        sizes = f"{self.config.vocab_size:,} pieces" + ("" if self.config.joint else " for each language")
        self.report(f"Tokenizer: {self.config.type}, {sizes}, from {len(sample):,} pairs")
        return models

    def _copy_text(self, split: str) -> None:
        """Write the raw text of a split, which scores are computed against, and its links: nothing changed."""
        paths = (self.folder / f"{split}.{code}.txt" for code in (self.corpus.source, self.corpus.target))
        count = 0
        with next(paths).open("w", encoding="utf-8") as source, next(paths).open("w", encoding="utf-8") as target:
            for pair in self.corpus.pairs(split):
                source.write(pair[0] + "\n")
                target.write(pair[1] + "\n")
                count += 1
        if not count:
            raise DataError(
                f"split {split!r} of {self.corpus.describe()} must have pairs, but is empty; remove or fill it"
            )
        self.splits[split] = {"pairs": count, "ids": False}
        if (lines := self.corpus.alignments(split)) is not None:
            with (self.folder / f"{split}.align.txt").open("w", encoding="utf-8") as handle:
                handle.writelines(line + "\n" for line in lines)

    def _refuse_nothing(self, stage: str) -> None:
        if not self.cleaner.counts["kept"]:
            raise DataError(
                f"{self.corpus.describe()} must have training pairs, but none is {stage}: {self.cleaner.summary()}"
            )


def _linked(split: str, pairs: Iterable[Pair], lines: Iterable[str] | None) -> Iterator[Linked]:
    if lines is None:
        yield from zip(pairs, itertools.repeat([]), strict=False)
        return
    for number, (pair, line) in enumerate(zip(pairs, lines, strict=True), start=1):
        yield pair, links_of(line, pair, f"the links of pair {number} of split {split!r}")


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk
