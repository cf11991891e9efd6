"""Sports other than NASCAR: rosters as the sites write them, exact where every lineup can be looked at, annealed else.

What the daemon needs (rosters, the sites' files) imports neither NumPy nor JAX.
"""
