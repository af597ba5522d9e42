"""Text in, text out: exactly one line for each line, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from itertools import chain
from pathlib import Path

import torch

from seq2seq import checkpoint
from seq2seq.config import parse
from seq2seq.data.batching import batches_in_order, make_batch, pack, padded
from seq2seq.data.formats import single_line
from seq2seq.data.sequences import Integers
from seq2seq.data.tokenizer import UNK, Tokenizer
from seq2seq.distributed.sharding import is_shared_out
from seq2seq.errors import CheckpointError, DataError
from seq2seq.model import Architecture, Seq2SeqModel
from seq2seq.restoring import TRUSTED, check_size, decoding_precision, fault_in, load_weights, search_of
from seq2seq.runtime import DeviceName, Precision, choose_device, in_halves
from seq2seq.search import Hypothesis, Request, Scorer, Search, Translation
from seq2seq.terminal import warn as warn_user
from seq2seq.translation.parts import Part, cut, joined, tagged

TOO_LARGE = (
    "a single sentence cannot be translated in the memory of the device; lower `search.max_source_length` or keep "
    "fewer hypotheses"
)

# Parts of a line draw by different chances: part k of line n is taken for line n + k * 2^40.
_FURTHER_PART = 1 << 40


def _nothing(_: float) -> None:
    pass


class Translator:
    """A model with its tokenizers, ready to translate.

    ::

        from seq2seq import Translator

        translator = Translator.load("runs/first")
        print(translator.translate(["The dog sleeps."]))

    Args:
        model: the model; put into evaluation mode while translating.
        source_tokenizer: splits the source.
        target_tokenizer: joins the target.
        warn: gets a line for each input that is too long and so translated in parts.
        search: makes the search that is taken where none is given; None where there is none.
    """

    def __init__(
        self,
        model: Seq2SeqModel,
        source_tokenizer: Tokenizer,
        target_tokenizer: Tokenizer,
        warn: Callable[[str], None] = warn_user,
        search: Callable[[], Search] | None = None,
    ) -> None:
        self.model = model
        self.source_tokenizer = source_tokenizer
        self.target_tokenizer = target_tokenizer
        self.warn = warn
        self.own_search = search

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        device: DeviceName = "auto",
        precision: Precision = "auto",
        allow_code: Sequence[str] = (),
        warn: Callable[[str], None] = warn_user,
    ) -> Translator:
        """Load a checkpoint, or the best one of a run folder.

        Args:
            path: checkpoint or run folder.
            device: where to compute.
            precision: of all numbers but the log-probabilities, which are in single precision; ``auto`` takes
                bfloat16 where that pays.
            allow_code: further packages whose classes the checkpoint's configuration may name.
            warn: see the class.

        Raises:
            CheckpointError: there is no usable checkpoint.
            ConfigError: its configuration names foreign code or does not fit.
        """
        return cls.restore(checkpoint.load_located(Path(path), warn)[1], device, allow_code, warn, precision)

    @classmethod
    def restore(
        cls,
        snapshot: checkpoint.Snapshot,
        device: DeviceName = "auto",
        allow_code: Sequence[str] | None = (),
        warn: Callable[[str], None] = warn_user,
        precision: Precision = "fp32",
    ) -> Translator:
        """Rebuild from a snapshot that is already read; ``allow_code`` None trusts it wholly, as one's own run.

        Raises:
            CheckpointError: its weights do not fit its configuration.
            ConfigError: its configuration names foreign code, or says what cannot be.
            DataError: its tokenizer cannot be used.
        """
        settings = snapshot.config["settings"]
        allowed = None if allow_code is None else (TRUSTED, *allow_code)
        architecture = parse(Architecture, Architecture.part_of(settings), allowed=allowed)
        source_model, target_model = snapshot.model_of("source"), snapshot.model_of("target")
        source = Tokenizer(source_model)
        target = source if target_model is source_model else Tokenizer(target_model)
        place = choose_device(device, "device")
        check_size(architecture, (source.vocab_size, target.vocab_size), snapshot)
        model = architecture.build(source.vocab_size, target.vocab_size)
        load_weights(model, snapshot)
        model.to(place, decoding_precision(model, precision, place))
        return cls(model, source, target, warn, partial(search_of, settings, allowed))

    def converted(self, precision: torch.dtype) -> Translator:
        """Return a translator with a copy of the model in this precision.

        It is this one itself where the model has that already, has parts that cannot compute in it, or cannot be
        copied, because several processes share its parts.
        """
        if next(self.model.parameters()).dtype == precision or is_shared_out(self.model):
            return self
        model = deepcopy(self.model).to(dtype=precision)
        if fault_in(model) is not None:
            return self
        return Translator(model, self.source_tokenizer, self.target_tokenizer, self.warn, self.own_search)

    @property
    def models(self) -> Sequence[Seq2SeqModel]:
        """The models that translate as one: here there is one."""
        return (self.model,)

    @property
    def search(self) -> Search:
        """The search that the checkpoint was trained to be used with, as its settings have it.

        Raises:
            CheckpointError: there is none, or it is no sensible one.
            ConfigError: its settings name foreign code or say what cannot be.
        """
        if self.own_search is None:
            raise CheckpointError("a translator that is not loaded from a checkpoint must be given a search")
        return self.own_search()

    def translate(
        self,
        lines: Sequence[str],
        search: Search | None = None,
        target: str | None = None,
        *,
        between: Callable[[float], None] = _nothing,
    ) -> list[str]:
        """Translate lines, one line each; an empty line gives an empty line.

        Args:
            lines: N of them.
            search: how to search; None: as the checkpoint's settings say.
            target: the language to translate into; needed where the model has several.
            between: see :meth:`in_parts`.

        Raises:
            TypeError: one text instead of a list of them.
            UserError: as :meth:`in_parts` and :attr:`search`.
        """
        if isinstance(lines, str):
            raise TypeError(f"lines must be a list of texts, but are one text: {lines[:40]!r}")
        search = self.search if search is None else search
        return [joined(parts)[0].text for parts in self.in_parts(lines, search, target, between=between)]

    def encode(self, lines: Sequence[str], target: str | None) -> list[list[int]]:
        """Return the ids of source lines, tagged where the model has several target languages; none of empty lines.

        Raises:
            ConfigError: ``target`` is not one of those languages.
        """
        return tagged(lines, self.source_tokenizer, target)

    def hypotheses(
        self,
        lines: Sequence[str],
        search: Search,
        target: str | None = None,
        prefixes: Sequence[str] | None = None,
        *,
        first: int = 1,
    ) -> list[list[Translation]]:
        """Return the ``n_best`` translations of each line, best first; see :meth:`in_parts` and :func:`joined`.

        Raises:
            UserError: as :meth:`in_parts`.
        """
        return [joined(parts) for parts in self.in_parts(lines, search, target, prefixes, first=first)]

    def in_parts(
        self,
        lines: Sequence[str],
        search: Search,
        target: str | None = None,
        prefixes: Sequence[str] | None = None,
        *,
        first: int = 1,
        between: Callable[[float], None] = _nothing,
        warn: Callable[[str], None] | None = None,
    ) -> list[list[Part]]:
        """Translate lines: each in one part, an empty one in none, and one that is too long in several.

        A prefix is cut into pieces as a text of its own, and these pieces come first. So a translation may go on
        within the last word of the prefix or begin another one, as the model likes better; spaces around a prefix
        say nothing. A line in several parts has its prefix before the first.

        Args:
            lines: N of them.
            search: how to search.
            target: the language to translate into; needed where the model has several.
            prefixes: N texts that the translations must begin with, empty ones where there is no wish; None for no
                wishes at all.
            first: number of the first line, for warnings and for searches that draw.
            between: called before each batch with the share of this call's work that is done; what it raises ends
                the call, so a caller can give up.
            warn: gets the warnings of this call; None for the translator's own.

        Raises:
            ConfigError: ``target`` is not a language of the model.
            DataError: a prefix cannot be written in the model's pieces, or is longer than a translation may be.
        """
        pieces = search.over_pieces
        parts = cut(lines, self.source_tokenizer, target, pieces.max_source_length, first, warn or self.warn)
        every = list(chain.from_iterable(parts))
        rows = [row for row, of_line in enumerate(parts) for _ in of_line]
        order = [place for of_line in parts for place in range(len(of_line))]
        filled = pack([part.ids for part in every])
        limits = pieces.limits(torch.from_numpy(filled.lengths + 1)).tolist()
        starts = None
        if prefixes is not None:
            wishes = [prefixes[row] if place == 0 else "" for row, place in zip(rows, order, strict=True)]
            starts = self._starts(wishes, limits, [row + first for row in rows])
        numbers = (
            torch.tensor(rows, dtype=torch.int64) + first + torch.tensor(order, dtype=torch.int64) * _FURTHER_PART
        )
        device = self.model.device
        scorer = Scorer(*self.models)
        done = 0

        def find(rows: Integers) -> list[list[Hypothesis]]:
            request = Request(
                make_batch(filled, None, rows).to(device),
                numbers[torch.from_numpy(rows)].to(device),
                None if starts is None else padded([starts[place] for place in rows]).to(device),
            )
            return pieces.find(scorer, request)

        with evaluating(self.models):
            for batch in batches_in_order(filled.lengths + 1, max(1, pieces.max_tokens // pieces.width)):
                between(done / len(every))
                for place, found in zip(batch, in_halves(batch, find, TOO_LARGE), strict=True):
                    every[place].found.extend(search.choose(self._texts(found)))
                done += len(batch)
        return parts

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


@contextmanager
def evaluating(models: Sequence[Seq2SeqModel]) -> Iterator[None]:
    """Put models into evaluation mode for a ``with`` block, and back into the mode they were in."""
    were_training = [model.training for model in models]
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for model, was_training in zip(models, were_training, strict=True):
            model.train(was_training)
