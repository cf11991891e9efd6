"""A soak on real processes: seeded faults on devices that work, and a check afterwards of what must always hold.

`python -m tests.soak --seconds 240 --seed 7` runs it. What a run has seen lies in a folder of its own (the ledger,
the logs, the databases), and the check reads only that: `python -m tests.soak --check FOLDER` repeats it.
"""
