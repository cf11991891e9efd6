"""The exact engine: every lineup of a slate, numbered, and what counts, sums and proofs over all of them need."""
