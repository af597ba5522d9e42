"""A table of runs: one recipe trained with every attention. Read ``command.py`` first."""
