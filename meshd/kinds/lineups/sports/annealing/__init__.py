"""Annealed answers where lineups are too many to look at: thousands of chains at once, each started by its own number.

What comes back keeps every rule; that nothing better exists is not proven. All arithmetic is in whole numbers, so that
a chain takes the same course on every device.
"""
