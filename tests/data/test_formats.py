"""Reading text files: lines end at the line feed only, and pairs stay aligned."""

import gzip
import lzma
import os
import random
import re
import tracemalloc
from pathlib import Path

import pytest
import zstandard

from seq2seq.data.formats import LONGEST_LINE, Tally, read_lines, read_pairs
from seq2seq.errors import DataError


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)],
    ids=["plain", "gzip", "xz"],
)
def test_plain_and_compressed_files_give_the_same_lines(tmp_path, suffix, pack):
    path = write(tmp_path / f"text.en{suffix}", pack("Grüße\n\nzwei\n".encode()))
    assert list(read_lines(path)) == ["Grüße", "", "zwei"]


def test_zstandard_files_are_read(tmp_path):
    packed = zstandard.ZstdCompressor().compress(b"one\ntwo\n")
    assert list(read_lines(write(tmp_path / "text.en.zst", packed))) == ["one", "two"]
    with pytest.raises(DataError, match="cannot be read to its end"):
        list(read_lines(write(tmp_path / "cut.en.zst", b"junk" + packed)))


def test_carriage_returns_before_line_feeds_and_a_missing_last_line_end_are_accepted(tmp_path):
    assert list(read_lines(write(tmp_path / "t", b"a\r\nb\r\r\nc"))) == ["a", "b ", "c"]


