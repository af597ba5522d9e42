"""Pieces drawn by ourselves: SentencePiece's own distributions, the same text, the same bits in every process."""

from __future__ import annotations

import hashlib
import heapq
import io
import itertools
import math
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.batching import pack
from seq2seq.data.grammar import generate
from seq2seq.data.model_fields import Kind, Piece, read_pieces
from seq2seq.data.segmentation import Inventory, LatticeSegmenter, MergeSegmenter, Segmenter
from seq2seq.data.segmentation.table import PairTable
from seq2seq.data.sequences import Sequences
from seq2seq.data.tokenizer import UNK, Tokenizer
from seq2seq.errors import ConfigError

MAKERS: dict[str, Callable[[Inventory, float], Segmenter]] = {"bpe": MergeSegmenter, "unigram": LatticeSegmenter}
KINDS = sorted(MAKERS)
DRAWS = 20_000

Ids = tuple[int, ...]


@cache
def text() -> list[str]:
    return [line for pair in generate(seed=1, train=2000, validation=1, test=1)["train"] for line in pair]


@cache
def babble() -> list[str]:
    """Words of few letters in any order, which have many segmentations of like probability."""
    draw = random.Random(1)
    return [" ".join("".join(draw.choices("aeln", k=draw.randint(2, 9))) for _ in range(8)) for _ in range(500)]


