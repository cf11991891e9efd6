"""How much memory a `lineups` job says that it takes, and takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups import kind


def least_mb(spec: Document) -> int:
    """Return the memory that a job says it takes at least when it is given too little."""
    with pytest.raises(BadInput) as refused:
        kind.validate({**spec, "limits": {"memory_mb": 1}})
    assert refused.value.field == "limits.memory_mb"
    return int(str(refused.value.hint).split()[1].replace(",", ""))


def held_at_most_mb(spec: Document) -> int:
    """Run a job in a process of its own; return what that has held at most."""
    code = (
        "import json, sys; from pathlib import Path; from tests.support.lineups_job import run_job;"
        "run_job(json.load(sys.stdin));"
        "print(*[line.split()[1] for line in Path('/proc/self/status').open() if line.startswith('VmHWM')])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(spec),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return int(told) // 1_024
