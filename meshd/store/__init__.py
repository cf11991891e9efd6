"""What this device remembers: one SQLite file, written by one thread."""
