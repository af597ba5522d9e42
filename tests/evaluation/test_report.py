import json
import os
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from seq2seq.errors import DataError, UserError
from seq2seq.evaluation.charts import visible
from seq2seq.evaluation.metrics import score_translations, sentence_scores
from seq2seq.evaluation.page import page, selection
from seq2seq.evaluation.report import Evaluation, HeatMap, Sentence, scores_json, summary_lines, write_report
from seq2seq.evaluation.results import AttentionAlignment, AttentionEntropy, LinkCounts, habits

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    '" onmouseover="alert(4)" x="',
    "' onfocus='alert(5)' autofocus='",
    "</title></svg><svg onload=alert(6)>",
    "--><iframe src='https://example.org'></iframe><!--",
    "<a href='javascript:alert(7)'>x</a> [x](javascript:alert(7)) ![x](https://example.org/x.png)",
    "]]><base href='https://example.org/'><meta http-equiv=refresh content='0;url=https://example.org'>",
    "&lt;script&gt;alert(8)&lt;/script&gt; &#60;b&#62;",
    "\u202egnp.exe\u2066 \u200b\ufeff\u2028\x00\x1b[31m\x7f\ud800 | `code` | **bold**",
    "<style>*{background:url(https://example.org)}</style><link rel=stylesheet href=//example.org>",
]

ALLOWED = (
    "html head meta title style body header p h1 h2 h3 div span dl dt dd br code nav a main section table thead "
    "tbody tr th td figure figcaption article b i u details summary footer svg path text tspan rect circle g"
)
TAGS = set(ALLOWED.split())
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Collects the elements of a page and checks that all of them are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def evaluation(translations: list[str], references: list[str], sources: list[str], **changes: Any) -> Evaluation:
    scores = score_translations(translations, references, bootstrap=20, target_language="en")
    rated = zip(sources, references, translations, sentence_scores(translations, references), strict=True)
    plain = Evaluation(
        title="Multi30k",
        split="test",
        source_language="de",
        target_language="en",
        scores=scores,
        sentences=[Sentence(*each) for each in rated],
        heat_maps=[],
        entropy=None,
        alignment=None,
        history=[],
        facts={},
        seconds=2.0,
    )
    return replace(plain, **changes)


def small(**changes: Any) -> Evaluation:
    sources = ["Ein Mann läuft.", "Eine Frau liest ein Buch.", "Zwei Hunde spielen im Schnee."]
    references = ["A man runs.", "A woman reads a book.", "Two dogs play in the snow."]
    return evaluation(["A man runs.", "A woman is reading.", "Two dogs snow."], references, sources, **changes)


def attention(heads: int, rows: int, columns: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).dirichlet(np.full(columns, 0.2), size=(heads, rows))


def layers_and_heads(layers: int, heads: int) -> dict[str, Any]:
    """Entropy and alignment of a decoder; its second layer, if any, aligns best."""
    entropy = AttentionEntropy([[0.25 * (head + 1) for head in range(heads)] for _ in range(layers)], 2.0)
    counts = [LinkCounts(8, 8, 4 + layer % 2, 6) for layer in range(layers)]
    return {
        "entropy": entropy,
        "alignment": AttentionAlignment([[each] * heads for each in counts], counts, counts[0]),
    }


def harmless(text: str) -> Page:
    """Check that a page holds only the elements and attributes that the report itself writes."""
    parsed = Page(text)
    assert {tag for tag, _ in parsed.elements} <= TAGS
    for tag, attributes in parsed.elements:
        assert not any(name.startswith("on") or name in {"src", "xlink:href", "srcdoc"} for name in attributes)
        assert tag == "a" or "href" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
        assert re.fullmatch(r"((fill|stroke):var\(--[a-z0-9-]+,#[0-9a-f]{6}\))?", attributes.get("style") or "")
    return parsed


def hostile() -> Evaluation:
    maps = [
        HeatMap(tuple(HOSTILE), tuple(reversed(HOSTILE)), attention(2, 12, 12), caption=text, name=f"line-{number}")
        for number, text in enumerate(HOSTILE[:3], start=1)
    ]
    return evaluation(
        HOSTILE,
        [f"{text} reference" for text in HOSTILE],
        list(reversed(HOSTILE)),
        title=" ".join(HOSTILE),
        split=HOSTILE[3],
        source_language=HOSTILE[4],
        heat_maps=maps,
        facts={text: text for text in HOSTILE},
    )


