"""Files that hold both sides: what is read of them, and in which words they are refused."""

from __future__ import annotations

import gzip
import html
import json
import lzma
import random
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from seq2seq.data.formats import LONGEST_LINE, PAIR_FORMATS, Pair, Selection, Tally, read_pair_file, single_line
from seq2seq.errors import DataError

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}

PAIRS = [("A man.", "Ein Mann."), ("", "leer"), ("Two\xa0dogs <b>&</b> \"one\" 'cat'", "Zwei Hunde\u202f\ufeff😀")]


def select(
    source: str = "en",
    target: str = "de",
    columns: tuple[int, int] = (1, 2),
    fields: tuple[str, str] | None = None,
    errors: str = "strict",
) -> Selection:
    return Selection((source, target), columns, fields, errors)


def write(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, selection: Selection | None = None, tally: Tally | None = None) -> list[Pair]:
    return list(read_pair_file(path, selection or select(), tally or Tally()))


def unit(*variants: tuple[str, str], attribute: str = "xml:lang") -> str:
    inner = "".join(f'<tuv {attribute}="{code}"><seg>{text}</seg></tuv>' for code, text in variants)
    return f"<tu>{inner}</tu>\n"


def memory(*units: str, start: str = '<?xml version="1.0" encoding="UTF-8"?>\n') -> str:
    return f'{start}<tmx version="1.4">\n<header srclang="en"/>\n<body>\n{"".join(units)}</body>\n</tmx>\n'


def table(**columns: object) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


def as_file(suffix: str, pairs: Sequence[Pair]) -> bytes:
    """The pairs in the format of a suffix."""
    if suffix == ".tsv":
        return "".join(f"{en}\t{de}\n" for en, de in pairs).encode()
    if suffix == ".jsonl":
        return "".join(json.dumps({"en": en, "de": de}) + "\n" for en, de in pairs).encode()
    if suffix == ".parquet":
        return table(en=pa.array([en for en, _ in pairs], "string"), de=pa.array([de for _, de in pairs], "string"))
    return memory(*(unit(("en", html.escape(en)), ("de", html.escape(de))) for en, de in pairs)).encode()


# --- Every format ---


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("suffix", PAIR_FORMATS)
def test_every_format_is_read_plain_and_packed(tmp_path, suffix, packing):
    path = write(tmp_path / f"corpus{suffix}{packing}", PACKERS[packing](as_file(suffix, PAIRS)))
    assert read(path) == PAIRS
    backwards = select("de", "en", columns=(2, 1))
    assert read(path, backwards) == [(target, source) for source, target in PAIRS]


# What every format can spell: TSV has no tabs and line feeds in a text, XML no control characters.
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=12)


