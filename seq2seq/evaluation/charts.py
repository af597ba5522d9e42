"""Line charts, bar charts and heat maps as inline SVG: pure functions from numbers to text.

Colours are CSS variables (``--series-1``, ``--heat`` ...) with a fallback, and all writing is ``currentColor``, so
a page turns a chart dark or light without knowing it. Nothing is fetched, nothing is scripted.
"""

from __future__ import annotations

import html
import itertools
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 480.0, 280.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 14.0, 30.0, 46.0
_COLOURS = ("#2f6db5", "#c8652b", "#3f8f5f", "#8a5bb0")
_MOST_POINTS = 300  # more than the chart has room for
_CELL = 20  # pixels of one square of a heat map
_LEVELS = 24  # shades of a heat map
_LONGEST_PIECE = 18
_JOINERS = "\u200c\u200d"  # invisible, but Persian and many Indian scripts cannot be written without them


def visible(text: str) -> str:
    """Return text with every character that hides or reorders others spelled out, such as ``⟨U+202E⟩``.

    That is: control characters, line and paragraph separators, lone surrogates and invisible formatting characters
    (direction overrides, zero-width spaces, tags), except the two joiners.
    """

    def hides(character: str) -> bool:
        return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and character not in _JOINERS

    return "".join(f"⟨U+{ord(character):04X}⟩" if hides(character) else character for character in text)


def escaped(text: str) -> str:
    """Return text that is harmless in HTML, SVG and their attributes, with hidden characters made visible."""
    return html.escape(visible(text))


@dataclass(frozen=True)
class _Axis:
    """A linear axis: ``start`` and ``end`` are pixels, the ticks and limits are values."""

    ticks: list[float]
    low: float
    high: float
    start: float
    end: float

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _axis(low: float, high: float, start: float, end: float, *, count: int, round_ends: bool) -> _Axis:
    """Choose ticks at 1, 2 or 5 times a power of ten; ``round_ends`` moves the limits to the ticks around them."""
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # a single value still needs an axis
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= rough * 0.999)
    ticks = [i * step for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
    if round_ends:
        return _Axis(ticks, ticks[0], ticks[-1], start, end)
    slack = 1e-6 * step
    return _Axis([tick for tick in ticks if low - slack <= tick <= high + slack], low, high, start, end)


def _number(value: float) -> str:
    """Write a value for a tick: 0.25, 12.5, 1.5k, 1.2M, 5e-4."""
    size = abs(value)
    if size < 1e-12:
        return "0"
    if size < 1e-2 or size >= 1e9:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    for factor, suffix in ((1e6, "M"), (1e3, "k")):
        if size >= factor:
            return f"{value / factor:.4g}{suffix}"
    return f"{value:.4g}"


def _colour(index: int) -> str:
    return f"var(--series-{index % 4 + 1},{_COLOURS[index % 4]})"


def _text(x: float, y: float, content: str, *, anchor: str = "middle", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escaped(content)}</text>'


def _svg(title: str, width: float, height: float, parts: Sequence[str], *, kind: str) -> str:
    name = escaped(title)
    return (
        f'<svg class="{kind}" role="img" aria-label="{name}" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" font-family="inherit" font-size="12" fill="currentColor"><title>{name}</title>'
        f"{''.join(parts)}</svg>"
    )


def _frame(y_axis: _Axis, x_label: str, y_label: str, legend: Sequence[str]) -> list[str]:
    """Draw what line and bar charts share: grid, values of the y axis, labels and, for several series, a legend."""
    parts = []
    for tick in y_axis.ticks:
        y = y_axis.place(tick)
        opacity = 0.45 if tick == y_axis.ticks[0] else 0.13
        parts.append(
            f'<path d="M{_LEFT:g} {y:.1f}H{_WIDTH - _RIGHT:g}" stroke="currentColor" stroke-opacity="{opacity}"/>'
        )
        parts.append(_text(_LEFT - 8, y + 4, _number(tick), anchor="end", extra=' opacity=".75"'))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, x_label, extra=' opacity=".75"'))
    parts.append(_text(8, 16, y_label, anchor="start", extra=' opacity=".75"'))
    if len(legend) > 1:
        # One text with coloured dots inside, so that the browser, which knows the font, sets the distances.
        names = (
            f'<tspan style="fill:{_colour(index)}">●</tspan> {escaped(name)}' for index, name in enumerate(legend)
        )
        gap = "\N{NO-BREAK SPACE}" * 3
        parts.append(f'<text x="{_WIDTH - _RIGHT:g}" y="16" text-anchor="end">{gap.join(names)}</text>')
    return parts


