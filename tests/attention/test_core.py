"""The attention around the scores: two paths that agree, masks, and hypotheses that share a memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import Sizes, build, choices, make_attention, random_batch
from torch import Tensor

from seq2seq.attention import core
from seq2seq.attention.normalizers import Softmax
from seq2seq.attention.windows import Sight
from seq2seq.errors import ConfigError
from seq2seq.layers import rotate

CPU = torch.device("cpu")
LENGTHS = torch.tensor([7, 4, 1])
PADDING = torch.arange(7) < LENGTHS[:, None]
NAMES = choices("attention")
INNER_PRODUCTS = [name for name in NAMES if make_attention(name, 8, 8).score.is_inner_product]

heads_and_maps = pytest.mark.parametrize(("num_heads", "project"), [(1, False), (1, True), (4, False), (4, True)])


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Takes the fused path wherever it is right, and notes every call of the kernel."""
    calls: list[bool] = []
    kernel: Callable[..., Tensor] = F.scaled_dot_product_attention

    def noted(*arguments: object, **settings: object) -> Tensor:
        calls.append(True)
        return kernel(*arguments, **settings)

    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    monkeypatch.setattr(core, "fused_pays", lambda query: True)
    return calls


def test_the_inner_products_are_the_five_of_the_literature() -> None:
    assert set(NAMES) - set(INNER_PRODUCTS) == {"additive", "additive_normed", "euclidean_unsquared"}


class Sharp(Softmax):
    """A user's own softmax."""

    def forward(self, scores: Tensor) -> Tensor:
        return super().forward(2.0 * scores)


class Renamed(Softmax):
    """A user's softmax that is none of their own."""


@pytest.mark.parametrize(("normalizer", "calls"), [(Softmax, 1), (Renamed, 1), (Sharp, 0)])
def test_a_softmax_of_the_users_own_is_not_passed_over(
    normalizer: type[Softmax], calls: int, kernel_calls: list[bool]
) -> None:
    attention = make_attention("scaled_dot", 8, 8)
    attention.normalizer = normalizer()
    memory = attention.project_memory(torch.randn(2, 5, 8))
    query = torch.randn(2, 3, 8)
    context = attention(query, memory).context
    assert len(kernel_calls) == calls
    weights = attention.normalizer(attention.score.compare(query.unsqueeze(1), memory.key))
    torch.testing.assert_close(context, (weights @ memory.value).squeeze(1))


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
@pytest.mark.parametrize("kind", ["all", "causal", "sliding", "decoding"])
@pytest.mark.parametrize("name", INNER_PRODUCTS)
def test_scores_are_never_in_memory_where_the_fused_kernel_can_run(name: str, kind: str, padded: bool) -> None:
    batch, heads, keys = 3, 2, 160
    queries = 1 if kind == "decoding" else keys
    window = {"window": "sliding", "width": 31} if kind == "sliding" else {}
    attention = make_attention(name, 8, 8, num_heads=heads, **window)
    query = torch.randn(batch, queries, 8, requires_grad=True)
    states = torch.randn(batch, keys, 8, requires_grad=True)
    is_token = torch.arange(keys) < torch.tensor([keys, 20, 1])[:, None] if padded else None
    with Sizes() as sizes:
        memory = attention.project_memory(states)
        output = attention(query, memory, is_token, causal=kind == "causal", offset=keys - queries)
        output.context.sum().backward()
    scores = {(batch, heads, queries, keys), (batch * heads, queries, keys)}
    assert scores.isdisjoint(sizes.shapes)
    if queries > 1:  # nor under another shape: keys and values take far less here
        assert max(sizes.seen) < batch * heads * queries * keys
    with Sizes() as sizes:
        attention(query, memory, is_token, causal=kind == "causal", offset=keys - queries, need_weights=True)
    assert not scores.isdisjoint(sizes.shapes), "the explicit path must be noticed, or the test proves nothing"


@pytest.mark.parametrize("name", INNER_PRODUCTS)
def test_a_whole_transformer_trains_and_decodes_without_scores_in_memory(name: str, kernel_calls: list[bool]) -> None:
    multi = ["num_heads=2", "project=true"]
    model = build(
        f"attention={name}",
        f"attention@self_attention={name}",
        *(f"{group}.{value}" for group in ("attention", "self_attention") for value in multi),
    )
    batch = random_batch([96, 50], [96, 80])
    with Sizes() as sizes:
        model(batch).hidden.sum().backward()
    assert len(kernel_calls) == 6  # two layers each of encoder, decoder and attention to the source
    assert not [shape for shape in sizes.shapes if len(shape) >= 3 and shape[-2:] in ((97, 97), (96, 97), (97, 96))]
    kernel_calls.clear()
    with torch.inference_mode():
        model.decode(batch.target[:, :1], model.start(model.encode(batch)))
    assert len(kernel_calls) == 6


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("padding", [None, PADDING], ids=["full", "padded"])
@pytest.mark.parametrize("steps", [1, 3, 7])
@heads_and_maps
@pytest.mark.parametrize("name", INNER_PRODUCTS)
def test_the_fused_path_equals_the_explicit_one(
    name: str,
    num_heads: int,
    project: bool,
    steps: int,
    padding: Tensor | None,
    causal: bool,
    kernel_calls: list[bool],
) -> None:
    attention = make_attention(name, 16, 16, num_heads=num_heads, project=project)
    query = torch.randn(3, steps, 16, requires_grad=True)
    states = torch.randn(3, 7, 16, requires_grad=True)
    memory = attention.project_memory(states)
    if causal:  # with its own later padding, a query could be left without any key
        padding = None if padding is None else padding | (torch.arange(7) <= 7 - steps)
    fused = attention(query, memory, padding, causal=causal, offset=7 - steps)
    assert kernel_calls
    assert fused.weights is None
    kernel_calls.clear()
    explicit = attention(query, memory, padding, causal=causal, offset=7 - steps, need_weights=True)
    assert not kernel_calls
    torch.testing.assert_close(fused.context, explicit.context, atol=2e-6, rtol=1e-5)
    slope = torch.randn_like(fused.context)
    gradients = [
        torch.autograd.grad(found.context, (query, states), slope, retain_graph=True) for found in (fused, explicit)
    ]
    torch.testing.assert_close(gradients[0], gradients[1], atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("steps", [1, 3])
@heads_and_maps
@pytest.mark.parametrize("name", NAMES)
def test_hypotheses_that_share_a_memory_see_what_each_would_see_alone(
    name: str, num_heads: int, project: bool, steps: int, need_weights: bool
) -> None:
    beam = 4
    attention = make_attention(name, 16, 16, num_heads=num_heads, project=project)
    memory = attention.project_memory(torch.randn(3, 7, 16))
    query = torch.randn(3, beam, steps, 16)
    together = attention(query.flatten(0, 1), memory, PADDING, need_weights=need_weights)
    alone = [attention(query[:, k], memory, PADDING, need_weights=need_weights) for k in range(beam)]
    expected = torch.stack([found.context for found in alone], dim=1).flatten(0, 1)
    torch.testing.assert_close(together.context, expected, atol=2e-6, rtol=1e-5)
    if need_weights:
        weights = torch.stack([found.weights for found in alone], dim=1).flatten(0, 1)
        assert together.weights.shape == (3 * beam, num_heads, steps, 7)
        torch.testing.assert_close(together.weights, weights, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 7), (7, 7), (3, 7)])
