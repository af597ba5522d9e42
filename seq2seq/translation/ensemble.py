"""Several checkpoints that translate as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from seq2seq import checkpoint
from seq2seq.errors import CheckpointError, listing
from seq2seq.model import Seq2SeqModel
from seq2seq.restoring import Direction, directions_of
from seq2seq.runtime import DeviceName, Precision
from seq2seq.translation.translator import Translator


class Ensemble(Translator):
    """Averages the probabilities of several models, piece by piece; all of them fit the first one's tokenizers.

    Args:
        members: at least one.
    """

    def __init__(self, members: Sequence[Translator]) -> None:
        first = members[0]
        super().__init__(first.model, first.source_tokenizer, first.target_tokenizer, first.warn, first.own_search)
        self.members = tuple(members)

    @property
    def models(self) -> Sequence[Seq2SeqModel]:
        """The models that translate as one."""
        return tuple(member.model for member in self.members)


class Found(NamedTuple):
    """A checkpoint that is read: its folder and its content."""

    folder: Path
    snapshot: checkpoint.Snapshot


def read_each(paths: Sequence[str], warn: Callable[[str], None]) -> Iterator[Found]:
    """Read checkpoints one by one, so that nobody has to keep them all.

    Args:
        paths: checkpoints or run folders.
        warn: gets a line for what is odd but no mistake.

    Raises:
        CheckpointError: there are none, or one of them cannot be used.
    """
    if not paths:
        raise CheckpointError("`checkpoint` must name a run folder or a checkpoint, but is an empty list instead")
    for path in paths:
        yield Found(*checkpoint.load_located(Path(path), warn))


def load_together(
    paths: Sequence[str],
    device: DeviceName,
    allow_code: Sequence[str],
    warn: Callable[[str], None],
    precision: Precision = "fp32",
) -> tuple[Translator, list[Direction]]:
    """Load one checkpoint, or several as an ensemble; see :func:`read_each` and :func:`restored_together`."""
    return restored_together(read_each(paths, warn), device, allow_code, warn, precision)


def restored_together(
    checkpoints: Iterable[Found],
    device: DeviceName,
    allow_code: Sequence[str] | None,
    warn: Callable[[str], None],
    precision: Precision,
) -> tuple[Translator, list[Direction]]:
    """Rebuild one model, or several as an ensemble, with the directions that they translate in.

    Args:
        checkpoints: at least one.
        device: where to compute.
        allow_code: further packages whose classes the checkpoints' configurations may name; None trusts them wholly.
        warn: gets a line for what is odd but no mistake.
        precision: see :meth:`Translator.load`.

    Raises:
        CheckpointError: the weights of one do not fit, or they differ in vocabulary or direction.
        ConfigError: a configuration names foreign code or does not fit.
    """
    members: list[Translator] = []
    directions: list[Direction] = []
    folders: list[Path] = []
    for folder, snapshot in checkpoints:
        found = directions_of(snapshot)
        if members and sorted(found) != sorted(directions):
            known, given = (listing(f"{source}-{target}" for source, target in each) for each in (directions, found))
            raise CheckpointError(
                f"`checkpoint` must name models of the same direction, but {folders[0]} has {known} and "
                f"{folder} {given}"
            )
        member = Translator.restore(snapshot, device, allow_code, warn, precision)
        for side in ("source", "target"):
            first = members[0] if members else member
            if getattr(first, f"{side}_tokenizer").sha256 != getattr(member, f"{side}_tokenizer").sha256:
                raise CheckpointError(
                    f"`checkpoint` must name models with the same vocabularies, but {folder} has another {side} "
                    f"vocabulary than {folders[0]}; train them on the same prepared data"
                )
        members.append(member)
        folders.append(folder)
        directions = found
    return (members[0] if len(members) == 1 else Ensemble(members)), directions
