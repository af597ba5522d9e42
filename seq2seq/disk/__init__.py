"""Files and folders that are whole or absent, written by one, and read without trust."""
