"""What belongs to one run of training: its settings, its folder, its data, what it begins with."""
