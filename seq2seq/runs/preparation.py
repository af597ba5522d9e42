"""Preparing a corpus for a run: what must be there, what may go wrong, and the report on what was found."""

from __future__ import annotations

import errno
import signal
import sys
from pathlib import Path

from seq2seq.data.cleaning import CleaningConfig
from seq2seq.data.corpora import Corpus, is_validation
from seq2seq.data.prepare import prepare
from seq2seq.data.store import Prepared, PreparedData
from seq2seq.data.tokenizer import TokenizerConfig
from seq2seq.data_report import write_data_report
from seq2seq.errors import DataError, listing
from seq2seq.signals import SignalHandling, exit_status
from seq2seq.terminal import say, warn

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def prepare_corpus(
    corpus: Corpus, cleaning: CleaningConfig, tokenizer: TokenizerConfig, *, root: Path, needs_links: bool
) -> PreparedData:
    """Make a corpus's token store and its data report, or find them made.

    Args:
        corpus: the pairs.
        cleaning: which training pairs are kept.
        tokenizer: how the vocabulary is made.
        root: folder of all prepared data.
        needs_links: whether the training text must have word alignments.

    Raises:
        DataError: the corpus cannot be used, lacks a validation split or links, or ``root`` cannot be written.
    """
    if not any(is_validation(split) for split in corpus.splits()):
        raise DataError(
            "`data` must have a validation split (for files: validation, valid, val or dev), "
            f"but has only {listing(corpus.splits())}"
        )
    for name, portion in corpus.portions().items():
        if not any(is_validation(split) for split in portion.splits()):
            warn(f"portion {name} has no validation split, so validation says nothing of it")
    if needs_links:
        refuse_missing_links(corpus)
    try:
        # A signal ends it like an error would, so that what is half done is removed.
        with SignalHandling(_leave):
            data = prepare(corpus, cleaning, tokenizer, root=root, report=say)
    except OSError as error:
        if error.errno in NO_ROOM:
            raise DataError(
                f"`prepared_dir` must have room for the prepared data, but {root} has none left: {error}; free some, "
                "or give another folder"
            ) from error
        raise DataError(f"`prepared_dir` must be a folder that can be written, but is not: {error}") from error
    if not isinstance(corpus, Prepared):
        _report_on(data)
    return data


def refuse_missing_links(corpus: Corpus) -> None:
    """Refuse an objective that learns from word alignments where the training text has none.

    Raises:
        DataError: says which file would hold them.
    """
    if isinstance(corpus, Prepared):
        links = corpus.data.links("train")
        found = links is not None and len(links.ids) > 0
    else:
        of_portions = [portion.alignments("train") for portion in corpus.portions().values()]
        # Possible links teach nothing.
        found = any("-" in line for lines in of_portions if lines is not None for line in lines)
    if not found:
        portions = corpus.portions().values()
        files = dict.fromkeys(f"train.{portion.source}-{portion.target}.align" for portion in portions)
        raise DataError(
            f"`objective` must have sure word links of training text to learn from, but {corpus.describe()} has none "
            f"instead; give {listing(files)} beside the text, with links such as 0-0 1-2 for each pair"
        )


def _report_on(data: PreparedData) -> None:
    try:
        page = write_data_report(data)
    except (OSError, DataError) as error:
        warn(f"there is no data report: {error}")
        return
    if page is not None:
        say(f"Data report: {page}")


def _leave(number: int) -> None:
    print(f"stopped by {signal.Signals(number).name}", file=sys.stderr)
    sys.exit(exit_status(number))
