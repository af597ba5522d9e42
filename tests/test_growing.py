"""Tensors that grow step by step, against tensors that are joined anew each time."""

from __future__ import annotations

import torch

from seq2seq.growing import Growing


def draw(rows: int, positions: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 2, positions, 3, generator=torch.Generator().manual_seed(seed))


def test_growing_is_joining_whatever_rows_are_taken_on_the_way() -> None:
    random = torch.Generator().manual_seed(1)
    joined = draw(4, 1, 0)
    growing = Growing.of(joined)
    for step in range(1, 60):
        if step % 3 == 0:
            rows = torch.randint(0, len(joined), (int(torch.randint(1, 6, (1,), generator=random)),))
            joined, growing = joined.index_select(0, rows), growing.index_select(0, rows)
        if step % 20 == 0:
            joined, growing = joined.repeat_interleave(2, dim=0), growing.repeat_interleave(2, dim=0)
        further = draw(len(joined), 1 + step % 2, step)
        joined, growing = torch.cat([joined, further], 2), growing.followed_by(further)
        assert torch.equal(growing.tensor, joined)


def test_what_follows_a_value_never_changes_it_nor_what_else_follows_it() -> None:
    start = Growing.of(draw(2, 1, 0)).followed_by(draw(2, 1, 1))
    kept = start.tensor.clone()
    one = start.followed_by(draw(2, 1, 2))
    first = one.tensor.clone()
    two = start.followed_by(draw(2, 1, 3))
    three = one.followed_by(draw(2, 1, 4))
    assert torch.equal(start.tensor, kept)
    assert torch.equal(one.tensor, first)
    assert torch.equal(two.tensor, torch.cat([kept, draw(2, 1, 3)], 2))
    assert torch.equal(three.tensor, torch.cat([first, draw(2, 1, 4)], 2))


def test_memory_is_shared_while_only_one_goes_on() -> None:
    growing = Growing.of(draw(2, 1, 0)).followed_by(draw(2, 1, 1))
    places = {growing.followed_by(draw(2, 1, 2)).tensor.data_ptr(), growing.tensor.data_ptr()}
    assert len(places) == 1


def test_gradients_go_through_every_position() -> None:
    parts = [draw(2, 1, seed).requires_grad_() for seed in range(4)]
    growing = Growing.of(parts[0])
    total = torch.zeros(())
    for part in parts[1:]:
        growing = growing.followed_by(part)
        total = total + growing.tensor.square().sum()
    total.backward()
    for times, part in zip((3, 3, 2, 1), parts, strict=True):
        torch.testing.assert_close(part.grad, 2 * times * part.detach())


def test_taking_rows_makes_room_for_one_position_only() -> None:
    """A beam takes rows at every step and holds both copies for a moment: unused room would count twice."""
    seen = Growing.of(torch.zeros(4, 2, 40, 3)).followed_by(torch.zeros(4, 2, 1, 3))
    taken = seen.index_select(0, torch.tensor([3, 3, 0]))
    assert taken.tensor.untyped_storage().nbytes() == 3 * 2 * 42 * 3 * 4
    after = taken.followed_by(torch.ones(3, 2, 1, 3))
    assert after.tensor.data_ptr() == taken.tensor.data_ptr()
    assert after.tensor.shape == (3, 2, 42, 3)
