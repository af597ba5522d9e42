"""The loss: equal to torch's own, in value and gradient, without its memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import VOCABULARY, build, choices, random_batch, run_config
from torch import Tensor

from seq2seq import losses
from seq2seq.attention.normalizers import Softmax
from seq2seq.data.tokenizer import PAD
from seq2seq.errors import ConfigError, DataError
from seq2seq.losses import entropy_of, guided_alignment, linear_cross_entropy, linear_r_drop
from seq2seq.model import ModelOutput
from seq2seq.objectives import AttentionEntropy, CrossEntropy, GuidedAlignment, RDrop, twice
from seq2seq.run import check_parts, prepare_data

WIDTH, PIECES = 12, 37

every_smoothing = pytest.mark.parametrize("smoothing", [0.0, 0.1])


@pytest.fixture(params=[1, 2, 7, 50], ids=lambda rows: f"{rows}-rows")
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Cuts 50 rows into 1, 8, 25 and 50 chunks, the last of which is not always full."""
    monkeypatch.setattr(losses, "CHUNK_ROWS", request.param)
    return request.param


def inputs(rows: int = 50) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    hidden = torch.randn(rows, WIDTH, requires_grad=True)
    weight = torch.randn(PIECES, WIDTH, requires_grad=True)
    bias = torch.randn(PIECES, requires_grad=True)
    return hidden, weight, bias, torch.randint(0, PIECES, (rows,))


def reference(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
) -> tuple[Tensor, Tensor]:
    logits = F.linear(hidden.double(), weight.double(), bias.double())
    smoothed = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum")
    return smoothed, F.cross_entropy(logits, targets, reduction="sum")


