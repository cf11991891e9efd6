"""Exact answers where lineups are too many to keep an entry for each: they stream by, range after range.

A range is a block of half lineups against all that complete them. Lineups that a certified bound rules out are not
scored; all others are, in every race, and only those that reach what is required are kept.
"""