@pytest.mark.parametrize("suffix", PAIR_FORMATS)
@settings(deadline=None)
@given(pairs=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
def test_every_text_comes_back_as_one_line_from_every_format(tmp_path_factory, suffix, pairs):
    path = write(tmp_path_factory.mktemp("formats") / f"corpus{suffix}", as_file(suffix, pairs))
    assert read(path) == [(single_line(source), single_line(target)) for source, target in pairs]


@pytest.mark.parametrize("packing", [".gz", ".xz", ".zst"])
@pytest.mark.parametrize("suffix", PAIR_FORMATS)
def test_a_packed_file_that_was_cut_off_is_refused(tmp_path, suffix, packing):
    draw = random.Random(1)
    noise = [(str(draw.random()), str(draw.random())) for _ in range(3000)]
    packed = PACKERS[packing](as_file(suffix, noise))
    for length in (len(packed) // 2, len(packed) - 1):
        path = write(tmp_path / f"cut{suffix}{packing}", packed[:length])
        with pytest.raises(DataError, match=rf"cut\{suffix}\{packing} cannot be read to its end: .*; is it whole"):
            read(path)


@pytest.mark.parametrize("suffix", PAIR_FORMATS)
def test_packed_data_under_a_plain_name_is_recognised(tmp_path, suffix):
    path = write(tmp_path / f"corpus{suffix}", gzip.compress(as_file(suffix, PAIRS)))
    with pytest.raises(DataError, match=r"must be plain text, but holds \.gz data; rename it to end in \.gz"):
        read(path)


@pytest.mark.parametrize("suffix", PAIR_FORMATS)
def test_plain_data_under_a_packed_name_is_named(tmp_path, suffix):
    with pytest.raises(DataError, match=rf"corpus\{suffix}\.gz cannot be read to its end: .* and really \.gz"):
        read(write(tmp_path / f"corpus{suffix}.gz", as_file(suffix, PAIRS)))


def test_a_name_without_a_known_suffix_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(DataError, match=r"corpus\.json must end in one of \.jsonl, \.parquet, \.tmx, \.tsv"):
        read(write(tmp_path / "corpus.json", "{}"))


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\rb", "a\tb", "a\0b", "a\u2028b", "a\x85b", "a\fb"])
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_line_ends_within_a_text_become_spaces(tmp_path, suffix, text):
    [(source, target)] = read(write(tmp_path / f"corpus{suffix}", as_file(suffix, [(text, "x")])))
    assert source.split() == ["a", "b"]
    assert source.splitlines() == [source]
    assert target == "x"


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_marks_and_carriage_returns_around_lines_are_no_text(tmp_path, suffix, end):
    content = "\ufeff" + as_file(suffix, [("a", "b"), ("c", "d")]).decode().rstrip("\n").replace("\n", end)
    assert read(write(tmp_path / f"corpus{suffix}", content)) == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl"])
def test_invalid_utf8_is_refused_by_line_and_byte_or_replaced_and_counted(tmp_path, suffix):
    good, bad = as_file(suffix, [("ab", "b")]), as_file(suffix, [("aXb", "b")]).replace(b"X", b"\xff")
    path = write(tmp_path / f"corpus{suffix}", good + bad + bad)
    byte = bad.index(b"\xff") + 1
    with pytest.raises(DataError, match=rf"line 2, byte {byte}: must be UTF-8, but 0xff"):
        read(path)
    tally = Tally()
    assert read(path, select(errors="replace"), tally) == [("ab", "b"), ("a\ufffdb", "b"), ("a\ufffdb", "b")]
    assert tally.replaced == 2


@pytest.mark.parametrize("suffix", [".tsv", ".jsonl"])
def test_utf16_is_recognised(tmp_path, suffix):
    with pytest.raises(DataError, match=r"UTF-16.*iconv"):
        read(write(tmp_path / f"corpus{suffix}", as_file(suffix, [("a", "b")]).decode().encode("utf-16")))


@pytest.mark.parametrize("suffix", PAIR_FORMATS)
def test_a_line_of_a_megabyte_is_read(tmp_path, suffix):
    [(source, _)] = read(write(tmp_path / f"corpus{suffix}", as_file(suffix, [("x" * 1_000_000, "y")])))
    assert len(source) == 1_000_000


ENDLESS = {
    ".tsv": (b"a\tb\n", b"x", "line 2: must have at most 16,777,216 bytes"),
    ".jsonl": (b'{"en": "a", "de": "b"}\n', b"x", "line 2: must have at most 16,777,216 bytes"),
    "text.tmx": (b'<tmx><tu><tuv xml:lang="en"><seg>', b"x", "segment must have at most 16,777,216 characters"),
    "tag.tmx": (b'<tmx a="', b"x", "line 1: a tag must have at most 16,777,216 bytes"),
    "depth.tmx": (b"<tmx>", b"<a>", "line 1: elements must be nested at most 64 deep"),
    "code.tmx": (b'<tmx><tu><tuv xml:lang="en"><seg><ph>', b"x", "segment must have at most 16,777,216 characters"),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_text_without_an_end_is_refused_in_bounded_memory(tmp_path, name):
    start, more, words = ENDLESS[name]
    path = tmp_path / f"corpus{name if name.startswith('.') else '.' + name}.gz"
    with gzip.open(path, "wb", compresslevel=1) as handle:
        handle.write(start)
        for _ in range(100):
            handle.write(more * ((1 << 20) // len(more)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=words):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 6 * LONGEST_LINE
    finally:
        tracemalloc.stop()


# --- TSV ---


def test_columns_are_counted_from_one_and_others_passed_over(tmp_path):
    path = write(tmp_path / "corpus.tsv", 'id\tde\tfr\t"en"\n1\td\tf\te\n')
    assert read(path, select(columns=(4, 2))) == [('"en"', "de"), ("e", "d")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a\n", "line 1: must have 2 columns between tabs, but has 1"),
        ("a\tb\nc\n", "line 2: must have 2 columns between tabs, as line 1 has, but has 1"),
        ("a\tb\n\nc\td\n", "line 2: must have 2 columns between tabs, as line 1 has, but has 1"),
        ("a\tb\na\tab\tb\n", "line 2: must have 2 columns between tabs, as line 1 has, but has 3"),
        ("a,b\n", "line 1: must have 2 columns between tabs, but has 1"),
    ],
)
def test_a_line_with_other_columns_is_refused_with_its_number(tmp_path, content, words):
    with pytest.raises(DataError, match=rf"corpus\.tsv, {words}"):
        read(write(tmp_path / "corpus.tsv", content))


# --- JSONL and Parquet ---


def rows(suffix: str, records: list[dict[str, object]]) -> bytes:
    if suffix == ".jsonl":
        return "".join(json.dumps(record) + "\n" for record in records).encode()
    return table(**{name: [record.get(name) for record in records] for name in records[0]})


BY_FIELD = pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])


@BY_FIELD
@pytest.mark.parametrize(
    ("record", "fields"),
    [
        ({"id": 1, "en": "a", "de": "b", "fr": "c"}, None),
        ({"id": 1, "translation": {"de": "b", "en": "a", "fr": "c"}}, None),
        ({"en": "a", "de": "b", "translation": "no"}, None),
        ({"x": "a", "y": {"z": {"w": "b"}}}, ("x", "y.z.w")),
        ({"x.1": "a", "y.z": "b", "y": {"z": "c"}}, ("x.1", "y.z")),
    ],
)
def test_sides_are_found_by_language_or_by_the_names_given(tmp_path, suffix, record, fields):
    path = write(tmp_path / f"corpus{suffix}", rows(suffix, [record, record]))
    assert read(path, select(fields=fields)) == [("a", "b"), ("a", "b")]


@BY_FIELD
def test_a_missing_language_is_refused_with_the_fields_there_are(tmp_path, suffix):
    path = write(tmp_path / f"corpus{suffix}", rows(suffix, [{"en": "a", "translation": {"de": "b", "fr": "c"}}]))
    known = "but has only en, translation.de, translation.fr; data.fields names others"
    with pytest.raises(DataError, match=rf"must have 'es' or 'translation\.es', {known}"):
        read(path, select(target="es"))
    with pytest.raises(DataError, match=rf"must have 'text\.es', {known}"):
        read(path, select(fields=("en", "text.es")))
    with pytest.raises(DataError, match=r"must have 'en\.us'"):
        read(path, select(fields=("en.us", "translation.de")))


def test_a_language_that_one_line_lacks_is_refused_with_its_number(tmp_path):
    path = write(tmp_path / "corpus.jsonl", rows(".jsonl", [{"en": "a", "de": "b"}, {"en": "c", "fr": "d"}]))
    with pytest.raises(DataError, match=r"corpus\.jsonl, line 2: must have 'de' or 'translation\.de', but .* en, fr"):
        read(path)


@pytest.mark.parametrize(("suffix", "place"), [(".jsonl", "line 2"), (".parquet", "row 2")])
@pytest.mark.parametrize("nested", [False, True])
def test_a_null_is_refused_with_its_place(tmp_path, suffix, place, nested):
    records: list[dict[str, object]] = [{"en": "a", "de": "b"}, {"en": "c", "de": None}]
    if nested:
        records = [{"translation": record} for record in records]
    path = write(tmp_path / f"corpus{suffix}", rows(suffix, records))
    with pytest.raises(DataError, match=rf"{place}: '[a-z.]*de' must be text, but is null; remove the row"):
        read(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"en": "a", "de": 7}', "line 2: 'de' must be text, but is 7 instead"),
        ('{"en": ["a"], "de": "b"}', r"line 2: 'en' must be text, but is \['a'\] instead"),
        ('{"en": "a", "de": "b"', "line 2, column 22: must be JSON, but is not: Expecting ',' delimiter"),
        ('{"en": "a", "de": "b"} x', "line 2, column 24: must be JSON, but is not: Extra data"),
        ("en: a", "line 2, column 1: must be JSON, but is not: Expecting value"),
        ('["a", "b"]', r"line 2: must be a JSON object such as \{...\}, but is \['a', 'b'\] instead"),
        ('{"en": "a", "de": "b", "en": "c"}', "line 2: must be JSON .* it names 'en' twice"),
        ('{"translation": {"en": "a", "de": "b", "de": "c"}}', "line 2: .* it names 'de' twice"),
        ('{"translation": "a"}', "line 2: must have 'en' or 'translation.en', but has only translation"),
        ('{"en": "a\\ud83d", "de": "b"}', r"line 2: 'en' must be text, but holds \\ud83d, half a character"),
        ("[" * 100_000, "line 2: must be JSON that can be read, but is not: maximum recursion"),
        (f'{{"en": {"9" * 5000}}}', "line 2: must be JSON that can be read, but is not: Exceeds the limit"),
    ],
)
def test_a_line_that_is_no_pair_is_refused_with_its_number(tmp_path, line, words):
    with pytest.raises(DataError, match=rf"corpus\.jsonl, {words}"):
        read(write(tmp_path / "corpus.jsonl", f'{{"en": "a", "de": "b"}}\n{line}\n'))


