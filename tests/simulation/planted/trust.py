"""Mistakes in what follows when devices unpair or take permissions back."""
# pyright: reportPrivateUsage=false

from meshd.jobs.courier import Courier
from meshd.jobs.holdings import Holdings
from meshd.store import peers
from meshd.store.database import Connection
from meshd_protocol.ids import DeviceId
from tests.simulation.planted.bug import Bug


def _forget_in_memory_only(connection: Connection, device: DeviceId, now: float) -> bool:
    return True


def _heed_no_permission(self: Holdings) -> None:
    pass


def _notice_no_unpairing(self: Courier) -> None:
    self._known = self._peers()
    self._origin.wake()


BUGS = {
    "unpairing leaves the streams": Bug("B", peers, "forget", _forget_in_memory_only),
    "an unpairing is not noticed": Bug("B", Courier, "peers_changed", _notice_no_unpairing),
    "a permission holds until the attempt ends": Bug("B", Holdings, "permissions_changed", _heed_no_permission),
}
