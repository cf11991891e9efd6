"""The long runs are asked for by name: they take minutes on two cores, more than every change can wait for."""

import os

collect_ignore = [] if os.environ.get("MESHD_SIMULATE") else ["test_simulation.py"]
