"""Train a model, then evaluate it."""

from seq2seq.cli import command
from seq2seq.run import trained_worth
from seq2seq.runs.config import RunConfig

main = command("train", RunConfig)(trained_worth)

if __name__ == "__main__":
    main()
