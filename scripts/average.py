"""Average checkpoints into a new one."""

from seq2seq.averaging import AverageConfig, average
from seq2seq.cli import command

main = command("average", AverageConfig)(average)

if __name__ == "__main__":
    main()
