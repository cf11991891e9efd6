"""Where work should run and in which order: pure decisions from snapshots, with reasons a person can read."""
