"""The report as one HTML page: no script, nothing fetched, every word of the corpus escaped.

The page is bounded for any corpus: a selection of sentences, long ones cut, long attention maps cropped.
"""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Callable, Sequence

from seq2seq.evaluation.analysis import LengthBucket, length_unit
from seq2seq.evaluation.attention_section import attention_section
from seq2seq.evaluation.charts import bar_chart, escaped, figure, line_chart
from seq2seq.evaluation.document import Section, document
from seq2seq.evaluation.results import Evaluation, Habits, Sentence

_EXTREMES = 25  # best and worst sentences
_SAMPLE = 50
_AT_ONCE = 5  # sentences of a group that show without a click
_LONGEST_TEXT = 1000  # characters
_SEED = 12345

_MEANINGS = {
    "bleu": "Words and word sequences shared with the reference, cased. The score to quote.",
    "chrf": "Character sequences shared with the reference; fairer to languages with many word forms.",
    "ter": "Edits needed for each 100 words of the reference. Lower is better.",
    "bleu_lowercase": "Lower-cased, not smoothed: the nearest to the tokenised BLEU of Multi30k and IWSLT papers.",
}

_CURVES = (
    ("Loss", "nats per token", {"train_loss": "training", "validation_loss": "validation"}),
    ("Validation BLEU", "BLEU", {"validation_bleu": "validation"}),
    ("Learning rate", "learning rate", {"learning_rate": "learning rate"}),
    ("Training speed", "tokens per second", {"tokens_per_second": "tokens per second"}),
)


def selection(sentences: Sequence[Sentence]) -> list[tuple[str, list[int]]]:
    """Choose the sentences worth reading: named groups of positions in ``sentences``.

    The 25 worst, the 25 best and 50 others drawn with a fixed seed; all of them, worst first, if they are no more
    than that together.
    """
    order = sorted(range(len(sentences)), key=lambda i: (sentences[i].score, i))
    if len(order) <= 2 * _EXTREMES + _SAMPLE:
        return [("All sentences, worst first", order)]
    others = random.Random(_SEED).sample(order[_EXTREMES:-_EXTREMES], _SAMPLE)
    return [
        ("Worst sentences", order[:_EXTREMES]),
        ("Best sentences", order[: -_EXTREMES - 1 : -1]),
        ("Random sentences", sorted(others)),
    ]


def page(evaluation: Evaluation, habits: Habits, buckets: Sequence[LengthBucket]) -> str:
    """Return the whole page.

    Args:
        evaluation: with at least one sentence and the score ``bleu``.
        habits: of this evaluation.
        buckets: its scores by source length.
    """
    sections = [
        Section("scores", "Scores", _scores(evaluation)),
        Section("training", "Training", _training(evaluation)),
        Section("lengths", "Lengths and habits", _lengths(evaluation, habits, buckets)),
        Section("sentences", "Sentences", _sentences(evaluation)),
        Section("attention", "Attention", attention_section(evaluation)),
        Section("facts", "Facts", _facts(evaluation)),
    ]
    footer = (
        "Every sentence is in <code>translations.jsonl</code>, every number in <code>scores.json</code>, "
        "beside this page."
    )
    return document(evaluation.title, _header(evaluation), sections, footer)


def _header(evaluation: Evaluation) -> str:
    bleu = evaluation.scores["bleu"]
    interval = "" if bleu.confidence is None else f' <span class="interval">± {bleu.confidence:.1f}</span>'
    explanation = "" if bleu.confidence is None else ", 95% bootstrap interval"
    rest = "".join(
        f"<div><dt>{escaped(score.name)}</dt><dd>{score.score:.1f}</dd></div>"
        for key, score in evaluation.scores.items()
        if key != "bleu"
    )
    speed = evaluation.sentences_per_second
    pace = "" if speed is None else f" · {speed:,.0f} sentences per second"
    return (
        f'<p class="kicker">{escaped(evaluation.source_language)} → {escaped(evaluation.target_language)}'
        f" · {escaped(evaluation.split)} · {len(evaluation.sentences):,} sentences{pace}</p>\n"
        f"<h1>{escaped(evaluation.title)}</h1>\n"
        f'<div class="headline"><p class="score">{bleu.score:.1f}{interval}</p>'
        f'<p class="what">BLEU{explanation}<br><code>{escaped(bleu.signature)}</code></p></div>\n'
        f'<dl class="others">{rest}</dl>'
    )


def _scores(evaluation: Evaluation) -> str:
    rows = []
    for key, score in evaluation.scores.items():
        interval = "–" if score.confidence is None else f"± {score.confidence:.2f}"
        rows.append(
            f'<tr><th scope="row">{escaped(score.name)}</th><td class="number">{score.score:.2f}</td>'
            f'<td class="number">{interval}</td><td>{_MEANINGS.get(key, "")} '
            f"<code>{escaped(score.signature)}</code></td></tr>"
        )
    head = "<tr><th>score</th><th>value</th><th>95%</th><th>what it counts, and its signature</th></tr>"
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _training(evaluation: Evaluation) -> str:
    charts = []
    for title, unit, names in _CURVES:
        series = {
            label: [(float(row["step"]), float(row[name])) for row in evaluation.history if row.get(name) is not None]
            for name, label in names.items()
        }
        charts.append((title, line_chart(series, title=title, x_label="step", y_label=unit)))
    figures = [figure(chart, title) for title, chart in charts if chart]
    return f'<div class="grid">{"".join(figures)}</div>' if figures else ""


