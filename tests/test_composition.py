"""What every encoder x attention x decoder must keep, whatever is in ``configs/``.

The matrix is read from the files of ``configs/encoder``, ``configs/attention`` and ``configs/decoder`` and from the
signatures of the classes they name: a new file or a new setting is tested without being mentioned here.
"""

from __future__ import annotations

import itertools
import typing
from dataclasses import replace

import pytest
import torch
from tiny import VOCABULARY, architecture, batch_of, build, choices, random_batch, sentences, variants
from torch import Tensor, nn

from seq2seq.attention.core import Attention
from seq2seq.attention.windows import Predictive, Window
from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import BOS, PAD
from seq2seq.decoders.base import DecoderState
from seq2seq.decoders.rnn import RNNDecoder
from seq2seq.errors import ConfigError
from seq2seq.model import ModelConfig, Seq2SeqModel
from seq2seq.objectives import CrossEntropy

Overrides = tuple[str, ...]

SOURCE_LENGTHS = [6, 3, 1, 5, 6, 2, 4, 5]
TARGET_LENGTHS = [4, 6, 2, 5, 1, 3, 6, 4]
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


def matrix() -> list[Overrides]:
    """Every shipped combination, then every variant of a part with each of the other side's choices."""
    encoders, attentions, decoders = (choices(group) for group in ("encoder", "attention", "decoder"))
    cases: list[Overrides] = [
        (f"encoder={encoder}", f"attention={attention}", f"decoder={decoder}")
        for encoder, attention, decoder in itertools.product(encoders, attentions, decoders)
    ]
    for group, other in (("encoder", "decoder"), ("decoder", "encoder")):
        for name, beside in itertools.product(choices(group), choices(other)):
            cases += [(f"{group}={name}", f"{other}={beside}", *changed) for changed in variants(group, name)]
    for part, decoder in itertools.product(("normalizer", "window"), decoders):
        cases += [(f"decoder={decoder}", f"attention/{part}={name}") for name in choices(f"attention/{part}")]
    cases += [(f"attention@self_attention={attention}",) for attention in attentions]
    for part in ("normalizer", "window"):
        cases += [(f"attention/{part}@self_attention.{part}={name}",) for name in choices(f"attention/{part}")]
    cases += [
        ("attention@self_attention=dot", f"attention={attention}", "attention.project=true")
        for attention in attentions
    ]
    return cases


@pytest.fixture(params=matrix(), ids=" ".join)
def model(request: pytest.FixtureRequest) -> Seq2SeqModel:
    return build(*request.param)


@pytest.fixture
def batch() -> Batch:
    return random_batch(SOURCE_LENGTHS, TARGET_LENGTHS)


