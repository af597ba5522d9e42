"""Decoders: target ids and a state in, hidden vectors and the next state out."""
