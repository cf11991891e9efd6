"""How good placement is: simulated days on meshes of unequal devices, decided by the real code, in no real time.

`python -m tests.bench.placement` prints a table: how long until all is done and how long a job waits, for `auto` as it
is, for sending all to the strongest device, for chance and for taking turns, beside what no placement can beat.
"""
