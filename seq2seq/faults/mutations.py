"""Files changed at random, many thousand times: nothing may come of it but a checkpoint, or one line of refusal.

The manifest is made to agree with every change, so that it reaches the reader behind. Trials run in a process of
their own, one after the other; when it dies or hangs, the trial is known by its number, which together with the seed
is all that it takes to do it again.
"""

from __future__ import annotations

import copy
import json
import random
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq import checkpoint
from seq2seq.checkpoint.snapshot import CONFIG, MANIFEST, METRICS, TRAINING, WEIGHTS
from seq2seq.data import model_check, model_trial
from seq2seq.data.batching import pack
from seq2seq.data.formats import STRICT, Selection, Tally, read_pair_file
from seq2seq.data.sampling import BpeDropout, UnigramSampling
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.errors import UserError
from seq2seq.faults.contained import peak_memory, prepared_context
from seq2seq.faults.outcome import Outcome
from seq2seq.faults.sealing import copied, newest, seal
from seq2seq.restoring import directions_of
from seq2seq.training.log import LOG_FILE, read_log
from seq2seq.training.state import State
from seq2seq.translation.translator import Translator

PATIENCE = 5.0
"""Seconds that one trial may take."""

MOST_MEMORY = 2**30
"""Bytes that trials may take beside what the program takes anyway."""

_LISTED = 20  # failures that are told of one by one

_NASTY = (
    *(b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"1.5", b"9" * 400, b"18446744073709551616", b"null", b"true"),
    *(b'""', b'"\\ud800"', b'"\\u0000"', b'"../x"', b'"os.system"', b'"seq2seq.model.Seq2SeqModel"', b'"_target_"'),
    *(b"[]", b"{}", b"[" * 2000, b'{"a":' * 2000, b'"' + b"x" * 5000 + b'"'),
    *(b"\x00" * 16, b"\xff\xfe", b"\xf4\x90\x80\x80"),
)

_ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2, 3, 7, 10**9, 2**62, 1e308, -0.0, float("nan"), "", "x", "\n\x1b[2J", [], {}, [[]]),
    *({"_target_": "os.system"}, "seq2seq.encoders.base.Encoder", "seq2seq.attention.scores.Cosine", ["en", "de"]),
    *("9" * 400, "2k"),
)


def mutations(run: Path, kind: str, count: int, seed: int) -> Outcome:
    """Change a file at random, again and again, and read it.

    Args:
        run: a run folder with a checkpoint; it is left as it is.
        kind: one of :data:`KINDS`.
        count: how often.
        seed: decides every change; a trial is decided by this and its number alone.

    Returns:
        in its facts, how many changes were harmless, how many refused, and what that took.
    """
    started = time.perf_counter()
    failures: list[str] = []
    counts: Counter[str] = Counter()
    grown, done = 0, 0
    context = prepared_context()
    while done < count:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(theirs, run, kind, done, count, seed), daemon=True)
        process.start()
        theirs.close()
        ended = _follow(ours, done, counts, failures, f"of {kind} (seed {seed})")
        trial, grown = ended.trial, max(grown, ended.grown)
        process.join(0.0 if ended.hung else 10.0)
        if process.exitcode is None:
            process.kill()
            process.join()
        if trial < count:
            how = f"hung for {PATIENCE:g} s" if ended.hung else f"ended the process with status {process.exitcode}"
            failures.append(f"trial {trial} of {kind} (seed {seed}): {how}")
        done = trial + 1 if ended.begun else count  # what cannot even begin would not the next time either
    if grown > MOST_MEMORY:
        failures.append(f"trials of {kind} (seed {seed}) took {grown / 2**20:,.0f} MiB of memory")
    seconds = time.perf_counter() - started
    facts = {**counts, "seconds": seconds, "mebibytes": grown / 2**20, "failed": len(failures)}
    return Outcome(f"mutations of {kind}", count, tuple(failures[:_LISTED]), facts)


