"""Simulated events, scored: races for NASCAR, correlated projections for other sports; whole numbers only.

Nothing is imported here: `tracks`, `scoring` and `entries` need no NumPy and serve the daemon, the rest is a worker's.
"""