def test_a_mask_shows_what_its_description_says(queries: int, keys: int, padded: bool, causal: bool) -> None:
    padding = PADDING[:, :keys] if padded else None
    mask = Sight(padding, causal, queries, 1, keys - queries, keys, CPU).mask()
    needed = padded or (causal and queries > 1)
    assert (mask is not None) == needed
    for sentence, step, place in torch.cartesian_prod(torch.arange(3), torch.arange(queries), torch.arange(keys)):
        past = not causal or place <= step + keys - queries
        visible = bool(past and (padding is None or padding[sentence, place]))
        if mask is not None:
            assert bool(mask.expand(3, 1, queries, keys)[sentence, 0, step, place]) == visible
        else:
            assert visible


def test_the_causal_flag_of_the_kernel_is_not_used_where_queries_begin_late(kernel_calls: list[bool]) -> None:
    attention = make_attention("dot", 16, 16)
    query, memory = torch.randn(2, 5, 16), attention.project_memory(torch.randn(2, 5, 16))
    fused = attention(query, memory, causal=True, offset=2).context
    assert kernel_calls
    explicit = attention(query, memory, causal=True, offset=2, need_weights=True).context
    torch.testing.assert_close(fused, explicit, atol=2e-6, rtol=1e-5)


@settings(deadline=None, max_examples=60)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), causal=st.booleans())
def test_a_query_always_sees_at_least_one_key(lengths: list[int], causal: bool) -> None:
    width = max(lengths)
    padding = torch.arange(width) < torch.tensor(lengths)[:, None]
    mask = Sight(padding, causal, width, 1, 0, width, CPU).mask()
    assert mask is not None
    assert bool(mask.any(dim=-1).all())


@pytest.mark.parametrize(
    ("query_dim", "memory_dim", "project", "words"),
    [
        (10, 12, False, "query width 10"),
        (12, 10, False, "memory width 10"),
        (10, 12, True, "query width 10"),
    ],
)
def test_heads_that_do_not_divide_a_width_are_refused_with_the_numbers(
    query_dim: int, memory_dim: int, project: bool, words: str
) -> None:
    with pytest.raises(ConfigError, match=rf"`attention.num_heads` must divide the {words}, but is 4 instead"):
        make_attention("general", query_dim, memory_dim, num_heads=4, project=project)


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("name", ["additive", "general"])
def test_queries_and_memory_may_differ_in_width(name: str, project: bool) -> None:
    attention = make_attention(name, 8, 12, num_heads=2, project=project)
    assert attention.output_dim == (8 if project else 12)
    context, _ = attention(torch.randn(3, 5, 8), attention.project_memory(torch.randn(3, 7, 12)), PADDING)
    assert context.shape == (3, 5, attention.output_dim)


# A learned matrix or a sum between the two rotations knows no distance.
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("additive", "additive_normed", "general")])
def test_rotation_makes_weights_depend_on_distances_only(name: str) -> None:
    attention = make_attention(name, 16, 16, num_heads=2, project=True)
    states, query = torch.randn(2, 5, 16), torch.randn(2, 1, 16)
    seen = [
        attention(
            query,
            attention.project_memory(states, rotation=rotate, offset=shift),
            need_weights=True,
            rotation=rotate,
            offset=shift + 4,
        ).weights
        for shift in (0, 9)
    ]
    torch.testing.assert_close(seen[0], seen[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_dropout_of_weights_acts_in_training_only(name: str) -> None:
    attention = make_attention(name, 16, 16)
    attention.dropout = 0.5
    memory, query = attention.project_memory(torch.randn(2, 7, 16)), torch.randn(2, 3, 16)
    calm = [attention(query, memory).context for _ in range(2)]
    torch.testing.assert_close(calm[0], calm[1], atol=0, rtol=0)
    attention.train()
    wild = [attention(query, memory).context for _ in range(2)]
    assert not torch.equal(wild[0], wild[1])