def _lengths(evaluation: Evaluation, habits: Habits, buckets: Sequence[LengthBucket]) -> str:
    unit = length_unit(evaluation.source_language)
    lengths = bar_chart(
        [(bucket.label, f"n {bucket.sentences:,}") for bucket in buckets],
        {"BLEU": [bucket.bleu for bucket in buckets], "chrF2": [bucket.chrf for bucket in buckets]},
        title="Scores by source length",
        x_label=f"{unit} in the source",
        y_label="score",
    )
    tens = [0] * 10
    for sentence in evaluation.sentences:
        tens[min(9, max(0, int(sentence.score // 10)))] += 1
    spread = bar_chart(
        [(f"{ten * 10}+", "") for ten in range(10)],
        {"sentences": [100 * count / len(evaluation.sentences) for count in tens]},
        title="Sentences by chrF2",
        x_label="chrF2 of the sentence",
        y_label="% of sentences",
    )
    ratio = "–" if habits.length_ratio is None else f"{habits.length_ratio:.3f}"
    facts = (
        (ratio, "length of the translations, with the references as 1"),
        (f"{habits.repeated:.1%}", f"repeated 4-grams; in the references {habits.repeated_in_references:.1%}"),
        (f"{habits.copied:.1%}", "lines copied from the source"),
    )
    numbers = "".join(f"<div><dt>{meaning}</dt><dd>{number}</dd></div>" for number, meaning in facts)
    figures = figure(lengths, "Scores by source length") + figure(spread, "How the sentences score")
    return f'<div class="grid">{figures}</div>\n<dl class="habits">{numbers}</dl>'


def _sentences(evaluation: Evaluation) -> str:
    split = _splitter(evaluation.target_language)
    groups = ['<p class="note">Underlined: words that the reference does not have in this place.</p>']
    for title, indices in selection(evaluation.sentences):
        cards = [_card(i, evaluation.sentences[i], evaluation, split) for i in indices]
        more = len(cards) - _AT_ONCE
        fold = f"<details><summary>{more} more</summary>{''.join(cards[_AT_ONCE:])}</details>" if more > 0 else ""
        groups.append(f"<h3>{title}</h3>\n{''.join(cards[:_AT_ONCE])}{fold}")
    return "\n".join(groups)


def _card(index: int, sentence: Sentence, evaluation: Evaluation, split: Callable[[str], list[str]]) -> str:
    source, target = escaped(evaluation.source_language), escaped(evaluation.target_language)
    return (
        f'<article><p class="rank"><b>{sentence.score:.0f}</b> <span>line {index + 1:,}</span></p><dl>'
        f'<dt>source</dt><dd lang="{source}" dir="auto">{_cut(sentence.source)}</dd>'
        f'<dt>reference</dt><dd lang="{target}" dir="auto">{_cut(sentence.reference)}</dd>'
        f'<dt>translation</dt><dd lang="{target}" dir="auto" class="ours">{_compared(sentence, split)}</dd>'
        "</dl></article>\n"
    )


def _cut(text: str) -> str:
    return escaped(text[:_LONGEST_TEXT]) + _remainder(text) if text else '<i class="note">(empty)</i>'


def _remainder(text: str) -> str:
    missing = len(text) - _LONGEST_TEXT
    return f' <i class="note">… {missing:,} more characters</i>' if missing > 0 else ""


def _compared(sentence: Sentence, split: Callable[[str], list[str]]) -> str:
    """Escape the translation and underline what the reference lacks; a translation without a match stays plain."""
    ours, theirs = split(sentence.translation[:_LONGEST_TEXT]), split(sentence.reference[:_LONGEST_TEXT])
    matcher = difflib.SequenceMatcher(None, theirs, ours)
    if not any(block.size for block in matcher.get_matching_blocks()):
        return _cut(sentence.translation)
    parts = []
    for kind, _, _, start, end in matcher.get_opcodes():
        text = "".join(ours[start:end])
        word = text.strip()  # spaces around it are not part of what differs
        if kind == "equal" or not word:
            parts.append(escaped(text))
        else:
            before, after = text.split(word, 1)
            parts.append(f"{escaped(before)}<u>{escaped(word)}</u>{escaped(after)}")
    return "".join(parts) + _remainder(sentence.translation)


def _splitter(language: str) -> Callable[[str], list[str]]:
    """Return what cuts a line into words and the spaces and signs between them, losing nothing."""
    return list if length_unit(language) == "characters" else re.compile(r"\w+|\s+|[^\w\s]").findall


def _facts(evaluation: Evaluation) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escaped(name)}</th><td>{_cut(fact)}</td></tr>'
        for name, fact in evaluation.facts.items()
    )
    return f'<table class="facts"><tbody>{rows}</tbody></table>' if rows else ""
