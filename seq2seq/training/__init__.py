"""The training loop and what it needs; read ``trainer.py`` first."""
