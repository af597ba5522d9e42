"""Checkpoints made by somebody who means harm: each must be refused in one line, at once and in little memory.

Wherever code would be run, it would write a file, the canary; that file must never be there. No file of a checkpoint
is YAML or compressed, so there are no bombs of either kind; what looks like them is tried all the same.
"""

from __future__ import annotations

import io
import json
import os
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq import checkpoint
from seq2seq.checkpoint.snapshot import CONFIG, METRICS, WEIGHTS
from seq2seq.config import Component, parse
from seq2seq.data.corpora import Corpus
from seq2seq.data.given import given_tokenizers
from seq2seq.errors import UserError, printable
from seq2seq.faults.contained import contained
from seq2seq.faults.outcome import Outcome
from seq2seq.faults.sealing import copied, newest, seal
from seq2seq.restoring import TRUSTED, directions_of
from seq2seq.search import Beam
from seq2seq.translation.translator import Translator

PATIENCE = 5.0
"""Seconds in which a checkpoint must be refused."""

MOST_MEMORY = 500 * 2**20
"""Bytes that refusing it may take beside what the program takes anyway."""

HARD_LIMIT = 4 * MOST_MEMORY
"""Bytes of address space at which the system itself steps in, so that a failure cannot harm this machine."""

Attack = Callable[[Path, Path], None]
"""Changes a checkpoint; gets its folder and where the canary would be."""


def hostile(run: Path, attacks: Mapping[str, Attack] | None = None) -> Outcome:
    """Open malicious copies of a run's newest checkpoint, each in a process of its own.

    Args:
        run: a run folder with a checkpoint; it is left as it is.
        attacks: those to try; None for all of :data:`ATTACKS`.
    """
    started = time.perf_counter()
    failures, slowest, largest = [], 0.0, 0
    attacks = ATTACKS if attacks is None else attacks
    with tempfile.TemporaryDirectory() as place:
        [original] = newest(run, 1)
        for number, (name, attack) in enumerate(attacks.items()):
            canary = Path(place) / f"canary-{number}"
            folder = copied(original, Path(place) / f"step-{number:08d}")
            attack(folder, canary)
            found = contained(opened, folder, patience=PATIENCE, memory=HARD_LIMIT)
            slowest, largest = max(slowest, found.seconds), max(largest, found.grown)
            if canary.exists():
                failures.append(f"{name}: its code was run")
            elif not found.result:
                failures.append(f"{name}: opening it ended with status {found.status} in {found.seconds:.1f} s")
            elif found.result.startswith(ACCEPTED):
                failures.append(f"{name}: it was accepted")
            elif "\n" in found.result or not found.result.isprintable():
                failures.append(f"{name}: refused in more than a line: {found.result!r}")
            elif found.grown > MOST_MEMORY:
                failures.append(f"{name}: refused after {found.grown / 2**20:,.0f} MiB of memory")
    facts = {"seconds": time.perf_counter() - started, "slowest": slowest, "mebibytes": largest / 2**20}
    return Outcome("hostile", len(attacks), tuple(failures), facts)


ACCEPTED = "accepted"


@dataclass(frozen=True)
class _Data:
    data: Component[Corpus]


def opened(folder: Path) -> str:
    """Open a checkpoint by all that the commands that translate and evaluate use; return why it was refused.

    Before that its tokenizer is taken for a new run, as ``tokenizer.model`` does, which reads the manifest by itself.
    """
    with suppress(UserError):
        given_tokenizers(str(folder))
    try:
        snapshot = checkpoint.load(checkpoint.locate(folder, lambda words: None))
        directions_of(snapshot)
        parse(_Data, {"data": snapshot.config["settings"].get("data")}, allowed=(TRUSTED,))
        translator = Translator.restore(snapshot, "cpu", warn=lambda words: None)
        translator.translate(["a bc def"], SEARCH)
    except UserError as error:
        return printable(str(error).partition("\n")[0] or "no words")
    return ACCEPTED


