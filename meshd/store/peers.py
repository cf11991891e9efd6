"""The devices that this one trusts, and those it trusted once, at rest."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from meshd.store.database import Connection, Row
from meshd_protocol.crypto import fingerprint
from meshd_protocol.ids import DeviceId, Fingerprint

MAX_ADDRESSES = 8
"""Addresses remembered of one peer, best first: a few networks and both families."""


@dataclass(frozen=True, slots=True)
class TrustedPeer:
    """A device that this one is paired with."""

    device: DeviceId
    name: str
    certificate: bytes = field(repr=False)
    pair_key: bytes = field(repr=False)
    permissions: tuple[str, ...]
    """Kinds of jobs that it may have done here."""

    addresses: tuple[str, ...]
    """Where it was reached, host:port, best first."""

    paired_at: float
    seen_at: float | None

    @property
    def fingerprint(self) -> Fingerprint:
        """Return what its TLS certificate must hash to."""
        return fingerprint(self.certificate)


@dataclass(frozen=True, slots=True)
class FormerPeer:
    """A device that was unpaired; it is told so once it has proven who it was."""

    device: DeviceId
    certificate: bytes = field(repr=False)
    pair_key: bytes = field(repr=False)
    unpaired_at: float


def every(connection: Connection) -> list[TrustedPeer]:
    """Return all peers, the first paired first."""
    return [_peer(row) for row in connection.execute("SELECT * FROM peer ORDER BY paired_at, device")]


def get(connection: Connection, device: DeviceId) -> TrustedPeer | None:
    """Return the peer, if `device` is one."""
    row = connection.execute("SELECT * FROM peer WHERE device = ?", (device,)).fetchone()
    return None if row is None else _peer(row)


def former(connection: Connection, device: DeviceId) -> FormerPeer | None:
    """Return what is remembered of a device that was unpaired."""
    row = connection.execute("SELECT * FROM ex_peer WHERE device = ?", (device,)).fetchone()
    if row is None:
        return None
    return FormerPeer(DeviceId(row["device"]), row["certificate"], row["pair_key"], row["unpaired_at"])


def keep(connection: Connection, peer: TrustedPeer) -> None:
    """Store a pairing. One that stands for the same device is renewed in place, so that its streams go on."""
    connection.execute(
        "INSERT INTO peer (device, name, certificate, pair_key, permissions, addresses, paired_at, seen_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (device) DO UPDATE SET name = excluded.name, certificate = excluded.certificate,"
        " pair_key = excluded.pair_key, permissions = excluded.permissions, addresses = excluded.addresses,"
        " paired_at = excluded.paired_at, seen_at = excluded.seen_at",
        (
            peer.device,
            peer.name,
            peer.certificate,
            peer.pair_key,
            json.dumps(peer.permissions),
            json.dumps(peer.addresses[:MAX_ADDRESSES]),
            peer.paired_at,
            peer.seen_at,
        ),
    )
    connection.execute("DELETE FROM ex_peer WHERE device = ?", (peer.device,))


def rename(connection: Connection, device: DeviceId, name: str) -> None:
    """Call the peer `name` from now on."""
    connection.execute("UPDATE peer SET name = ? WHERE device = ?", (name, device))


def set_permissions(connection: Connection, device: DeviceId, permissions: Sequence[str]) -> None:
    """Replace what the peer may have done here."""
    connection.execute("UPDATE peer SET permissions = ? WHERE device = ?", (json.dumps(permissions), device))


def set_seen(connection: Connection, device: DeviceId, addresses: Sequence[str], now: float) -> None:
    """Remember that the peer was connected just now, and where it can be reached."""
    connection.execute(
        "UPDATE peer SET addresses = ?, seen_at = ? WHERE device = ?",
        (json.dumps(addresses[:MAX_ADDRESSES]), now, device),
    )


def forget(connection: Connection, device: DeviceId, now: float) -> bool:
    """Trust the device no longer; its streams and held attempts go with it. False when it was no peer."""
    connection.execute(
        "INSERT OR REPLACE INTO ex_peer (device, certificate, pair_key, unpaired_at)"
        " SELECT device, certificate, pair_key, ? FROM peer WHERE device = ?",
        (now, device),
    )
    return connection.execute("DELETE FROM peer WHERE device = ?", (device,)).rowcount > 0


def _peer(row: Row) -> TrustedPeer:
    return TrustedPeer(
        device=DeviceId(row["device"]),
        name=row["name"],
        certificate=row["certificate"],
        pair_key=row["pair_key"],
        permissions=tuple(json.loads(row["permissions"])),
        addresses=tuple(json.loads(row["addresses"])),
        paired_at=row["paired_at"],
        seen_at=row["seen_at"],
    )
