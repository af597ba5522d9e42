"""Tokenizers that are given instead of made: of a file, of a checkpoint or of a run.

No library that trains is needed for it, so what a checkpoint says of its files is read here once more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from seq2seq.data.tokenizer import JOINT_MODEL, SIDE_MODELS, Tokenizer
from seq2seq.disk.plainjson import read_values
from seq2seq.errors import ConfigError, DataError, listing, suggest

SETTING = "tokenizer.model"

NAMES = ((JOINT_MODEL,), tuple(SIDE_MODELS.values()))
"""What models are called in a checkpoint: one for both languages, or one each."""


def given_tokenizers(path: str) -> tuple[Tokenizer, ...]:
    """Return the tokenizer that a setting names, or the two of source and target.

    Args:
        path: a SentencePiece model, a checkpoint or a run folder, whose best checkpoint is taken, else its last.

    Raises:
        ConfigError: there is none, or it is damaged.
    """
    place = Path(path)
    words = f"`{SETTING}` must be a SentencePiece model, a run folder or a checkpoint, but {path}"
    try:
        if place.is_file():
            return (Tokenizer.load(place),)
        inside = (place / folder for folder in (".", "checkpoints/best", "checkpoints/last", "best", "last"))
        for folder in inside:
            for names in NAMES:
                if all((folder / name).is_file() for name in names):
                    return tuple(_checked(folder / name) for name in names)
    except (DataError, OSError) as error:
        raise ConfigError(f"`{SETTING}` must be a tokenizer that can be used, but is not: {error}") from None
    if not place.exists():
        beside = [other.name for other in place.parent.iterdir()] if place.parent.is_dir() else []
        raise ConfigError(f"{words} does not exist{suggest(place.name, beside)}")
    raise ConfigError(f"{words} has no tokenizer (found: {listing(other.name for other in place.iterdir())})")


def _checked(path: Path) -> Tokenizer:
    """Read a model; where a manifest vouches for it, it must be as that says.

    Raises:
        DataError: it is not.
    """
    tokenizer = Tokenizer.load(path)
    manifest = path.with_name("manifest.json")
    if manifest.is_file():
        try:
            sha256 = read_values(manifest)["files"][path.name]["sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{manifest} must say what {path.name} is, but cannot be read: {error!r}") from None
        if tokenizer.sha256 != sha256:
            raise DataError(f"{path} is damaged")
    return tokenizer


def refuse_missing_tags(model: Tokenizer, languages: Sequence[str]) -> None:
    """Refuse a tokenizer of sources that cannot say which language they are to become.

    Args:
        model: of the sources.
        languages: those to translate into.

    Raises:
        ConfigError: names the languages that have no tag.
    """
    needed = languages if len(languages) > 1 or model.tags else []
    missing = [language for language in needed if language not in model.tags]
    if missing:
        raise ConfigError(
            f"`{SETTING}` must have a tag for each language to translate into, but has none for {listing(missing)} "
            f"(found: {listing(model.tags)}); give one that has, or null to make one"
        )
