"""What an update costs in floating-point operations, counted on the model itself.

Every part of this package computes, for a pair of s source and t target tokens, products of matrices whose sizes
are those two lengths or fixed widths. The operations of a pair are therefore a polynomial in s and t of degree two,
``c . (1, s, t, s^2, s t, t^2)``. Its coefficients are counted on a few very short pairs; an update's cost is then one
inner product with sums over its pairs, whatever their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from seq2seq.data.batching import Batch
from seq2seq.data.tokenizer import EOS, PAD
from seq2seq.model import Seq2SeqModel

BACKWARD = 2
"""The backward pass computes two products for each one of the forward pass: Kaplan et al. 2020, section 2.1."""

COUNTED = [(2, 2), (3, 2), (4, 2), (2, 3), (2, 4), (3, 3)]
"""Lengths of the pairs that six coefficients follow from exactly."""

CHECKED = (7, 5)
"""Lengths of a pair that the coefficients must then tell the cost of."""

Shape = Sequence[int]

Powers = npt.NDArray[np.int64]
"""The sums of 1, s, t, s^2, s t and t^2 over pairs."""


def powers(source_lengths: npt.NDArray[np.int64], target_lengths: npt.NDArray[np.int64]) -> Powers:
    """Return what the cost of pairs is a linear function of.

    Args:
        source_lengths: (B), with EOS.
        target_lengths: (B), with EOS, which is predicted too.
    """
    s, t = source_lengths, target_lengths
    return np.array([len(s), s.sum(), t.sum(), s @ s, s @ t, t @ t], dtype=np.int64)


def powers_of(batch: Batch) -> Powers:
    """Return the sums for a batch; padding is no work."""
    assert batch.target is not None
    return powers(batch.source_lengths.cpu().numpy(), (batch.target[:, 1:] != PAD).sum(1).cpu().numpy())


@dataclass(frozen=True)
class PairCost:
    """Floating-point operations of the forward pass of a pair, a multiplication and an addition being two.

    Attributes:
        coefficients: (6), of 1, s, t, s^2, s t and t^2.
    """

    coefficients: Powers

    def of_forward(self, sums: Powers) -> int:
        """Return the operations of the forward pass of pairs with these sums."""
        return int(self.coefficients @ sums)

    def of_update(self, sums: Powers) -> int:
        """Return the operations of the forward and the backward pass of pairs with these sums.

        What an optimizer does is not counted, nor what is computed twice to save memory.
        """
        return (1 + BACKWARD) * self.of_forward(sums)


def pair_cost(model: Seq2SeqModel) -> PairCost | None:
    """Count what a pair costs.

    Counted are products of matrices, as is customary: Chowdhery et al. 2022, appendix B. Attention is counted over
    all pairs of positions, because a causal mask or a window hides keys after their scores are there. The output
    projection is added in closed form, ``2 t E V``. The model computes a few pairs of some pieces for it.

    Args:
        model: left in the mode it is in, with its random numbers.

    Returns:
        None for parts of one's own whose cost is no such polynomial.
    """
    was_training = model.training
    model.eval()
    try:
        counts = [_counted(model, source, target) for source, target in (*COUNTED, CHECKED)]
    finally:
        model.train(was_training)
    cost = PairCost(_interpolated(counts[:-1]))
    if cost.of_forward(powers(*(np.array([length]) for length in CHECKED))) != counts[-1]:
        return None
    projection = 2 * model.output.in_features * model.output.out_features
    return PairCost(cost.coefficients + np.array([0, 0, projection, 0, 0, 0]))


def _counted(model: Seq2SeqModel, source: int, target: int) -> int:
    """Return the operations before the output projection, for one pair."""
    device = next(model.parameters()).device
    batch = Batch(
        source=torch.full((1, source), EOS),
        source_lengths=torch.tensor([source]),
        source_padded=False,
        target=torch.full((1, target + 1), EOS),
        target_tokens=target,
        links=None,
    ).to(device)
    # What a library does in one call is not taken apart by the counter.
    counter = FlopCounterMode(display=False, custom_mapping={torch.ops.aten.mkldnn_rnn_layer: _of_recurrent_layer})
    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False), torch.no_grad(), counter:
        model(batch)
    return int(counter.get_total_flops())


def _of_recurrent_layer(inputs: Shape, of_input: Shape, of_hidden: Shape, *_: object, **__: object) -> int:
    """Return the operations of one layer in one direction.

    Args:
        inputs: shape (T,B,E).
        of_input: shape of its weights (4D,E).
        of_hidden: shape of its weights (4D,D).
    """
    return 2 * math.prod(inputs[:2]) * (math.prod(of_input) + math.prod(of_hidden))


def _interpolated(counts: Sequence[int]) -> Powers:
    """Return the coefficients of the polynomial that has these values at :data:`COUNTED`, by finite differences."""
    f = dict(zip(COUNTED, counts, strict=True))
    ss = (f[4, 2] - 2 * f[3, 2] + f[2, 2]) // 2
    tt = (f[2, 4] - 2 * f[2, 3] + f[2, 2]) // 2
    st = f[3, 3] - f[3, 2] - f[2, 3] + f[2, 2]
    s = f[3, 2] - f[2, 2] - 5 * ss - 2 * st
    t = f[2, 3] - f[2, 2] - 5 * tt - 2 * st
    one = f[2, 2] - 2 * (s + t) - 4 * (ss + st + tt)
    return np.array([one, s, t, ss, st, tt], dtype=np.int64)