@cache
def tokenizer(
    kind: str,
    vocab_size: int = 400,
    *,
    lines: Callable[[], list[str]] = text,
    byte_fallback: bool = False,
    symbols: str = "",
    across: bool = False,
) -> Tokenizer:
    """A model with a tag, the user-defined ``symbols``, and perhaps pieces ``across`` words."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()[:1000]),
        model_writer=model,
        model_type=kind,
        vocab_size=vocab_size,
        byte_fallback=byte_fallback,
        user_defined_symbols=symbols.split(),
        split_by_whitespace=not across,
        control_symbols=["<2de>"],
        normalization_rule_name="identity",
        character_coverage=1.0,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        num_threads=2,
        minloglevel=2,
    )
    return Tokenizer(model.getvalue())


@cache
def inventory(of: Tokenizer) -> Inventory:
    return Inventory.of(read_pieces(of.serialized))


@cache
def segmenter(of: Tokenizer, kind: str, strength: float) -> Segmenter:
    return MAKERS[kind](inventory(of), strength)


def rows(sequences: Sequences) -> list[list[int]]:
    return [sequences[row].tolist() for row in range(len(sequences))]


def draw(
    of: Tokenizer, kind: str, sentences: Sequence[Sequence[int]], strength: float, seed: int = 1, longest: int = 10**6
) -> list[list[int]]:
    generator = np.random.Generator(np.random.PCG64(seed))
    return rows(segmenter(of, kind, strength).draw(pack(sentences), longest, generator))


def letters(of: Tokenizer, ids: Iterable[int]) -> list[str]:
    return [letter for piece in of.pieces(list(ids)) for letter in piece]


@pytest.mark.parametrize("byte_fallback", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_read_as_the_library_tells_them(kind: str, byte_fallback: bool) -> None:
    of = tokenizer(kind, 500, byte_fallback=byte_fallback, symbols="<sep> Katze")
    library = of._processor
    pieces = read_pieces(of.serialized)
    assert [piece.text for piece in pieces] == of.pieces(range(of.vocab_size))
    assert [piece.score for piece in pieces] == [library.get_score(i) for i in range(of.vocab_size)]
    for piece_kind, is_kind in (
        (Kind.UNKNOWN, library.is_unknown),
        (Kind.CONTROL, library.is_control),
        (Kind.BYTE, library.is_byte),
        (Kind.UNUSED, library.is_unused),
    ):
        assert [piece.kind is piece_kind for piece in pieces] == [is_kind(i) for i in range(of.vocab_size)]
    assert {piece.text for piece in pieces if piece.kind is Kind.USER_DEFINED} == {"<sep>", "Katze"}


def test_a_piece_of_an_unknown_kind_is_a_normal_one() -> None:
    model = b"\x0a\x08\x0a\x01a\x18\x63\x20\xac\x02" + b"\x0a\x0a\x0a\x01b\x15\0\0\x80\x3f\x18\x06"
    assert read_pieces(model) == [Piece("a", 0.0, Kind.NORMAL), Piece("b", 1.0, Kind.BYTE)]


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("byte_fallback", [False, True])
def test_merges_of_which_none_is_left_out_are_those_of_the_library(byte_fallback: bool, across: bool) -> None:
    of = tokenizer("bpe", 600, byte_fallback=byte_fallback, symbols="<sep>", across=across)
    strange = ["", "🐕 犬Hund", "Der<sep>Hund <sep>", "▁▁Katze ▁", "½½Häuser", "a" * 700]
    stored = pack(of.encode([*text(), *strange]))
    merging = MergeSegmenter(inventory(of), 0.0)
    words, _ = merging._words(stored)
    spelled = merging.spelled(words)
    assert len(spelled.ids) > 1.5 * len(stored.ids)
    merged = merging.merged(spelled, np.zeros(len(words), dtype=np.int64) + 10**6, np.random.default_rng(0))
    assert rows(merged) == rows(words)


def test_without_any_merge_there_are_characters_only() -> None:
    of = tokenizer("bpe")
    stored = of.encode(text()[:500])
    assert [of.pieces(ids) for ids in draw(of, "bpe", stored, 1.0)] == [letters(of, ids) for ids in stored]


def exact_merges(of: Tokenizer, spelled: Sequence[str], dropout: float) -> dict[Ids, float]:
    """The probability of each result, by following every choice: a pair of neighbours is merged or left for good."""
    pieces = read_pieces(of.serialized)
    scores = {piece.text: piece.score for piece in pieces if piece.kind is Kind.NORMAL}
    ids = {piece.text: i for i, piece in enumerate(pieces)}
    found: Counter[Ids] = Counter()
    # Symbols, the gaps between them that are closed for good, and how probable it is to come here.
    waiting: list[tuple[list[str], list[bool], float]] = [([*spelled], [False] * (len(spelled) - 1), 1.0)]
    while waiting:
        symbols, left, probability = waiting.pop()
        candidates = [
            (-scores[a + b], place)
            for place, (a, b) in enumerate(itertools.pairwise(symbols))
            if a + b in scores and not left[place]
        ]
        if not candidates:
            found[tuple(ids[symbol] for symbol in symbols)] += probability
            continue
        _, place = heapq.nsmallest(1, candidates)[0]
        stopped = [*left]
        stopped[place] = True
        waiting.append((symbols, stopped, probability * dropout))
        united = [*symbols[:place], symbols[place] + symbols[place + 1], *symbols[place + 2 :]]
        opened = [*left[:place], *left[place + 1 :]]
        for near in (place - 1, place):  # the new symbol has new neighbours
            if 0 <= near < len(opened):
                opened[near] = False
        waiting.append((united, opened, probability * (1 - dropout)))
    return dict(found)


def exact_lattice(of: Tokenizer, spelled: Sequence[str], alpha: float) -> dict[Ids, float]:
    """The probability of each segmentation, by listing all there are."""
    pieces = {p.text: (i, p.score) for i, p in enumerate(read_pieces(of.serialized)) if p.kind is Kind.NORMAL}
    found: dict[Ids, float] = {}
    for cuts in itertools.product([False, True], repeat=len(spelled) - 1):
        parts = [spelled[0]]
        for cut, letter in zip(cuts, spelled[1:], strict=True):
            parts = [*parts, letter] if cut else [*parts[:-1], parts[-1] + letter]
        if all(part in pieces for part in parts):
            found[tuple(pieces[part][0] for part in parts)] = math.exp(alpha * sum(pieces[p][1] for p in parts))
    whole = sum(found.values())
    return {ids: weight / whole for ids, weight in found.items()}


def distance(drawn: Iterable[Sequence[int]], exact: dict[Ids, float]) -> float:
    """Total variation between frequencies and probabilities."""
    counts = Counter(map(tuple, drawn))
    assert set(counts) <= set(exact)
    return sum(abs(counts[ids] / counts.total() - exact[ids]) for ids in exact) / 2


@pytest.mark.parametrize(
    ("kind", "strength"), [("bpe", 0.1), ("bpe", 0.5), ("unigram", 0.2), ("unigram", 1.0)], ids=str
)
@pytest.mark.parametrize("sentence", ["allee", "lannelan", "nell", "alle an", "elaneaneln"])
def test_pieces_are_drawn_with_their_exact_probabilities_as_the_library_does(
    kind: str, strength: float, sentence: str
) -> None:
    of = tokenizer(kind, 120, lines=babble)
    [stored] = of.encode([sentence])
    exact = {(): 1.0}
    for word in sentence.split():
        word_exact = (exact_merges if kind == "bpe" else exact_lattice)(of, f"▁{word}", strength)
        exact = {(*a, *b): p * q for (a, p), (b, q) in itertools.product(exact.items(), word_exact.items())}
    assert len(exact) > 1
    assert sum(exact.values()) == pytest.approx(1)
    # By McDiarmid's inequality, true draws are farther off once in 10^9 times.
    bound = sum(math.sqrt(p * (1 - p) / DRAWS) for p in exact.values()) / 2 + math.sqrt(math.log(1e9) / (2 * DRAWS))
    assert distance(draw(of, kind, [stored] * DRAWS, strength), exact) < bound
    library = of._processor.encode(
        [sentence] * DRAWS, out_type=int, num_threads=1, enable_sampling=True, alpha=strength, nbest_size=-1
    )
    assert distance(library, exact) < bound
    assert bound < distance([stored], exact)


@given(
    st.lists(st.text(st.sampled_from("aehnrstHunde ß▁½犬🐕\u00a0\n"), max_size=30), max_size=5),
    st.sampled_from(KINDS),
    st.sampled_from([0.05, 0.5, 1.0]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**64),
)
@settings(max_examples=80, deadline=None)
def test_what_is_drawn_spells_the_same(
    lines: list[str], kind: str, strength: float, byte_fallback: bool, across: bool, seed: int
) -> None:
    of = tokenizer(kind, 600, byte_fallback=byte_fallback, symbols="<sep> und", across=across)
    stored = [[of.tags["de"], *ids] for ids in of.encode([*lines, "Der Hund<sep>und 犬 🐕e", ""])]
    drawn = draw(of, kind, stored, strength, seed)
    assert of.decode(drawn) == of.decode(stored)
    library = of._processor
    whole = {library.piece_to_id(symbol) for symbol in ("<unk>", "<sep>", "und")}
    whole |= {i for i in range(of.vocab_size) if library.is_byte(i) or library.is_control(i)}
    assert {library.piece_to_id("<sep>"), library.piece_to_id("und")} <= set(stored[-2])
    for before, after in zip(stored, drawn, strict=True):
        assert [i for i in after if i in whole] == [i for i in before if i in whole]
        assert letters(of, after) == letters(of, before)
        assert after[0] == of.tags["de"]


@pytest.mark.parametrize("kind", KINDS)
def test_other_seeds_draw_other_pieces_and_every_repetition_its_own(kind: str) -> None:
    of = tokenizer(kind)
    stored = of.encode(text()[:50] * 4)
    once = draw(of, kind, stored, 0.3)
    assert once == draw(of, kind, stored, 0.3)
    assert once != draw(of, kind, stored, 0.3, seed=2)
    assert len({tuple(map(tuple, once[start : start + 50])) for start in range(0, 200, 50)}) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_that_would_become_too_long_keeps_its_pieces(kind: str) -> None:
    of = tokenizer(kind)
    stored = of.encode(text()[:400])
    longest = max(map(len, stored))
    free, bound = (draw(of, kind, stored, 0.3, longest=most) for most in (10**6, longest))
    outgrown = [len(ids) > longest for ids in free]
    assert 0 < sum(outgrown) < 400
    assert bound == [before if long else after for before, after, long in zip(stored, free, outgrown, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sentences", [[], [[]], [[], [UNK], []], [[UNK, UNK]]], ids=str)
def test_where_there_is_nothing_to_draw_nothing_changes(kind: str, sentences: list[list[int]]) -> None:
    assert draw(tokenizer(kind), kind, sentences, 0.5) == sentences


@pytest.mark.parametrize(("kind", "strength"), [("bpe", 0.2), ("unigram", 0.2), ("unigram", 1.0)])
def test_a_word_of_thousands_of_characters_is_drawn_as_the_library_does(kind: str, strength: float) -> None:
    of = tokenizer(kind, 120, lines=babble)
    long = "".join(babble()).replace(" ", "")[:3000]
    stored = of.encode([long])
    drawn = draw(of, kind, stored * 20, strength)
    assert of.decode(drawn) == [long] * 20
    library = of._processor.encode(
        [long] * 20, out_type=int, num_threads=1, enable_sampling=True, alpha=strength, nbest_size=-1
    )
    lengths = [np.mean([len(ids) for ids in found]) for found in (drawn, library)]
    assert lengths[0] == pytest.approx(lengths[1], rel=0.02)
    assert 1.1 * len(stored[0]) < lengths[0] < 0.9 * len(long)


HAND_MADE = Inventory.of(
    [Piece(name, 0.0, Kind.CONTROL) for name in ("<pad>", "<unk>", "<s>", "</s>")]
    + [
        Piece(text, score, Kind.NORMAL)
        for text, score in {
            **{"▁": -3.0, "a": -2.5, "b": -2.75, "ab": -1.0, "▁a": -2.0},
            **{"ba": -4.0, "▁ab": -3.5, "aba": -5.0, "abab": -6.0, "bb": -2.25},
        }.items()
    ]
)


@pytest.mark.parametrize(
    ("kind", "strength", "golden"),
    [("bpe", 0.3, "a4a4770d932ecd4f"), ("unigram", 0.4, "6451a1564e850c37")],
)
def test_the_bits_are_those_on_record(kind: str, strength: float, golden: str) -> None:
    draw = random.Random(1)
    words = [[4, *(draw.choice([5, 6]) for _ in range(draw.randint(1, 40)))] for _ in range(500)]
    if kind == "bpe":  # draws from words as they are when nothing is left out
        merging = MergeSegmenter(HAND_MADE, 0.0)
        words = rows(merging.merged(pack(words), np.full(500, 99), np.random.default_rng(0)))
    drawn = MAKERS[kind](HAND_MADE, strength).draw(pack(words), 99, np.random.Generator(np.random.PCG64((1, 2, 3))))
    assert len(drawn) == 500
    assert hashlib.sha256(drawn.ids.astype("<u4").tobytes()).hexdigest()[:16] == golden


CHILD = """
import hashlib, sys
import numpy as np
from seq2seq.data.model_fields import read_pieces
from seq2seq.data.segmentation import Inventory, LatticeSegmenter, MergeSegmenter
from seq2seq.data.sequences import Sequences
from seq2seq.data.tokenizer import Tokenizer

