"""Test sets by sacreBLEU's names, from a cache in its own layout that is filled here: nothing is downloaded."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import sacrebleu.utils
from sacrebleu.dataset import DATASETS

from seq2seq.data.corpora.sacrebleu_sets import PATIENCE, load_test_set, origin_of, refuse_unknown
from seq2seq.errors import DataError

SOURCES = ["A dog.", "", "Two\u2028cats."]
REFERENCES = ["Ein Hund.", "Nichts.", "Zwei Katzen."]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache; sacreBLEU reads the variable when it is imported, so here its folders are moved."""
    root = tmp_path / "cache"
    monkeypatch.setattr(sacrebleu.utils, "SACREBLEU_DIR", str(root))
    for name, dataset in DATASETS.items():
        monkeypatch.setattr(dataset, "_outdir", str(root / name))
        monkeypatch.setattr(dataset, "_rawdir", str(root / name / "raw"))
    return root


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **settings: Any) -> None:
        raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def fill(root: Path, name: str, languages: str = "en-de", references: list[str] = REFERENCES) -> None:
    """What sacreBLEU keeps of a set in its older formats: one file for each field."""
    stem = f"{name.replace('/', '_')}.{languages}"
    fields = {"src": SOURCES, "ref": references, "docid": ["1"] * 3, "genre": ["news"] * 3, "origlang": ["en"] * 3}
    for field, lines in fields.items():
        write(root / name / f"{stem}.{field}", lines)


@pytest.mark.parametrize("name", ["wmt14/full", "wmt20", "iwslt17", "multi30k/2016"])
def test_a_set_in_the_cache_is_read_without_a_network(cache: Path, name: str) -> None:
    fill(cache, name)
    found = load_test_set(name, "en", "de")
    assert found.pairs == [("A dog.", "Ein Hund."), ("", "Nichts."), ("Two cats.", "Zwei Katzen.")]
    assert found.origin["name"] == name
    assert found.origin["description"]


def test_newer_sets_are_read_from_their_xml_with_the_reference_that_sacrebleu_prefers(cache: Path) -> None:
    place: Any = DATASETS["wmt22"].langpairs["en-de"]
    xml = cache / "wmt22" / "raw" / (place["path"] if isinstance(place, dict) else place[0])
    wanted = place.get("refs", ["A"])[0] if isinstance(place, dict) else "A"
    other = "A" if wanted == "B" else "B"
    write(
        xml,
        [
            '<dataset id="x"><collection id="general"><doc id="d" origlang="en" domain="news">',
            '<src lang="en"><p><seg id="1">A dog.</seg></p></src>',
            f'<ref lang="de" translator="{other}"><p><seg id="1">Falsch.</seg></p></ref>',
            f'<ref lang="de" translator="{wanted}"><p><seg id="1">Ein Hund.</seg></p></ref>',
            "</doc></collection></dataset>",
        ],
    )
    for url in DATASETS["wmt22"].data or []:
        write(cache / "wmt22" / "raw" / f"wmt22.{os.path.basename(url)}", ["already here"])
    assert load_test_set("wmt22", "en", "de").pairs == [("A dog.", "Ein Hund.")]


def test_a_set_that_is_not_in_the_cache_names_the_cache_and_the_command_that_fills_it(cache: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_test_set("wmt14/full", "en", "de")
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "test set wmt14/full could not be read for en-de: OSError: <urlopen error",
        str(cache / "wmt14/full"),
        "`sacrebleu -t wmt14/full -l en-de --echo src`",
        "SACREBLEU",
    ):
        assert part in message


def test_a_wrong_checksum_is_an_error_like_any_other_and_says_so(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Reply:
        def __enter__(self) -> Reply:
            return self

        def __exit__(self, *error: object) -> None: ...

        def read(self) -> bytes:
            return b"something else"

    monkeypatch.setattr(urllib.request, "urlopen", lambda url: Reply())
    with pytest.raises(DataError, match=r"MD5 sum of downloaded file was incorrect .* If it is damaged, delete it"):
        load_test_set("wmt14/full", "en", "de")
    assert capsys.readouterr().err == ""


def test_silent_servers_are_given_up_on_and_everything_is_as_before(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def urlopen(url: str) -> None:
        seen.append(socket.getdefaulttimeout())
        raise TimeoutError("timed out")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    logger = logging.getLogger("sacrebleu")
    before = socket.getdefaulttimeout(), logger.propagate, list(logger.handlers)
    with pytest.raises(DataError, match="TimeoutError: timed out"):
        load_test_set("wmt20", "en", "de")
    assert seen == [PATIENCE]
    assert (socket.getdefaulttimeout(), logger.propagate, list(logger.handlers)) == before


def test_files_that_do_not_belong_together_are_refused_with_both_counts(cache: Path) -> None:
    fill(cache, "wmt20", references=REFERENCES[:2])
    with pytest.raises(DataError, match=r"they have 3 and 2 lines.*delete it"):
        load_test_set("wmt20", "en", "de")


def test_several_references_are_refused_with_the_command_that_can_score_them(cache: Path) -> None:
    fill(cache, "wmt20/tworefs")
    for reference in ("ref-0", "ref-1"):
        write(cache / "wmt20/tworefs" / f"wmt20_tworefs.en-de.{reference}", REFERENCES)
    with pytest.raises(DataError, match="one reference for each sentence, but wmt20/tworefs has 2 for en-de"):
        load_test_set("wmt20/tworefs", "en", "de")


def test_an_unknown_name_is_refused_with_the_nearest_and_all_of_the_pair() -> None:
    words = r"but is 'wmt14/fulll' instead; did you mean 'wmt14/full'\? For en-de there are .*iwslt17.*wmt14/full"
    with pytest.raises(DataError, match=words):
        refuse_unknown("wmt14/fulll", "en-de")
    with pytest.raises(DataError, match=r"but is '../../etc' instead\. For en-de there are"):
        refuse_unknown("../../etc", "en-de")


def test_a_pair_that_a_set_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(DataError, match=r"multi30k/2016 has only en-cs, en-de, en-fr\. For de-en there are"):
        refuse_unknown("multi30k/2016", "de-en")


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_the_origin_of_every_set_is_one_line_a_fact(name: str) -> None:
    languages = next(iter(DATASETS[name].langpairs))
    facts = origin_of(name, languages)
    assert {"name", "languages", "source"} <= facts.keys()
    assert all(words and "\n" not in words for words in facts.values())


def test_the_variable_names_the_cache(tmp_path: Path) -> None:
    fill(tmp_path, "wmt14/full")
    code = (
        "from seq2seq.data.corpora.sacrebleu_sets import load_test_set as load; print(load('wmt14/full', 'en', 'de'))"
    )
    environment = {**os.environ, "SACREBLEU": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert "Ein Hund." in done.stdout