@every_smoothing
def test_value_and_gradients_equal_those_of_torch(chunk: int, smoothing: float) -> None:
    *parts, targets = inputs()
    total, nll = linear_cross_entropy(*parts, targets, smoothing)
    expected_total, expected_nll = reference(*parts, targets, smoothing)
    torch.testing.assert_close(total.double(), expected_total, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(nll.double(), expected_nll, rtol=1e-5, atol=1e-5)
    assert not nll.requires_grad
    # A factor other than one shows whether the gradient that comes from above is used.
    found = torch.autograd.grad(total * 0.3, parts)
    for gradient, expected in zip(found, torch.autograd.grad(expected_total * 0.3, parts), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@every_smoothing
def test_bfloat16_products_change_little(chunk: int, smoothing: float) -> None:
    *parts, targets = inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, nll = linear_cross_entropy(*parts, targets, smoothing)
    expected_total, expected_nll = reference(*parts, targets, smoothing)
    assert total.dtype == nll.dtype == torch.float32
    torch.testing.assert_close(total.double(), expected_total, rtol=1e-2, atol=0)
    torch.testing.assert_close(nll.double(), expected_nll, rtol=1e-2, atol=0)
    found = torch.autograd.grad(total, parts)
    for gradient, expected in zip(found, torch.autograd.grad(expected_total, parts), strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient - expected).norm() < 0.02 * expected.norm()


@every_smoothing
def test_logits_too_large_for_a_plain_exponential_stay_finite(smoothing: float) -> None:
    hidden, weight, bias, targets = inputs()
    parts = [(hidden * 300).detach().requires_grad_(), weight, bias]
    total, nll = linear_cross_entropy(*parts, targets, smoothing)
    expected_total, expected_nll = reference(*parts, targets, smoothing)
    torch.testing.assert_close(total.double(), expected_total, rtol=1e-4, atol=0)
    torch.testing.assert_close(nll.double(), expected_nll, rtol=1e-4, atol=0)
    assert all(bool(torch.isfinite(gradient).all()) for gradient in torch.autograd.grad(total, parts))


def test_no_tensor_of_rows_times_pieces_is_kept_for_the_backward_pass() -> None:
    *parts, targets = inputs(rows=64)
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    def kept(loss: Callable[..., tuple[Tensor, Tensor]]) -> int:
        sizes.clear()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            loss(*parts, targets, 0.1)
        return max(sizes)

    assert kept(reference) >= 64 * PIECES  # so the hook sees what it should
    assert kept(linear_cross_entropy) < 64 * PIECES


@every_smoothing
def test_a_loss_without_gradients_is_the_same(smoothing: float) -> None:
    *parts, targets = inputs()
    with_gradients = linear_cross_entropy(*parts, targets, smoothing)
    with torch.no_grad():
        without = linear_cross_entropy(*parts, targets, smoothing)
    assert not without[0].requires_grad
    torch.testing.assert_close(without, tuple(value.detach() for value in with_gradients))


@every_smoothing
def test_only_what_asks_for_a_gradient_gets_one(smoothing: float) -> None:
    hidden, weight, bias, targets = inputs()
    expected = torch.autograd.grad(reference(hidden, weight, bias, targets, smoothing)[0], hidden)
    total, _ = linear_cross_entropy(hidden, weight.detach(), bias.detach(), targets, smoothing)
    torch.testing.assert_close(torch.autograd.grad(total, hidden), expected, rtol=1e-4, atol=1e-5)


def test_the_objective_is_torchs_loss_over_the_models_logits() -> None:
    model, batch = build("model.tie_embeddings=none"), random_batch([3, 6, 4], [5, 2, 4])
    logits = model.decode(batch.target[:, :-1], model.start(model.encode(batch))).logits.flatten(0, 1)
    gold = batch.target[:, 1:].flatten()
    plain = F.cross_entropy(logits, gold, ignore_index=PAD, reduction="sum")
    smoothed = F.cross_entropy(logits, gold, ignore_index=PAD, label_smoothing=0.1, reduction="sum")
    objective = CrossEntropy(label_smoothing=0.1)
    torch.testing.assert_close(objective.train()(model, batch), (smoothed, plain), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(objective.eval()(model, batch), (plain, plain), rtol=1e-5, atol=1e-4)


@every_smoothing
def test_padding_has_no_part_in_the_loss(smoothing: float) -> None:
    model, batch = build(), random_batch([3, 6, 4], [5, 2, 4])
    objective = CrossEntropy(label_smoothing=smoothing).train()
    wider = replace(batch, target=F.pad(batch.target, (0, 7), value=PAD))
    found = []
    for one in (batch, wider):
        model.zero_grad()
        sums = objective(model, one)
        sums.total.backward()
        found.append((sums.total.detach(), sums.nll, model.output.bias.grad.clone()))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


def test_the_loss_of_a_batch_is_the_sum_over_its_sentences() -> None:
    model, objective = build(), CrossEntropy(label_smoothing=0.1).train()
    batch = random_batch([4, 4, 4], [5, 5, 5])
    parts = [
        replace(
            batch,
            source=batch.source[i : i + 1],
            source_lengths=batch.source_lengths[i : i + 1],
            target=batch.target[i : i + 1],
        )
        for i in range(3)
    ]
    together = objective(model, batch).total
    torch.testing.assert_close(together, sum(objective(model, part).total for part in parts), rtol=1e-5, atol=1e-4)


def test_a_model_that_knows_nothing_loses_the_logarithm_of_the_vocabulary() -> None:
    model, batch = build(), random_batch([3], [5])
    with torch.no_grad():
        model.output.weight.zero_()
    sums = CrossEntropy(label_smoothing=0.1).train()(model, batch)
    expected = batch.target_tokens * torch.tensor(float(VOCABULARY)).log()
    torch.testing.assert_close(sums, (expected, expected))


def two_passes(rows: int = 50, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    hidden, weight, bias, targets = inputs(rows)
    both = torch.stack([hidden, hidden + 0.5 * torch.randn(rows, WIDTH)])
    hidden, weight, bias = (part.detach().to(dtype).requires_grad_() for part in (both, weight, bias))
    return hidden, weight, bias, targets


def r_drop_reference(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float, alpha: float
) -> tuple[Tensor, Tensor]:
    """Half of equation 4 of the paper, written down as it stands there."""
    first, second = F.log_softmax(F.linear(hidden.double(), weight.double(), bias.double()), dim=-1)
    losses = [reference(one, weight, bias, targets, smoothing) for one in hidden]
    symmetric = F.kl_div(second, first, log_target=True, reduction="sum") / 2
    symmetric = symmetric + F.kl_div(first, second, log_target=True, reduction="sum") / 2
    return (losses[0][0] + losses[1][0] + alpha * symmetric) / 2, (losses[0][1] + losses[1][1]) / 2


every_alpha = pytest.mark.parametrize("alpha", [0.3, 5.0])


@every_alpha
@every_smoothing
def test_r_drop_and_its_gradients_equal_those_of_the_paper(chunk: int, smoothing: float, alpha: float) -> None:
    *parts, targets = two_passes()
    total, nll = linear_r_drop(*parts, targets, smoothing, alpha)
    expected_total, expected_nll = r_drop_reference(*parts, targets, smoothing, alpha)
    assert expected_total > r_drop_reference(*parts, targets, smoothing, 0.0)[0] + 1  # so the passes are apart
    torch.testing.assert_close(total.double(), expected_total, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(nll.double(), expected_nll, rtol=1e-5, atol=1e-5)
    assert not nll.requires_grad
    found = torch.autograd.grad(total * 0.3, parts)
    for gradient, expected in zip(found, torch.autograd.grad(expected_total * 0.3, parts), strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=2e-5)


@every_alpha
@every_smoothing
def test_gradients_of_r_drop_are_exact(monkeypatch: pytest.MonkeyPatch, smoothing: float, alpha: float) -> None:
    monkeypatch.setattr(losses, "CHUNK_ROWS", 4)  # of five pairs: two full chunks, one of a single pair
    *parts, targets = two_passes(5, torch.float64)
    assert torch.autograd.gradcheck(lambda *given: linear_r_drop(*given, targets, smoothing, alpha)[0], parts)


@every_alpha
@every_smoothing
def test_r_drop_of_equal_passes_is_cross_entropy(chunk: int, smoothing: float, alpha: float) -> None:
    hidden, weight, bias, targets = inputs()
    plain = linear_cross_entropy(hidden, weight, bias, targets, smoothing)
    both = linear_r_drop(torch.stack([hidden, hidden]), weight, bias, targets, smoothing, alpha)
    torch.testing.assert_close(both, plain, rtol=1e-5, atol=1e-5)
    expected = torch.autograd.grad(plain[0], (hidden, weight, bias))
    found = torch.autograd.grad(both[0], (hidden, weight, bias))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)


@every_smoothing
def test_bfloat16_products_change_r_drop_little(chunk: int, smoothing: float) -> None:
    *parts, targets = two_passes()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, nll = linear_r_drop(*parts, targets, smoothing, 5.0)
    expected_total, expected_nll = r_drop_reference(*parts, targets, smoothing, 5.0)
    assert total.dtype == nll.dtype == torch.float32
    torch.testing.assert_close(total.double(), expected_total, rtol=1e-2, atol=0)
    torch.testing.assert_close(nll.double(), expected_nll, rtol=1e-2, atol=0)
    found = torch.autograd.grad(total, parts)
    for gradient, expected in zip(found, torch.autograd.grad(expected_total, parts), strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient - expected).norm() < 0.03 * expected.norm()


def test_r_drop_of_logits_too_large_for_a_plain_exponential_stays_finite() -> None:
    hidden, weight, bias, targets = two_passes()
    parts = [(hidden * 300).detach().requires_grad_(), weight, bias]
    total, nll = linear_r_drop(*parts, targets, 0.1, 5.0)
    expected_total, expected_nll = r_drop_reference(*parts, targets, 0.1, 5.0)
    torch.testing.assert_close(total.double(), expected_total, rtol=1e-4, atol=0)
    torch.testing.assert_close(nll.double(), expected_nll, rtol=1e-4, atol=0)
    assert all(bool(torch.isfinite(gradient).all()) for gradient in torch.autograd.grad(total, parts))


def test_r_drop_keeps_no_tensor_of_rows_times_pieces_for_the_backward_pass() -> None:
    *parts, targets = two_passes(rows=64)
    sizes: list[int] = []

    def kept(loss: Callable[..., tuple[Tensor, Tensor]]) -> int:
        sizes.clear()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: (sizes.append(tensor.numel()), tensor)[1], lambda tensor: tensor
        ):
            loss(*parts, targets, 0.1, 5.0)
        return max(sizes)

    assert kept(r_drop_reference) >= 64 * PIECES
    assert kept(linear_r_drop) < 64 * PIECES


@every_smoothing
def test_r_drop_without_gradients_is_the_same(smoothing: float) -> None:
    *parts, targets = two_passes()
    with_gradients = linear_r_drop(*parts, targets, smoothing, 5.0)
    with torch.no_grad():
        without = linear_r_drop(*parts, targets, smoothing, 5.0)
    assert not without[0].requires_grad
    torch.testing.assert_close(without, tuple(value.detach() for value in with_gradients))


parts_of_a_model = pytest.mark.parametrize(
    "parts", [(f"encoder={e}", f"decoder={d}") for e in choices("encoder") for d in choices("decoder")], ids=" ".join
)

NO_DROPOUT = [f"{part}.dropout=0" for part in ("model", "encoder", "decoder", "attention", "self_attention")]


@parts_of_a_model
@every_alpha
def test_without_dropout_r_drop_is_cross_entropy(parts: tuple[str, ...], alpha: float) -> None:
    model, batch = build(*parts, *NO_DROPOUT).train(), random_batch([3, 6, 4], [5, 2, 4])
    found = []
    for objective in (CrossEntropy(label_smoothing=0.1), RDrop(label_smoothing=0.1, weight=alpha)):
        model.zero_grad()
        sums = objective.train()(model, batch)
        sums.total.backward()
        found.append((sums.total.detach(), sums.nll, [parameter.grad.clone() for parameter in model.parameters()]))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


@parts_of_a_model
@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_the_passes_of_r_drop_differ_by_dropout_in_encoder_and_decoder(parts: tuple[str, ...], side: str) -> None:
    others = [setting for setting in NO_DROPOUT if not setting.startswith(side)]
    model, batch = build(*parts, *others, f"{side}.dropout=0.3").train(), random_batch([3, 6, 4], [5, 2, 4])
    first, second = model(twice(batch)).hidden.chunk(2)
    assert bool((first != second).any(-1).all()), "every position of every sentence"
    plain = CrossEntropy(label_smoothing=0.0)
    objective = RDrop(label_smoothing=0.0, weight=1.0)
    torch.manual_seed(3)
    sums = objective.train()(model, batch)
    assert sums.total > sums.nll
    torch.manual_seed(3)
    both = plain(model, twice(batch))
    torch.testing.assert_close(sums.nll, both.nll / 2, rtol=1e-5, atol=1e-4)  # the mean of both passes


def test_padding_has_no_part_in_r_drop() -> None:
    model, objective = build(*NO_DROPOUT).train(), RDrop(label_smoothing=0.1, weight=5.0).train()
    batch = random_batch([3, 6, 4], [5, 2, 4])
    wider = replace(batch, target=F.pad(batch.target, (0, 7), value=PAD))
    torch.testing.assert_close(objective(model, wider), objective(model, batch), rtol=1e-5, atol=1e-4)
    # Two passes that do differ: what stands where padding is must not matter to the divergence either.
    hidden = torch.randn(6, 6, model.output.in_features).transpose(0, 1)  # as an LSTM may leave them
    model.forward = lambda _: ModelOutput(hidden, ())
    total = objective(model, batch).total
    hidden[(batch.target[:, 1:] == PAD).repeat(2, 1)] = 99.0
    torch.testing.assert_close(objective(model, batch).total, total)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_r_drop_is_cross_entropy_outside_training(precision: torch.dtype) -> None:
    model, batch = build().train(), random_batch([3, 6, 4], [5, 2, 4])
    with torch.no_grad(), torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
        torch.manual_seed(3)
        plain = CrossEntropy(label_smoothing=0.1).eval()(model, batch)
        torch.manual_seed(3)
        torch.testing.assert_close(RDrop(label_smoothing=0.1, weight=5.0).eval()(model, batch), plain)


def test_r_drop_brings_predictions_together() -> None:
    apart = []
    for weight in (1e-6, 20.0):
        torch.manual_seed(1)
        model, batch = build(*NO_DROPOUT[1:], "model.dropout=0.3").train(), random_batch([5, 3, 6], [4, 6, 2])
        objective, optimizer = RDrop(label_smoothing=0.0, weight=weight), torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(40):
            optimizer.zero_grad()
            objective(model, batch).total.backward()
            optimizer.step()
        with torch.no_grad():
            log_p, log_q = F.log_softmax(model.output(model(twice(batch)).hidden), -1).chunk(2)
        apart.append(float(((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1).mean()))
    assert apart[1] < 0.5 * apart[0]


def test_a_batch_for_r_drop_holds_every_pair_twice() -> None:
    batch = replace(random_batch([5, 4], [4, 3]), links=LINKS)
    double = twice(batch)
    assert (double.target_tokens, double.source_tokens) == (2 * batch.target_tokens, 2 * batch.source_tokens)
    assert double.links is None
    for name in ("source", "source_lengths", "target"):
        first, second = getattr(double, name).chunk(2)
        assert torch.equal(first, getattr(batch, name))
        assert torch.equal(second, getattr(batch, name))


def test_r_drop_without_dropout_is_refused_before_any_data_is_read() -> None:
    with pytest.raises(ConfigError, match=r"`model.dropout` .* must be greater than 0 .* objective=cross_entropy"):
        check_parts(run_config("objective=r_drop", *NO_DROPOUT))
    check_parts(run_config("objective=r_drop", *NO_DROPOUT[1:], "model.dropout=0.1"))
    check_parts(run_config("objective=cross_entropy", *NO_DROPOUT))


LINKS = torch.tensor([[0, 0, 1], [0, 0, 2], [0, 2, 0], [1, 1, 3]])
"""Row, target position, source position: the first target piece has two links."""


def looked_at(*shape: int) -> Tensor:
    return torch.softmax(torch.randn(*shape), dim=-1)


def test_guidance_is_the_cross_entropy_of_links_and_weights() -> None:
    weights = looked_at(2, 4, 5)
    gold = torch.zeros(2, 4, 5)
    gold[0, 0, 1] = gold[0, 0, 2] = 0.5
    gold[0, 2, 0] = gold[1, 1, 3] = 1.0
    torch.testing.assert_close(guided_alignment(weights, LINKS, 1e-6), -(gold * weights.log()).sum())
    assert guided_alignment(weights, LINKS[:0], 1e-6).item() == 0.0


def test_entropy_of_attention_is_counted_on_target_tokens_only() -> None:
    layers = [looked_at(2, 3, 4, 5) for _ in range(2)]
    is_token = torch.tensor([[True, True, True, False], [True, False, False, False]])
    expected = 0.0
    for layer in layers:
        for head in range(3):
            entropy = -(layer[:, head] * layer[:, head].log()).sum(-1)
            expected += float(entropy[is_token].sum()) / 6
    assert entropy_of(layers, is_token).item() == pytest.approx(expected, rel=1e-5)


def test_less_attention_does_not_count_as_sharper_attention() -> None:
    weights = looked_at(1, 1, 2, 5)
    is_token = torch.ones(1, 2, dtype=torch.bool)
    torch.testing.assert_close(entropy_of([0.2 * weights], is_token), entropy_of([weights], is_token))


def test_entropy_of_half_precision_is_that_of_the_same_numbers_in_single() -> None:
    weights = looked_at(4, 2, 5, 9).bfloat16()
    is_token = torch.ones(4, 5, dtype=torch.bool)
    torch.testing.assert_close(entropy_of([weights], is_token), entropy_of([weights.float()], is_token))


@pytest.mark.parametrize("normalizer", choices("attention/normalizer"))
@pytest.mark.parametrize("window", choices("attention/window"))
@pytest.mark.parametrize("decoder", choices("decoder"))
def test_entropy_and_guidance_have_finite_gradients_for_every_attention(
    decoder: str, normalizer: str, window: str
) -> None:
    model = build(f"decoder={decoder}", f"attention/normalizer={normalizer}", f"attention/window={window}")
    batch = replace(random_batch([5, 4], [4, 3]), links=LINKS)
    for objective in (
        GuidedAlignment(label_smoothing=0.1, weight=0.5, layer=None),
        AttentionEntropy(label_smoothing=0.1, weight=0.5),
    ):
        plain = CrossEntropy(label_smoothing=0.1)(model, batch)
        sums = objective(model, batch)
        assert sums.total > plain.total
        torch.testing.assert_close(sums.nll, plain.nll)
        model.zero_grad()
        sums.total.backward()
        assert all(bool(torch.isfinite(parameter.grad).all()) for parameter in model.parameters())


@pytest.mark.parametrize("decoder", choices("decoder"))
def test_guidance_teaches_a_head_to_look_where_the_links_point(decoder: str) -> None:
    model = build(f"decoder={decoder}")
    batch = replace(random_batch([5, 4], [4, 3]), links=LINKS[1:])
    objective = GuidedAlignment(label_smoothing=0.0, weight=5.0, layer=1)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(100):
        optimizer.zero_grad()
        objective(model, batch).total.backward()
        optimizer.step()
    weights = model(batch, need_weights=True).weights[0][:, 0]
    rows, targets, sources = LINKS[1:].unbind(1)
    assert bool((weights[rows, targets, sources] > 0.8).all())


def test_extras_leave_the_validation_loss_as_it_is() -> None:
    model, batch = build(), random_batch([5, 4], [4, 3])
    plain = CrossEntropy(label_smoothing=0.1).eval()(model, batch)
    for objective in (
        GuidedAlignment(label_smoothing=0.1, weight=0.5, layer=None),
        AttentionEntropy(label_smoothing=0.1, weight=0.5),
    ):
        torch.testing.assert_close(objective.eval()(model, batch).nll, plain.nll)


def test_guidance_reaches_even_a_weight_that_is_nearly_nothing() -> None:
    scores = torch.tensor([[[30.0, 0.0, 0.0]]], requires_grad=True)
    links = torch.tensor([[0, 0, 1]])
    guided_alignment(torch.softmax(scores, -1), links, Softmax.least).backward()
    assert scores.grad is not None
    torch.testing.assert_close(scores.grad.flatten(), torch.tensor([1.0, -1.0, 0.0]), atol=1e-4, rtol=0)


def test_guidance_without_sure_links_is_refused_before_anything_is_prepared(tmp_path: Path) -> None:
    for code in ("en", "de"):
        for split in ("train", "validation"):
            (tmp_path / f"{split}.{code}").write_text("a b\n")
    config = run_config("data=files", f"data.root={tmp_path}", "objective=guided_alignment")
    config = replace(config, prepared_dir=str(tmp_path / "prepared"))
    for links in (None, "\n", "0p1\n"):
        if links is not None:
            (tmp_path / "train.en-de.align").write_text(links)
        with pytest.raises(DataError, match=r"sure word links .*train\.en-de\.align"):
            prepare_data(config)
    assert not (tmp_path / "prepared").exists()


def test_a_layer_that_is_not_there_is_refused_before_any_data_is_read() -> None:
    for decoder, count in (("rnn", 1), ("transformer", 2)):
        config = run_config(f"decoder={decoder}", "objective=guided_alignment", "objective.layer=3")
        with pytest.raises(ConfigError, match=rf"`objective.layer` must be one of .* {count} .* but is 3 instead"):
            check_parts(config)
