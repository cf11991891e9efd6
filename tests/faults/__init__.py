"""Faults of processes and disks, injected into the real thing: by command in full, in the tests in short."""
