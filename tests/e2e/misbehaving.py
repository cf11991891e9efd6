"""A daemon that also takes jobs of a kind that misbehaves: `python -m tests.e2e.misbehaving`, as `python -m meshd`."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from unittest.mock import patch

from meshd import __main__ as daemon
from meshd import kinds, node
from meshd.errors import BadInput
from meshd.execution.attendance import Patience
from meshd.execution.spawner import open_spawner
from meshd.kinds.base import Document
from tests.execution.workshop import TEST_ARGV, PlainKind

MEMORY_LIMIT_BYTES = 250 << 20


@dataclass
class Misdeeds(PlainKind):
    """A kind that takes any spec, and fails over it as its spec says."""

    name: str = "misdeeds"
    program: str = "tests.execution.misdeeds"

    def validate(self, spec: Document) -> dict[str, object]:
        if spec.get("do") == "be refused":
            raise BadInput("this is not what misdeeds are", field="do", hint="do something else")
        if spec.get("do") == "break the check":
            raise ZeroDivisionError("the check is broken")
        return dict(spec)


kind = Misdeeds()
KINDS: Mapping[str, str] = {**kinds.BUILT_IN, "misdeeds": "tests.e2e.misbehaving"}


def main() -> int:
    """Be the daemon of `MESHD_HOME`; return its exit status."""
    with (
        patch.object(kinds, "BUILT_IN", KINDS),
        patch.object(node, "open_spawner", partial(open_spawner, argv=TEST_ARGV)),
        patch.object(node, "default_memory_limit", lambda: MEMORY_LIMIT_BYTES),
        patch.object(node, "Patience", partial(Patience, tick_s=0.2)),
    ):
        return daemon.main()


if __name__ == "__main__":
    sys.exit(main())