def test_empty_lines_between_objects_are_passed_over(tmp_path):
    path = write(tmp_path / "corpus.jsonl", '\n{"en": "a", "de": "b"}\n \n{"en": "c", "de": "d"}\n\n')
    assert read(path) == [("a", "b"), ("c", "d")]


def test_text_is_read_from_every_kind_of_text_column(tmp_path):
    words = pa.array(["a", "b", "a"])
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())):
        column = words.dictionary_encode() if pa.types.is_dictionary(kind) else words.cast(kind)
        path = write(tmp_path / "corpus.parquet", table(en=column, de=words))
        assert read(path) == [("a", "a"), ("b", "b"), ("a", "a")]


@pytest.mark.parametrize("column", [[1, 2], [b"a", b"b"], [["a"], ["b"]]], ids=["numbers", "bytes", "lists"])
def test_a_column_without_text_is_refused_with_what_it_holds(tmp_path, column):
    path = write(tmp_path / "corpus.parquet", table(en=["a", "b"], de=column))
    with pytest.raises(DataError, match=r"corpus\.parquet: the column 'de' must hold text, but holds (int|bin|list)"):
        read(path)


def test_a_column_that_occurs_twice_is_refused(tmp_path):
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_arrays([pa.array(["a"])] * 3, ["en", "de", "de"]), sink)
    with pytest.raises(DataError, match="must have the column 'de' once, but has it 2 times"):
        read(write(tmp_path / "corpus.parquet", bytes(sink.getvalue())))


