"""Tensors of which each of several processes has a part: to the whole and back. All others pass as they are."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


def is_sharded(tensor: Tensor) -> bool:
    """Return whether each process has only a part of a tensor."""
    return hasattr(tensor, "full_tensor")  # its class takes a third of a second to import, which others need not pay


def is_shared_out(model: nn.Module) -> bool:
    """Return whether each process has only a part of a model's weights, also while they are put together."""
    return hasattr(model, "unshard")


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor as it is in one process; where it is sharded, all processes must ask at the same time."""
    sharded: Any = tensor
    return sharded.detach().full_tensor() if is_sharded(tensor) else tensor


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """Return a tensor that every process has as a whole as another is: on its device, and in parts where that is."""
    if not is_sharded(other):
        return tensor.to(other.device)
    # Only a process that has sharded tensors has paid for this.
    from torch.distributed.tensor import distribute_tensor

    sharded: Any = other
    # Each process cuts its own part, so that nothing is sent.
    return distribute_tensor(
        tensor.detach().to(other.device), sharded.device_mesh, sharded.placements, src_data_rank=None
    )