def read(model: Seq2SeqModel, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
    output = model.decode(tokens, state)
    return output.logits, output.state


def midway(model: Seq2SeqModel, batch: Batch, beam: int, steps: int = 2) -> DecoderState:
    """A state whose hypotheses, ``beam`` for each sentence, have read different pieces."""
    state = model.start(model.encode(batch)).expand(beam)
    rows = len(batch.source) * beam
    for _ in range(steps):
        _, state = read(model, torch.randint(4, VOCABULARY, (rows, 1)), state)
    return state


def looking_window(model: Seq2SeqModel) -> Window:
    """The window of the decoder's attention to the source."""
    decoder = model.decoder
    attention = decoder.attention if isinstance(decoder, RNNDecoder) else decoder.cross_attentions[0].attention
    window: Window = attention.window
    return window


def with_more_padding(batch: Batch, source: int, target: int) -> Batch:
    """The same sentences with more columns of padding."""
    assert batch.target is not None
    return replace(
        batch,
        source=torch.nn.functional.pad(batch.source, (0, source), value=PAD),
        source_padded=True,
        target=torch.nn.functional.pad(batch.target, (0, target), value=PAD),
    )


@torch.no_grad()
def test_decoding_step_by_step_equals_teacher_forcing(model: Seq2SeqModel, batch: Batch) -> None:
    tokens = batch.target[:, :-1]
    start = model.start(model.encode(batch))
    forced, after = read(model, tokens, start)
    state, logits = start, []
    for step in range(tokens.shape[1]):
        one, state = read(model, tokens[:, step : step + 1], state)
        logits.append(one)
    torch.testing.assert_close(torch.cat(logits, dim=1), forced, **TOLERANCE)
    assert state.position == after.position == tokens.shape[1]
    halves = []
    state = start
    for part in tokens.split(3, dim=1):
        some, state = read(model, part, state)
        halves.append(some)
    torch.testing.assert_close(torch.cat(halves, dim=1), forced, **TOLERANCE)


@torch.no_grad()
def test_a_decoder_never_looks_ahead(model: Seq2SeqModel, batch: Batch) -> None:
    tokens = batch.target[:, :-1].clone()
    before, _ = read(model, tokens, model.start(model.encode(batch)))
    tokens[:, 3:] = (tokens[:, 3:] + 1) % VOCABULARY
    after, _ = read(model, tokens, model.start(model.encode(batch)))
    torch.testing.assert_close(after[:, :3], before[:, :3], **TOLERANCE)
    assert not torch.allclose(after[:, 3:], before[:, 3:], **TOLERANCE)


@torch.no_grad()
def test_padding_is_invisible_to_every_combination(model: Seq2SeqModel, batch: Batch) -> None:
    before = model(batch).hidden
    real = batch.target[:, :-1] != PAD
    for embedding in (model.source_embedding, model.target_embedding):
        embedding.weight[PAD] = 99.0
    for source, target in ((0, 0), (5, 0), (0, 3), (5, 3)):
        after = model(with_more_padding(batch, source, target)).hidden[:, : before.shape[1]]
        torch.testing.assert_close(after[real], before[real], **TOLERANCE)


@torch.no_grad()
def test_a_sentence_does_not_depend_on_those_beside_it(model: Seq2SeqModel, batch: Batch) -> None:
    sources, targets = (
        sentences(lengths, seed=seed) for seed, lengths in enumerate((SOURCE_LENGTHS, TARGET_LENGTHS))
    )
    together = model(batch).hidden
    for row, (source, target) in enumerate(zip(sources, targets, strict=True)):
        alone = batch_of([source], [target])
        assert not alone.source_padded
        torch.testing.assert_close(together[row : row + 1, : len(target) + 1], model(alone).hidden, **TOLERANCE)


@torch.no_grad()
def test_reordering_commutes_with_a_step(model: Seq2SeqModel, batch: Batch) -> None:
    beam = 3
    state = midway(model, batch, beam)
    within = torch.randint(0, beam, (len(batch.source), beam))  # some go on twice, some not at all
    rows = (torch.arange(len(batch.source))[:, None] * beam + within).flatten()
    tokens = torch.randint(4, VOCABULARY, (len(rows), 1))
    step_first, reordered_late = read(model, tokens, state)
    reorder_first, reordered_early = read(model, tokens[rows], state.reorder(rows))
    torch.testing.assert_close(reorder_first, step_first[rows], **TOLERANCE)
    following = torch.randint(4, VOCABULARY, (len(rows), 1))
    torch.testing.assert_close(
        read(model, following, reordered_early)[0],
        read(model, following, reordered_late.reorder(rows))[0],
        **TOLERANCE,
    )
    assert not torch.allclose(step_first[rows], step_first, **TOLERANCE)


@torch.no_grad()
def test_selecting_sentences_commutes_with_a_step(model: Seq2SeqModel, batch: Batch) -> None:
    beam = 3
    state = midway(model, batch, beam)
    kept = torch.tensor([6, 0, 3])
    rows = (kept[:, None] * beam + torch.tensor([2, 0, 1])).flatten()
    tokens = torch.randint(4, VOCABULARY, (len(batch.source) * beam, 1))
    step_first, selected_late = read(model, tokens, state)
    select_first, selected_early = read(model, tokens[rows], state.select(kept, rows))
    torch.testing.assert_close(select_first, step_first[rows], **TOLERANCE)
    following = torch.randint(4, VOCABULARY, (len(rows), 1))
    torch.testing.assert_close(
        read(model, following, selected_early)[0],
        read(model, following, selected_late.select(kept, rows))[0],
        **TOLERANCE,
    )


@torch.no_grad()
def test_a_step_leaves_the_state_it_started_from_as_it_was(model: Seq2SeqModel, batch: Batch) -> None:
    state = midway(model, batch, beam=2)
    tokens = torch.full((2 * len(batch.source), 1), BOS)
    first, _ = read(model, tokens, state)
    read(model, tokens + 7, state)
    torch.testing.assert_close(read(model, tokens, state)[0], first, atol=0, rtol=0)


@torch.no_grad()
def test_asking_for_weights_changes_no_number(model: Seq2SeqModel, batch: Batch) -> None:
    tokens = batch.target[:, :-1]
    plain = model.decode(tokens, model.start(model.encode(batch)))
    looking = model.decode(tokens, model.start(model.encode(batch)), need_weights=True)
    assert plain.weights == ()
    assert looking.weights
    torch.testing.assert_close(looking.logits, plain.logits, **TOLERANCE)
    source_padding = batch.source == PAD
    for weights in looking.weights:
        rows, heads, steps, places = weights.shape
        assert (rows, steps, places) == (*tokens.shape, batch.source.shape[1])
        if isinstance(looking_window(model), Predictive):  # Luong's Gaussian only takes away
            assert bool((weights.sum(-1) < 1).all())
        else:
            torch.testing.assert_close(weights.sum(-1), torch.ones(rows, heads, steps))
        assert not weights[source_padding[:, None, None].expand_as(weights)].any()


def test_every_parameter_gets_a_finite_gradient(model: Seq2SeqModel, batch: Batch) -> None:
    sums = CrossEntropy(label_smoothing=0.1).train()(model.train(), batch)
    (sums.total / batch.target_tokens).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} has no gradient"
        assert torch.isfinite(parameter.grad).all(), f"{name} has a gradient that is not finite"
        assert parameter.grad.any(), f"{name} has a gradient of zeros"


