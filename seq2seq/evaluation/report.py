"""Write an evaluation down: numbers for programs, all translations, a note for a terminal and a page to look at."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seq2seq.disk.replacing import write_whole
from seq2seq.errors import DataError, UserError
from seq2seq.evaluation.analysis import LengthBucket, length_buckets, length_unit
from seq2seq.evaluation.attention_section import (
    FOLDER,
    alignment_headline,
    alignment_table,
    alignment_words,
    entropy_table,
    entropy_words,
)
from seq2seq.evaluation.document import in_markdown, markdown_table
from seq2seq.evaluation.heatmaps import png
from seq2seq.evaluation.page import page, selection
from seq2seq.evaluation.results import (
    AttentionAlignment,
    Evaluation,
    Habits,
    HeatMap,
    LinkCounts,
    Sentence,
    habits,
    origin_words,
)

__all__ = ["Evaluation", "Habits", "HeatMap", "Sentence", "scores_json", "summary_lines", "write_report"]

_LONGEST_LINE = 300  # characters of a sentence in report.md
_EXAMPLES = 5


def summary_lines(evaluation: Evaluation) -> list[str]:
    """Return one line for each score, for a terminal: ``BLEU 36.4 ± 1.2  nrefs:1|case:mixed|...``.

    A line before says where a public test set comes from. Where there were gold alignments, a last line says the
    alignment error rate.
    """
    width = max((len(score.name) for score in evaluation.scores.values()), default=0)
    lines = [] if evaluation.origin is None else [f"Test set: {origin_words(evaluation.origin)}"]
    for score in evaluation.scores.values():
        interval = "" if score.confidence is None else f" ± {score.confidence:.1f}"
        lines.append(f"{score.name:<{width}} {score.score:5.1f}{interval}  {score.signature}")
    if evaluation.alignment is not None:
        lines.append(alignment_headline(evaluation.alignment))
    return lines


def scores_json(evaluation: Evaluation) -> dict[str, Any]:
    """Return the numbers of an evaluation as plain values for ``scores.json``.

    One group for each score (``score``, ``signature``, ``confidence``), then ``seconds``, ``sentences_per_second``,
    ``sentences`` (their number), ``split``, ``origin`` of a public test set, the two languages, the shares of
    :class:`Habits`, the entropies of :class:`AttentionEntropy`, and ``alignment`` with error rate, precision and
    recall of each layer and head. Numbers are not rounded; what could not be measured is None.
    """
    found = habits(evaluation)
    entropy = evaluation.entropy
    scores = {
        key: {"score": score.score, "signature": score.signature, "confidence": score.confidence}
        for key, score in evaluation.scores.items()
    }
    return {
        **scores,
        "seconds": evaluation.seconds,
        "sentences_per_second": evaluation.sentences_per_second,
        "sentences": len(evaluation.sentences),
        "split": evaluation.split,
        "origin": None if evaluation.origin is None else dict(evaluation.origin),
        "source_language": evaluation.source_language,
        "target_language": evaluation.target_language,
        "length_ratio": found.length_ratio,
        "repeated_share": found.repeated,
        "repeated_share_of_references": found.repeated_in_references,
        "copied_share": found.copied,
        "attention_entropy": None if entropy is None else [list(heads) for heads in entropy.heads],
        "attention_entropy_uniform": None if entropy is None else entropy.uniform,
        "alignment": None if evaluation.alignment is None else _alignment_json(evaluation.alignment),
    }


def _alignment_json(alignment: AttentionAlignment) -> dict[str, Any]:
    """Return the errors of the layer with the fewest first, then of all layers (counted from 1) and heads."""
    layers = [
        {**_rates(layer), "heads": [_rates(head) for head in heads]}
        for layer, heads in zip(alignment.layers, alignment.heads, strict=True)
    ]
    return {
        "lowest_layer": alignment.lowest + 1,
        **_rates(alignment.layers[alignment.lowest]),
        "mean": _rates(alignment.mean),
        "layers": layers,
    }


def _rates(counts: LinkCounts) -> dict[str, float | None]:
    return {"error_rate": counts.error_rate, "precision": counts.precision, "recall": counts.recall}


def write_report(evaluation: Evaluation, folder: Path) -> Path:
    """Write ``scores.json``, ``translations.jsonl``, ``report.md``, ``report.html`` and maps into ``folder``.

    Each file appears under its name only when it is complete. ``translations.jsonl`` holds every sentence; the page
    shows a selection, so that it stays small for any corpus. ``translations.txt`` and ``references.txt`` are what was
    scored, one sentence a line, for the ``sacrebleu`` command. ``attention/`` holds the attention maps as PNG files;
    those of an earlier evaluation are removed.

    Args:
        evaluation: what to write.
        folder: is made where it is missing.

    Returns:
        the path of ``report.html``.

    Raises:
        DataError: the evaluation holds no sentences.
        UserError: the folder cannot be written.
    """
    if not evaluation.sentences:
        raise DataError("there is nothing to report: the evaluation holds no sentences")
    found = habits(evaluation)
    buckets = length_buckets(
        [sentence.source for sentence in evaluation.sentences],
        [sentence.translation for sentence in evaluation.sentences],
        [sentence.reference for sentence in evaluation.sentences],
        source_language=evaluation.source_language,
        target_language=evaluation.target_language,
    )
    scores = json.dumps(scores_json(evaluation), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / "scores.json", [scores])
        write_whole(folder / "translations.jsonl", map(_json_line, evaluation.sentences))
        write_whole(folder / "translations.txt", (f"{sentence.translation}\n" for sentence in evaluation.sentences))
        write_whole(folder / "references.txt", (f"{sentence.reference}\n" for sentence in evaluation.sentences))
        _write_maps(folder / FOLDER, evaluation.heat_maps)
        write_whole(folder / "report.md", [_markdown(evaluation, found, buckets)])
        write_whole(folder / "report.html", [page(evaluation, found, buckets)])
    except OSError as error:
        raise UserError(f"the report cannot be written to {folder}: {error.strerror}") from error
    return folder / "report.html"


def _write_maps(folder: Path, heat_maps: Sequence[HeatMap]) -> None:
    """Write each map, then remove maps of sentences that an earlier evaluation had chosen."""
    if heat_maps:
        folder.mkdir(exist_ok=True)
    names = {f"{each.name}.png" for each in heat_maps}
    for each in heat_maps:
        write_whole(folder / f"{each.name}.png", png(each))
    for old in folder.glob("line-*.png"):
        if old.name not in names:
            old.unlink()


def _json_line(sentence: Sentence) -> str:
    row = {
        "source": sentence.source,
        "reference": sentence.reference,
        "translation": sentence.translation,
        "chrf": sentence.score if math.isfinite(sentence.score) else None,
    }
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _markdown(evaluation: Evaluation, found: Habits, buckets: Sequence[LengthBucket]) -> str:
    unit = length_unit(evaluation.source_language)
    languages = f"{evaluation.source_language} → {evaluation.target_language}"
    lines = [f"# {in_markdown(evaluation.title)}", ""]
    lines += [in_markdown(f"{languages}, {evaluation.split}: {len(evaluation.sentences):,} sentences."), ""]
    lines += markdown_table(
        ["score", "value", "±", "signature"],
        [
            [
                score.name,
                f"{score.score:.2f}",
                "–" if score.confidence is None else f"{score.confidence:.2f}",
                score.signature,
            ]
            for score in evaluation.scores.values()
        ],
    )
    lines += [f"## Scores by source length in {unit}", ""]
    lines += markdown_table(
        [unit, "sentences", "BLEU", "chrF2"],
        [[bucket.label, f"{bucket.sentences:,}", f"{bucket.bleu:.1f}", f"{bucket.chrf:.1f}"] for bucket in buckets],
    )
    ratio = "–" if found.length_ratio is None else f"{found.length_ratio:.3f}"
    lines += ["## Habits", ""]
    lines += markdown_table(
        ["what", "translations", "references"],
        [
            ["length, to the references", ratio, "1"],
            ["repeated 4-grams", f"{found.repeated:.2%}", f"{found.repeated_in_references:.2%}"],
            ["copied lines", f"{found.copied:.2%}", "–"],
        ],
    )
    lines += _attention(evaluation)
    for name, indices in selection(evaluation.sentences):
        lines += [f"## {name}", ""]
        rows = [
            [
                str(i + 1),
                f"{s.score:.1f}",
                s.source[:_LONGEST_LINE],
                s.reference[:_LONGEST_LINE],
                s.translation[:_LONGEST_LINE],
            ]
            for i in indices[:_EXAMPLES]
            for s in [evaluation.sentences[i]]
        ]
        lines += markdown_table(["line", "chrF2", "source", "reference", "translation"], rows)
    if evaluation.facts:
        lines += ["## Facts", ""]
        lines += markdown_table(["", ""], [[name, fact] for name, fact in evaluation.facts.items()])
    return "\n".join(lines)


def _attention(evaluation: Evaluation) -> list[str]:
    lines = []
    if evaluation.entropy is not None:
        lines += [entropy_words(evaluation.entropy), "", *markdown_table(*entropy_table(evaluation.entropy))]
    if evaluation.alignment is not None:
        lines += [alignment_words(evaluation.alignment), "", *markdown_table(*alignment_table(evaluation.alignment))]
    for each in evaluation.heat_maps:
        lines += [f"![{in_markdown(each.caption[:_LONGEST_LINE])}]({FOLDER}/{each.name}.png)", ""]
    return ["## Attention", "", *lines] if lines else []
