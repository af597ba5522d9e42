"""Measurements of speed and memory, each as a ratio taken within one process."""
