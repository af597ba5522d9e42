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

``seq2seq.run`` assembles everything: read that file first.
"""

__version__ = "0.2.0"
