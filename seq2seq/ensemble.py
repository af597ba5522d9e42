"""Several checkpoints that translate as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from seq2seq import checkpoint
from seq2seq.errors import CheckpointError, listing
from seq2seq.model import Seq2SeqModel
from seq2seq.restoring import Direction, directions_of
from seq2seq.runtime import DeviceName
from seq2seq.translate import Translator


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


def load_together(
    paths: Sequence[str], device: DeviceName, allow_code: Sequence[str], warn: Callable[[str], None]
) -> tuple[Translator, list[Direction]]:
    """Load one checkpoint, or several as an ensemble, with the directions that they translate in.

    Args:
        paths: checkpoints or run folders.
        device: where to compute.
        allow_code: further packages whose classes the checkpoints' configurations may name.
        warn: gets a line for what is odd but no mistake.

    Raises:
        CheckpointError: one of them cannot be used, or they differ in vocabulary or direction.
        ConfigError: a configuration names foreign code or does not fit.
    """
    if not paths:
        raise CheckpointError("`checkpoint` must name a run folder or a checkpoint, but is an empty list instead")
    members: list[Translator] = []
    directions: list[Direction] = []
    for path in paths:
        _, snapshot = checkpoint.load_located(Path(path), warn)
        found = directions_of(snapshot)
        if members and sorted(found) != sorted(directions):
            known, given = (listing(f"{source}-{target}" for source, target in each) for each in (directions, found))
            raise CheckpointError(
                f"`checkpoint` must name models of the same direction, but {paths[0]} has {known} and {path} {given}"
            )
        member = Translator.restore(snapshot, device, allow_code, warn)
        for side in ("source", "target"):
            first = members[0] if members else member
            if getattr(first, f"{side}_tokenizer").sha256 != getattr(member, f"{side}_tokenizer").sha256:
                raise CheckpointError(
                    f"`checkpoint` must name models with the same vocabularies, but {path} has another {side} "
                    f"vocabulary than {paths[0]}; train them on the same prepared data"
                )
        members.append(member)
        directions = found
    return (members[0] if len(members) == 1 else Ensemble(members)), directions
