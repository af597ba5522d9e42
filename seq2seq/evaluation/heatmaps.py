"""Attention maps as PNG images: the mean of the heads first, then each head, pieces along both axes.

Drawn by matplotlib through its object interface, so nothing of pyplot's global state is touched and no display is
needed. Equal maps give equal bytes on one machine; which font draws Chinese, Japanese, Korean or Arabic depends on
those installed.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from seq2seq.evaluation.analysis import attention_entropy
from seq2seq.evaluation.charts import short, span
from seq2seq.evaluation.results import HeatMap

if TYPE_CHECKING:
    from matplotlib.axes import Axes  # for types only
    from matplotlib.collections import QuadMesh  # for types only
    from matplotlib.figure import Figure  # for types only

_DOTS = 120  # per inch
_CELL = 0.21  # all lengths in inches: one square of a map
_NARROWEST = 1.9  # a panel, so that its title has room
_LETTER = 0.066  # the average letter of a label; a little too much, so that none is cut
_GAP = 0.28
_HEAD = 0.72  # for the caption
_BAR = 0.14
_COLOURS = ("#ffffff", "#cfe0f2", "#79aadb", "#2f6db5", "#133a68")
_TICKS = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)
_INK, _SOFT, _LINE = "#22262b", "#5c636b", "#e9e6df"

# The first is part of matplotlib and knows European scripts, Arabic and Hebrew; the others serve where installed.
_FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Noto Sans",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
)


def png(heat_map: HeatMap) -> bytes:
    """Draw a map as a PNG image.

    One scale from 0 to 1 serves all maps. Colours follow the square root of a weight, which keeps 0.02 visible
    beside 1; the colour bar says so.

    Args:
        heat_map: of at least one head, target and source piece; long sentences are cropped.
    """
    # Here because importing it takes half a second and only reports draw.
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    image = io.BytesIO()
    with warnings.catch_warnings():
        # A sign without a glyph is drawn as a box; which fonts a reader lacks is no news for a log.
        warnings.filterwarnings("ignore", message=r"Glyph \d+|Matplotlib currently does not support")
        figure = _figure(heat_map.cropped(), attention_entropy(heat_map.weights))
        FigureCanvasAgg(figure)
        figure.savefig(image, format="png", dpi=_DOTS, metadata={"Software": None})
    return image.getvalue()


def _figure(heat_map: HeatMap, entropy: npt.NDArray[Any]) -> Figure:
    """Lay out the panels on a grid, in inches from the upper left corner, and draw them."""
    # Together with the canvas of `png`.
    from matplotlib.figure import Figure

    heads = len(heat_map.weights)
    panels = [(f"mean of {heads} heads", heat_map.weights.mean(axis=0))] if heads > 1 else []
    panels += [
        (f"head {head + 1} · {entropy[head]:.2f} nats" if heads > 1 else "", heat_map.weights[head])
        for head in range(heads)
    ]
    rows = [short(piece) for piece in heat_map.target_pieces]
    columns = [short(piece) for piece in heat_map.source_pieces]
    across = min(len(panels), max(3, math.ceil(math.sqrt(len(panels)))))
    left, top = (0.2 + _LETTER * max(map(span, names)) for names in (rows, columns))
    panel_width, panel_height = _CELL * len(columns), _CELL * len(rows)
    title = 0.24 if len(panels) > 1 else 0.0
    pitch_x = left + max(panel_width, _NARROWEST) + _GAP
    pitch_y = title + top + panel_height + _GAP
    width = across * pitch_x + _BAR + 0.6
    height = _HEAD + math.ceil(len(panels) / across) * pitch_y
    figure = Figure(figsize=(width, height), facecolor="white")
    style = _text_style()

    def axes(x: float, y: float, wide: float, high: float) -> Axes:
        return figure.add_axes((x / width, 1 - (y + high) / height, wide / width, high / height))

    def write(x: float, y: float, words: str, size: float, colour: str) -> None:
        figure.text(x / width, 1 - y / height, words, size=size, color=colour, va="top", **style)

    write(0.16, 0.14, short(heat_map.caption, 80), 11, _INK)
    write(0.16, 0.37, "attention: each row is a target piece, each column a source piece", 7.5, _SOFT)
    for place, (name, weights) in enumerate(panels):
        x, y = place % across * pitch_x + left, _HEAD + place // across * pitch_y
        write(x, y, name, 8.5, _INK if place == 0 else _SOFT)
        panel = axes(x, y + title + top, panel_width, panel_height)
        mesh = _squares(panel, weights, rows, columns, style)
    bar = axes(across * pitch_x, _HEAD + title + top, _BAR, max(panel_height, 1.2))
    figure.colorbar(mesh, cax=bar)
    bar.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS], size=7, color=_SOFT, **style)
    bar.tick_params(length=2, color=_SOFT)
    bar.minorticks_off()
    for line in bar.spines.values():
        line.set_color(_LINE)
    return figure


def _squares(
    axes: Axes, weights: npt.NDArray[Any], rows: list[str], columns: list[str], style: dict[str, Any]
) -> QuadMesh:
    """Draw the weights (T, S) of one head with their labels, the first target piece on top."""
    # Together with the canvas of `png`.
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm

    colours = LinearSegmentedColormap.from_list("attention", _COLOURS)
    mesh = axes.pcolormesh(
        weights.astype(float), cmap=colours, norm=PowerNorm(0.5, 0, 1), edgecolors=_LINE, linewidth=0.4
    )
    axes.invert_yaxis()
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=3)
    axes.set_xticks([i + 0.5 for i in range(len(columns))], columns, rotation=90, size=7.5, color=_INK, **style)
    axes.set_yticks([i + 0.5 for i in range(len(rows))], rows, size=7.5, color=_INK, **style)
    for line in axes.spines.values():
        line.set_color(_LINE)
    return mesh


def _text_style() -> dict[str, Any]:
    """Return how every word is written: in fonts that exist, and never read as a formula, whatever a piece holds."""
    # Together with the canvas of `png`.
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return {"family": [name for name in _FONTS if name in installed], "parse_math": False, "usetex": False}
