"""Every planted bug, by what it does.

The simulation is worth its time only as long as it finds every one of them.
"""

from collections.abc import Mapping

from tests.simulation.planted import checkpoints, executors, leases, lives, sharing, streams, trust
from tests.simulation.planted.bug import Bug

BUGS: Mapping[str, Bug] = {
    **lives.BUGS,
    **leases.BUGS,
    **streams.BUGS,
    **executors.BUGS,
    **checkpoints.BUGS,
    **sharing.BUGS,
    **trust.BUGS,
}
