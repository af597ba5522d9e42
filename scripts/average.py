"""Average checkpoints into a new one."""

from seq2seq.cli import command
from seq2seq.commands.average import AverageConfig, average

main = command("average", AverageConfig)(average)

if __name__ == "__main__":
    main()
