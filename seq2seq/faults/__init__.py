"""What may go wrong with a run, done on purpose: damage, hostile files, random changes. All of it must end well.

Each module does one kind of harm to a copy of a finished run, as often as it is asked to, and counts what came of it.
"""