@dataclass
class _Ended:
    """How far a process of trials has come, what memory it took, and whether it was waited for in vain."""

    trial: int
    begun: bool = False
    grown: int = 0
    hung: bool = False


def _follow(connection: Connection, first: int, counts: Counter[str], failures: list[str], what: str) -> _Ended:
    """Hear of one trial after the other, until the process has done all of them, dies or hangs."""
    ended = _Ended(first)
    try:
        ended.begun = connection.recv()  # which comes when it has imported everything
        while connection.poll(PATIENCE):
            ended.trial, ended.grown, outcome = connection.recv()
            if outcome in (HARMLESS, REFUSED):
                counts[outcome] += 1
            else:
                failures.append(f"trial {ended.trial} {what}: {outcome}")
            ended.trial += 1
    except EOFError:
        return ended
    ended.hung = True
    return ended


HARMLESS, REFUSED = "harmless", "refused"


def _work(connection: Connection, run: Path, kind: str, first: int, count: int, seed: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryDirectory() as place:
        bench = Bench(run, kind, Path(place))
        bench.kind.read(bench.path)  # which imports what is not imported yet
        connection.send(True)
        start = peak_memory()
        for trial in range(first, count):
            outcome = bench.trial(trial, seed)
            connection.send((trial, peak_memory() - start, outcome))


class Bench:
    """A copy of a run of which one file is changed again and again.

    Args:
        run: the run folder.
        kind: one of :data:`KINDS`.
        place: an empty folder.
    """

    def __init__(self, run: Path, kind: str, place: Path) -> None:
        self.kind = KINDS[kind]
        [original] = newest(run, 1)
        self.checkpoint = copied(original, place / original.name)
        (place / "pairs.jsonl").write_text(_PAIRS, encoding="utf-8")
        if (run / LOG_FILE).is_file():
            shutil.copy(run / LOG_FILE, place)
        else:
            (place / LOG_FILE).write_text(_ROWS)
        self.path = (self.checkpoint if (self.checkpoint / self.kind.file).exists() else place) / self.kind.file
        data = self.path.read_bytes()
        end = 8 + int.from_bytes(data[:8], "little") if self.kind.header else len(data)
        self.data, self.rest = data[:end], data[end:]

    def trial(self, number: int, seed: int) -> str:
        """Change the file, read it, and return HARMLESS, REFUSED or what went wrong."""
        draw = random.Random(f"{seed} {number}")
        change = changed_values if self.kind.values and draw.random() < 0.5 else changed
        self.path.write_bytes(change(self.data, draw) + self.rest)
        if self.path.parent == self.checkpoint and self.path.name != MANIFEST:
            seal(self.checkpoint)
        try:
            self.kind.read(self.path)
        except UserError as error:
            line = str(error)
            return REFUSED if line and len(line) < 20_000 else f"refused in {len(line)} characters"
        except Exception as error:  # whatever it is, it is what is looked for
            return f"{type(error).__name__}: {error}"
        return HARMLESS


def changed(data: bytes, draw: random.Random) -> bytes:
    """Return bytes with a few changes at random: flipped, removed, put in, copied, exchanged for what may hurt."""
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        spot, length = draw.randrange(len(found) + 1), draw.choice((1, 2, 8, 64))
        match draw.randrange(6):
            case 0 if spot < len(found):
                found[spot] ^= 1 << draw.randrange(8)
            case 1:
                del found[spot : spot + length]
            case 2:
                found[spot:spot] = draw.randbytes(length)
            case 3:
                start = draw.randrange(len(found) + 1)
                found[spot : spot + length] = found[start : start + length]
            case 4:
                found[spot:spot] = draw.choice(_NASTY)
            case _:
                found[spot : spot + length] = draw.choice((b"\xff\xff\xff\xff\x0f", b"\x00\x00\xc0\x7f", b"99999999"))
    return bytes(found)


def changed_values(data: bytes, draw: random.Random) -> bytes:
    """Return JSON bytes with a few of their values exchanged, taken away or given another name; still JSON."""
    prefix, text = (data[:8], data[8:]) if data[:1] != b"{" else (b"", data)
    values = json.loads(text)
    for _ in range(draw.choice((1, 1, 2, 4))):
        node, path = values, [values]
        while isinstance(node, (dict, list)) and node:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            key = draw.choice(keys)
            path.append(node)
            if draw.random() < 0.3 or not isinstance(node[key], (dict, list)):
                match draw.randrange(4):
                    case 0:
                        del node[key]
                    case 1 if isinstance(node, dict):
                        node[draw.choice((f"{key}x", "_target_", ""))] = node.pop(key)
                    case 2:
                        node[key] = copy.deepcopy(draw.choice(path))
                    case _:
                        node[key] = copy.deepcopy(draw.choice(_ODD_VALUES))
                break
            node = node[key]
    written = json.dumps(values).encode()
    return (len(written).to_bytes(8, "little") if prefix else b"") + written


@dataclass(frozen=True)
class _Kind:
    """A file and its reader.

    Attributes:
        file: its name.
        read: reads it; gets its path.
        values: whether all of it, or its header, is JSON.
        header: whether only the beginning is changed, which says by its first eight bytes how long it is.
    """

    file: str
    read: Callable[[Path], object]
    values: bool = False
    header: bool = False


def _restore(path: Path) -> None:
    """Do with a checkpoint what the commands do, up to its first translation."""
    snapshot = checkpoint.load(path.parent)
    directions_of(snapshot)
    Translator.restore(snapshot, "cpu")


def _resume(path: Path) -> None:
    State.restored(checkpoint.load(path.parent, training=True).training)


def _read_pairs(path: Path) -> None:
    for _ in read_pair_file(path, Selection(("en", "de"), (1, 2), None, STRICT), Tally()):
        pass


def _read_log(path: Path) -> None:
    for row in read_log(path.parent):
        float(row["step"]) + sum(map(float, row.values()))


def _use_tokenizer(path: Path) -> None:
    """Try a model as its trial does, though in this process, which is there to be killed; then use it."""
    model = path.read_bytes()
    try:
        model_trial.inspect(model)
        model_trial.use(model)
    except model_trial.REASONS as error:
        raise UserError(str(error) or "no words") from None
    model_check.accept(model)
    tokenizer = Tokenizer(model)
    found = tokenizer.encode(["Ein Haus, a house.", "", "äöü ½ 日本 \u2581 " * 20])
    tokenizer.decode([*found, list(range(tokenizer.vocab_size))])
    tokenizer.pieces(range(tokenizer.vocab_size))
    assert tokenizer.tags is not None
    for sampling in (BpeDropout(source=0.1, target=0.1), UnigramSampling(source=0.1, target=0.1)):
        sampling.segmenter(tokenizer, 0.1).draw(pack(found), 1000, np.random.default_rng(1))


_PAIRS = "".join(
    json.dumps({"en": f"a house {number}", "translation": {"de": f"ein Häuschen {number}"}, "score": 0.5}) + "\n"
    for number in range(5)
)
_ROWS = "".join(json.dumps({"time": 1.5, "step": number, "train_loss": 3.25}) + "\n" for number in range(5))

KINDS: Mapping[str, _Kind] = {
    "manifest": _Kind(MANIFEST, _restore, values=True),
    "config": _Kind(CONFIG, _restore, values=True),
    "metrics": _Kind(METRICS, _restore, values=True),
    "training": _Kind(TRAINING, _resume, values=True),
    "header": _Kind(WEIGHTS, _restore, values=True, header=True),
    "tokenizer": _Kind("tokenizer.model", _use_tokenizer),
    "pairs": _Kind("pairs.jsonl", _read_pairs),
    "log": _Kind(LOG_FILE, _read_log),
}
"""What can be changed, by name."""
