"""Each score against its formula, written a second time in NumPy, in double precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import pytest
import torch
from tiny import Sizes, architecture, build, choices, random_batch
from torch import Tensor

from seq2seq.attention import kernels
from seq2seq.attention.scores import Additive, Score
from seq2seq.config import Component
from seq2seq.errors import ConfigError

Array = npt.NDArray[np.float64]

# Arguments: queries (B,H,T,1,d), keys (B,H,1,S,d) and the parameters by name. Results: (B,H,T,S).
Formula = Callable[[Array, Array, Mapping[str, Array]], Array]


def dot(q: Array, k: Array, _: Mapping[str, Array]) -> Array:
    return (q * k).sum(-1)


def scaled_dot(q: Array, k: Array, _: Mapping[str, Array]) -> Array:
    return (q * k).sum(-1) / math.sqrt(q.shape[-1])


def general(q: Array, k: Array, p: Mapping[str, Array]) -> Array:
    return np.einsum("bhtid,hde,bhjse->bhts", q, p["weight"], k)


def additive(q: Array, k: Array, p: Mapping[str, Array]) -> Array:
    seen = np.einsum("bhtid,hdw->bhtiw", q, p["query_weight"]) + np.einsum("bhjse,hew->bhjsw", k, p["key_weight"])
    return np.einsum("bhtsw,hwo->bhts", np.tanh(seen + p["bias"][:, :, None, :]), p["vector"])


def cosine(q: Array, k: Array, p: Mapping[str, Array]) -> Array:
    angle = (q * k).sum(-1) / (np.linalg.norm(q, axis=-1) * np.linalg.norm(k, axis=-1))
    return np.exp(p["log_temperature"]) * angle


def euclidean(q: Array, k: Array, _: Mapping[str, Array]) -> Array:
    return -((q - k) ** 2).sum(-1) / math.sqrt(q.shape[-1])


def additive_normed(q: Array, k: Array, p: Mapping[str, Array]) -> Array:
    direction = p["vector"] / np.linalg.norm(p["vector"], axis=1, keepdims=True)
    return additive(q, k, {**p, "vector": p["length"] * direction})


def euclidean_unsquared(q: Array, k: Array, _: Mapping[str, Array]) -> Array:
    return -np.sqrt(((q - k) ** 2).sum(-1))


FORMULAS: dict[str, Formula] = {
    "additive": additive,
    "additive_normed": additive_normed,
    "cosine": cosine,
    "dot": dot,
    "euclidean": euclidean,
    "euclidean_unsquared": euclidean_unsquared,
    "general": general,
    "multi_head": scaled_dot,
    "scaled_dot": scaled_dot,
}


def make_score(name: str, num_heads: int, query_dim: int, key_dim: int) -> Score:
    part: Component[Score] = architecture(f"attention={name}").attention.settings["score"]
    score = part(num_heads, query_dim, key_dim).double()
    with torch.no_grad():  # a bias that is zero and temperatures that are equal would hide mistakes
        for parameter in score.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return score


def accepts_unequal_widths(name: str) -> bool:
    try:
        make_score(name, 1, 6, 4)
    except ConfigError:
        return False
    return True


WIDTHS = [
    (name, width, 4)
    for name in choices("attention")
    for width in (4, 6)
    if width == 4 or accepts_unequal_widths(name)
]
UNEQUAL_REFUSED = [name for name in choices("attention") if not accepts_unequal_widths(name)]


def centred(scores: Array) -> Array:
    """What a softmax sees of scores (B,H,T,S): a constant for each query changes nothing."""
    return scores - scores.mean(-1, keepdims=True)


def numeric_gradient(function: Callable[[], float], array: Array, step: float = 1e-5) -> Array:
    """Central differences of ``function``, which reads ``array``."""
    gradient = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = function()
        array[index] = kept - step
        below = function()
        array[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient


def test_every_shipped_score_has_a_formula_here() -> None:
    assert set(FORMULAS) == set(choices("attention"))


@pytest.mark.parametrize("num_heads", [1, 4])
@pytest.mark.parametrize(("name", "query_dim", "key_dim"), WIDTHS)
def test_scores_and_gradients_are_those_of_the_formula(
    name: str, query_dim: int, key_dim: int, num_heads: int
) -> None:
    score = make_score(name, num_heads, query_dim, key_dim)
    query = torch.randn(2, num_heads, 3, query_dim, dtype=torch.float64, requires_grad=True)
    key = torch.randn(2, num_heads, 5, key_dim, dtype=torch.float64, requires_grad=True)
    slope = torch.randn(2, num_heads, 3, 5, dtype=torch.float64).numpy()
    inputs = {"query": query, "key": key, **dict(score.named_parameters())}
    arrays = {label: tensor.detach().numpy().copy() for label, tensor in inputs.items()}

    def formula() -> Array:
        return centred(FORMULAS[name](arrays["query"][:, :, :, None], arrays["key"][:, :, None], arrays))

    scores = score.compare(score.query(query), score.key(key))
    scores = scores - scores.mean(-1, keepdim=True)
    (scores * torch.from_numpy(slope)).sum().backward()

    np.testing.assert_allclose(scores.detach().numpy(), formula(), atol=1e-8, rtol=1e-8)
    for label, tensor in inputs.items():
        expected = numeric_gradient(lambda: float((slope * formula()).sum()), arrays[label])
        assert tensor.grad is not None, label
        np.testing.assert_allclose(tensor.grad.numpy(), expected, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize("name", choices("attention"))
def test_gradients_pass_torchs_own_check(name: str) -> None:
    score = make_score(name, 2, 4, 4)
    query, key = (torch.randn(1, 2, steps, 4, dtype=torch.float64, requires_grad=True) for steps in (2, 3))

    def scores(query: Tensor, key: Tensor, *_: Tensor) -> Tensor:
        return score.compare(score.query(query), score.key(key))

    assert torch.autograd.gradcheck(scores, (query, key, *score.parameters()))


@pytest.mark.parametrize("name", UNEQUAL_REFUSED)
def test_a_score_that_cannot_compare_unequal_widths_names_both_and_a_way_out(name: str) -> None:
    with pytest.raises(ConfigError, match=r"(?s)\b6\b.*\b4\b.*project: true.*attention=general"):
        make_score(name, 1, 6, 4)


def test_unequal_widths_are_refused_by_the_key_of_the_score() -> None:
    with pytest.raises(ConfigError, match=r"^`attention\.score\._target_` must be a score .* but is Dot instead"):
        architecture("attention=dot").attention(6, 4)


@pytest.mark.parametrize("name", ["additive", "general"])
def test_the_scores_offered_for_unequal_widths_accept_them(name: str) -> None:
    assert name not in UNEQUAL_REFUSED


def error_of_weights(name: str) -> float:
    """Largest error of softmax weights whose queries and keys were mapped in bfloat16."""
    draw = torch.Generator().manual_seed(5)
    query, key = (torch.randn(4, 1, 32, 48, generator=draw).bfloat16() for _ in range(2))
    score: Score = architecture(f"attention={name}").attention.settings["score"](1, 48, 48)
    # Kernels take bfloat16 vectors and add up their products in single precision.
    found = score.compare(score.query(query).float(), score.key(key).float())
    exact = FORMULAS[name](query.double().numpy()[:, :, :, None], key.double().numpy()[:, :, None], {})
    return float((torch.softmax(found, -1) - torch.softmax(torch.from_numpy(exact), -1)).abs().max())


def test_euclidean_loses_nothing_to_bfloat16_beside_scaled_dot() -> None:
    """With the square in a single column, its error is several hundred times as large."""
    assert error_of_weights("scaled_dot") < 1e-6
    assert error_of_weights("euclidean") < 1e-4


@pytest.mark.parametrize("name", choices("attention"))
def test_half_precision_goes_in_and_nothing_wider_than_single_comes_out(name: str) -> None:
    score: Score = architecture(f"attention={name}").attention.settings["score"](2, 8, 8).bfloat16()
    query, key = (torch.randn(1, 2, steps, 8).bfloat16() for steps in (3, 5))
    mapped = score.query(query), score.key(key)
    assert [part.dtype for part in mapped] == [torch.bfloat16] * 2
    wanted = torch.float32 if name == "euclidean_unsquared" else torch.bfloat16
    assert score.compare(*mapped).dtype == wanted


ADDITIVE = ["additive", "additive_normed"]


@pytest.mark.parametrize("numbers", [1, 2 * 5 * 4 * 2, 2 * 5 * 4 * 7 * 2, 2**24])
@pytest.mark.parametrize("name", ADDITIVE)
def test_additive_scores_and_gradients_do_not_depend_on_how_much_is_done_at_a_time(
    name: str, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = make_score(name, 2, 4, 4)
    query, key = (torch.randn(3, 2, steps, 4, dtype=torch.float64, requires_grad=True) for steps in (7, 5))
    wanted = (query, key, *score.parameters())
    slope = torch.randn(3, 2, 7, 5, dtype=torch.float64)
    found = []
    for budget in (2**30, numbers):
        monkeypatch.setitem(kernels.HIDDEN_NUMBERS, "cpu", budget)
        scores = score.compare(score.query(query), score.key(key))
        found.append((scores, *torch.autograd.grad(scores, wanted, slope)))
    torch.testing.assert_close(found[1], found[0])


LOOPS = ["attend=after", "attend=before", "input_feeding=true"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", ADDITIVE)
def test_a_model_with_additive_attention_keeps_nothing_of_its_hidden_layer(
    name: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build(f"attention={name}", "decoder=rnn", f"decoder.{loop}")
    batch = random_batch([15, 9, 12], [11, 4, 8])
    steps, keys, width = 12, 16, 16
    budget = 5 * width  # less than a single query with all its keys
    monkeypatch.setitem(kernels.HIDDEN_NUMBERS, "cpu", budget)
    kept: list[tuple[int, ...]] = []

    def pack(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point():  # recurrent kernels keep bytes of their own
            kept.append(tuple(tensor.shape))
        return tensor

    with Sizes() as sizes, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(batch).hidden.sum().backward()
    layers = [shape for shape in sizes.shapes if len(shape) == 5 and shape[3] == keys]
    assert layers
    assert max(math.prod(shape) for shape in layers) <= keys * width  # one query of one sentence
    assert not [shape for shape in kept if len(shape) == 5]
    assert max(math.prod(shape) for shape in kept) < 3 * steps * keys * width


def test_a_key_of_zeros_has_no_direction_and_breaks_nothing() -> None:
    score = make_score("cosine", 1, 4, 4)
    key = torch.zeros(1, 1, 2, 4, requires_grad=True)
    scores = score.compare(score.query(torch.randn(1, 1, 3, 4, dtype=torch.float64)), score.key(key.double()))
    assert not scores.any()
    (gradient,) = torch.autograd.grad(scores.sum(), key)
    assert not torch.isnan(gradient).any()


@pytest.mark.parametrize("unequal", [False, True])
def test_the_distance_to_a_key_that_equals_the_query_has_a_gradient_of_zero(unequal: bool) -> None:
    score = make_score("euclidean_unsquared", 1, 4, 4)
    query = torch.ones(1, 1, 1, 4, requires_grad=True)
    key = torch.ones(1, 1, 2, 4)
    key[..., 1, 0] += float(unequal)
    scores = score.compare(query, key)
    assert scores[..., 0].item() == pytest.approx(0.0, abs=1e-5)
    (gradient,) = torch.autograd.grad(scores.sum(), query)
    expected = [1.0, 0, 0, 0] if unequal else [0.0] * 4
    torch.testing.assert_close(gradient.flatten(), torch.tensor(expected))


def test_the_temperature_of_the_cosine_starts_where_it_is_told() -> None:
    for overrides, expected in (((), 8.0), (("attention.score.temperature=3.5",), 3.5)):
        part: Component[Score] = architecture("attention=cosine", *overrides).attention.settings["score"]
        start = part(2, 64, 64).query(7 * torch.eye(64)[None, None].expand(1, 2, 64, 64))
        torch.testing.assert_close(start.norm(dim=-1), torch.full((1, 2, 64), expected))


def test_the_width_of_the_additive_hidden_layer_can_be_set() -> None:
    assert Additive(2, 6, 4, dim=5).vector.shape == (2, 5, 1)
    assert Additive(2, 6, 4, dim=None).vector.shape == (2, 6, 1)
