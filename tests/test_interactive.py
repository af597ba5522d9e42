"""Translating at a terminal: what is typed, what is drawn, and how one leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from small_runs import quick, train_run, write_corpus
from tiny import compose

from seq2seq.commands.interactive import BLOCKS, PLAIN, converse, heat_map_lines, mean_attention
from seq2seq.commands.translate import TranslateConfig, translate
from seq2seq.config import parse
from seq2seq.errors import ConfigError
from seq2seq.translation.ensemble import Ensemble
from seq2seq.translation.translator import Translator

SOURCES = ["▁A", "▁dog", "s", "</s>"]
TARGETS = ["▁Hunde", "</s>"]
WEIGHTS = np.array([[0.0, 1.0, 0.5, 0.0], [0.25, 0.0, 0.0, 0.75]], dtype=np.float32)


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    folder = tmp_path_factory.mktemp("talk")
    return Translator.load(
        train_run([*quick(write_corpus(folder / "corpus"), folder / "p"), f"run_dir={folder / 'r'}"])
    )


def typing(monkeypatch: pytest.MonkeyPatch, *lines: str | type[BaseException]) -> None:
    """Let somebody type these lines, or leave."""
    coming: Iterator[str | type[BaseException]] = iter(lines)

    def answer(prompt: str) -> str:
        line = next(coming)
        if not isinstance(line, str):
            raise line
        return line

    monkeypatch.setattr("builtins.input", answer)


def test_a_heat_map_has_pieces_above_and_beside_it() -> None:
    assert list(heat_map_lines(WEIGHTS, SOURCES, TARGETS, 80, BLOCKS)) == [
        "         _   <",
        "         d   /",
        "       _ o   s",
        "       A g s >",
        "_Hunde   ██▒▒",
        "</s>   ░░    ▓▓",
    ]


def test_a_heat_map_is_never_wider_than_the_terminal() -> None:
    lines = list(heat_map_lines(np.ones((2, 40), np.float32), ["▁word"] * 40, TARGETS, 30, PLAIN))
    assert max(map(len, lines)) <= 30
    assert sum(line.count("#") for line in lines) == 2 * 2 * 40
    assert list(heat_map_lines(WEIGHTS, SOURCES, TARGETS, 1, PLAIN))  # hardly a terminal, but no reason to fail


def test_a_terminal_without_blocks_gets_ascii() -> None:
    lines = list(heat_map_lines(WEIGHTS, ["▁Ä", "犬", "s\x1b", "…" * 30], TARGETS, 80, PLAIN))
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert any("##" in line for line in lines)


def test_wide_characters_stay_in_their_columns() -> None:
    lines = list(heat_map_lines(WEIGHTS, ["犬", "a", "犬", "b"], ["犬", "x"], 80, BLOCKS))
    assert lines[0] == "   犬a 犬b"
    assert lines[1] == "犬   ██▒▒"


def test_weights_are_the_mean_of_all_models_and_sum_to_one(translator: Translator) -> None:
    ids = translator.encode(["The dog sleeps."], None)[0]
    alone = mean_attention(translator, ids, ids[:3])
    assert alone.shape == (4, len(ids) + 1)
    assert alone.sum(axis=1) == pytest.approx(np.ones(4), abs=1e-2)
    assert mean_attention(Ensemble([translator, translator]), ids, ids[:3]) == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("leaving", [EOFError, KeyboardInterrupt])
def test_each_line_is_translated_until_one_leaves(
    translator: Translator,
    leaving: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    typing(monkeypatch, "The dog sleeps.", "", ":map", "She runs.", leaving)
    converse(translator, translator.search, None, None, heat_map=False)
    lines = capsys.readouterr().out.splitlines()
    first, second = translator.translate(["The dog sleeps.", "She runs."])
    assert lines[1:4] == [first, "Heat maps are on.", second]
    assert len(lines) > 6


def test_one_can_leave_while_a_line_is_translated(translator: Translator, monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, "The dog sleeps.")
    monkeypatch.setattr(translator, "in_parts", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    converse(translator, translator.search, None, None, heat_map=False)


def test_what_cannot_be_translated_does_not_end_the_conversation(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typing(monkeypatch, "The dog sleeps.", "She runs.", EOFError)
    converse(translator, translator.search, None, "犬", heat_map=False)
    assert capsys.readouterr().err.count("must be in the characters that the model can write") == 2


def test_heat_maps_need_a_terminal(tmp_path: Path) -> None:
    values = compose(f"checkpoint={tmp_path}", "heat_map=true", name="translate")
    with pytest.raises(ConfigError, match="`heat_map` must be false unless lines are typed"):
        translate(parse(TranslateConfig, values), values)


def test_a_terminal_is_asked_only_where_nothing_else_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, translator: Translator
) -> None:
    asked: list[Callable[..., None]] = []
    monkeypatch.setattr("seq2seq.commands.translate.at_terminal", lambda: True)
    monkeypatch.setattr("seq2seq.commands.translate.load_together", lambda *_: (translator, [("en", "de")]))
    monkeypatch.setattr("seq2seq.commands.translate.converse", lambda *_, **__: asked.append(converse))
    (tmp_path / "in").write_text("She runs.\n", encoding="utf-8")
    for given, talks in (([], 1), ([f"input={tmp_path / 'in'}", f"output={tmp_path / 'out'}"], 0)):
        asked.clear()
        values = compose(f"checkpoint={tmp_path}", *given, name="translate")
        translate(parse(TranslateConfig, values), values)
        assert len(asked) == talks
