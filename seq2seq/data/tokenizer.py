"""Subword tokenizer: SentencePiece (Kudo and Richardson, 2018), unigram or byte-pair encoding.

Text is not normalised (rule ``identity``). The library's default, ``nmt_nfkc``, turns "½" into "1⁄2", "ﬁ" into "fi"
and full-width forms into others; a model trained on that can never print what the raw references hold, and loses
score for characters that a reader sees to be right. Outer and repeated spaces are the only thing not kept.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import sentencepiece

from seq2seq.config import PositiveInt, Range
from seq2seq.data.model_check import MAX_MODEL_BYTES, accept, check
from seq2seq.data.processes import cores
from seq2seq.errors import ConfigError, DataError, listing, suggest

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Ids of padding, unknown piece, start and end of a sentence, in every vocabulary."""

JOINT_MODEL = "tokenizer.model"
"""What the model of both languages is called in a checkpoint."""

SIDE_MODELS = {"source": "source.model", "target": "target.model"}
"""What the models are called there, where each side has its own."""

WORD_START = "▁"
"""What SentencePiece writes for the space before a word, at the start of the word's first piece."""

_TAG = re.compile(r"<2([A-Za-z][A-Za-z0-9_-]*)>")

_ERRORS_ONLY = 2  # SentencePiece's log level; its messages also come as exceptions
_LONGEST_LINE = 2**30  # bytes; the library's own limit of 4192 drops longer lines without a word

# Part of the result: threads sum their counts in another order, and so other numbers of them give other pieces.
_TRAINING_THREADS = 2


@dataclass(frozen=True)
class TokenizerConfig:
    """How the vocabulary is made.

    Attributes:
        type: ``unigram`` (Kudo, 2018) or ``bpe`` (Sennrich et al., 2016).
        vocab_size: pieces, with the four special ones; for each side where not joint.
        joint: one vocabulary for both languages; needed for tied source and target embeddings.
        character_coverage: share of character occurrences that get a piece; the rest becomes unknown.
        byte_fallback: spell unknown characters as bytes, which takes 256 pieces.
        sample: most training pairs used to make the vocabulary, drawn evenly from all.
        model: a SentencePiece model to take instead of making one, a run folder or a checkpoint with one or two of
            them; the other settings are not used then. Null to make one.
    """

    type: Literal["unigram", "bpe"]
    vocab_size: PositiveInt
    joint: bool
    character_coverage: Annotated[float, Range(low=0.98, high=1)]
    byte_fallback: bool
    sample: PositiveInt
    model: str | None = None  # as code that makes its own vocabulary has always been written

    def identity(self) -> dict[str, Any]:
        """Return what a vocabulary that is made depends on: equal for settings of any version."""
        return {name: value for name, value in asdict(self).items() if name != "model"}