SEARCH = Beam(
    beam_size=2,
    n_best=1,
    length_penalty=1.0,
    length_normalization="average",
    coverage_penalty=0.0,
    patience=None,
    no_repeat_ngram=0,
    repetition_penalty=1.0,
    max_length_ratio=1.0,
    max_length_extra=2,
    max_tokens=1000,
    max_source_length=100,
)
"""A short search, in place of the one a user would configure."""


def _setting(*keys: str, value: Any) -> Attack:
    """Return an attack that puts a value at a place in the settings."""

    def attack(folder: Path, canary: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        node = config["settings"]
        for key in keys[:-1]:
            node = node[key]
        given = json.loads(json.dumps(value).replace("CANARY", str(canary)))
        node[keys[-1]] = given
        (folder / CONFIG).write_text(json.dumps(config))
        seal(folder)

    return attack


def _file(name: str, content: Callable[[Path], bytes]) -> Attack:
    """Return an attack that gives a file another content."""

    def attack(folder: Path, canary: Path) -> None:
        (folder / name).write_bytes(content(canary))
        seal(folder)

    return attack


def _pickle(canary: Path) -> bytes:
    """Bytes that, unpickled, write the canary: written by hand, for nothing here knows how to pickle."""
    return f"cos\nsystem\n(S'touch {canary}'\ntR.".encode()


def _archive(canary: Path) -> bytes:
    """What ``torch.load`` would take for a file of its own."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", _pickle(canary))
        archive.writestr("archive/data/0", bytes(2**24))
    return packed.getvalue()


def _tensors(header: Any, data: bytes = b"", claimed: int | None = None) -> bytes:
    """A safetensors file with this header, which may claim to be longer than it is."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if claimed is None else claimed) + text + data


def _many_tensors(canary: Path) -> bytes:
    entry = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return _tensors(("{" + ",".join(entry % number for number in range(10**6)) + "}").encode())


def _link(name: str) -> Attack:
    """Return an attack that puts a file elsewhere and leaves a link to it."""

    def attack(folder: Path, canary: Path) -> None:
        elsewhere = folder.parent / f"{folder.name}-{name}"
        (folder / name).rename(elsewhere)
        (folder / name).symlink_to(elsewhere)

    return attack


def _pipe(folder: Path, canary: Path) -> None:
    (folder / CONFIG).unlink()
    os.mkfifo(folder / CONFIG)


def _manifest(change: Callable[[dict[str, Any]], object]) -> Attack:
    """Return an attack that changes the manifest alone."""

    def attack(folder: Path, canary: Path) -> None:
        path = folder / checkpoint.MANIFEST
        manifest = json.loads(path.read_text())
        change(manifest)
        path.write_text(json.dumps(manifest))

    return attack


def _unsealed(name: str, content: bytes) -> Attack:
    """Return an attack that gives a file another content and leaves the manifest, which may be that file."""

    def attack(folder: Path, canary: Path) -> None:
        (folder / name).write_bytes(content)

    return attack


def _sparse(folder: Path, canary: Path) -> None:
    os.truncate(folder / WEIGHTS, 2**42)
    _manifest(lambda manifest: manifest["files"][WEIGHTS].update(bytes=2**42))(folder, canary)


def _integers(folder: Path, canary: Path) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data.replace(b'"F32"', b'"I32"'))
    seal(folder)


_ENTRY = {"bytes": 3, "sha256": "0" * 64}
_SYSTEM = {"_target_": "os.system", "command": "touch CANARY"}
_EVAL = {"_target_": "builtins.eval", "source": "open('CANARY', 'w')"}
_RUN = {"_target_": "subprocess.run", "args": ["touch", "CANARY"]}

