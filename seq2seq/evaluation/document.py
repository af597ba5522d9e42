"""The shell of every HTML page, which opens offline, runs nothing and fetches nothing; and harmless Markdown."""

from __future__ import annotations

import importlib.resources
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from seq2seq.evaluation.charts import escaped, visible

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"


class Section(NamedTuple):
    """A part of a page, with a link to it at the top.

    Attributes:
        name: of the link.
        title: plain words of our own.
        body: HTML. Empty: there is no such section.
    """

    name: str
    title: str
    body: str


def document(title: str, header: str, sections: Sequence[Section], footer: str) -> str:
    """Return a whole page.

    Args:
        title: plain text.
        header: HTML above the links.
        sections: those without a body are left out.
        footer: HTML.
    """
    style = importlib.resources.files("seq2seq.evaluation").joinpath("report.css").read_text(encoding="utf-8")
    written = [section for section in sections if section.body]
    links = "".join(f'<a href="#{section.name}">{section.title}</a>' for section in written)
    bodies = "\n".join(
        f'<section id="{section.name}"><h2>{section.title}</h2>\n{section.body}\n</section>' for section in written
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"<header>\n{header}\n</header>\n<nav>{links}</nav>\n<main>\n{bodies}\n</main>\n"
        f"<footer>{footer}</footer>\n</body>\n</html>\n"
    )


def in_markdown(text: str) -> str:
    """Return text that Markdown shows as it is: no markup, links, images or HTML come out of a corpus."""
    harmless = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#!|~])", r"\\\1", harmless)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table and an empty one; its cells are plain text, its head is as it is."""
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return [*lines, *(f"| {' | '.join(map(in_markdown, row))} |" for row in rows), ""]