def test_invalid_utf8_in_a_parquet_file_is_refused_by_row_or_replaced(tmp_path):
    bad = pa.Array.from_buffers(pa.string(), 2, pa.array([b"ab", b"a\xffb"]).buffers())
    path = write(tmp_path / "corpus.parquet", table(en=bad, de=["c", "d"]))
    with pytest.raises(DataError, match=r"corpus\.parquet, row 2, 'en', byte 2: must be UTF-8, but 0xff"):
        read(path)
    tally = Tally()
    assert read(path, select(errors="replace"), tally) == [("ab", "c"), ("a\ufffdb", "d")]
    assert tally.replaced == 1


def test_a_broken_parquet_file_is_refused_with_the_last_row_read(tmp_path):
    sink = pa.BufferOutputStream()
    words = [f"word {i}" for i in range(5000)]
    parquet.write_table(
        pa.table({"en": words, "de": words}), sink, row_group_size=1024, compression="zstd", use_dictionary=False
    )
    whole = bytes(sink.getvalue())
    groups = parquet.ParquetFile(pa.BufferReader(whole)).metadata
    place = groups.row_group(3).column(0).data_page_offset
    damaged = whole[:place] + b"\xff" * 600 + whole[place + 600 :]
    for content, words in (
        (damaged, "read after row 3072: "),
        (whole[:-9], "read: "),
        (b"", "read: "),
        (b"x", "read: "),
    ):
        with pytest.raises(DataError, match=rf"corpus\.parquet must be a whole Parquet file, but cannot be {words}"):
            read(write(tmp_path / "corpus.parquet", content))


