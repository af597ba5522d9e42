"""From a corpus to prepared data: read, clean and count, train the tokenizer, encode, write. Done once, then reused.

The training text streams through twice, first as clean text to a temporary file, then as ids to the store, so
memory does not grow with the corpus. A folder appears under its final name only once it is complete.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
import random
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

import seq2seq
from seq2seq.data.cleaning import Cleaner, CleaningConfig
from seq2seq.data.corpora import TRAIN, VALIDATION, Corpus
from seq2seq.data.formats import Pair, read_pairs
from seq2seq.data.store import FORMAT, Prepared, PreparedData, SequenceWriter, write_manifest
from seq2seq.data.tokenizer import Tokenizer, TokenizerConfig, train_tokenizer
from seq2seq.errors import DataError

CHUNK = 10_000
"""Pairs encoded together: enough for all threads, little enough to stay in cache."""

_SAMPLE_SEED = 1  # fixed, not the run's: runs that differ in their seed share one vocabulary
_TEMPORARY = re.compile(r"\.tmp-(?P<host>.+)-(?P<process>\d+)-[0-9a-f]{8}")


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
        "cleaning": asdict(cleaning),
        "tokenizer": asdict(tokenizer),
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    folder = root / f"{corpus.name}-{corpus.source}-{corpus.target}-{key[:12]}"
    root.mkdir(parents=True, exist_ok=True)
    _remove_stale(root)
    if folder.exists():
        try:
            data = PreparedData(folder)
        except DataError as error:
            report(f"{error}. Preparing {folder.name} again")
            _discard(folder)
        else:
            report(f"Reusing prepared data in {folder}")
            return data

    temporary = _temporary(root)
    temporary.mkdir()
    try:
        started = time.monotonic()
        report(f"Preparing {corpus.describe()}")
        _Build(corpus, cleaning, tokenizer, temporary, report).run(key, identity["fingerprint"])
        _publish(temporary, folder)
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
        self.cleaner = Cleaner(cleaning)
        self.splits: dict[str, dict[str, Any]] = {}

    def run(self, key: str, fingerprint: dict[str, Any]) -> None:
        """Fill the folder; the manifest is the last file."""
        corpus = self.corpus
        for split in corpus.splits():  # first, so that a fault in a small file shows at once
            if split != TRAIN:
                self._copy_text(split)
        clean = (self.folder / "clean.source", self.folder / "clean.target")
        sample = self._clean(*clean)
        models = self._train_tokenizers(sample)
        trained = [*models.values()]
        del sample  # the largest thing in memory
        self.source_tokenizer, self.target_tokenizer = trained[0], trained[-1]
        self._encode(TRAIN, read_pairs(*clean), drop=True)
        for path in clean:
            path.unlink()
        self._refuse_nothing("kept after cleaning")
        self.report(f"Training pairs: {self.cleaner.summary()}")
        if VALIDATION in self.splits:
            self._encode(VALIDATION, corpus.pairs(VALIDATION), drop=False)
        values = {
            "key": key,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "corpus": {"name": corpus.name, "description": corpus.describe(), "fingerprint": fingerprint},
            "source": corpus.source,
            "target": corpus.target,
            "splits": {name: self.splits[name] for name in corpus.splits()},
            "aliases": dict(corpus.aliases),
            "cleaning": {"settings": asdict(self.cleaning), "counts": self.cleaner.counts},
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
        write_manifest(self.folder, values)

    def _clean(self, source_path: Path, target_path: Path) -> list[Pair]:
        """Write the clean training text, one file a side; return an even sample of it (Vitter, 1985)."""
        draw = random.Random(_SAMPLE_SEED)
        sample: list[Pair] = []
        passed = 0
        with source_path.open("w", encoding="utf-8") as source, target_path.open("w", encoding="utf-8") as target:
            for raw in self.corpus.pairs(TRAIN):
                pair = self.cleaner.text(raw)
                if pair is None:
                    continue
                source.write(pair[0] + "\n")
                target.write(pair[1] + "\n")
                passed += 1
                if len(sample) < self.config.sample:
                    sample.append(pair)
                elif (place := draw.randrange(passed)) < self.config.sample:
                    sample[place] = pair
        if not passed:
            self._refuse_nothing("left")
        return sample

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

    def _encode(self, split: str, pairs: Iterable[Pair], *, drop: bool) -> None:
        """Write the ids of a split; ``drop`` leaves out what the cleaner refuses."""
        source_stem = self.folder / f"{split}.{self.corpus.source}"
        target_stem = self.folder / f"{split}.{self.corpus.target}"
        count = 0
        with (
            SequenceWriter(source_stem, self.source_tokenizer.vocab_size) as source_writer,
            SequenceWriter(target_stem, self.target_tokenizer.vocab_size) as target_writer,
        ):
            for chunk in _chunks(pairs):
                sources, targets = zip(*chunk, strict=True)
                encoded = zip(
                    self.source_tokenizer.encode(sources), self.target_tokenizer.encode(targets), strict=True
                )
                kept = [pair for pair in encoded if not drop or self.cleaner.keeps(*pair)]
                source_writer.append([source for source, _ in kept])
                target_writer.append([target for _, target in kept])
                count += len(kept)
            tokens = {"source_tokens": source_writer.tokens, "target_tokens": target_writer.tokens}
        self.splits[split] = {"pairs": count, "ids": True, **tokens}

    def _copy_text(self, split: str) -> None:
        """Write the raw text of a split, which scores are computed against: every pair, nothing changed."""
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

    def _refuse_nothing(self, stage: str) -> None:
        if not self.cleaner.counts["kept"]:
            raise DataError(
                f"{self.corpus.describe()} must have training pairs, but none is {stage}: {self.cleaner.summary()}"
            )


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, CHUNK)):
        yield chunk


def _temporary(root: Path) -> Path:
    """Return a new name that tells whose it is, so that what a dead process left behind can be told apart."""
    return root / f".tmp-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _publish(temporary: Path, folder: Path) -> None:
    """Give a complete folder its final name, unless another process was first."""
    for path in temporary.iterdir():
        with path.open("rb") as handle:
            os.fsync(handle.fileno())  # or a power cut could leave the name but not the bytes
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
        # Both were built from the same key, so the other one's is as good; the caller removes ours.


def _discard(folder: Path) -> None:
    """Remove a folder so that no other process ever sees half of it."""
    grave = _temporary(folder.parent)
    try:
        folder.rename(grave)
    except FileNotFoundError:
        return  # another process did it
    shutil.rmtree(grave, ignore_errors=True)


def _remove_stale(root: Path) -> None:
    """Remove temporary folders of processes of this machine that no longer live."""
    for path in root.glob(".tmp-*"):
        match = _TEMPORARY.fullmatch(path.name)
        if match and match["host"] == socket.gethostname() and not _alive(int(match["process"])):
            shutil.rmtree(path, ignore_errors=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
