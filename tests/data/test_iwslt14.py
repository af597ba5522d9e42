"""IWSLT14 from an archive like the official one, made here; the real one is nobody's to pass on."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from seq2seq.data.corpora import Iwslt14, iwslt14
from seq2seq.data.corpora.iwslt14 import TEST_SETS, is_clean
from seq2seq.errors import ConfigError, DataError

TALK = {"de": "Vortrag", "en": "talk"}
PAIRS = 50


def contents() -> dict[str, bytes]:
    """The files of the archive: one talk of 50 sentences, and test sets of two segments each."""
    files = {}
    for language, word in TALK.items():
        sentences = [f"{word} number {i} ." for i in range(PAIRS)]
        sentences[7] = "" if language == "de" else "A sentence without a translation ."
        sentences[9] = "Ja ." if language == "de" else "Yes , of course I do , what did you think ?"
        head = [
            f"<url>http://example.org/{language}</url>",
            "<keywords>talks, science</keywords>",
            "<talkid>1149</talkid>",
            f"<title>The {word} of a title</title>",
            f"<description>The {word} of a description</description>",
        ]
        files[f"train.tags.de-en.{language}"] = "".join(f"{line}\n" for line in [*head, *sentences]).encode()
        for name in TEST_SETS:
            segments = [f'<seg id="{i}"> {word} {name} {i} &amp; &quot;more&quot; </seg>' for i in (1, 2)]
            text = '<?xml version="1.0" encoding="UTF-8"?>\n<mteval>\n<title>no segment</title>\n' + "\n".join(
                segments
            )
            files[f"IWSLT14.{name}.de-en.{language}.xml"] = f"{text}\n</mteval>\n".encode()
    return files


def write_archive(path: Path, files: Mapping[str, bytes], folder: str = "de-en", mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return path


def corpus(archive: Path, source: str = "de", target: str = "en") -> Iwslt14:
    return Iwslt14(source=source, target=target, archive=str(archive))


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write_archive(tmp_path / "de-en.tgz", contents())


def test_splits_follow_the_recipe(archive: Path) -> None:
    built = corpus(archive)
    found = {split: list(built.pairs(split)) for split in built.splits()}
    # 50 sentences, title and description, without the empty and the uneven pair: 50 pairs, two of which are 23rds.
    assert {split: len(pairs) for split, pairs in found.items()} == {"train": 48, "validation": 2, "test": 10}
    assert found["train"][:2] == [
        ("The Vortrag of a title", "The talk of a title"),
        ("The Vortrag of a description", "The talk of a description"),
    ]
    # The 23rd clean line is number 25 of the text: title, description, and two dropped before it.
    assert found["validation"][0] == ("Vortrag number 22 .", "talk number 22 .")
    assert found["test"][0] == ('Vortrag TED.dev2010 1 & "more"', 'talk TED.dev2010 1 & "more"')
    assert [german.split()[1] for german, _ in found["test"][::2]] == list(TEST_SETS)


def test_both_directions_have_the_same_pairs_and_splits(archive: Path) -> None:
    forth, back = corpus(archive), corpus(archive, "en", "de")
    for split in forth.splits():
        assert [pair[::-1] for pair in back.pairs(split)] == list(forth.pairs(split))
    assert forth.fingerprint() == back.fingerprint()


def test_archive_and_folders_of_it_are_the_same_corpus(archive: Path, tmp_path: Path) -> None:
    expected = corpus(archive).fingerprint()
    plain = write_archive(tmp_path / "plain.tar", contents(), mode="w")
    unpacked = tmp_path / "unpacked" / "de-en"
    unpacked.mkdir(parents=True)
    for name, text in contents().items():
        (unpacked / name).write_bytes(text)
    release = tmp_path / "2014-01" / "texts" / "de" / "en"
    release.mkdir(parents=True)
    archive.rename(release / "de-en.tgz")
    for place in (plain, unpacked, unpacked.parent, tmp_path / "2014-01", release):
        assert corpus(place).fingerprint() == expected


@pytest.mark.parametrize(
    ("pair", "kept"),
    [
        (("ein Haus", "a house"), True),
        (("", "a house"), False),
        (("eins zwei", "one two three"), True),
        (("eins zwei", "one two three four"), False),
        (("wort " * 175, "word " * 175), True),
        (("wort " * 176, "word " * 176), False),
    ],
)
def test_a_pair_is_kept_by_words_and_ratio(pair: tuple[str, str], kept: bool) -> None:
    assert is_clean(pair) is kept


def test_punctuation_counts_as_words_but_not_inside_them() -> None:
    assert is_clean(("Ja , gut .", "Yes, well."))
    assert is_clean(("3.000 E-Mails", "3.000 e-mails"))


def test_an_archive_has_to_be_named() -> None:
    with pytest.raises(ConfigError, match=r"`archive` must name the official de-en\.tgz .* give data\.archive=PATH"):
        Iwslt14(source="de", target="en", archive=None)
    with pytest.raises(ConfigError, match="`target` must be one of de, en, but is 'fr'"):
        Iwslt14(source="de", target="fr", archive="x")


@pytest.mark.parametrize("name", ["absent.tgz", "empty", "text.tgz", "cut.tgz"])
def test_what_is_no_archive_is_refused(archive: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.tgz").write_text("not an archive\n" * 100)
    (tmp_path / "cut.tgz").write_bytes(archive.read_bytes()[:500])
    with pytest.raises(DataError, match=rf"`data\.archive` must .*de-en\.tgz .*{name}"):
        list(corpus(tmp_path / name).pairs("train"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    files = contents()
    del files["IWSLT14.TED.tst2011.de-en.en.xml"]
    with pytest.raises(DataError, match=r"but lacks IWSLT14\.TED\.tst2011\.de-en\.en\.xml"):
        corpus(write_archive(tmp_path / "a.tgz", files)).fingerprint()


@pytest.mark.parametrize("name", ["train.tags.de-en.de", "IWSLT14.TEDX.dev2012.de-en.de.xml"])
def test_sides_of_different_length_are_refused_with_both_counts(tmp_path: Path, name: str) -> None:
    files = contents()
    files[name] = files[name].replace(b'<seg id="1">', b"") if name.endswith("xml") else files[name] + b"one more\n"
    with pytest.raises(DataError, match=r"must have the same number of sentences, but have (53 and 52|1 and 2)"):
        list(corpus(write_archive(tmp_path / "a.tgz", files)).pairs("train"))


def test_invalid_text_is_refused_with_file_line_and_byte(tmp_path: Path) -> None:
    files = contents()
    files["train.tags.de-en.en"] = files["train.tags.de-en.en"].replace(b"talk number 1 ", b"talk \xff number 1 ")
    with pytest.raises(DataError, match=r"train\.tags\.de-en\.en, line 7, byte 6: must be UTF-8, but 0xff"):
        list(corpus(write_archive(tmp_path / "a.tgz", files)).pairs("train"))


def test_entities_are_resolved_once_and_no_others_are_known(tmp_path: Path) -> None:
    files = contents()
    name = "IWSLT14.TED.dev2010.de-en.de.xml"
    bomb = b'<!DOCTYPE x [<!ENTITY a "&b;&b;"><!ENTITY b SYSTEM "file:///etc/passwd">]>\n'
    files[name] = bomb + files[name].replace(b"Vortrag TED.dev2010 1", b"&a; &b; &amp;lt;")
    german, _ = next(corpus(write_archive(tmp_path / "a.tgz", files)).pairs("test"))
    assert german == '&a; &b; &lt; & "more"'


def test_nothing_leaves_the_archive_and_links_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "hostile.tgz"
    files = contents()
    secret = tmp_path / "secret"
    secret.write_text("secret\n" * 60)
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"../../{name}")
            member.size = len(text)
            if name == "train.tags.de-en.de":
                member.size, member.type, member.linkname = 0, tarfile.SYMTYPE, str(secret)
            tar.addfile(member, io.BytesIO(text))
        tar.addfile(tarfile.TarInfo("/etc/x"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=r"but lacks train\.tags\.de-en\.de$"):
        corpus(path).fingerprint()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.tgz"
    with tarfile.open(path, "w:gz") as tar:
        for folder in ("de-en", "other"):
            tar.addfile(tarfile.TarInfo(f"{folder}/train.tags.de-en.de"), io.BytesIO())
    with pytest.raises(DataError, match=r"must hold train\.tags\.de-en\.de once, but has it twice"):
        corpus(path).fingerprint()


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(iwslt14, "LARGEST", 1 << 20)
    bomb = write_archive(tmp_path / "bomb.tgz", {"other": bytes(3 << 20), **contents()})
    assert bomb.stat().st_size < 1 << 14
    with pytest.raises(DataError, match="must unpack to at most 1,048,576 bytes, but is larger"):
        corpus(bomb).fingerprint()
