"""Subword regularisation: other pieces in every epoch, always the same text, the same pieces at the same place."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data import sampling as module
from seq2seq.data.alignment import Link, piece_links, words_of
from seq2seq.data.batching import Batch, Position, TrainingBatches, pack
from seq2seq.data.sampling import BpeDropout, NoSampling, SampledBatches, Sampling, UnigramSampling
from seq2seq.data.segmentation import Segmenter
from seq2seq.data.sequences import Sequences
from seq2seq.data.tokenizer import BOS, EOS, PAD, Tokenizer, TokenizerConfig, train_tokenizer
from seq2seq.errors import ConfigError

KINDS = ["bpe", "unigram"]
PAIRS = 400

Make = Callable[..., SampledBatches]


def text(count: int = PAIRS, seed: int = 0) -> list[str]:
    """Sentences of invented words, each with its own number, so that a text names its pair."""
    draw = random.Random(seed)
    syllables = ["hun", "de", "läu", "ft", "stra", "ße", "über", "bel", "lt", "klei", "ne", "ma", "rit", "½", "„o“"]
    words = ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(200)]
    return [" ".join([str(i), *draw.choices(words, k=draw.randint(1, 12))]) for i in range(count)]


@cache
def tokenizer(kind: str, *, byte_fallback: bool = False) -> Tokenizer:
    config = TokenizerConfig(
        type=kind,
        vocab_size=400 if byte_fallback else 150,
        joint=True,
        character_coverage=1.0,
        byte_fallback=byte_fallback,
        sample=1000,
    )
    with TemporaryDirectory() as folder:
        return train_tokenizer(text(), config, Path(folder) / "tokenizer.model")


def sampling(kind: str, source: float | None = None, target: float | None = None) -> Sampling:
    usual = 0.1 if kind == "bpe" else 0.2
    strengths = {"source": usual if source is None else source, "target": usual if target is None else target}
    return BpeDropout(**strengths) if kind == "bpe" else UnigramSampling(**strengths)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes batches of sampled pairs, in parts of few batches, and ends their threads."""
    monkeypatch.setattr(module, "PART", 3)
    monkeypatch.setattr(module, "CHUNK", 300)
    made: list[TrainingBatches] = []

    def build(
        kind: str = "bpe", *, how: Sampling | None = None, max_tokens: int = 512, seed: int = 1
    ) -> SampledBatches:
        of = tokenizer(kind)
        stored = pack(of.encode(text())), pack(of.encode(text(seed=1)))
        made.append(
            SampledBatches(
                *stored,
                tokenizers=(of, of),
                sampling=how or sampling(kind),
                max_tokens=max_tokens,
                multiple=4,
                seed=seed,
            )
        )
        return made[-1]

    yield build
    for batches in made:
        batches.close()


def epoch(batches: SampledBatches, number: int = 0) -> list[tuple[Batch, Position]]:
    found = []
    for batch, after in batches.start(Position(number)):
        found.append((batch, after))
        if after.epoch > number:
            return found
    raise AssertionError


def rows(ids: torch.Tensor) -> list[list[int]]:
    """The sentences of a padded matrix, without their marks."""
    return [[i for i in row if i not in (PAD, BOS, EOS)] for row in ids.tolist()]


def segmentations(batches: SampledBatches, number: int = 0) -> dict[str, tuple[list[int], list[int]]]:
    """The pieces of each pair of an epoch, by the text of its source."""
    found = {}
    of = batches.tokenizers[0]
    for batch, _ in epoch(batches, number):
        assert batch.target is not None
        for source, target in zip(rows(batch.source), rows(batch.target), strict=True):
            found[of.decode([source])[0]] = source, target
    return found


def same(one: Batch, other: Batch) -> bool:
    assert one.target is not None
    assert other.target is not None
    return torch.equal(one.source, other.source) and torch.equal(one.target, other.target)


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_comes_once_an_epoch_with_its_own_text_in_other_pieces(make: Make, kind: str) -> None:
    batches = make(kind)
    epochs = [segmentations(batches, number) for number in (0, 1)]
    stored = tokenizer(kind).encode(text())
    for found in epochs:
        assert sorted(found) == sorted(text())
        targets = tokenizer(kind).decode([found[source][1] for source in text()])
        assert targets == text(seed=1)
        changed = sum(found[source][0] != ids for source, ids in zip(text(), stored, strict=True))
        assert changed > PAIRS / 2
    assert sum(epochs[0][source] != epochs[1][source] for source in text()) > PAIRS / 2


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=40), max_size=8),
    st.sampled_from(KINDS),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_whatever_the_text_its_drawn_pieces_spell_it(
    lines: list[str], kind: str, byte_fallback: bool, seed: int
) -> None:
    of = tokenizer(kind, byte_fallback=byte_fallback)
    lines += ["hunde 犬 ⁇", "½  ße", "▁über läuft "]
    before = of.encode(lines)
    batches = SampledBatches(
        pack([*before, [9] * 200]),
        pack([[5]] * (len(lines) + 1)),
        tokenizers=(of, of),
        sampling=sampling(kind, target=0.0),
        max_tokens=256,
        multiple=1,
        seed=seed,
    )
    part = batches.part(0, 0)
    batches.close()
    order = np.random.default_rng((seed, 0)).permutation(len(before) + 1)
    for place, row in enumerate(order):
        if row == len(before):
            continue
        drawn = part.source[place].tolist()
        assert of.decode([drawn]) == of.decode([before[row]])


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_depend_on_the_seed_and_the_place_only(make: Make, kind: str) -> None:
    first = epoch(make(kind), 1)
    torch.manual_seed(99)
    np.random.seed(99)
    later = make(kind)
    later.part(0, 0)
    assert all(same(one, other) for (one, _), (other, _) in zip(first, epoch(later, 1), strict=True))
    other = epoch(make(kind, seed=2), 1)
    assert [batch.source.shape for batch, _ in other] != [batch.source.shape for batch, _ in first]


