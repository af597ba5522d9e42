"""What attention to the source does over a whole test set: how widely it looks, and how well it aligns words.

Both read a given target with the model (forced decoding) in batches, and keep sums only, never the weights of more
than one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seq2seq.attention.normalizers import entropy
from seq2seq.data.alignment import Link, parse_links
from seq2seq.data.batching import Batch, batches_in_order, gather, make_batch, pack
from seq2seq.data.sequences import Integers, Sequences
from seq2seq.data.tokenizer import PAD, WORD_START, Tokenizer
from seq2seq.evaluation.results import AttentionAlignment, AttentionEntropy, LinkCounts
from seq2seq.model import Seq2SeqModel
from seq2seq.runtime import in_halves
from seq2seq.search.scoring import attention_weights

T = TypeVar("T")

Booleans = npt.NDArray[np.bool_]

MOST_TOKENS = 4096
"""Of a batch, padding included, where nobody says otherwise."""

TOO_LARGE = (
    "the attention of a single translation does not fit into the memory of the device; leave out the longest ones"
)


@torch.inference_mode()
def corpus_entropy(
    model: Seq2SeqModel,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    *,
    max_tokens: int = MOST_TOKENS,
) -> AttentionEntropy | None:
    """Measure how widely each head looks while ``targets`` are read, EOS included on both sides.

    The mean of :func:`entropy` over all target positions: a long sentence counts as often as it has pieces.

    Args:
        model: in evaluation mode.
        sources: N sentences as ids, without EOS; empty ones are left out, as nothing is translated there.
        targets: N translations.
        max_tokens: pieces in one batch, padding included, on the longer side.

    Returns:
        the entropies; None where all sources are empty.
    """
    sums: list[npt.NDArray[np.float64]] = []
    positions, uniform = 0, 0.0

    def look(batch: Batch, layers: Sequence[Tensor]) -> list[Tensor]:
        return [(entropy(weights) * _is_token(batch)[:, None]).sum((0, 2)) for weights in layers]

    for _, batch, found in _read([model], sources, targets, look, max_tokens):
        is_token = _is_token(batch)
        sums = [np.zeros(len(heads)) for heads in found] if not positions else sums
        for total, heads in zip(sums, found, strict=True):
            total += heads.cpu().numpy()
        positions += batch.target_tokens
        uniform += float((is_token.sum(1) * batch.source_lengths.log()).sum())
    if not positions:
        return None
    return AttentionEntropy([(total / positions).tolist() for total in sums], uniform / positions)


@torch.inference_mode()
def corpus_alignment(
    model: Seq2SeqModel,
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    sources: Sequence[Sequence[int]],
    references: Sequence[Sequence[int]],
    gold: Sequence[Sequence[Link]],
    *,
    max_tokens: int = MOST_TOKENS,
) -> AttentionAlignment | None:
    """Align words by attention, as Zenkel et al. (2019) and Garg et al. (2019) do, and compare with gold links.

    While the reference is read, each of its pieces is linked to the source piece with the largest weight, EOS left
    out; two words are linked where any of their pieces are. This is done with each head, with the mean of each
    layer's heads and with the mean of all, in the order of :class:`AttentionAlignment`.

    Args:
        model: in evaluation mode.
        source_tokenizer: what made ``sources``.
        target_tokenizer: what made ``references``.
        sources: N sentences as ids, without EOS.
        references: N translations.
        gold: N lists of links between their words; see :func:`gold_links`.
        max_tokens: pieces in one batch, padding included, on the longer side.

    Returns:
        the links counted; None where all sources are empty.
    """
    source_words, target_words = (
        Words.of(tokenizer, sentences)
        for tokenizer, sentences in ((source_tokenizer, sources), (target_tokenizer, references))
    )
    tags = [*source_tokenizer.tags.values()]
    heads: list[int] = []
    counts = np.zeros((0, 4), dtype=np.int64)

    def look(batch: Batch, layers: Sequence[Tensor]) -> tuple[list[Integers], list[int]]:
        return _choices(layers, batch, tags), [layer.shape[1] for layer in layers]

    for rows, batch, (choices, widths) in _read([model], sources, references, look, max_tokens):
        if not heads:
            heads = widths
            counts = np.zeros((len(choices), 4), dtype=np.int64)
        shape = (len(rows), int(source_words.counts[rows].max()), max(1, int(target_words.counts[rows].max())))
        sure, possible = _gold_tables([gold[row] for row in rows], shape)
        assert batch.target is not None
        is_piece = _is_piece(target_words.lengths[rows], batch.target.shape[1] - 1)
        row, piece = is_piece.nonzero()
        target_word = target_words.table(rows, is_piece.shape[1])[row, piece]
        source_word_of = source_words.table(rows, batch.source.shape[1])
        for total, chosen in zip(counts, choices, strict=True):
            linked = np.zeros(shape, dtype=np.bool_)
            place = chosen[row, piece]
            saw = place >= 0
            linked[row[saw], source_word_of[row[saw], place[saw]], target_word[saw]] = True
            total += [linked.sum(), sure.sum(), (linked & sure).sum(), (linked & possible).sum()]
    if not heads:
        return None
    found = [LinkCounts(*map(int, total)) for total in counts]
    ends = np.cumsum(heads)
    return AttentionAlignment(
        heads=[found[end - width : end] for end, width in zip(ends, heads, strict=True)],
        layers=found[sum(heads) : -1],
        mean=found[-1],
    )


@torch.inference_mode()
def attention_links(
    models: Sequence[Seq2SeqModel],
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    *,
    max_tokens: int = MOST_TOKENS,
) -> list[list[Link]]:
    """Link the words of N translations to those of their sources, by the mean of all heads, layers and models.

    As in :func:`corpus_alignment`: each piece is linked to the source piece with the largest weight, two words where
    any of their pieces are. The links of a sentence are in order.

    Args:
        models: in evaluation mode.
        source_tokenizer: what made ``sources``.
        target_tokenizer: what made ``targets``.
        sources: N sentences as ids, without EOS.
        targets: N translations.
        max_tokens: pieces in one batch, padding included, on the longer side.
    """
    tags = [*source_tokenizer.tags.values()]
    source_words, target_words = (
        Words.of(tokenizer, sentences)
        for tokenizer, sentences in ((source_tokenizer, sources), (target_tokenizer, targets))
    )
    found: list[list[Link]] = [[] for _ in sources]

    def look(batch: Batch, layers: Sequence[Tensor]) -> Integers:
        return _choices(layers, batch, tags)[-1]

    for rows, batch, chosen in _read(models, sources, targets, look, max_tokens):
        is_piece = _is_piece(target_words.lengths[rows], chosen.shape[1])
        row, piece = (is_piece & (chosen >= 0)).nonzero()
        source_word = source_words.table(rows, batch.source.shape[1])[row, chosen[row, piece]]
        target_word = target_words.table(rows, chosen.shape[1])[row, piece]
        for number, source, target in np.unique(np.stack([rows[row], source_word, target_word], 1), axis=0).tolist():
            found[number].append(Link(source, target))
    return found


def gold_links(
    lines: Sequence[str],
    source_tokenizer: Tokenizer,
    target_tokenizer: Tokenizer,
    sources: Sequence[Sequence[int]],
    references: Sequence[Sequence[int]],
) -> list[list[Link]]:
    """Read the links of N sentence pairs, given as ids; words are counted where SentencePiece starts them.

    Raises:
        DataError: a line holds anything but links, or one that leads outside its sentences.
    """
    source_counts = Words.of(source_tokenizer, sources).counts.tolist()
    target_counts = Words.of(target_tokenizer, references).counts.tolist()
    return [
        parse_links(line, source_words, target_words, f"line {number} of the alignments")
        for number, (line, source_words, target_words) in enumerate(
            zip(lines, source_counts, target_counts, strict=True), start=1
        )
    ]


@dataclass(frozen=True, eq=False)
class Words:
    """Which word each piece of many sentences belongs to.

    Attributes:
        numbers: for each piece the number of its word, counted from 0 in each sentence.
        counts: (N,) words of each sentence.
    """

    numbers: Sequences
    counts: Integers

    @classmethod
    def of(cls, tokenizer: Tokenizer, sentences: Sequence[Sequence[int]]) -> Words:
        """Number the words of N sentences, as :func:`seq2seq.data.alignment.words_of_pieces` does one by one.

        A tag gets the number of the word after it.
        """
        starts_word = np.array(
            [piece.startswith(WORD_START) for piece in tokenizer.pieces(range(tokenizer.vocab_size))]
        )
        packed = pack(sentences)
        filled = packed.lengths > 0
        first, last = packed.offsets[:-1][filled], packed.offsets[1:][filled] - 1
        running = np.cumsum(starts_word[packed.ids])
        tagged = np.isin(packed.ids[first], [*tokenizer.tags.values()])
        numbers = np.maximum(running - np.repeat(running[first] + tagged, packed.lengths[filled]), 0)
        counts = np.zeros(len(packed), dtype=np.int64)
        counts[filled] = numbers[last] + 1
        return cls(replace(packed, ids=numbers.astype(np.uint32)), counts)

    @property
    def lengths(self) -> Integers:
        """(N,) pieces of each sentence."""
        return self.numbers.lengths

    def table(self, rows: Integers, width: int) -> Integers:
        """Return the words of some sentences as (B, width); behind the last piece stands no word's number."""
        words: Integers = gather(self.numbers, rows, width).numpy()
        return words