def test_hostile_corpus_text_leaves_no_script_or_handler(tmp_path: Path) -> None:
    text = write_report(hostile(), tmp_path).read_text(encoding="utf-8")
    assert "alert(1)" in harmless(text).text  # it is there to read, and does nothing
    assert [tag for tag, _ in Page(text).elements].count("style") == 1


def test_hostile_corpus_text_leaves_no_markup_in_the_note(tmp_path: Path) -> None:
    write_report(hostile(), tmp_path)
    note = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<" not in note
    own = re.sub(r"^!\[.*\]\(attention/line-\d\.png\)$", "", note, flags=re.MULTILINE)
    assert own.count("\n") == note.count("\n")
    assert note.count("(attention/line-") == 3
    assert not re.search(r"(?<!\\)(\]\(|!\[|`|\*\*)", own)
    assert not re.search(r"(?<!\\)[\[\]()!].*\]\(attention", re.sub(r"^!\[", "", note, flags=re.MULTILINE))
    table = note.split("## All sentences")[1].split("## Facts")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


def test_no_hidden_character_reaches_the_page_or_the_note(tmp_path: Path) -> None:
    write_report(hostile(), tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text(encoding="utf-8").replace("\n", "")
        assert visible(text) == text


def test_the_page_forbids_scripts_and_everything_remote(tmp_path: Path) -> None:
    text = write_report(small(), tmp_path).read_text(encoding="utf-8")
    policy = [
        attributes for tag, attributes in harmless(text).elements if tag == "meta" and "http-equiv" in attributes
    ]
    assert len(policy) == 1
    assert policy[0]["http-equiv"] == "Content-Security-Policy"
    assert str(policy[0]["content"]).startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text


def test_all_files_are_written_whole_and_nothing_else_stays(tmp_path: Path) -> None:
    one = small()
    assert write_report(one, tmp_path / "new" / "folder") == tmp_path / "new" / "folder" / "report.html"
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == [
        "references.txt",
        "report.html",
        "report.md",
        "scores.json",
        "translations.jsonl",
        "translations.txt",
    ]
    assert json.loads((tmp_path / "new" / "folder" / "scores.json").read_text(encoding="utf-8")) == scores_json(one)


def test_translations_come_back_from_their_file_exactly(tmp_path: Path) -> None:
    one = hostile()
    write_report(one, tmp_path)
    lines = (tmp_path / "translations.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    rows = [json.loads(line) for line in lines]
    assert [row["translation"] for row in rows] == HOSTILE
    assert [
        Sentence(row["source"], row["reference"], row["translation"], row["chrf"]) for row in rows
    ] == one.sentences


def test_scores_json_has_every_score_with_its_signature() -> None:
    values = scores_json(small())
    for key in ("bleu", "chrf", "ter", "bleu_lowercase"):
        assert set(values[key]) == {"score", "signature", "confidence"}
    assert (values["sentences"], values["seconds"], values["sentences_per_second"]) == (3, 2.0, 1.5)
    assert scores_json(small(seconds=0.0))["sentences_per_second"] is None


def test_summary_lines_say_score_interval_and_signature() -> None:
    lines = summary_lines(small())
    assert re.fullmatch(r"BLEU +\d+\.\d ± \d+\.\d  nrefs:1\|bs:20\|seed:12345\|case:mixed\|\S+", lines[0])
    assert len(lines) == 4


def test_one_sentence_without_maps_history_or_facts_makes_a_page(tmp_path: Path) -> None:
    one = evaluation(["Hello."], ["Hello."], ["Hallo."])
    parsed = harmless(write_report(one, tmp_path).read_text(encoding="utf-8"))
    sections = [attributes["id"] for tag, attributes in parsed.elements if tag == "section"]
    assert sections == ["scores", "lengths", "sentences"]


def test_a_full_evaluation_shows_every_section(tmp_path: Path) -> None:
    history = [{"step": step, "seconds": 1.0, "train_loss": 5 / step, "learning_rate": 1e-4} for step in range(1, 31)]
    history[9] |= {"validation_loss": 2.0, "validation_bleu": 20.0}
    history[10] |= {"train_loss": float("nan")}
    maps = [HeatMap(("▁Ein", "▁Mann"), ("▁A", "▁man", "."), attention(4, 3, 2), "line 1, layer 2", "line-1-layer-2")]
    one = small(history=history, heat_maps=maps, facts={"device": "CPU"})
    parsed = harmless(write_report(one, tmp_path).read_text(encoding="utf-8"))
    sections = [attributes["id"] for tag, attributes in parsed.elements if tag == "section"]
    assert sections == ["scores", "training", "lengths", "sentences", "attention", "facts"]
    assert [tag for tag, _ in parsed.elements].count("svg") == 3 + 2 + 5
    assert "Each of the 4 heads" in parsed.text
    assert "nan" not in parsed.text


def test_every_drawing_has_a_name_for_screen_readers(tmp_path: Path) -> None:
    parsed = Page(write_report(hostile(), tmp_path).read_text(encoding="utf-8"))
    drawings = [attributes for tag, attributes in parsed.elements if tag == "svg"]
    assert drawings
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawings)


def test_words_that_the_reference_lacks_are_underlined() -> None:
    one = evaluation(["A big dog runs."], ["A dog runs."], ["Ein Hund läuft."])
    assert 'class="ours">A <u>big</u> dog runs.</dd>' in page(one, habits(one), [])


def test_a_huge_and_hostile_evaluation_stays_below_ten_megabytes() -> None:
    line = "\u202e" * 3000
    sentences = [Sentence(line, line, line, float(i % 101)) for i in range(100_000)]
    pieces = tuple("\u202e" * 30 for _ in range(200))
    maps = [HeatMap(pieces, pieces, attention(16, 200, 200), line, "line-1") for _ in range(12)]
    history = [
        {"step": step, "train_loss": float(step % 7), "learning_rate": 1 / (step + 1)} for step in range(20_000)
    ]
    found = habits(small())
    text = page(small(sentences=sentences, heat_maps=maps, history=history, facts={"data": line}), found, [])
    assert len(text.encode()) < 10_000_000
    assert "The first 6 of 12 maps are shown." in text


def test_every_layer_of_a_few_sentences_finds_room() -> None:
    pieces = tuple(f"▁{i}" for i in range(25))
    maps = [HeatMap(pieces, pieces, attention(8, 25, 25), "", "line-1")] * 24
    text = page(small(heat_maps=maps), habits(small()), [])
    assert text.count("Each of the 8 heads") == 24
    assert "maps are shown" not in text


def test_selection_takes_worst_best_and_a_fixed_sample_without_overlap() -> None:
    sentences = [Sentence("s", "r", "t", float(i * 37 % 1000)) for i in range(1000)]
    (_, worst), (_, best), (_, others) = selection(sentences)
    assert (len(worst), len(best), len(others)) == (25, 25, 50)
    assert [sentences[i].score for i in worst] == [float(i) for i in range(25)]
    assert sentences[best[0]].score == 999
    assert len({*worst, *best, *others}) == 100
    assert selection(sentences) == selection(sentences)


def test_a_short_test_set_is_shown_whole() -> None:
    [(name, indices)] = selection([Sentence("s", "r", "t", float(100 - i)) for i in range(100)])
    assert name == "All sentences, worst first"
    assert indices == list(range(99, -1, -1))


def test_what_cannot_be_written_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_report(small(), tmp_path / "file")
    with pytest.raises(DataError, match="no sentences"):
        write_report(small(sentences=[]), tmp_path)


def test_entropy_and_alignment_errors_stand_in_every_form_of_the_report(tmp_path: Path) -> None:
    one = small(**layers_and_heads(3, 4))
    values = scores_json(one)
    assert values["attention_entropy"] == [[0.25, 0.5, 0.75, 1.0]] * 3
    assert values["attention_entropy_uniform"] == 2.0
    alignment = values["alignment"]
    assert (alignment["lowest_layer"], alignment["error_rate"]) == (2, 1 - 11 / 16)
    assert (alignment["precision"], alignment["recall"]) == (6 / 8, 5 / 8)
    assert alignment["mean"]["error_rate"] == 1 - 10 / 16
    assert [len(layer["heads"]) for layer in alignment["layers"]] == [4, 4, 4]
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    words = "Alignment error rate 31.2% (layer 2, lowest of the layers)"
    assert summary_lines(one)[-1] == words
    parsed = harmless(write_report(one, tmp_path).read_text(encoding="utf-8"))
    note = (tmp_path / "report.md").read_text(encoding="utf-8").replace("\\", "")
    for text in (parsed.text, note):
        assert words in text
        assert "2.00 nats" in text
    assert "| layer 2 | 0.25 | 0.50 | 0.75 | 1.00 |" in note
    assert "| layer 2 | 31.2% | 75.0% | 62.5% | 31.2% | 31.2% | 31.2% | 31.2% |" in note
    assert "| mean of all heads | 37.5% | 75.0% | 50.0% |  |  |  |  |" in note
    classes = [attributes.get("class") or "" for tag, attributes in parsed.elements if tag == "td"]
    assert sum("shade-" in name for name in classes) == 12 + 12


def test_a_decoder_with_one_attention_has_neither_layers_nor_heads_to_compare(tmp_path: Path) -> None:
    one = small(**layers_and_heads(1, 1))
    assert summary_lines(one)[-1] == "Alignment error rate 37.5%"
    harmless(write_report(one, tmp_path).read_text(encoding="utf-8"))
    note = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "| attention | 0.25 |" in note
    assert "| attention | 37.5% | 75.0% | 50.0% |" in note
    assert "layer" not in note


def test_without_gold_alignments_nothing_is_said_about_them(tmp_path: Path) -> None:
    one = small(entropy=AttentionEntropy([[1.0]], 2.0))
    assert scores_json(one)["alignment"] is None
    assert len(summary_lines(one)) == 4
    text = write_report(one, tmp_path).read_text(encoding="utf-8")
    assert "lignment" not in text + (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_system_that_links_nothing_is_reported_without_numbers(tmp_path: Path) -> None:
    nothing = LinkCounts(0, 0, 0, 0)
    one = small(alignment=AttentionAlignment([[nothing] * 2] * 2, [nothing] * 2, nothing))
    parsed = harmless(write_report(one, tmp_path).read_text(encoding="utf-8"))
    shades = {attributes.get("class") for tag, attributes in parsed.elements if tag == "td"}
    assert {shade for shade in shades if "shade" in (shade or "")} == {"number shade-0"}  # not that of the best
    assert json.loads((tmp_path / "scores.json").read_text())["alignment"]["error_rate"] is None
    assert "| layer 1 | – | – | – | – | – |" in (tmp_path / "report.md").read_text(encoding="utf-8")


def mapped(*names: str) -> Evaluation:
    return small(heat_maps=[HeatMap(("▁a",), ("▁b", "</s>"), attention(1, 2, 1), "caption", name) for name in names])


def test_maps_are_png_files_that_the_note_shows(tmp_path: Path) -> None:
    write_report(mapped("line-1-mean", "line-1-layer-1"), tmp_path)
    files = sorted((tmp_path / "attention").iterdir())
    assert [path.name for path in files] == ["line-1-layer-1.png", "line-1-mean.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in files)
    shown = re.findall(r"!\[caption\]\((.*)\)", (tmp_path / "report.md").read_text(encoding="utf-8"))
    assert shown == ["attention/line-1-mean.png", "attention/line-1-layer-1.png"]


def test_maps_of_an_earlier_evaluation_do_not_stay_and_other_files_do(tmp_path: Path) -> None:
    write_report(mapped("line-1-mean", "line-2-mean"), tmp_path)
    (tmp_path / "attention" / "mine.png").touch()
    write_report(mapped("line-2-mean"), tmp_path)
    assert sorted(path.name for path in (tmp_path / "attention").iterdir()) == ["line-2-mean.png", "mine.png"]
    write_report(small(), tmp_path)
    assert [path.name for path in (tmp_path / "attention").iterdir()] == ["mine.png"]


def test_maps_that_do_not_fit_on_the_disk_are_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "attention").mkdir()
    (tmp_path / "attention" / f".line-1-mean.png-{os.getpid()}.unfinished").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"^the report cannot be written to .*: No space left on device$"):
        write_report(mapped("line-1-mean"), tmp_path)
