"""What may go wrong with a run, done on purpose: kills, signals, full disks, damage, hostile files, random changes.

Each module does one kind of harm, as often as it is asked to, and counts what came of it. All of it must end well.
"""
