"""Activation checkpointing: what a sub-layer keeps for its gradient is computed again instead (Chen et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from seq2seq.errors import ConfigError
from seq2seq.layers import CrossAttention, FeedForwardLayer, SelfAttention
from seq2seq.model import Seq2SeqModel

SUB_LAYERS = (SelfAttention, CrossAttention, FeedForwardLayer)


def recompute_activations(model: Seq2SeqModel) -> None:
    """Let every sub-layer of a model's Transformer stacks keep its input alone, and compute the rest again.

    The backward pass then computes the forward pass of one sub-layer at a time once more, with the same random
    numbers: the gradients are the same, an update takes about a third more arithmetic, and of each sub-layer only
    the (B,T,D) input is held. Parameters keep their names; only training is changed.

    Raises:
        ConfigError: there are no such layers.
    """
    found = [layer for layer in model.modules() if isinstance(layer, SUB_LAYERS)]
    if not found:
        raise ConfigError(
            "`trainer.recompute_activations` must be false where neither encoder nor decoder is a Transformer, whose "
            "sub-layers are what is computed again, but is true instead"
        )
    for layer in found:
        # An attribute of the instance comes before the method of its class, and changes no name of a parameter.
        setattr(layer, "forward", partial(_again_for_the_gradient, layer.forward))  # noqa: B010  # mypy lets no method be assigned


def _again_for_the_gradient(forward: Callable[..., Any], *inputs: Any, **settings: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **settings)
    return checkpoint(forward, *inputs, use_reentrant=False, **settings)
