"""Keys and values that grow by a position at every step of a search, without being copied at every step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class _Used:
    """How many positions of some memory are written."""

    positions: int


class Growing:
    """A tensor (N,H,t,d) with room behind its last position.

    It is a plain value: what it holds never changes. What follows it is written into the room behind it, which is no
    part of it, and only once: where two go on from the same value, the second one gets memory of its own.

    Args:
        room: (N,H,C,d), of which the first ``positions`` count.
        positions: t.
        used: how much of ``room`` anybody has written.
    """

    def __init__(self, room: Tensor, positions: int, used: _Used) -> None:
        self._room, self._positions, self._used = room, positions, used

    @classmethod
    def of(cls, tensor: Tensor) -> Growing:
        """Return the value that holds a tensor (N,H,t,d), without room."""
        return cls(tensor, tensor.shape[2], _Used(tensor.shape[2]))

    @property
    def tensor(self) -> Tensor:
        """What it holds: (N,H,t,d)."""
        return self._room[:, :, : self._positions]

    def followed_by(self, further: Tensor) -> Growing:
        """Return the value with the positions (N,H,T,d) behind those of this one."""
        if further.requires_grad and torch.is_grad_enabled():  # which must not be written over what it depends on
            return Growing.of(torch.cat([self.tensor, further], dim=2))
        positions = self._positions + further.shape[2]
        room, used = self._room, self._used
        if positions > room.shape[2] or used.positions > self._positions:
            room, used = self._new_room(len(room), positions), _Used(0)
            room[:, :, : self._positions] = self.tensor
        room[:, :, self._positions : positions] = further
        used.positions = positions
        return Growing(room, positions, used)

    def index_select(self, dim: int, rows: Tensor) -> Growing:
        """Return rows of it, as :meth:`torch.Tensor.index_select` does along the first axis, with room for one more.

        A beam takes rows at every step; more room would never be used, and both copies of it would be held at once.
        """
        assert dim == 0
        _, heads, _, width = self._room.shape
        room = self._room.new_empty(len(rows), heads, self._positions + 1, width)
        torch.index_select(self.tensor, 0, rows, out=room[:, :, : self._positions])
        return Growing(room, self._positions, _Used(self._positions))

    def repeat_interleave(self, times: int, dim: int) -> Growing:
        """Return every row ``times`` times, as :meth:`torch.Tensor.repeat_interleave` does along the first axis."""
        rows = torch.arange(len(self._room), device=self._room.device)
        return self.index_select(dim, rows.repeat_interleave(times))

    def _new_room(self, rows: int, positions: int) -> Tensor:
        """Return memory for these rows and positions and half as many again, so that copies become rare."""
        _, heads, _, width = self._room.shape
        return self._room.new_empty(rows, heads, positions + max(8, positions // 2), width)