folder = sys.argv[1]
for kind, make in (("bpe", MergeSegmenter), ("unigram", LatticeSegmenter)):
    of = Tokenizer.load(f"{folder}/{kind}.model")
    ids = of.encode(open(f"{folder}/lines", encoding="utf-8").read().splitlines())
    offsets = np.cumsum([0, *map(len, ids)])
    stored = Sequences(np.array([i for line in ids for i in line], dtype=np.uint32), offsets)
    generator = np.random.Generator(np.random.PCG64(7))
    drawn = make(Inventory.of(read_pieces(of.serialized)), 0.3).draw(stored, 99, generator)
    print(hashlib.sha256(drawn.ids.tobytes()).hexdigest())
"""


def test_every_process_draws_the_same(tmp_path: Path) -> None:
    for kind in KINDS:
        tokenizer(kind).save(tmp_path / f"{kind}.model")
    (tmp_path / "lines").write_text("".join(f"{line}\n" for line in text()), encoding="utf-8")
    printed = [
        subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": salt},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for salt in ("1", "2")
    ]
    here = []
    for kind in KINDS:
        drawn = pack(draw(tokenizer(kind), kind, tokenizer(kind).encode(text()), 0.3, seed=7, longest=99))
        here.append(hashlib.sha256(drawn.ids.tobytes()).hexdigest())
    assert [lines.split() for lines in printed] == [here, here]


def test_a_vocabulary_with_pieces_out_of_use_has_no_merges_to_leave_out() -> None:
    pieces = [*HAND_MADE.pieces, Piece("aa", -9.0, Kind.UNUSED)]
    with pytest.raises(ConfigError, match="`sampling` must be none for a tokenizer with pieces marked as unused"):
        MergeSegmenter(Inventory.of(pieces), 0.1)
    drawn = LatticeSegmenter(Inventory.of(pieces), 0.1).draw(pack([[4, 5, 5]] * 99), 99, np.random.default_rng(1))
    assert len(pieces) - 1 not in drawn.ids


def test_a_piece_with_a_character_that_is_no_piece_stays_whole() -> None:
    odd = len(HAND_MADE.pieces)
    of = Inventory.of([*HAND_MADE.pieces, Piece("ax", -1.0, Kind.NORMAL)])
    for drawing in (MergeSegmenter(of, 1.0), LatticeSegmenter(of, 0.1)):
        drawn = rows(drawing.draw(pack([[8, odd, 7]] * 50), 99, np.random.default_rng(1)))
        assert [4, 5, odd, 5, 6] in drawn
        assert all(odd in ids for ids in drawn)


@pytest.mark.parametrize("score", [-1e38, -math.inf, math.nan, math.inf])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_absurd_scores_do_no_harm(kind: str, score: float) -> None:
    pieces = [piece._replace(score=score) if i % 2 else piece for i, piece in enumerate(HAND_MADE.pieces)]
    of = Inventory.of(pieces)
    words = [[4, *([5, 6] * 50)]] * 9 if kind == "unigram" else [[4, *([7] * 50)]] * 9
    drawn = MAKERS[kind](of, 0.5).draw(pack(words), 999, np.random.default_rng(1))
    for before, after in zip(words, rows(drawn), strict=True):
        assert "".join(pieces[i].text for i in after) == "".join(pieces[i].text for i in before)


def test_a_table_finds_what_is_in_it_and_nothing_else() -> None:
    draw = np.random.default_rng(1)
    pairs = np.unique(np.concatenate([draw.integers(0, 60, (2000, 2)), draw.integers(0, 2**31, (2000, 2))]), axis=0)
    inside = draw.random(len(pairs)) < 0.5
    table = PairTable(pairs[inside], np.arange(1, 1 + inside.sum()))
    found = table.find(pairs[:, 0], pairs[:, 1])
    assert found[inside].tolist() == list(range(1, 1 + inside.sum()))
    assert not found[~inside].any()
    assert not PairTable(pairs[:0], pairs[:0, 0]).find(pairs[:, 0], pairs[:, 1]).any()