def _read(
    models: Sequence[Seq2SeqModel],
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    look: Callable[[Batch, Sequence[Tensor]], T],
    max_tokens: int,
) -> Iterator[tuple[Integers, Batch, T]]:
    """Give rows, batch and what ``look`` sees in it for all pairs with a source, the longest first.

    Several models count as one with the layers of all. ``look`` gets a batch and the weights (B, H, T, S) of each
    layer, which are gone when it is done. A batch that does not fit into memory comes in parts.

    Raises:
        UserError: a single pair does not fit into memory.
    """
    source, target = pack(sources), pack(targets)
    filled = np.flatnonzero(source.lengths)
    device = models[0].device

    def seen(rows: Integers) -> list[tuple[Integers, Batch, T]]:
        batch = make_batch(source, target, rows).to(device)
        layers = [layer for model in models for layer in attention_weights(model, batch)]
        return [(rows, batch, look(batch, layers))]

    for part in batches_in_order(np.maximum(source.lengths, target.lengths)[filled] + 1, max_tokens):
        yield from in_halves(filled[part], seen, TOO_LARGE)


def _is_token(batch: Batch) -> Tensor:
    """Return (B, T): whether a place of the target is no padding."""
    assert batch.target is not None
    return batch.target[:, 1:] != PAD


