"""Test sets by the names that sacreBLEU gives them, such as ``wmt14/full``, from its own cache (Post, 2018)."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import sacrebleu.utils
from sacrebleu.dataset import DATASETS

from seq2seq.data.formats import Pair, read_pairs
from seq2seq.errors import DataError, listing, suggest

PATIENCE = 60.0
"""Seconds that a server may keep silent while sacreBLEU downloads from it."""


@dataclass(frozen=True)
class NamedTestSet:
    """A test set of sacreBLEU for one pair of languages.

    Attributes:
        pairs: source sentences and their references, in order.
        origin: where they come from, by name of the fact; facts that sacreBLEU does not know are missing.
    """

    pairs: list[Pair]
    origin: dict[str, str]


def load_test_set(name: str, source: str, target: str) -> NamedTestSet:
    """Read a test set from sacreBLEU's cache, which sacreBLEU fills where there is a network.

    The cache is the folder that the environment variable SACREBLEU names, or ``~/.sacrebleu``.

    Args:
        name: such as ``wmt14/full``, ``wmt20``, ``iwslt17`` or ``multi30k/2016``.
        source: language to translate from.
        target: language to translate into.

    Raises:
        DataError: sacreBLEU has no such set, or not for these languages; it has several references; or it is not in
            the cache and cannot be downloaded: the message names the cache and the command that fills it.
    """
    languages = f"{source}-{target}"
    refuse_unknown(name, languages)
    folder = Path(sacrebleu.utils.SACREBLEU_DIR) / name
    # sacreBLEU takes a download that broke off for whole, and leaves through sys.exit where a checksum is wrong.
    mend = (
        f"Where there is a network, `sacrebleu -t {name} -l {languages} --echo src` fills the cache {folder}; where "
        "there is none, copy that folder there. If it is damaged, delete it. SACREBLEU names another cache"
    )
    with _complaints() as complaints:
        try:
            source_file = sacrebleu.utils.get_source_file(name, languages)
            reference_files = sacrebleu.utils.get_reference_files(name, languages)
        except (Exception, SystemExit) as error:
            words = complaints or [f"{type(error).__name__}: {error}"]
            raise DataError(
                f"test set {name} could not be read for {languages}: {words[0].strip().splitlines()[0]}. {mend}"
            ) from error
    if len(reference_files) != 1:
        raise DataError(
            f"`testset` must have one reference for each sentence, but {name} has {len(reference_files)} for "
            f"{languages}; score its translations with `sacrebleu -t {name} -l {languages}`"
        )
    try:
        pairs = list(read_pairs(source_file, reference_files[0]))
    except DataError as error:
        raise DataError(f"{error}. {mend}") from error
    if not pairs:
        raise DataError(f"test set {name} must have sentences, but has none for {languages}. {mend}")
    return NamedTestSet(pairs, origin_of(name, languages))


def refuse_unknown(name: str, languages: str) -> None:
    """Refuse a test set that sacreBLEU does not have for a pair of languages, such as ``en-de``."""
    known = [each for each, dataset in DATASETS.items() if languages in dataset.langpairs]
    if name in known:
        return
    there_are = f"For {languages} there are {listing(known)}"
    if name in DATASETS:
        pairs = listing(DATASETS[name].langpairs)
        raise DataError(f"`testset` must have the pair {languages}, but {name} has only {pairs}. {there_are}")
    near = suggest(name, known or DATASETS) or "."
    raise DataError(f"`testset` must be one of sacreBLEU's test sets, but is {name!r} instead{near} {there_are}")


def origin_of(name: str, languages: str) -> dict[str, str]:
    """Return what sacreBLEU knows of a test set."""
    dataset = DATASETS[name]
    facts = {
        "name": name,
        "languages": languages,
        "source": f"sacreBLEU {version('sacrebleu')}",
        "description": dataset.description,
        "citation": dataset.citation,
        "downloads": " ".join(dataset.data or []),
        "md5": " ".join(dataset.md5 or []),
    }
    return {fact: " ".join(words.split()) for fact, words in facts.items() if words}


@contextlib.contextmanager
def _complaints() -> Iterator[list[str]]:
    """Collect what sacreBLEU logs as errors instead of printing it; give up on servers that keep silent."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    logger, collector = logging.getLogger("sacrebleu"), Collector(logging.ERROR)
    patience, propagate = socket.getdefaulttimeout(), logger.propagate
    logger.addHandler(collector)
    logger.propagate = False
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield found
    finally:
        socket.setdefaulttimeout(patience)
        logger.removeHandler(collector)
        logger.propagate = propagate
