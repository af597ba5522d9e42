"""Text in, text out: exactly one line for each line, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seq2seq import checkpoint
from seq2seq.config import parse
from seq2seq.data.batching import batches_in_order, make_batch, pack
from seq2seq.data.formats import single_line
from seq2seq.data.tokenizer import PAD, UNK, Tokenizer
from seq2seq.errors import DataError
from seq2seq.model import Architecture, Seq2SeqModel
from seq2seq.restoring import TRUSTED, check_size, load_weights
from seq2seq.runtime import DeviceName, choose_device
from seq2seq.search import Hypothesis, Request, Scorer, Search, Translation

BUFFERED_LINES = 2048
"""Lines read ahead while streaming: enough to fill batches of like length."""


class Translator:
    """A model with its tokenizers, ready to translate.

    Args:
        model: the model; put into evaluation mode while translating.
        source_tokenizer: splits the source.
        target_tokenizer: joins the target.
        warn: gets a line for each input that had to be cut.
    """

    def __init__(
        self,
        model: Seq2SeqModel,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        warn: Callable[[str], None] = print,
    ) -> None:
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.warn = warn

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: DeviceName = "auto",
        allow_code: Sequence[str] = (),
        warn: Callable[[str], None] = print,
    ) -> Translator:
        """Load a checkpoint, or the best one of a run folder.

        Args:
            path: checkpoint or run folder.
            device: where to compute.
            allow_code: further packages whose classes the checkpoint's configuration may name.
            warn: see the class.

        Raises:
            CheckpointError: there is no usable checkpoint.
            ConfigError: its configuration names foreign code or does not fit.
        """
        return cls.restore(checkpoint.load(checkpoint.locate(Path(path), warn)), device, allow_code, warn)

    @classmethod
    def restore(
        cls,
        snapshot: checkpoint.Snapshot,
        device: DeviceName = "auto",
        allow_code: Sequence[str] | None = (),
        warn: Callable[[str], None] = print,
    ) -> Translator:
        """Rebuild from a snapshot that is already read; ``allow_code`` None trusts it wholly, as one's own run.

        Raises:
            CheckpointError: its weights do not fit its configuration.
            ConfigError: its configuration names foreign code, or says what cannot be.
            DataError: its tokenizer cannot be used.
        """
        settings = snapshot.config["settings"]
        parts = {name: settings[name] for name in Architecture.__dataclass_fields__ if name in settings}
        architecture = parse(Architecture, parts, allowed=None if allow_code is None else (TRUSTED, *allow_code))
        models = snapshot.tokenizers
        both = "tokenizer.model" in models
        source = Tokenizer(models["tokenizer.model" if both else "source.model"])
        target = source if both else Tokenizer(models["target.model"])
        place = choose_device(device)
        check_size(architecture, (source.vocab_size, target.vocab_size), snapshot)
        model = architecture.build(source.vocab_size, target.vocab_size)
        load_weights(model, snapshot)
        return cls(model.to(place), source, target, warn)

    @property
    def models(self) -> Sequence[Seq2SeqModel]:
        """The models that translate as one: here there is one."""
        return (self.model,)

    def translate(self, lines: Sequence[str], search: Search, target: str | None = None) -> list[str]:
        """Translate lines; an empty line gives an empty line. For the rest, see :meth:`hypotheses`."""
        return [best[0].text for best in self.hypotheses(lines, search, target)]

    def stream(
        self,
        lines: Iterable[str],
        search: Search,
        target: str | None = None,
        prefixes: Iterable[str] | None = None,
    ) -> Iterator[list[Translation]]:
        """Give the ``n_best`` translations of lines as they come, some thousand at a time, in bounded memory.

        ``prefixes`` are as many as the lines; see :meth:`hypotheses` for the rest.
        """
        pending, done = iter(lines), 0
        starts = None if prefixes is None else iter(prefixes)
        while chunk := list(islice(pending, BUFFERED_LINES)):
            given = None if starts is None else list(islice(starts, len(chunk)))
            yield from self.hypotheses(chunk, search, target, given, first=done + 1)
            done += len(chunk)

    def encode(self, lines: Sequence[str], target: str | None) -> list[list[int]]:
        """Return the ids of source lines, tagged where the model has several target languages; none of empty lines.

        Raises:
            ConfigError: ``target`` is not one of those languages.
        """
        tag = self.source_tokenizer.tag(target)
        return [tag + ids if ids else ids for ids in self.source_tokenizer.encode(lines)]

    def hypotheses(
        self,
        lines: Sequence[str],
        search: Search,
        target: str | None = None,
        prefixes: Sequence[str] | None = None,
        *,
        first: int = 1,
    ) -> list[list[Translation]]:
        """Return the ``n_best`` translations of each line, best first.

        A prefix is cut into pieces as a text of its own, and these pieces come first. So a translation may go on
        within the last word of the prefix or begin another one, as the model likes better; spaces around a prefix
        say nothing.

        Args:
            lines: N of them.
            search: how to search.
            target: the language to translate into; needed where the model has several.
            prefixes: N texts that the translations must begin with, empty ones where there is no wish; None for no
                wishes at all.
            first: number of the first line, for warnings and for searches that draw.

        Raises:
            ConfigError: ``target`` is not a language of the model.
            DataError: a prefix cannot be written in the model's pieces, or is longer than a translation may be.
        """
        pieces = search.over_pieces
        sources = self.encode([single_line(line).strip() for line in lines], target)
        for number, ids in enumerate(sources, first):
            if len(ids) > pieces.max_source_length:
                self.warn(
                    f"line {number} has {len(ids)} pieces and is cut after {pieces.max_source_length}, "
                    "the value of search.max_source_length"
                )
                del ids[pieces.max_source_length :]
        rows = np.array([row for row, ids in enumerate(sources) if ids], dtype=np.int64)
        filled = pack([sources[row] for row in rows])
        limits = pieces.limits(torch.from_numpy(filled.lengths + 1)).tolist()
        starts = None if prefixes is None else self._starts([prefixes[row] for row in rows], limits, rows + first)
        results: list[list[Translation]] = [[Translation("", 0.0)] for _ in lines]
        device = next(self.model.parameters()).device
        scorer = Scorer(*self.models)
        were_training = [model.training for model in self.models]
        for model in self.models:
            model.eval()
        for part in batches_in_order(filled.lengths + 1, max(1, pieces.max_tokens // pieces.width)):
            request = Request(
                make_batch(filled, None, part).to(device),
                torch.from_numpy(rows[part] + first).to(device),
                None if starts is None else padded([starts[place] for place in part]).to(device),
            )
            for place, found in zip(part, pieces.find(scorer, request), strict=True):
                results[rows[place]] = search.choose(self._texts(found))
        for model, was_training in zip(self.models, were_training, strict=True):
            model.train(was_training)
        return results

    def _starts(self, prefixes: Sequence[str], limits: Sequence[int], numbers: Iterable[int]) -> list[list[int]]:
        """Return the ids of prefixes of translations with at most ``limits`` pieces, for lines of these numbers."""
        found = self.target_tokenizer.encode([single_line(prefix).strip() for prefix in prefixes])
        for ids, limit, number in zip(found, limits, numbers, strict=True):
            if UNK in ids:
                raise DataError(
                    f"the prefix of line {number} must be in the characters that the model can write, but is not"
                )
            if len(ids) >= limit:
                raise DataError(
                    f"the prefix of line {number} must have at most {limit - 1} pieces, as its translation may, "
                    f"but has {len(ids)}; shorten it, or raise search.max_length_extra"
                )
        return found

    def _texts(self, hypotheses: Sequence[Hypothesis]) -> list[Translation]:
        texts = self.target_tokenizer.decode([hypothesis.ids for hypothesis in hypotheses])
        return [Translation(single_line(text), found.score) for text, found in zip(texts, hypotheses, strict=True)]


def padded(sequences: Sequence[Sequence[int]]) -> Tensor:
    """Return sequences of ids as one matrix, padded on the right."""
    rows = [torch.tensor(ids, dtype=torch.int64) for ids in sequences]
    return pad_sequence(rows, batch_first=True, padding_value=PAD)
