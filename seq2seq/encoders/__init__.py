"""Encoders: source ids in, a Memory out."""