@pytest.mark.parametrize("kind", KINDS)
def test_starting_anywhere_gives_the_tail_of_the_whole_stream(make: Make, kind: str) -> None:
    batches = make(kind)
    whole = epoch(batches, 0) + epoch(batches, 1)
    places = [Position(), *(after for _, after in whole)]
    assert {place.part for place in places} == set(range(batches.parts))
    assert len(set(places)) == len(places)
    assert batches.parts >= 3
    for done in range(0, len(whole), 3):
        fresh = make(kind)
        tail = list(islice(fresh.start(places[done]), 4))
        for (batch, after), (expected, expected_after) in zip(tail, whole[done:], strict=False):
            assert same(batch, expected)
            assert after == expected_after
        fresh.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_tokens", [128, 512])
def test_the_budget_is_never_exceeded_and_widths_are_multiples(make: Make, kind: str, max_tokens: int) -> None:
    batches = make(kind, max_tokens=max_tokens)
    longest = batches.source.lengths.max(), batches.target.lengths.max()
    for batch, _ in epoch(batches):
        height, width = batch.source.shape
        target_width = batch.target.shape[1] - 1
        assert width % 4 == target_width % 4 == 0
        assert height * max(width, target_width) <= max_tokens
        assert (batch.source_lengths - 1).max() <= longest[0]
        assert max(map(len, rows(batch.target))) <= longest[1]


def test_passes_over_the_corpus_grow_with_every_batch_and_end_at_whole_numbers(make: Make) -> None:
    batches = make()
    positions = [Position(), *(after for _, after in epoch(batches, 0) + epoch(batches, 1))]
    passes = [batches.epochs(position) for position in positions]
    assert passes == sorted(set(passes))
    assert (passes[0], passes[-1]) == (0, 2)
    assert all(int(done) == place.epoch for done, place in zip(passes, positions, strict=True))


def test_a_side_of_strength_zero_keeps_its_pieces(make: Make) -> None:
    batches = make(how=BpeDropout(source=0.0, target=0.3))
    found = segmentations(batches)
    assert [found[source][0] for source in text()] == tokenizer("bpe").encode(text())
    assert [found[source][1] for source in text()] != tokenizer("bpe").encode(text(seed=1))


@pytest.mark.parametrize("how", [NoSampling(), BpeDropout(source=0, target=0), UnigramSampling(source=0, target=0)])
def test_nothing_to_draw_suits_every_tokenizer(how: Sampling) -> None:
    assert not how.active
    for kind in KINDS:
        how.check(kind)


def test_a_tokenizer_that_draws_in_another_way_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`sampling` must suit the tokenizer, .* 'unigram', but is BpeDropout"):
        sampling("bpe").check("unigram")
    with pytest.raises(ConfigError, match=r"`sampling` must suit the tokenizer, .* 'bpe', but is UnigramSampling"):
        sampling("unigram").check("bpe")


def test_a_failure_while_drawing_ends_the_training_loop(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = make()
    stream = batches.start(Position())
    next(stream)

    def fail(*_: object) -> None:
        raise MemoryError("no room for pieces")

    monkeypatch.setattr(Segmenter, "draw", fail)
    with pytest.raises(MemoryError, match="no room for pieces"):
        list(stream)


def test_closing_ends_the_thread_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = make()
    calls = []
    begun, proceed = threading.Event(), threading.Event()
    real = Segmenter.draw

    def slow(*given: object) -> Sequences:
        calls.append(1)
        begun.set()
        assert proceed.wait(10)
        return real(*given)

    monkeypatch.setattr(Segmenter, "draw", slow)
    next_part = batches._begin(0, 0)
    assert begun.wait(10)
    closing = threading.Thread(target=batches.close)
    closing.start()
    while not batches._closed:
        pass
    proceed.set()
    closing.join(10)
    assert not closing.is_alive()
    assert next_part.done()
    assert len(calls) == 1
    assert not [thread for thread in threading.enumerate() if thread in batches._executor._threads]


def test_links_follow_their_words(make: Make) -> None:
    of = tokenizer("bpe")
    draw = random.Random(3)
    pairs = list(zip(text(), text(seed=1), strict=True))
    words = [
        sorted({Link(draw.randrange(len(words_of(a))), draw.randrange(len(words_of(b)))) for _ in range(3)})
        for a, b in pairs
    ]
    encoded = [of.encode(side) for side in (text(), text(seed=1))]

    def places(links: list[Link], source: list[int], target: list[int]) -> list[int]:
        found = piece_links(links, of.pieces(source), of.pieces(target))
        return [place for link in found for place in (link.source, link.target)]

    stored = pack([places(*row) for row in zip(words, *encoded, strict=True)])
    batches = SampledBatches(
        *map(pack, encoded),
        tokenizers=(of, of),
        sampling=sampling("bpe"),
        max_tokens=512,
        multiple=4,
        seed=1,
        links=stored,
    )
    changed = 0
    for batch, _ in epoch(batches):
        assert batch.links is not None
        assert batch.target is not None
        sources, targets = rows(batch.source), rows(batch.target)
        for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
            number = int(of.decode([source])[0].split()[0])
            changed += (source, target) != (encoded[0][number], encoded[1][number])
            found = {(int(s), int(t)) for r, t, s in batch.links.tolist() if r == row}
            expected = places(words[number], source, target)
            assert found == set(zip(expected[::2], expected[1::2], strict=True))
    batches.close()
    assert changed > PAIRS / 2
