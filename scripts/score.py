"""Score given translations, one line of JSON for each pair."""

from seq2seq.cli import command
from seq2seq.commands.score import ScoreConfig, score

main = command("score", ScoreConfig)(score)

if __name__ == "__main__":
    main()