class Tokenizer:
    """Turns text into piece ids and back.

    Args:
        serialized: a SentencePiece model, as bytes.
        origin: where it came from, for messages.

    Attributes:
        serialized: the same bytes, for checkpoints.

    Raises:
        DataError: not a SentencePiece model, one that harms the library, or one with other special ids.
    """

    def __init__(self, serialized: bytes, origin: str = "the tokenizer model") -> None:
        check(serialized, origin)
        self.serialized = serialized
        try:
            # An empty model is the library's way to ask for none at all, so it must not get that far.
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=serialized or b"\0")
        except RuntimeError as error:
            raise DataError(f"{origin} must be a SentencePiece model, but cannot be read as one: {error}") from None
        of = self._processor
        special = (of.pad_id(), of.unk_id(), of.bos_id(), of.eos_id())
        if special != (PAD, UNK, BOS, EOS):
            found = ", ".join(f"{name}={i}" for name, i in zip(("pad", "unk", "bos", "eos"), special, strict=True))
            raise DataError(
                f"{origin} must have the special ids pad=0, unk=1, bos=2, eos=3, but has {found}; train it with "
                "`--pad_id=0 --unk_id=1 --bos_id=2 --eos_id=3`, or let this package train one"
            )

    @classmethod
    def load(cls, path: str | Path) -> Tokenizer:
        """Read a model file.

        Raises:
            DataError: the file is missing, too large, not a SentencePiece model, or one with other special ids.
        """
        path = Path(path)
        try:
            with path.open("rb") as handle:
                return cls(handle.read(MAX_MODEL_BYTES + 1), str(path))
        except OSError as error:
            raise DataError(f"{path} must be a tokenizer model, but cannot be opened: {error.strerror}") from error

    def save(self, path: str | Path) -> None:
        """Write the model file."""
        Path(path).write_bytes(self.serialized)

    @property
    def vocab_size(self) -> int:
        """Number of pieces V, with the four special ones."""
        return int(self._processor.vocab_size())

    @cached_property
    def tags(self) -> dict[str, int]:
        """The id of the tag of each language to translate into; empty where the model knows only one."""
        of = self._processor
        # No text gives a control symbol, so nobody can choose the language from within a sentence.
        ids = itertools.takewhile(of.is_control, range(EOS + 1, self.vocab_size))
        names = {i: _TAG.fullmatch(of.id_to_piece(i)) for i in ids}
        return {name[1]: i for i, name in names.items() if name}

    def tag(self, language: str | None, *, setting: str = "target") -> list[int]:
        """Return the ids that a source sentence must begin with to be translated into a language: one or none.

        Args:
            language: the one to translate into; None where nobody has said.
            setting: where the user says it, for the message.

        Raises:
            ConfigError: there are tags, but none of this language.
        """
        if not self.tags:
            return []
        if language is None or language not in self.tags:
            given = "null" if language is None else repr(language)
            near = "" if language is None else suggest(language, self.tags)
            raise ConfigError(
                f"`{setting}` must be the language to translate into, one of {listing(self.tags)}, "
                f"but is {given} instead{near}"
            )
        return [self.tags[language]]

    @cached_property
    def sha256(self) -> str:
        """Hash of the model: equal hashes give equal ids."""
        return hashlib.sha256(self.serialized).hexdigest()

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Return the piece ids of each sentence, without BOS and EOS; an empty sentence has none."""
        ids: list[list[int]] = self._processor.encode(list(sentences), out_type=int, num_threads=_threads(sentences))
        return ids

    def decode(self, sentences: Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each sequence of ids; PAD, BOS and EOS are left out, UNK is printed as " ⁇ ".

        Raises:
            IndexError: an id is outside the vocabulary.
        """
        if not sentences:
            return []  # the library takes an empty list for one empty sentence
        text: list[str] = self._processor.decode([list(ids) for ids in sentences], num_threads=_threads(sentences))
        return text

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return the pieces as they are spelled, "▁" marking the start of a word; for heat maps."""
        return [self._processor.id_to_piece(int(i)) for i in ids]


def _threads(sentences: Sequence[object]) -> int:
    # A thread costs more than a few sentences do.
    return min(cores(), 1 + len(sentences) // 100)


def is_tag(piece: str) -> bool:
    """Return whether a piece at the start of a sentence is a tag of the language to translate into."""
    return _TAG.fullmatch(piece) is not None


def train_tokenizer(
    sentences: Iterable[str], config: TokenizerConfig, path: str | Path, *, tags: Sequence[str] = ()
) -> Tokenizer:
    """Make a vocabulary from ``sentences`` and write it to ``path``.

    The result depends on the sentences, their order and the settings only, not on the machine.

    Args:
        sentences: text to make it of.
        config: the settings.
        path: of the model file.
        tags: languages that get a tag each, which counts as one of the pieces.

    Raises:
        DataError: there is no text, or ``vocab_size`` is too large or too small for it; the message says by how much.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            model_type=config.type,
            vocab_size=config.vocab_size,
            character_coverage=config.character_coverage,
            byte_fallback=config.byte_fallback,
            normalization_rule_name="identity",
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            control_symbols=[f"<2{language}>" for language in tags],
            max_sentence_length=_LONGEST_LINE,
            num_threads=_TRAINING_THREADS,
            minloglevel=_ERRORS_ONLY,
        )
    except RuntimeError as error:
        raise DataError(_explain(str(error), config)) from error
    accept(model.getvalue())
    tokenizer = Tokenizer(model.getvalue())
    tokenizer.save(path)
    return tokenizer


def _explain(message: str, config: TokenizerConfig) -> str:
    """Turn the library's message about a failed training into one that names the setting."""
    if largest := re.search(r"Vocabulary size too high .*<= (\d+)", message):
        return (
            f"`tokenizer.vocab_size` must be at most {largest[1]} for this corpus, which is too small for more "
            f"{config.type} pieces, but is {config.vocab_size} instead"
        )
    if smallest := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        extra = ", the 256 bytes" if config.byte_fallback else ""
        return (
            f"`tokenizer.vocab_size` must be more than {smallest[1]}, to hold each character of the corpus{extra} "
            f"and the special pieces, but is {config.vocab_size} instead; or lower `tokenizer.character_coverage`"
        )
    if config.vocab_size <= EOS + 1:
        least = f"more than {EOS + 1}, the number of special pieces"
        return f"`tokenizer.vocab_size` must be {least}, but is {config.vocab_size} instead"
    if re.search(r"sentences_\.empty\(\)|all_chars_count", message):
        return "the tokenizer needs text to train on, but every training sentence is empty"
    return f"the tokenizer could not be trained: {message}"
