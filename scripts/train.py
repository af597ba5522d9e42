"""Train a model, then evaluate it."""

from seq2seq.cli import command
from seq2seq.run import RunConfig, train

main = command("train", RunConfig)(train)

if __name__ == "__main__":
    main()