@pytest.mark.parametrize("tying", typing.get_args(typing.get_type_hints(ModelConfig)["tie_embeddings"]))
@pytest.mark.parametrize("encoder", choices("encoder"))
@pytest.mark.parametrize("decoder", choices("decoder"))
def test_the_same_seed_builds_the_same_model_wherever_its_parts_lie_in_memory(
    encoder: str, decoder: str, tying: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts are hashed by their address, which no two processes share; here addresses rise, and then they fall."""

    def built(step: int) -> dict[str, Tensor]:
        places: dict[int, int] = {}
        monkeypatch.setattr(
            nn.Module, "__hash__", lambda part: places.setdefault(id(part), 2**20 + step * len(places))
        )
        return build(f"encoder={encoder}", f"decoder={decoder}", f"model.tie_embeddings={tying}").state_dict()

    own, other = built(1), built(-1)
    assert own.keys() == other.keys()
    assert all(torch.equal(own[name], other[name]) for name in own)


@pytest.mark.parametrize("encoder", choices("encoder"))
@pytest.mark.parametrize("decoder", choices("decoder"))
def test_a_part_says_whether_it_has_self_attention(encoder: str, decoder: str) -> None:
    model = build(f"encoder={encoder}", f"decoder={decoder}")
    inner = {part for part in model.encoder.modules() if isinstance(part, Attention)}
    assert type(model.encoder).uses_self_attention == bool(inner)
    inner = {part for part in model.decoder.modules() if isinstance(part, Attention)}
    assert type(model.decoder).uses_self_attention == bool(inner - set(model.decoder.attentions))


REFUSED: list[tuple[Overrides, int, str]] = [
    (("attention.num_heads=3",), 16, "`attention.num_heads` must divide .* 16, but is 3 .*`model.dim`"),
    (("self_attention.num_heads=3",), 16, "`self_attention.num_heads` must divide .* 16, but is 3 .*`model.dim`"),
    (("encoder=bilstm", "attention=dot", "decoder=rnn"), 15, "`model.dim` must be even .* but is 15"),
    (("encoder.positions=rotary",), 20, "`encoder.positions` rotary .* even width, but they have 5 .*heads"),
    (("decoder.positions=rotary",), 20, "`decoder.positions` rotary .* even width, but they have 5 .*heads"),
]


@pytest.mark.parametrize(("overrides", "dim", "words"), REFUSED, ids=str)
def test_a_combination_that_cannot_be_is_refused_with_a_way_out(overrides: Overrides, dim: int, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        architecture(*overrides, dim=dim).build(VOCABULARY, VOCABULARY)


def test_one_matrix_cannot_serve_two_vocabularies() -> None:
    with pytest.raises(ConfigError, match=r"`model.tie_embeddings` must be 'target' or 'none' .*23 and 24"):
        architecture().build(23, 24)


@pytest.mark.parametrize(("tying", "matrices"), [("all", 1), ("target", 2), ("none", 3)])
@pytest.mark.parametrize("decoder", choices("decoder"))
def test_tied_embeddings_are_one_matrix(decoder: str, tying: str, matrices: int) -> None:
    model = build(f"decoder={decoder}", f"model.tie_embeddings={tying}")
    parts = (model.source_embedding.weight, model.target_embedding.weight, model.output.weight)
    assert len({id(part) for part in parts}) == matrices
    assert model.num_parameters == sum(parameter.numel() for parameter in set(model.parameters()))


@pytest.mark.parametrize("encoder", choices("encoder"))
@pytest.mark.parametrize("decoder", choices("decoder"))
def test_embeddings_may_be_narrower_than_the_model(encoder: str, decoder: str) -> None:
    model = build(f"encoder={encoder}", f"decoder={decoder}", "model.embedding_dim=6")
    batch = random_batch(SOURCE_LENGTHS, TARGET_LENGTHS)
    assert model(batch).hidden.shape == (8, 7, 6)
    assert read(model, batch.target[:, :-1], model.start(model.encode(batch)))[0].shape == (8, 7, VOCABULARY)


@pytest.mark.parametrize("tying", ["target", "none"])
def test_source_and_target_may_have_vocabularies_of_their_own(tying: str) -> None:
    model = architecture(f"model.tie_embeddings={tying}").build(VOCABULARY + 9, VOCABULARY)
    batch = random_batch(SOURCE_LENGTHS, TARGET_LENGTHS)
    batch.source[0, 0] = VOCABULARY + 8
    assert read(model, batch.target[:, :-1], model.start(model.encode(batch)))[0].shape[-1] == VOCABULARY
