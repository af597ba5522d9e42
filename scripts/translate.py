"""Translate text, one line out for each line in."""

from seq2seq.cli import command
from seq2seq.commands.translate import TranslateConfig, translate

main = command("translate", TranslateConfig)(translate)

if __name__ == "__main__":
    main()
