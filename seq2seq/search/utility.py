"""How alike texts are, all pairs at once: sentence-level chrF and BLEU, equal to sacreBLEU's.

Matches of n-grams are a product of matrices. Let column (g, k) of a text's row be 1 where the text has the n-gram g
at least k times. Two texts then share, over all n-grams, the sum of the smaller counts, which is the inner product
of their rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

Matrix = npt.NDArray[np.float64]

CHARACTER_ORDER, BETA = 6, 2.0
"""Of chrF2: Popović 2015, with sacreBLEU's defaults."""

WORD_ORDER = 4
"""Of BLEU: Papineni et al. 2002."""

COLUMNS = 4096
"""Columns of the matrix that exist at a time, so that a thousand long texts need no more than some megabytes."""


def chrf(texts: Sequence[str]) -> Matrix:
    """Return chrF2 (M,M) of every text (rows) against every text as its reference (columns), from 0 to 100.

    As ``CHRF().sentence_score`` of sacreBLEU: n-grams of 1 to 6 characters without white space; precision and recall
    are means over the orders that both texts are long enough for.
    """
    rows = [[ord(character) for character in "".join(text.split())] for text in texts]
    precision, recall, orders = (np.zeros((len(texts), len(texts))) for _ in range(3))
    for totals, matches in _matches(rows, CHARACTER_ORDER):
        known = (totals[:, None] > 0) & (totals[None, :] > 0)
        orders += known
        precision += np.divide(matches, totals[:, None], out=np.zeros_like(matches), where=known)
        recall += np.divide(matches, totals[None, :], out=np.zeros_like(matches), where=known)
    orders = np.maximum(orders, 1)
    precision, recall = precision / orders, recall / orders
    below = BETA**2 * precision + recall
    return 100 * np.divide((1 + BETA**2) * precision * recall, below, out=np.zeros_like(below), where=below > 0)


def bleu(texts: Sequence[str]) -> Matrix:
    """Return BLEU (M,M) of every text (rows) against every text as its reference (columns), from 0 to 100.

    As ``BLEU(effective_order=True).sentence_score`` of sacreBLEU: 13a tokens, orders up to 4 or as many as the text
    has words, and each order without a match counts as half a match, the next one as a quarter and so on (smoothing
    ``exp``: Chen & Cherry 2014, method 3).
    """
    tokenize: Callable[[str], str] = Tokenizer13a()  # type: ignore[no-untyped-call]  # sacreBLEU has none
    words: dict[str, int] = {}
    rows = [[words.setdefault(word, len(words)) for word in tokenize(text.rstrip()).split()] for text in texts]
    lengths = np.array([len(row) for row in rows], dtype=np.float64)
    shape = (len(texts), len(texts))
    logarithms, halvings, orders, matched = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for totals, matches in _matches(rows, WORD_ORDER):
        known = np.broadcast_to(totals[:, None] > 0, shape)
        halvings += known & (matches == 0)
        smoothed = np.where(matches == 0, 0.5**halvings, matches)
        logarithms += np.log(smoothed / np.maximum(totals[:, None], 1), where=known, out=np.zeros(shape))
        orders += known
        matched += matches
    short = lengths[:, None] < lengths[None, :]
    ratio = lengths[None, :] / np.maximum(lengths[:, None], 1)
    brevity = np.where(short, np.exp(np.minimum(1 - ratio, 0.0)), 1.0)
    found: Matrix = np.where(matched > 0, 100 * brevity * np.exp(logarithms / np.maximum(orders, 1)), 0.0)
    return found


UTILITIES: dict[str, Callable[[Sequence[str]], Matrix]] = {"chrf": chrf, "bleu": bleu}


def _matches(rows: Sequence[Sequence[int]], highest: int) -> Iterator[tuple[npt.NDArray[np.int64], Matrix]]:
    """Give for each order from 1 on the n-grams of each row (M) and the matches of all pairs of rows (M,M)."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    symbols = _numbered(np.array([symbol for row in rows for symbol in row], dtype=np.int64))
    owner, places = np.repeat(np.arange(len(rows)), lengths), np.arange(len(symbols))
    left = np.repeat(np.cumsum(lengths), lengths) - places  # symbols from here to the end of the row
    grams = symbols.copy()
    for order in range(1, highest + 1):
        if order > 1:  # an n-gram is its first n - 1 symbols and its last
            places = places[left[places] >= order]
            grams[places] = _numbered(grams[places] * len(symbols) + symbols[places + order - 1])
        yield np.maximum(lengths - order + 1, 0), _shared(grams[places], owner[places], len(rows))


def _shared(grams: npt.NDArray[np.int64], owner: npt.NDArray[np.int64], rows: int) -> Matrix:
    """Return the matches (M,M) of rows that own these n-grams, each as often as it is there."""
    order = np.lexsort((grams, owner))
    grams, owner = grams[order], owner[order]
    begins = np.ones(len(grams), dtype=np.bool_)
    begins[1:] = (np.diff(grams) != 0) | (np.diff(owner) != 0)
    places = np.arange(len(grams))
    times = places - np.maximum.accumulate(np.where(begins, places, 0))  # how often it stood in this row before
    columns = _numbered(grams * (len(grams) + 1) + times)
    shared = np.zeros((rows, rows))
    for first in range(0, int(columns.max(initial=-1)) + 1, COLUMNS):
        here = (columns >= first) & (columns < first + COLUMNS)
        table = np.zeros((rows, COLUMNS), dtype=np.float32)
        table[owner[here], columns[here] - first] = 1.0
        shared += table @ table.T  # whole numbers, far below 2^24, are exact in single precision
    return shared


def _numbered(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number equal values alike, from 0 on."""
    numbers: npt.NDArray[np.int64] = np.unique(values, return_inverse=True)[1]
    return numbers
