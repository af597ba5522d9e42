"""Export a checkpoint for another engine."""

from seq2seq.cli import command
from seq2seq.export.command import ExportConfig, export

main = command("export", ExportConfig)(export)

if __name__ == "__main__":
    main()
