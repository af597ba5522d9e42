"""Train a model, then evaluate it."""

from seq2seq.cli import command
from seq2seq.run import train
from seq2seq.runconfig import RunConfig

main = command("train", RunConfig)(train)

if __name__ == "__main__":
    main()
