"""From a model with its tokenizers to translated lines: cut where they are too long, in order."""
