"""Dropout, at the speed each device allows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(hidden: Tensor, probability: float, training: bool) -> Tensor:
    """Drop elements and scale up the rest: Srivastava et al. 2014.

    Drawing one number for each element is what torch's dropout spends its time on where the CPU does it, so there
    one random byte decides an element. The probability is thereby rounded to a multiple of 1/256, and the scale is
    that of the rounded one, so the expectation stays exact; in half precision each element is rounded on its own.
    """
    if not training or probability == 0:
        return hidden
    if hidden.device.type != "cpu" or torch.compiler.is_compiling():  # which makes the numbers where it uses them
        return F.dropout(hidden, probability)
    dropped = min(max(round(probability * 256), 1), 255)
    words = torch.empty(-(-hidden.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
    # Compared in place, bytes stay bytes, which are made into numbers several times as fast as truth values are.
    keep = words.view(torch.uint8)[: hidden.numel()].view(hidden.shape).ge_(dropped).to(hidden.dtype)
    # The scale comes last, because half precision would round it, and each element by the same share.
    return (hidden * keep).mul_(256 / (256 - dropped))
