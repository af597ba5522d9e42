"""Reading parallel text: plain lines, TSV, JSONL, Parquet and TMX, each plain or compressed, always aligned.

Whatever a file holds, :func:`single_line` decides what a corpus line can hold; it is the one place that does. Every
reader streams: memory does not grow with the file.
"""

from seq2seq.data.formats.lines import (
    LONGEST_LINE,
    STRICT,
    Errors,
    Pair,
    Tally,
    content,
    decode,
    raw_lines,
    read_lines,
    read_pairs,
    single_line,
)
from seq2seq.data.formats.packed import COMPRESSIONS, without_compression
from seq2seq.data.formats.readers import PAIR_FORMATS, count_pairs, format_of, read_pair_file
from seq2seq.data.formats.records import Selection

__all__ = [
    "COMPRESSIONS",
    "LONGEST_LINE",
    "PAIR_FORMATS",
    "STRICT",
    "Errors",
    "Pair",
    "Selection",
    "Tally",
    "content",
    "count_pairs",
    "decode",
    "format_of",
    "raw_lines",
    "read_lines",
    "read_pair_file",
    "read_pairs",
    "single_line",
    "without_compression",
]
