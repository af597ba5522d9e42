"""Attention maps as PNG files."""

from __future__ import annotations

import io
import warnings

import matplotlib
import numpy as np
import pytest
from PIL import Image

from seq2seq.evaluation.heatmaps import png
from seq2seq.evaluation.results import HeatMap

WEIRD = (
    "$x_1$", "$", "$\\frac{$", "\\alpha", "%", "^", "_", "▁", "", " ", "▁中文", "العربية", "עברית", "🙂", "한국어",
    "ก็", "e\u0301\u0302", "\u202egnp", "\x00\n\t\x1b", "\ud800", "\ue000", "\U000e0041", "\u200d", "w" * 1000,
)  # fmt: skip


def weights(heads: int, rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).dirichlet(np.full(columns, 0.2), size=(heads, rows))


def drawn(source: tuple[str, ...], target: tuple[str, ...], heads: int) -> Image.Image:
    """The picture of a map, drawn while every warning is an error."""
    heat_map = HeatMap(source, target, weights(heads, len(target), len(source)), "line 1, layer 2", "line-1-layer-2")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image.open(io.BytesIO(png(heat_map)))
        image.load()
    assert image.format == "PNG"
    return image


@pytest.mark.parametrize("heads", [1, 2, 8])
def test_a_map_is_a_picture_with_something_on_it(heads: int) -> None:
    image = drawn(("▁Ein", "▁Mann", "</s>"), ("▁A", "▁man", "</s>"), heads)
    colours = image.convert("RGB").getcolors(2**24)
    assert colours is not None
    assert len(colours) > 50
    assert max(colours)[1] == (255, 255, 255)


def test_more_heads_need_more_room() -> None:
    sizes = [drawn(("a", "b"), ("c",), heads).size for heads in (1, 2, 4)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


def test_equal_maps_give_equal_bytes() -> None:
    heat_map = HeatMap(("a", "b"), ("c", "d"), weights(2, 2, 2), "line 1", "line-1")
    assert png(heat_map) == png(heat_map)


def test_a_larger_weight_is_darker() -> None:
    maps = [HeatMap(("a",), ("b",), np.array([[[value]]]), "line 1", "line-1") for value in (0.0, 0.02, 0.3, 1.0)]
    middles = []
    for heat_map in maps:
        image = Image.open(io.BytesIO(png(heat_map))).convert("L")
        page = np.asarray(image)[100:, : image.width // 2]  # neither caption nor colour bar
        middles.append(np.bincount(page[page < 250], minlength=256).argmax() if (page < 250).any() else 255)
    assert middles[1:] == sorted(middles[1:], reverse=True)


@pytest.mark.parametrize("piece", WEIRD, ids=ascii)
def test_any_piece_can_be_a_label(piece: str) -> None:
    drawn((piece, "▁x"), (piece,), 1)


def test_all_weird_pieces_together_and_a_caption_like_them() -> None:
    text = "".join(WEIRD)
    heat_map = HeatMap(WEIRD, WEIRD, weights(3, len(WEIRD), len(WEIRD)), text, "line-1")
    assert png(heat_map).startswith(b"\x89PNG")


def test_a_formula_is_drawn_as_it_is_spelled() -> None:
    def ink(piece: str) -> int:
        return int((255 - np.asarray(drawn((piece,), ("b",), 1).convert("L")).astype(int)).sum())

    # Read as mathematics, it would lose its dollar signs.
    assert ink("$a$") - ink(" ") > 2 * (ink("a") - ink(" "))


def test_a_huge_map_is_cropped() -> None:
    pieces = tuple(f"▁{i}" for i in range(300))
    image = drawn(pieces, pieces, 4)
    assert max(image.size) < 5_000


def test_the_display_and_the_settings_of_the_drawing_library_are_left_alone() -> None:
    before = dict(matplotlib.rcParams)
    drawn(("a",), ("b",), 2)
    assert dict(matplotlib.rcParams) == before