def test_a_damaged_name_of_a_column_is_refused(tmp_path):
    content = table(column=["a"], en=["b"]).replace(b"column", b"colu\xffn")
    with pytest.raises(DataError, match=r"corpus\.parquet must be a whole Parquet file, but cannot be read: Unicode"):
        read(write(tmp_path / "corpus.parquet", content))


# --- TMX ---


@pytest.mark.parametrize(
    ("units", "pairs"),
    [
        (unit(("en-US", "a"), ("DE", "b")), [("a", "b")]),
        (unit(("de_AT", "b"), ("fr", "x"), ("EN", "a")), [("a", "b")]),
        (unit(("en", "a"), ("en-GB", "c"), ("de", "b"), ("de", "d")), [("a", "b")]),
        (unit(("en", "a"), ("de", "b"), attribute="lang"), [("a", "b")]),
        (unit(("eng", "c"), ("en", "a"), ("de", "b")), [("a", "b")]),
        (unit(("en", ""), ("de", "b")), [("", "b")]),
        (unit(("en", "a &lt;i&gt; &amp;&#233;&#x2028;b"), ("de", "<![CDATA[<b>]]>")), [("a <i> &é b", "<b>")]),
        (unit(("en", "\n  two\n  lines\n"), ("de", "one ")), [("two lines", "one ")]),
        (
            unit(
                ("en", 'Press <bpt i="1">&lt;b&gt;</bpt><hi>the <it>x</it>key</hi><ept i="1">&lt;/b&gt;</ept>.'),
                ("de", "<ph>x<sub>y</sub>z</ph>Taste<ut>u</ut>!"),
            ),
            [("Press the key.", "Taste!")],
        ),
    ],
)
def test_a_translation_unit_gives_a_pair(tmp_path, units, pairs):
    assert read(write(tmp_path / "memory.tmx", memory(units))) == pairs


def test_a_regional_language_is_told_from_its_parent(tmp_path):
    path = write(
        tmp_path / "memory.tmx", memory(unit(("en", "a"), ("en-GB", "b")), unit(("en-gb", "d"), ("en", "c")))
    )
    assert read(path, select("en", "en_GB")) == [("a", "b"), ("c", "d")]


def test_units_without_both_languages_are_left_out_and_counted(tmp_path):
    tally = Tally()
    path = write(tmp_path / "memory.tmx", memory(unit(("en", "x"), ("fr", "y")), unit(("en", "a"), ("de", "b"))))
    assert read(path, None, tally) == [("a", "b")]
    assert tally.incomplete == 1
    with pytest.raises(DataError, match=r"memory\.tmx: must have units in en and es, but has only de, en, fr"):
        read(path, select(target="es"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252"])
def test_the_encoding_is_the_one_that_the_file_declares(tmp_path, encoding):
    start = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>'
    path = write(tmp_path / "memory.tmx", memory(unit(("en", "é"), ("de", "ü")), start=start).encode(encoding))
    assert read(path) == [("é", "ü")]


def test_a_definition_that_stands_elsewhere_is_neither_needed_nor_fetched(tmp_path):
    path = write(
        tmp_path / "memory.tmx", memory(unit(("en", "a"), ("de", "b")), start='<!DOCTYPE tmx SYSTEM "x.dtd">')
    )
    write(tmp_path / "x.dtd", "<!ENTITY e 'never read'>")
    assert read(path) == [("a", "b")]


BOMB = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))


