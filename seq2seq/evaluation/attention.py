"""What attention to the source does over a whole test set: how widely it looks, and how well it aligns words.

Both read a given target with the model (forced decoding) in batches, and keep sums only, never the weights of more
than one batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

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
from seq2seq.search.scoring import attention_weights

Booleans = npt.NDArray[np.bool_]

_MOST_TOKENS = 4096  # of a batch, padding included


@torch.inference_mode()
def corpus_entropy(
    model: Seq2SeqModel, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> AttentionEntropy | None:
    """Measure how widely each head looks while ``targets`` are read, EOS included on both sides.

    The mean of :func:`entropy` over all target positions: a long sentence counts as often as it has pieces.

    Args:
        model: in evaluation mode.
        sources: N sentences as ids, without EOS; empty ones are left out, as nothing is translated there.
        targets: N translations.

    Returns:
        the entropies; None where all sources are empty.
    """
    sums: list[npt.NDArray[np.float64]] = []
    positions, uniform = 0, 0.0
    for _, batch, layers in _read([model], sources, targets):
        assert batch.target is not None
        is_token = batch.target[:, 1:] != PAD  # (B, T)
        found = [(entropy(weights) * is_token[:, None]).sum((0, 2)) for weights in layers]
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
    for rows, batch, layers in _read([model], sources, references):
        choices = _choices(layers, batch, tags)
        if not heads:
            heads = [layer.shape[1] for layer in layers]
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
    """
    source_words, target_words = (
        Words.of(tokenizer, sentences)
        for tokenizer, sentences in ((source_tokenizer, sources), (target_tokenizer, targets))
    )
    found: list[list[Link]] = [[] for _ in sources]
    for rows, batch, layers in _read(models, sources, targets):
        chosen = _choices(layers, batch, [*source_tokenizer.tags.values()])[-1]
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
    models: Sequence[Seq2SeqModel], sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
) -> Iterator[tuple[Integers, Batch, tuple[Tensor, ...]]]:
    """Give rows, batch and weights (B, H, T, S) of each layer for all pairs with a source, the longest first.

    Several models count as one with the layers of all.
    """
    source, target = pack(sources), pack(targets)
    filled = np.flatnonzero(source.lengths)
    device = next(models[0].parameters()).device
    for part in batches_in_order(np.maximum(source.lengths, target.lengths)[filled] + 1, _MOST_TOKENS):
        rows = filled[part]
        batch = make_batch(source, target, rows).to(device)
        yield rows, batch, tuple(layer for model in models for layer in attention_weights(model, batch))


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
