"""Any score with any normalizer and any window, with and without projections and heads: the whole of ``configs/``."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny import attention_values, build, choices, make_attention, random_batch

from seq2seq.attention.windows import Predictive
from seq2seq.data.tokenizer import PAD

SCORES = choices("attention")
NORMALIZERS = choices("attention/normalizer")
WINDOWS = choices("attention/window")
MATRIX = list(itertools.product(SCORES, NORMALIZERS, WINDOWS))
PLACES = {
    "to the source, recurrent": ("attention", "decoder=rnn"),
    "to the source, Transformer": ("attention", "decoder=transformer"),
    "self-attention": ("self_attention", "decoder=transformer"),
}
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize(("num_heads", "project"), [(1, False), (1, True), (4, False), (4, True)])
@pytest.mark.parametrize(("score", "normalizer", "window"), MATRIX)
def test_every_attention_gives_weights_that_hide_what_is_hidden_and_a_context_made_of_them(
    score: str, normalizer: str, window: str, num_heads: int, project: bool, causal: bool
) -> None:
    attention = make_attention(
        score, 16, 16, num_heads=num_heads, project=project, normalizer=normalizer, window=window, width=5
    )
    is_token = torch.arange(9) < torch.tensor([9, 6, 1])[:, None]
    query, states = (torch.randn(3, 9, 16, requires_grad=True) for _ in range(2))
    memory = attention.project_memory(states)
    context, weights = attention(query, memory, is_token, causal=causal, need_weights=True)
    hidden = ~is_token[:, None, :].expand(3, 9, 9)
    if causal:
        hidden = hidden | (torch.arange(9)[None, :] > torch.arange(9)[:, None])
    assert not weights[hidden[:, None].expand_as(weights)].any()
    total = weights.sum(-1)
    if isinstance(attention.window, Predictive):
        assert bool(((total > 0) & (total <= 1)).all())
    else:
        torch.testing.assert_close(total, torch.ones(3, num_heads, 9))
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
    model = build(decoder, **{group: attention_values(score, normalizer, window, width=3)})
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
