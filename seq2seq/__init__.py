"""An end-to-end trainer for sequence-to-sequence machine translation.

Letters used for tensor shapes everywhere in this package:

=====  =======================================================
B      batch: sentences handled together
S      source length in pieces, padded
T      target length in pieces, padded; 1 while searching
E      width of the embeddings
D      width of the model (queries, hidden states)
M      width of the memory, the encoder's output
H      attention heads
d      width of one head
V      size of the target vocabulary
K      beam: hypotheses kept for one sentence
=====  =======================================================

``seq2seq.run`` assembles everything: read that file first. To translate from Python::

    from seq2seq import Translator

    print(Translator.load("runs/first").translate(["The dog sleeps."]))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seq2seq.translation.translator import Translator

__version__ = "0.2.0"

__all__ = ["Translator", "__version__"]


def __getattr__(name: str) -> object:
    if name != "Translator":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # torch takes seconds to import, which whoever wants something else should not pay.
    from seq2seq.translation.translator import Translator

    return Translator