def _thinned(points: Points) -> list[tuple[float, float]]:
    """Drop what cannot be drawn; of very many points keep the lowest and highest of each stretch, so spikes stay."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(finite) <= _MOST_POINTS:
        return finite
    stretch = math.ceil(2 * len(finite) / _MOST_POINTS)
    kept = {0, len(finite) - 1}
    for start in range(0, len(finite), stretch):
        indices = range(start, min(start + stretch, len(finite)))
        kept |= {min(indices, key=lambda i: finite[i][1]), max(indices, key=lambda i: finite[i][1])}
    return [finite[i] for i in sorted(kept)]


def line_chart(series: Mapping[str, Points], *, title: str, x_label: str, y_label: str) -> str:
    """Draw named series of (x, y) points, at most four, as lines.

    Values that are not finite, such as the loss of a step that diverged, are left out.

    Returns:
        an ``<svg>`` element; without a single point that can be drawn, the empty string.
    """
    drawn = {name: thin for name, points in series.items() if (thin := _thinned(points))}
    if not drawn:
        return ""
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [y for points in drawn.values() for _, y in points]
    x_axis = _axis(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT, count=5, round_ends=False)
    y_axis = _axis(min(ys), max(ys), _HEIGHT - _BOTTOM, _TOP, count=5, round_ends=True)
    parts = _frame(y_axis, x_label, y_label, list(drawn))
    parts += [
        _text(x_axis.place(tick), _HEIGHT - _BOTTOM + 18, _number(tick), extra=' opacity=".75"')
        for tick in x_axis.ticks
    ]
    for index, points in enumerate(drawn.values()):
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(
            f'<path d="M{path}" fill="none" style="stroke:{_colour(index)}" stroke-width="2" '
            'stroke-linejoin="round" stroke-linecap="round"/>'
        )
        if len(places) <= 20:  # few enough to show where something was measured
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" style="fill:{_colour(index)}"/>' for x, y in places]
    return _svg(title, _WIDTH, _HEIGHT, parts, kind="chart")


def bar_chart(
    labels: Sequence[tuple[str, str]],
    series: Mapping[str, Sequence[float]],
    *,
    title: str,
    x_label: str,
    y_label: str,
) -> str:
    """Draw groups of bars that start at 0.

    Args:
        labels: for each group what stands below it, in two lines; the second may be empty.
        series: by name, one value of 0 or more for each group; at most four series.
        title: read out by a screen reader.
        x_label: what the groups are.
        y_label: what the bars measure, with its unit.

    Returns:
        an ``<svg>`` element; without groups, the empty string.
    """
    if not labels or not series:
        return ""
    axis = _axis(
        0, max([1e-9, *(v for vs in series.values() for v in vs)]), _HEIGHT - 60, _TOP, count=5, round_ends=True
    )
    parts = _frame(axis, x_label, y_label, list(series))
    slot = (_WIDTH - _RIGHT - _LEFT) / len(labels)
    width = min(slot * 0.72 / len(series), 26.0)
    show_values = width >= 18
    for group, (label, note) in enumerate(labels):
        centre = _LEFT + slot * (group + 0.5)
        parts.append(_text(centre, _HEIGHT - 44, label))
        if note:
            parts.append(_text(centre, _HEIGHT - 30, note, extra=' font-size="10" opacity=".7"'))
        for index, values in enumerate(series.values()):
            x, y = centre + width * (index - len(series) / 2), axis.place(values[group])
            height = axis.start - y
            parts.append(
                f'<rect x="{x + 1:.1f}" y="{y:.1f}" width="{width - 2:.1f}" height="{height:.1f}" rx="2" '
                f'style="fill:{_colour(index)}"/>'
            )
            if show_values:
                parts.append(_text(x + width / 2, y - 4, f"{values[group]:.0f}", extra=' font-size="10"'))
    return _svg(title, _WIDTH, _HEIGHT, parts, kind="chart")


def heat_map(weights: npt.NDArray[Any], rows: Sequence[str], columns: Sequence[str], *, title: str) -> str:
    """Draw attention weights as squares.

    One scale serves all maps, so they can be compared: a square's opacity is the square root of its weight, which
    keeps 0.02 visible beside 1.

    Args:
        weights: (T, S), 0 to 1.
        rows: T target pieces.
        columns: S source pieces, written upwards above the squares.
        title: read out by a screen reader.

    Raises:
        ValueError: the shape of ``weights`` does not fit the pieces, or there are none.
    """
    if weights.shape != (len(rows), len(columns)) or not weights.size:
        raise ValueError(
            f"`weights` must have the shape {(len(rows), len(columns))}, but has {weights.shape} instead"
        )
    row_names, column_names = [short(piece) for piece in rows], [short(piece) for piece in columns]
    left = 16 + 7.5 * max([4, *map(span, row_names)])
    top = 14 + 7.5 * max([4, *map(span, column_names)])
    width, height = left + _CELL * len(columns) + 24, top + _CELL * len(rows) + 34
    parts = [_text(left - 8, top + _CELL * (row + 0.7), name, anchor="end") for row, name in enumerate(row_names)]
    for column, name in enumerate(column_names):
        x, y = left + _CELL * (column + 0.7), top - 8
        turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"'
        parts.append(_text(x, y, name, anchor="start", extra=turn))
    field = f"M{left:.1f} {top:.1f}h{_CELL * len(columns)}v{_CELL * len(rows)}h-{_CELL * len(columns)}z"
    parts.append(f'<path d="{field}" fill="none" stroke="currentColor" stroke-opacity=".25"/>')
    parts.append(f'<g style="fill:var(--heat,{_COLOURS[0]})" transform="translate({left:.1f} {top:.1f})">')
    parts += _squares(weights)
    parts.append("</g>")
    for step, weight in enumerate((0.01, 0.1, 0.25, 0.5, 1.0)):
        x, y = left + 44 * step, top + _CELL * len(rows) + 14
        shade = f'style="fill:var(--heat,{_COLOURS[0]})" fill-opacity="{math.sqrt(weight):.2f}"'
        parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="12" height="12" rx="2" {shade}/>')
        parts.append(_text(x + 15, y + 10, f"{weight:g}", anchor="start", extra=' font-size="10" opacity=".75"'))
    return _svg(title, max(width, left + 224), height, parts, kind="heat-map")


def _squares(weights: npt.NDArray[Any]) -> list[str]:
    """Gather the squares of one shade in one path and join neighbours in a row, so that long sentences stay small."""
    usable = np.clip(np.nan_to_num(weights.astype(np.float64)), 0, 1)
    levels = np.rint(np.sqrt(usable) * _LEVELS).astype(int)
    paths: dict[int, list[str]] = {}
    for row, line in enumerate(levels):
        edges = [0, *(np.flatnonzero(np.diff(line)) + 1).tolist(), len(line)]
        for start, end in itertools.pairwise(edges):
            run = f"M{start * _CELL} {row * _CELL}h{(end - start) * _CELL}v{_CELL}h-{(end - start) * _CELL}z"
            paths.setdefault(int(line[start]), []).append(run)
    return [
        f'<path fill-opacity="{level / _LEVELS:.3f}" d="{"".join(runs)}"/>'
        for level, runs in sorted(paths.items())
        if level
    ]


def short(text: str, longest: int = _LONGEST_PIECE) -> str:
    """Return text with hidden characters made visible, cut where it has more than ``longest`` characters."""
    shown = visible(text[: longest + 1])
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def span(text: str) -> float:
    """Return the width of text in average letters: Chinese, Japanese and Korean signs are nearly twice as wide."""
    return sum(1.8 if unicodedata.east_asian_width(character) in "WF" else 1.0 for character in text)


def figure(chart: str, caption: str) -> str:
    """Return a drawing with a caption, both ready for a page."""
    return f"<figure>{chart}<figcaption>{caption}</figcaption></figure>"