def _choices(layers: Sequence[Tensor], batch: Batch, tags: Sequence[int]) -> list[Integers]:
    """Return the source piece (B, T) with the largest weight: for each head, each layer's mean, the mean of all.

    -1 where all weight is on EOS or a tag, as sparse attention can have it: that target piece is linked to nothing.
    """
    means = [layer.float().mean(1, keepdim=True) for layer in layers]
    every = torch.cat([*layers, *means, torch.stack(means).mean(0)], dim=1)  # (B, C, T, S)
    places = torch.arange(batch.source.shape[1], device=every.device)
    is_piece = places < batch.source_lengths[:, None] - 1
    is_piece &= ~torch.isin(batch.source, torch.tensor(tags, dtype=torch.int64, device=every.device))
    weight, chosen = every.masked_fill(~is_piece[:, None, None], 0.0).max(-1)
    chosen = chosen.masked_fill(weight == 0.0, -1)
    return list(chosen.transpose(0, 1).cpu().numpy())


def _is_piece(lengths: Integers, width: int) -> Booleans:
    """Return (B, width): whether a place holds a piece of the sentence, neither EOS nor padding."""
    inside: Booleans = np.arange(width) < lengths[:, None]
    return inside


def _gold_tables(gold: Sequence[Sequence[Link]], shape: tuple[int, int, int]) -> tuple[Booleans, Booleans]:
    """Return the sure and the possible links of some sentences as (B, source words, target words)."""
    sure, possible = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    for row, links in enumerate(gold):
        for link in links:
            possible[row, link.source, link.target] = True  # a sure link is also a possible one
            sure[row, link.source, link.target] |= link.sure
    return sure, possible
