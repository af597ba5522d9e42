"""Evaluate a checkpoint."""

from seq2seq.cli import command
from seq2seq.commands.evaluate import EvaluateConfig, evaluate

main = command("evaluate", EvaluateConfig)(evaluate)

if __name__ == "__main__":
    main()
