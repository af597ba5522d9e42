"""What may go wrong with a run, done on purpose: kills, signals, damage, full disks, hostile files."""
