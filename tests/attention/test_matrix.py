"""Any score with any normalizer and any window, with and without projections and heads: the whole of ``configs/``."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import attention_values, build, choices, make_attention, random_batch

from seq2seq.attention.windows import Predictive
from seq2seq.data.tokenizer import PAD

SCORES = choices("attention")
NORMALIZERS = choices("attention/normalizer")
WINDOWS = choices("attention/window")
# Without names whose settings, but for those that the tests set themselves, are those of another.
MATRIX = list(
    {
        json.dumps(attention_values(*names, width=5) | {"num_heads": 1, "project": False}): names
        for names in itertools.product(SCORES, NORMALIZERS, WINDOWS)
    }.values()
)
PLACES = {
    "to the source, after the cell": ("attention", ["decoder=rnn"]),
    "to the source, before the cell": ("attention", ["decoder=rnn", "decoder.attend=before"]),
    "to the source, Transformer": ("attention", ["decoder=transformer"]),
    "self-attention": ("self_attention", ["decoder=transformer"]),
}
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


@settings(deadline=None, max_examples=6, derandomize=True)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=3),
    heads=st.sampled_from([1, 4]),
    project=st.booleans(),
    causal=st.booleans(),
    width=st.sampled_from([3, 5, 21]),
)
@pytest.mark.parametrize(("score", "normalizer", "window"), MATRIX)
def test_every_attention_hides_what_is_hidden_and_mixes_what_it_sees(
    score: str,
    normalizer: str,
    window: str,
    lengths: list[int],
    heads: int,
    project: bool,
    causal: bool,
    width: int,
) -> None:
    attention = make_attention(
        score, 16, 16, num_heads=heads, project=project, normalizer=normalizer, window=window, width=width
    )
    batch, keys = len(lengths), max(lengths)
    is_token = torch.arange(keys) < torch.tensor(lengths)[:, None]
    query, states = (torch.randn(batch, keys, 16, requires_grad=True) for _ in range(2))
    memory = attention.project_memory(states)
    context, weights = attention(query, memory, is_token, causal=causal, need_weights=True)
    hidden = ~is_token[:, None, :].expand(batch, keys, keys)
    if causal:
        hidden = hidden | (torch.arange(keys)[None, :] > torch.arange(keys)[:, None])
    assert not weights[hidden[:, None].expand_as(weights)].any()
    total = weights.sum(-1)
    if isinstance(attention.window, Predictive):
        assert bool(((total > 0) & (total <= 1)).all())
    else:
        torch.testing.assert_close(total, torch.ones(batch, heads, keys))
    mixed = (weights @ memory.value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(context, attention.output_map(mixed) if project else mixed)
    plain, none = attention(query, memory, is_token, causal=causal)
    assert none is None
    torch.testing.assert_close(plain, context, atol=2e-6, rtol=1e-5)
    for gradient in torch.autograd.grad(context.square().sum(), (query, states, *attention.parameters())):
        assert bool(torch.isfinite(gradient).all())


@torch.no_grad()
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("score", "normalizer", "window"), MATRIX)
def test_every_attention_steps_as_it_trains_and_never_sees_padding(
    score: str, normalizer: str, window: str, place: str
) -> None:
    group, decoder = PLACES[place]
    model = build(*decoder, **{group: attention_values(score, normalizer, window, width=3)})
    batch = random_batch([6, 3, 1, 5], [4, 7, 2, 5])
    assert batch.target is not None
    tokens = batch.target[:, :-1]
    state = start = model.start(model.encode(batch))
    forced = model.decode(tokens, start).logits
    logits = []
    for step in range(tokens.shape[1]):
        output = model.decode(tokens[:, step : step + 1], state)
        state = output.state
        logits.append(output.logits)
    torch.testing.assert_close(torch.cat(logits, dim=1), forced, **TOLERANCE)
    for embedding in (model.source_embedding, model.target_embedding):
        embedding.weight[PAD] = 99.0
    again = model.decode(tokens, model.start(model.encode(batch))).logits
    real = tokens != PAD
    torch.testing.assert_close(again[real][:, PAD + 1 :], forced[real][:, PAD + 1 :], **TOLERANCE)
