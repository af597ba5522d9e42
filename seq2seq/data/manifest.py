"""``manifest.json``: what a prepared folder says about itself, believed only where it can be true.

A folder may come from a stranger. Names in it become paths and numbers become places in arrays, so all of them are
looked at before anything is opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from seq2seq.data.corpora.base import TRAIN, check_language
from seq2seq.disk.plainjson import is_whole, read_values
from seq2seq.errors import LONGEST_SHOWN, ConfigError, DataError, shown

FORMAT = 1
"""Version of the folder's layout; a reader refuses any other."""

MANIFEST = "manifest.json"


class Portion(NamedTuple):
    """Training pairs that follow each other and have one origin and one direction.

    Attributes:
        name: as the mixture calls it; for other corpora, the corpus's own.
        source: source language.
        target: target language.
        pairs: number of them.
    """

    name: str
    source: str
    target: str
    pairs: int


def write_manifest(folder: Path, values: dict[str, Any]) -> None:
    """Write ``manifest.json``, adding the layout's version and the size of every file already in the folder."""
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    text = json.dumps({"format": FORMAT, **values, "files": files}, indent=2, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the values of ``manifest.json``.

    Raises:
        DataError: there is none, it says what cannot be, or a file is missing or of another size.
    """
    path = folder / MANIFEST
    try:
        manifest = read_values(path)
        version, files = manifest["format"], dict(manifest["files"])
    except FileNotFoundError:
        raise DataError(f"{folder} must be a folder of prepared data, but has no {MANIFEST}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} must be the manifest of prepared data, but cannot be read: {error!r}") from error
    if version != FORMAT:
        raise DataError(f"{folder} must have format {FORMAT}, but has format {shown(version)}; prepare it again")
    try:
        _check(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, ConfigError) as error:
        raise DataError(
            f"{path} must be the manifest of prepared data, but says what cannot be: {shown(error)}"
        ) from error
    _check_sizes(folder, files.items())
    return dict(manifest)


def portions_of(manifest: Mapping[str, Any]) -> tuple[Portion, ...]:
    """Return what the training pairs consist of, in their order."""
    found = manifest.get("portions")
    if found is None:  # written before there were mixtures
        pairs = manifest["splits"][TRAIN]["pairs"]
        return (Portion(manifest["corpus"]["name"], manifest["source"], manifest["target"], pairs),)
    return tuple(Portion(one["name"], one["source"], one["target"], one["pairs"]) for one in found)


def _check(manifest: Mapping[str, Any]) -> None:
    """Raise one of several errors where something is missing, of another kind or impossible."""
    portions, splits = portions_of(manifest), manifest["splits"]
    names = [manifest["corpus"]["name"], *splits, *manifest["aliases"].values(), *manifest["tokenizer"]["files"]]
    names += [*manifest["files"], *manifest["tokenizer"]["files"].values()]
    _check_text(manifest["key"], manifest["corpus"]["description"], manifest["tokenizer"]["settings"]["type"])
    for name in [*names, *(portion.name for portion in portions)]:
        if not re.fullmatch(r"[^./\\\0][^/\\\0]*", name) or not name.isprintable() or len(name) > LONGEST_SHOWN:
            raise ValueError(f"{shown(name)} must be a plain name")
    directions = [(manifest["source"], manifest["target"]), *((one.source, one.target) for one in portions)]
    directions += [entry["languages"] for entry in splits.values() if "languages" in entry]
    for source, target in directions:
        check_language("source", source)
        check_language("target", target)
    sizes = [portion.pairs for portion in portions]
    for number in (*sizes, *(entry["pairs"] for entry in splits.values()), *manifest["files"].values()):
        if not is_whole(number):
            raise ValueError(f"{shown(number)} must be a number of pairs or bytes")
    for entry in splits.values():
        if not isinstance(entry["ids"], bool) or not isinstance(entry.get("aligned", False), bool):
            raise ValueError("`ids` and `aligned` must be true or false")
    if len({portion.name for portion in portions}) < len(portions) or min(sizes) < 1:
        raise ValueError("portions must have different names and pairs each")
    if sum(sizes) != splits[TRAIN]["pairs"]:
        raise ValueError(f"portions must have {splits[TRAIN]['pairs']} pairs together, but have {sum(sizes)}")
    if not manifest["tokenizer"]["files"] or not splits[TRAIN]["ids"]:
        raise ValueError("a tokenizer and ids of the training text must be there")


def _check_text(*values: Any) -> None:
    for value in values:
        if not isinstance(value, str):
            raise TypeError(f"{shown(value)} must be text")


def _check_sizes(folder: Path, files: Iterable[tuple[str, int]]) -> None:
    for name, size in files:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{path} is missing from the prepared data; copy it again, or prepare again")
        if path.stat().st_size != size:
            raise DataError(
                f"{path} must have {size} bytes, but has {path.stat().st_size}; copy it again, or prepare again"
            )
