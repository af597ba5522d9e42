"""The data report: what a prepared folder holds, what was dropped and why, as a page and as a note.

Both are made from the manifest and from ``statistics.json``, never from the corpus, so their size is bounded. The
page has no script and fetches nothing, and every word of the corpus is escaped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.data.corpora import TRAIN
from seq2seq.data.statistics import read_statistics
from seq2seq.data.store import PreparedData
from seq2seq.disk.replacing import write_whole
from seq2seq.evaluation.charts import bar_chart, escaped, figure
from seq2seq.evaluation.document import Section, document, in_markdown, markdown_table

HTML, MARKDOWN = "report.html", "report.md"

_MOST_BARS = 16

MEANINGS = {
    "empty": "a side has no text, or only spaces",
    "control_characters": "characters that no text should hold",
    "too_many_characters": "a side beyond cleaning.max_characters",
    "uneven_characters": "lengths in characters beyond cleaning.max_character_ratio",
    "identical": "both sides say the same, letter by letter",
    "wrong_script": "too few letters of the script of the language",
    "punctuation": "signs of punctuation that the other side lacks",
    "numbers": "numbers that the other side lacks",
    "wrong_language": "a side is taken for another language",
    "contaminated": "a side is in another split too",
    "duplicate": "there was such a pair before",
    "too_long": "a side beyond cleaning.max_length pieces",
    "uneven": "lengths in pieces beyond cleaning.max_ratio",
}
"""Why a filter drops a pair."""

LONGEST = "The longest pairs"
"""The table that the charts of lengths stand before."""


@dataclass(frozen=True)
class Table:
    """A table with a heading and a line below it; all text is plain."""

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""


def write_data_report(data: PreparedData) -> Path | None:
    """Write ``report.html`` and ``report.md`` into a prepared folder, unless they are there.

    Returns:
        the page; None where an earlier version has prepared the folder and kept no statistics.

    Raises:
        OSError: the folder cannot be written.
        DataError: the statistics cannot be read.
    """
    page, note = data.folder / HTML, data.folder / MARKDOWN
    if page.exists() and note.exists():
        return page
    statistics = read_statistics(data.folder)
    if statistics is None:
        return None
    tables = tables_of(data.manifest, statistics)
    write_whole(note, markdown(data.manifest, tables))
    write_whole(page, page_of(data.manifest, statistics, tables))
    return page


def tables_of(manifest: dict[str, Any], statistics: dict[str, Any]) -> list[Table]:
    """Return everything that the report says in tables."""
    return [
        _filters(manifest["cleaning"]["counts"]),
        _portions(manifest.get("portions", [])),
        _examples(statistics["examples"]),
        _repeated(manifest),
        _splits(manifest, statistics),
        _coverage(statistics["coverage"]),
        _extreme(LONGEST, statistics["splits"][TRAIN]["longest"]),
        _extreme("The most uneven pairs", statistics["splits"][TRAIN]["most_uneven"]),
        _origin(manifest),
    ]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.2%}" if whole else "–"


def _filters(counts: dict[str, int]) -> Table:
    rows = []
    left = counts["read"]
    for name, count in counts.items():
        if name not in {"read", "kept"}:
            rows.append((_words(name), MEANINGS.get(name, ""), f"{left:,}", f"{count:,}", _share(count, left)))
            left -= count
    rows.append(("kept", "", f"{counts['read']:,}", f"{counts['kept']:,}", _share(counts["kept"], counts["read"])))
    note = "In the order of asking: a pair is counted under the first filter that drops it."
    return Table("Training pairs", ("filter", "drops a pair where", "in", "dropped", "share"), rows, note)


def _portions(portions: Sequence[dict[str, Any]]) -> Table:
    rows = []
    for portion in portions if len(portions) > 1 else ():
        counts = portion["counts"]
        dropped = (
            f"{count:,} {_words(name)}" for name, count in counts.items() if name not in {"read", "kept"} and count
        )
        row = (portion["name"], f"{portion['source']} → {portion['target']}", f"{counts['read']:,}")
        rows.append((*row, f"{counts['kept']:,}", ", ".join(dropped), portion["description"]))
    head = ("portion", "direction", "read", "kept", "dropped", "where it comes from")
    return Table("Portions", head, rows, "What the training text is a mixture of.")


def _examples(examples: dict[str, list[list[str]]]) -> Table:
    rows = [(_words(name), source, target) for name, pairs in examples.items() for source, target in pairs]
    return Table(
        "What was dropped", ("filter", "source", "target"), rows, "Up to three pairs of each, drawn by chance."
    )


def _repeated(manifest: dict[str, Any]) -> Table:
    cleaning = manifest["cleaning"]
    overlap, duplicates, settings = cleaning["overlap"], cleaning["duplicates"], cleaning["settings"]
    about = "" if duplicates["exact"] else "about "
    rows = [(f"share their {side} with another split", f"{overlap[side]:,}") for side in ("source", "target")]
    rows += [("share both sides with pairs of other splits", f"{overlap['both']:,}")]
    rows += [("repeat both sides of an earlier pair", f"{about}{duplicates['pairs']:,}")]
    note = (
        "Counted before they are dropped, by cleaning.decontaminate="
        f"{settings['decontaminate']} and cleaning.duplicates={settings['duplicates']}."
    )
    return Table("Repetitions", ("training pairs that", "number"), rows, note)


def _splits(manifest: dict[str, Any], statistics: dict[str, Any]) -> Table:
    rows = []
    for split, entry in manifest["splits"].items():
        sides = statistics["splits"].get(split)
        row = [split, f"{entry['pairs']:,}"]
        for side in ("source", "target"):
            found = sides[side] if sides else None
            row += [f"{found['pieces']:,}", _share(found["unknown"], found["pieces"])] if found else ["–", "–"]
        rows.append(tuple(row))
    head = ("split", "pairs", "source pieces", "unknown", "target pieces", "unknown")
    return Table("Splits", head, rows)


def _coverage(coverage: dict[str, list[dict[str, int]]]) -> Table:
    rows = []
    for name, steps in coverage.items():
        for step, following in zip(steps, [*steps[1:], None], strict=True):
            uses = f"{step['from']:,}"
            if following is None:
                uses += " or more"
            elif following["from"] > step["from"] + 1:
                uses += f" to {following['from'] - 1:,}"
            rows.append((name, uses, f"{step['pieces']:,}"))
    note = "A piece that is rarely or never used is learnt badly: fewer pieces may do as well."
    return Table("Vocabulary", ("tokenizer", "times used in training", "pieces"), rows, note)


def _extreme(title: str, pairs: Sequence[dict[str, Any]]) -> Table:
    rows = [
        (f"{pair['source_pieces']:,} : {pair['target_pieces']:,}", str(pair["source"]), str(pair["target"]))
        for pair in pairs
    ]
    return Table(title, ("pieces", "source", "target"), rows, "Of those that are kept.")


def _origin(manifest: dict[str, Any]) -> Table:
    settings = {f"cleaning.{key}": value for key, value in manifest["cleaning"]["settings"].items()}
    settings |= {f"tokenizer.{key}": value for key, value in manifest["tokenizer"]["settings"].items()}
    rows = [
        ("corpus", manifest["corpus"]["description"]),
        ("prepared", manifest["created"]),
        ("key", manifest["key"]),
        *((f"version of {name}", version) for name, version in manifest["versions"].items()),
        *((name, "null" if value is None else str(value)) for name, value in settings.items()),
    ]
    return Table("Where it comes from", ("what", ""), [(name, str(value)) for name, value in rows])


def _words(name: str) -> str:
    return name.replace("_", " ")


def _title(manifest: dict[str, Any]) -> str:
    return f"{manifest['corpus']['name']} {manifest['source']} → {manifest['target']}"


def markdown(manifest: dict[str, Any], tables: Sequence[Table]) -> str:
    """Return the note."""
    parts = [f"# Data report: {in_markdown(_title(manifest))}\n"]
    for table in tables:
        if table.rows:
            parts += [f"## {table.title}\n", *([table.note + "\n"] if table.note else [])]
            parts += markdown_table(table.head, table.rows)
    return "\n".join(parts)


def length_chart(lengths: dict[str, Sequence[int]], *, title: str) -> str:
    """Draw histograms of lengths in pieces.

    Args:
        lengths: by side, the number of sentences of 0, 1, 2, ... pieces.
        title: of the drawing.
    """
    longest = max((len(counts) for counts in lengths.values()), default=0)
    if not longest:
        return ""
    width = -(-longest // _MOST_BARS)
    labels = [(str(start), "") for start in range(0, longest, width)]
    series = {
        side: [100 * sum(counts[start : start + width]) / max(1, sum(counts)) for start in range(0, longest, width)]
        for side, counts in lengths.items()
    }
    return bar_chart(labels, series, title=title, x_label=f"pieces, in steps of {width}", y_label="% of sentences")


def page_of(manifest: dict[str, Any], statistics: dict[str, Any], tables: Sequence[Table]) -> str:
    """Return the whole page."""
    counts = manifest["cleaning"]["counts"]
    charts = [
        figure(length_chart({side: sides[side]["lengths"] for side in ("source", "target")}, title=split), split)
        for split, sides in statistics["splits"].items()
    ]
    bodies = [(table.title, _table(table) if table.rows else "") for table in tables]
    place = [table.title for table in tables].index(LONGEST)
    bodies.insert(place, ("Lengths", f'<div class="grid">{"".join(charts)}</div>'))
    title = _title(manifest)
    header = (
        f'<p class="kicker">Data report</p>\n<h1>{escaped(title)}</h1>\n<div class="headline">'
        f'<p class="score">{counts["kept"]:,}</p><p class="what">training pairs of {counts["read"]:,}<br>'
        f"{escaped(manifest['corpus']['description'])}</p></div>"
    )
    sections = [Section(re.sub(r"\W+", "-", name.lower()), name, body) for name, body in bodies]
    footer = "All numbers are in <code>manifest.json</code> and <code>statistics.json</code>, beside this page."
    return document(title, header, sections, footer)


def _table(table: Table) -> str:
    note = f'<p class="note">{html.escape(table.note)}</p>\n' if table.note else ""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.head)
    rows = "".join(
        "<tr>" + "".join(f'<td dir="auto">{escaped(cell)}</td>' for cell in row) + "</tr>" for row in table.rows
    )
    return f'{note}<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