ATTACKS: Mapping[str, Attack] = {
    "a pickle in place of the weights": _file(WEIGHTS, _pickle),
    "a pickle in an archive in place of the weights": _file(WEIGHTS, _archive),
    "a pickle in place of the tokenizer": _file("tokenizer.model", _pickle),
    "os.system as the encoder": _setting("encoder", value=_SYSTEM),
    "builtins.eval as a score": _setting("attention", "score", value=_EVAL),
    "subprocess.run as a window": _setting("self_attention", "window", value=_RUN),
    "subprocess.run as the corpus": _setting("data", value=_RUN),
    "a foreign module through one of ours": _setting("decoder", "_target_", value="seq2seq.errors.os.system"),
    "an import through one of ours": _setting("decoder", "_target_", value="seq2seq.config.importlib.import_module"),
    "a module without a name": _setting("decoder", "_target_", value="seq2seq..x"),
    "a class that cannot be built": _setting("encoder", "_target_", value="seq2seq.encoders.base.Encoder"),
    "settings that are YAML with a tag": _file(CONFIG, lambda canary: b"!!python/object/apply:os.system [touch x]"),
    "a thousand million layers": _setting("encoder", "num_layers", value=10**9),
    "a thousand layers": _setting("encoder", "num_layers", value=1000),
    "a width of 10^12": _setting("model", "dim", value=10**12),
    "the greatest width": _setting("model", "dim", value=2**20),
    "a thousand million heads": _setting("self_attention", "num_heads", value=10**9),
    "a width below zero": _setting("model", "dim", value=-16),
    "100,000 unknown settings": _setting("encoder", value={f"num_layer{number}": 1 for number in range(99_000)}),
    "a setting of many lines": _setting("encoder", "x\nerror: y\u001b[2J", value=1),
    "a setting that no file can hold": _setting("encoder", "num_layers", value="\ud800"),
    "a header that claims 2^60 bytes": _file(WEIGHTS, lambda canary: _tensors({}, claimed=2**60)),
    "a million tensors": _file(WEIGHTS, _many_tensors),
    "a tensor named like a file elsewhere": _file(
        WEIGHTS,
        lambda canary: _tensors({f"../{canary}": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}, b"x"),
    ),
    "a tensor of 2^62 numbers": _file(
        WEIGHTS,
        lambda canary: _tensors({"a": {"dtype": "F32", "shape": [2**31, 2**31, 4], "data_offsets": [0, 2**62]}}),
    ),
    "whole numbers for weights": _integers,
    "a file of 4 TiB without content": _sparse,
    "a file outside the checkpoint": _manifest(lambda manifest: manifest["files"].update({"../secret": _ENTRY})),
    "a file by its full path": _manifest(lambda manifest: manifest["files"].update({"/etc/passwd": _ENTRY})),
    "a hundred thousand files": _manifest(
        lambda manifest: manifest["files"].update({f"{number}.model": _ENTRY for number in range(10**5)})
    ),
    "a size below zero": _manifest(lambda manifest: manifest["files"][WEIGHTS].update(bytes=-1)),
    "weights that are a link": _link(WEIGHTS),
    "a manifest that is a link": _link(checkpoint.MANIFEST),
    "settings that are a pipe": _pipe,
    "lists a million levels deep": _file(CONFIG, lambda canary: b"[" * 10**6),
    "a manifest of lists 200,000 levels deep": _unsealed(checkpoint.MANIFEST, b"[" * 200_000),
    "a manifest of a number of 10,000 digits": _unsealed(checkpoint.MANIFEST, b'{"files": ' + b"9" * 10_000 + b"}"),
    "a million empty lists": _file(CONFIG, lambda canary: b"[" + b"[]," * 10**6 + b"[]]"),
    "a number of a million digits": _file(METRICS, lambda canary: b'{"step": ' + b"9" * 10**6 + b"}"),
    "settings of a gigabyte": _file(CONFIG, lambda canary: b" " * 2**30),
    "a tokenizer of chance bytes": _file("tokenizer.model", lambda canary: bytes(range(256)) * 1000),
    "a tokenizer of 100 megabytes": _file("tokenizer.model", lambda canary: b"\n\x05\n\x03abc" * (100 * 2**20 // 7)),
    "a tokenizer of two million pieces": _file("tokenizer.model", lambda canary: b"\n\x03\n\x01a" * 2_000_000),
}
"""What is tried, by what it is."""