@pytest.mark.parametrize("character", ["\r", "\0", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\t", "\x1b"])
def test_no_control_character_makes_an_extra_line_for_any_reader(tmp_path, character):
    [line] = read_lines(write(tmp_path / "t", f"a{character}b\n".encode()))
    assert line == "a b"
    assert line.splitlines() == [line]


def test_a_byte_order_mark_is_removed_at_the_start_of_the_file_only(tmp_path):
    assert list(read_lines(write(tmp_path / "t", "\ufeffa\n\ufeffb\n".encode()))) == ["a", "\ufeffb"]


@pytest.mark.parametrize("bad", [b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xff"])
def test_invalid_utf8_is_refused_with_file_line_and_byte(tmp_path, bad):
    path = write(tmp_path / "bad.en", b"fine\nab" + bad + b"\n")
    with pytest.raises(DataError, match=rf"bad\.en, line 2, byte 3: must be UTF-8, but 0x{bad[0]:02x}"):
        list(read_lines(path))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_is_recognised_and_the_way_to_convert_it_is_given(tmp_path, encoding):
    with pytest.raises(DataError, match=r"UTF-16.*iconv"):
        list(read_lines(write(tmp_path / "t.en", "Hello there\n".encode(encoding))))


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (lzma.compress, ".xz")])
def test_compressed_data_under_a_plain_name_is_recognised(tmp_path, pack, suffix):
    with pytest.raises(DataError, match=rf"holds \{suffix} data; rename it"):
        list(read_lines(write(tmp_path / "t.txt", pack(b"hello\n"))))


@pytest.mark.parametrize("content", [b"plain text\n", gzip.compress(b"x" * 9999)[:-9]], ids=["plain", "truncated"])
def test_damaged_gzip_files_are_named(tmp_path, content):
    with pytest.raises(DataError, match=r"t\.en\.gz cannot be read to its end"):
        list(read_lines(write(tmp_path / "t.en.gz", content)))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.en cannot be opened: No such file"):
        list(read_lines(tmp_path / "absent.en"))


def test_pairs_join_equal_lines_and_keep_empty_ones(tmp_path):
    source, target = write(tmp_path / "a.en", b"one\n\nthree\n"), write(tmp_path / "a.de", b"eins\r\nzwei\r\n\r\n")
    assert list(read_pairs(source, target)) == [("one", "eins"), ("", "zwei"), ("three", "")]


@pytest.mark.parametrize(("source", "target"), [(3, 2), (2, 3), (1003, 2), (0, 1), (1, 0)])
def test_files_of_different_length_are_refused_with_both_counts(tmp_path, source, target):
    files = [write(tmp_path / f"a.{i}", b"x\n" * count) for i, count in enumerate((source, target))]
    with pytest.raises(DataError, match=rf"a\.0 and .*a\.1 must .* but they have {source} and {target} lines"):
        list(read_pairs(*files))


def test_a_very_long_line_is_one_line(tmp_path):
    [line] = read_lines(write(tmp_path / "t", b"x" * 1_000_000))
    assert len(line) == 1_000_000


def test_a_line_of_a_hundred_megabytes_is_refused_in_bounded_memory(tmp_path):
    path = write(tmp_path / "t.en", b"fine\n" + b"x" * 5000)
    os.truncate(path, 100_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"t\.en, line 2: must have at most 16,777,216 bytes, but has more"):
            list(read_lines(path))
        assert tracemalloc.get_traced_memory()[1] < 4 * LONGEST_LINE
    finally:
        tracemalloc.stop()


def test_a_line_of_the_greatest_length_is_read_and_one_byte_more_is_not(tmp_path):
    longest = b"x" * (LONGEST_LINE - 1) + b"\n"
    assert len(list(read_lines(write(tmp_path / "t", longest + longest)))) == 2
    with pytest.raises(DataError, match="line 2"):
        list(read_lines(write(tmp_path / "t", longest + b"x" + longest)))


def test_invalid_utf8_is_replaced_where_asked_for_and_its_lines_are_counted(tmp_path):
    path, tally = write(tmp_path / "t", b"a\xffb\xff\nfine\n\xc0\xaf\n"), Tally()
    assert list(read_lines(path, errors="replace", tally=tally)) == ["a\ufffdb\ufffd", "fine", "\ufffd\ufffd"]
    assert tally == Tally(replaced=2)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_cut_zstandard_file_is_refused_wherever_it_was_cut(tmp_path, share):
    packed = zstandard.ZstdCompressor().compress(b"".join(b"%d\n" % (i * i) for i in range(50_000)))
    path = write(tmp_path / "t.en.zst", packed + packed[: 1 + int(share * (len(packed) - 1))])
    with pytest.raises(DataError, match=r"t\.en\.zst cannot be read to its end: it ends before its last frame does"):
        list(read_lines(path))
    assert len(list(read_lines(write(path, packed + packed)))) == 100_000


def sentences(count: int, seed: int) -> tuple[list[str], list[str]]:
    """Lines whose lengths vary, and lines about a third longer, as translations are."""
    draw = random.Random(seed)
    lengths = [draw.randint(5, 150) for _ in range(count)]
    return ["x" * n for n in lengths], ["y" * round(n * draw.uniform(1.1, 1.6)) for n in lengths]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("missing", [1, 3])
@pytest.mark.parametrize("side", [0, 1])
def test_the_place_of_a_missing_line_is_found_by_the_lengths(tmp_path, seed, missing, side):
    sides = sentences(2000, seed)
    place = random.Random(seed).randint(20, 1900)
    del sides[side][place : place + missing]
    paths = [write(tmp_path / f"a.{i}", "\n".join(lines).encode()) for i, lines in enumerate(sides)]
    with pytest.raises(DataError, match="by their lengths, they stop matching near line") as caught:
        list(read_pairs(*paths))
    found = int(re.search(r"near line (\d+)", str(caught.value))[1])
    assert abs(found - (place + 1)) <= 5
    assert str(caught.value).endswith(f"look there for a line too many in {paths[1 - side]}")


def test_a_file_that_ends_too_early_is_named(tmp_path):
    source, target = sentences(500, 1)
    paths = [
        write(tmp_path / "a.en", "\n".join(source).encode()),
        write(tmp_path / "a.de", "\n".join(target[:90]).encode()),
    ]
    with pytest.raises(DataError, match=r"500 and 90 lines; .* match up to the end of \S+a\.de, so look for what"):
        list(read_pairs(*paths))