@pytest.mark.parametrize(
    ("start", "text", "words"),
    [
        (f'<!DOCTYPE tmx [<!ENTITY e0 "ha">{BOMB}]>', "&e9;", "line 1: a DOCTYPE must define nothing"),
        ('<!DOCTYPE tmx [<!ENTITY e SYSTEM "file:///etc/passwd">]>', "&e;", "line 1: a DOCTYPE must define nothing"),
        (
            '<!DOCTYPE tmx [<!ENTITY % p SYSTEM "http://127.0.0.1:1/">%p;]>',
            "",
            "line 1: a DOCTYPE must define nothing",
        ),
        ('<!DOCTYPE tmx SYSTEM "http://127.0.0.1:1/x.dtd">', "&e;", "line 4: must be text, but uses the entity 'e'"),
        ("", "&e;", r"line 4, column \d+: must be well-formed XML, but is not: undefined entity"),
        ("", "<b>", r"line 4, column \d+: must be well-formed XML, but is not: mismatched tag"),
        ("", "a & b", r"line 4, column \d+: must be well-formed XML, but is not: not well-formed"),
        ("", "\0", r"line 4, column \d+: must be well-formed XML"),
        ("", "&#0;", r"line 4, column \d+: must be well-formed XML, but is not: reference to invalid character"),
    ],
    ids=["bomb", "file", "parameter", "elsewhere", "undefined", "tag", "ampersand", "nul", "nul reference"],
)
def test_xml_that_is_broken_or_dangerous_is_refused_with_its_line(tmp_path, start, text, words):
    path = write(tmp_path / "memory.tmx", memory(unit(("en", text), ("de", "b")), start=start))
    with pytest.raises(DataError, match=rf"memory\.tmx, {words}"):
        read(path)


@pytest.mark.parametrize("encoding", ["ATF-8", "utf-7", "shift_jis", "zlib", "undefined"])
def test_an_encoding_that_cannot_be_read_is_refused(tmp_path, encoding):
    content = memory(unit(("en", "a"), ("de", "b")), start=f'<?xml version="1.0" encoding="{encoding}"?>')
    with pytest.raises(DataError, match=r"memory\.tmx(: must declare an encoding that can be read|, line 1, column)"):
        read(write(tmp_path / "memory.tmx", content))


def test_invalid_utf8_in_a_translation_memory_is_refused_under_either_policy(tmp_path):
    path = write(tmp_path / "memory.tmx", memory(unit(("en", "aXb"), ("de", "b"))).encode().replace(b"X", b"\xff"))
    for errors in ("strict", "replace"):
        with pytest.raises(DataError, match=r"line 5, column \d+: must be well-formed XML, but .*invalid token"):
            read(path, select(errors=errors))


@pytest.mark.parametrize("content", ["", "<html/>", "plain", memory(unit(("en", "a"), ("de", "b")))[:-9]])
def test_what_is_no_whole_translation_memory_is_refused(tmp_path, content):
    with pytest.raises(DataError, match=r"memory\.tmx, line \d+(, column \d+)?: must be (well-formed XML|TMX)"):
        read(write(tmp_path / "memory.tmx", content))


@settings(deadline=None)
@given(st.data())
def test_a_damaged_file_gives_pairs_or_a_clear_refusal(tmp_path_factory, data):
    suffix = data.draw(st.sampled_from([*PAIR_FORMATS]))
    content = bytearray(as_file(suffix, PAIRS * 3))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)))):
        content[place] = value
    path = write(tmp_path_factory.mktemp("damage") / f"corpus{suffix}", bytes(content))
    try:
        pairs = read(path)
    except DataError:
        return
    for pair in pairs:
        for text in pair:
            assert text.splitlines() in ([], [text])
            text.encode()
