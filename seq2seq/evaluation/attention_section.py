"""What the report says about attention: entropy, alignment errors and maps, for the page and for the note."""

from __future__ import annotations

from collections.abc import Sequence

from seq2seq.evaluation.analysis import attention_entropy
from seq2seq.evaluation.charts import escaped, figure, heat_map
from seq2seq.evaluation.results import (
    MOST_PIECES,
    AttentionAlignment,
    AttentionEntropy,
    Evaluation,
    HeatMap,
    LinkCounts,
)

FOLDER = "attention"
"""Where the maps lie as PNG files, beside the report."""

Table = tuple[list[str], list[list[str]]]
"""Headings, then rows of as many cells."""

_LONGEST_CAPTION = 200  # characters
_MOST_SQUARES = 250_000  # of all maps together, about 4 MB
_SHADES = 10  # as many as the style sheet has


def entropy_table(entropy: AttentionEntropy) -> Table:
    """Return the entropies in nats, a row for each layer."""
    layers = _layer_names(len(entropy.heads))
    rows = [[name, *(f"{value:.2f}" for value in heads)] for name, heads in zip(layers, entropy.heads, strict=True)]
    return ["nats", *_head_names(entropy.heads)], _level(rows)


def entropy_words(entropy: AttentionEntropy) -> str:
    """Say what the entropies are and what they compare with."""
    return (
        "Entropy of the attention while the translations are written, mean over all pieces and ends of sentences: "
        f"0 looks at one source piece only, {entropy.uniform:.2f} nats at all of them alike."
    )


def alignment_table(alignment: AttentionAlignment) -> Table:
    """Return error rate, precision and recall of each layer and of all together, then error rates of single heads."""
    rows = [
        [name, *_percentages(layer), *(_percent(head.error_rate) for head in heads if len(heads) > 1)]
        for name, layer, heads in zip(
            _layer_names(len(alignment.layers)), alignment.layers, alignment.heads, strict=True
        )
    ]
    if len(rows) > 1:
        rows.append(["mean of all heads", *_percentages(alignment.mean)])
    return ["", "error rate", "precision", "recall", *_head_names(alignment.heads, fewest=2)], _level(rows)


def alignment_headline(alignment: AttentionAlignment) -> str:
    """Say the error rate that stands for the system, and that it was picked where it was."""
    lowest = alignment.layers[alignment.lowest]
    which = f" (layer {alignment.lowest + 1}, lowest of the layers)" if len(alignment.layers) > 1 else ""
    return f"Alignment error rate {_percent(lowest.error_rate)}{which}"


def alignment_words(alignment: AttentionAlignment) -> str:
    """Say the error rate and how words were aligned."""
    return (
        f"{alignment_headline(alignment)}: each piece of the reference is linked to the source piece it looks at "
        "most, end of sentence left out, and words are linked where any of their pieces are."
    )


def attention_section(evaluation: Evaluation) -> str:
    """Return the body of the page's section; empty where nothing was measured or drawn."""
    parts = []
    if evaluation.entropy is not None:
        entropy = evaluation.entropy
        shades = [[round(_SHADES * value / (entropy.uniform or 1)) for value in heads] for heads in entropy.heads]
        parts.append(_note(entropy_words(entropy)) + _html(entropy_table(entropy), shades, first=1))
    if evaluation.alignment is not None:
        alignment = evaluation.alignment
        shades = [
            [0 if (rate := head.error_rate) is None else round(_SHADES * (1 - rate)) for head in heads]
            if len(heads) > 1
            else []
            for heads in alignment.heads
        ]
        parts.append(_note(alignment_words(alignment)) + _html(alignment_table(alignment), shades, first=4))
    return "\n".join([*parts, *_maps(evaluation.heat_maps)])


def _layer_names(layers: int) -> list[str]:
    return [f"layer {layer + 1}" for layer in range(layers)] if layers > 1 else ["attention"]


def _head_names(layers: Sequence[Sequence[object]], fewest: int = 1) -> list[str]:
    most = max(map(len, layers))
    return [f"head {head + 1}" for head in range(most)] if most >= fewest else []


def _level(rows: list[list[str]]) -> list[list[str]]:
    """Give all rows the cells of the longest."""
    most = max(map(len, rows))
    return [row + [""] * (most - len(row)) for row in rows]


def _percentages(counts: LinkCounts) -> list[str]:
    return [_percent(counts.error_rate), _percent(counts.precision), _percent(counts.recall)]


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _note(words: str) -> str:
    return f'<p class="note">{words}</p>\n'


def _html(table: Table, shades: Sequence[Sequence[int]], first: int) -> str:
    """Write a table; ``shades`` are those of the cells from column ``first`` on, by row."""
    head, rows = table
    written = []
    for number, (name, *cells) in enumerate(rows):
        shaded = shades[number] if number < len(shades) else []
        classes = [""] * (first - 1) + [f" shade-{min(max(shade, 0), _SHADES)}" for shade in shaded]
        classes += [""] * (len(cells) - len(classes))
        data = "".join(f'<td class="number{style}">{cell}</td>' for cell, style in zip(cells, classes, strict=True))
        written.append(f'<tr><th scope="row">{name}</th>{data}</tr>')
    headings = "".join(f"<th>{name}</th>" for name in head)
    return (
        f'<div class="by-head"><table><thead><tr>{headings}</tr></thead>'
        f"<tbody>{''.join(written)}</tbody></table></div>"
    )


def _maps(heat_maps: Sequence[HeatMap]) -> list[str]:
    """Draw the maps, as many as a page can bear."""
    if not heat_maps:
        return []
    drawn: list[str] = []
    squares, rest = 0, ""
    for each in heat_maps:
        rows, columns = min(len(each.target_pieces), MOST_PIECES), min(len(each.source_pieces), MOST_PIECES)
        squares += (len(each.weights) + 1) * rows * columns  # every head and their mean
        if squares > _MOST_SQUARES:
            rest = f'<p class="note">The first {len(drawn)} of {len(heat_maps)} maps are shown.</p>'
            break
        drawn.append(_map(each))
    intro = (
        "Each row is a piece of the translation, each column a piece of the source. "
        f"The same maps are PNG files in <code>{FOLDER}</code>, beside this page."
    )
    return [_note(intro), *drawn, rest]


def _map(each: HeatMap) -> str:
    entropies = attention_entropy(each.weights)
    shown = each.cropped()
    weights, rows, columns = shown.weights, shown.target_pieces, shown.source_pieces
    caption = shown.caption[:_LONGEST_CAPTION]
    heads = len(weights)
    name = "mean of the heads" if heads > 1 else "attention"
    mean = heat_map(weights.mean(axis=0), rows, columns, title=f"{caption}: {name}")
    whole = figure(mean, escaped(caption))
    if heads == 1:
        return whole
    singles = "".join(
        figure(
            heat_map(weights[head], rows, columns, title=f"Head {head + 1}"),
            f"Head {head + 1} · entropy {entropy:.2f} nats",
        )
        for head, entropy in enumerate(entropies)
    )
    return f'{whole}<details><summary>Each of the {heads} heads</summary><div class="heads">{singles}</div></details>'
