"""What people ask of the devices: jobs, their end, pairings, permissions. They insist until they have an answer."""
# pyright: reportPrivateUsage=false

import asyncio
import itertools
from typing import TYPE_CHECKING

from meshd.errors import MeshdError
from meshd.store import peers
from meshd.store.peers import TrustedPeer
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.localapi import JobRequest
from meshd_protocol.machines.pairing import NewPeer
from tests.simulation.daemon import Daemon
from tests.simulation.virtual_time import no_running_loop
from tests.simulation.workers import DIVIDED, EFFECT, KINDS, PURE, SAFE, SHARED
from tests.support.keys import key_pair

if TYPE_CHECKING:
    from tests.simulation.nodes_world import Device, World

AGAIN_S = 2.0
"""How soon a person tries again what a device did not take."""


class Users:
    """The people before the devices of one history."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.rng
        self._requests = 0
        self._keys: dict[frozenset[DeviceId], bytes] = {}
        """The newest pair key of any two devices; those that are to be apart have none."""

        self._pairing: set[frozenset[DeviceId]] = set()

    def plan(self) -> None:
        """Draw what people will ask for, and when."""
        world, options, rng = self._world, self._world.options, self._rng
        for _ in range(options.jobs):
            share = 0.2 if options.silences == 1.0 else 0.6
            world.at(rng.uniform(0.5, options.trouble_s * share), self._submit)
        for one, other in itertools.permutations(world.devices, 2):
            world.troubles.often(options.unpairings * 0.7, self._unpair, one, other)
            world.troubles.often(options.revocations * 0.8, self._revoke, one, other)

    # Jobs

    def _submit(self) -> None:
        options, rng = self._world.options, self._rng
        device = rng.choice(self._world.devices)
        silent = rng.random() < options.silences
        often = (PURE, PURE, SAFE, SAFE, EFFECT, DIVIDED, DIVIDED, SHARED, SHARED)
        kinds = (SAFE, SAFE, PURE, DIVIDED) if silent else often
        kind = rng.choice(kinds)
        seconds = rng.uniform(45.0, 80.0) if silent else rng.choice((1.0, 4.0, 12.0, 80.0)) * rng.uniform(0.5, 1.0)
        spec: dict[str, object] = {"seconds": seconds}
        if kind in {DIVIDED, SHARED}:
            seconds = spec["seconds"] = max(seconds, rng.uniform(6.0, 30.0))
            spec |= {"units": rng.randint(4, 40), "seed": rng.randrange(1000), "large": rng.random() < 0.2}
        others = [other.id for other in self._world.devices if other is not device]
        self._requests += 1
        request = JobRequest(
            kind=kind,
            spec=spec,
            placement=rng.choice(others if silent else ("auto", "auto", "local", *others, *others)),
            timeout_s=110.0 if options.hangs else 0.0,
            retries=rng.choice((0, 0, 1, 2)),
            spread=True if kind == SHARED else None,
            offload_timeout_s=120.0 if silent else rng.choice((10.0, 30.0, 120.0)),
        )
        self._insist(device, request, f"request {self._requests}", self._cancel_at())

    def _cancel_at(self) -> float | None:
        if self._rng.random() < self._world.options.cancels * 0.5:
            return self._world.now() + self._rng.uniform(0.0, 25.0)
        return None

    def _insist(self, device: "Device", request: JobRequest, key: str, cancel_at: float | None) -> None:
        """Ask again, under the same key, until the device has said yes."""
        world, daemon = self._world, device.serving
        if daemon is None:
            world.later(AGAIN_S, self._insist, device, request, key, cancel_at)
            return

        async def ask() -> None:
            try:
                answer = await daemon.origin.submit(request, idempotency_key=key)
            except MeshdError:
                world.later(AGAIN_S, self._insist, device, request, key, cancel_at)
            except asyncio.CancelledError:
                # The daemon died while it was asked: it may or may not have taken the job.
                world.later(AGAIN_S, self._insist, device, request, key, cancel_at)
                raise
            else:
                world.monitor.acknowledged(device.id, answer.id)
                if cancel_at is not None:
                    world.at(max(cancel_at, world.now()), self._cancel, device, JobId(answer.id))

        daemon.spawn(ask(), key)

    def _cancel(self, device: "Device", job: JobId) -> None:
        daemon = device.serving
        if daemon is None:
            return

        async def cancel() -> None:
            try:
                await daemon.origin.cancel(job, reason="cancelled by its user")
            except MeshdError as error:
                self._world.monitor.note(device.id, f"cannot cancel: {error}", job)

        daemon.spawn(cancel(), f"cancel {job}")

    # Pairings

    def pair_all(self) -> None:
        """Begin with devices that are paired, each with each."""
        for pair in self._world.lines:
            self._keys[pair] = self._world.token(32)
        for device in self._world.devices:
            self.restore_peers(device)
            device.ledger.read(device.disk.connection)

    def restore_peers(self, device: "Device") -> None:
        """Write into an empty database with whom the device is paired."""
        for pair, key in self._keys.items():
            if device.id in pair:
                (peer,) = pair - {device.id}
                certificate = key_pair(peer.encode()).certificate
                known = TrustedPeer(peer, peer, certificate, key, tuple(KINDS), (), self._world.now(), None)
                with no_running_loop():
                    peers.keep(device.disk.connection, known)

    def _unpair(self, one: "Device", other: "Device") -> None:
        """Unpair on one side; the other is out of reach at times. They are paired again after a while."""
        world, rng, daemon = self._world, self._rng, one.serving
        if daemon is None or daemon.book.get(other.id) is None or world.has_healed:
            return
        pair = frozenset((one.id, other.id))
        self._keys.pop(pair, None)
        if rng.random() < 0.5:
            world.monitor.sometime("a device was unpaired out of reach")
            world.troubles.block(world.lines[pair], (1.0, 20.0))

        asked_after = world.monitor.trust.unpairings(one.id, other.id)

        async def unpair() -> None:
            try:
                await daemon.links.unpair(other.id)
            except MeshdError as error:
                world.monitor.note(one.id, f"cannot unpair {other.id}: {error}")
            else:
                world.monitor.trust.acknowledged(one.id, other.id, asked_after=asked_after)

        daemon.spawn(unpair(), f"unpair {other.id}")
        world.later(rng.choice((0.5, 5.0, 30.0)) * rng.uniform(0.5, 1.5), self._pair, one, other)

    def _pair(self, one: "Device", other: "Device") -> None:
        pair = frozenset((one.id, other.id))
        if pair not in self._pairing:
            self._pairing.add(pair)
            self._keep_pairing(one, other)

    def _keep_pairing(self, one: "Device", other: "Device") -> None:
        """Pair the two as often as it takes until both know it, with all permissions."""
        world, here, there = self._world, one.serving, other.serving
        pair = frozenset((one.id, other.id))
        if here is not None and there is not None and not world.lines[pair].blocked:
            if _are_paired(here, there):
                self._pairing.discard(pair)
                return
            key = self._keys[pair] = world.token(32)
            here.spawn(self._keep(here, other.id, key), f"pair with {other.id}")
            there.spawn(self._keep(there, one.id, key), f"pair with {one.id}")
        world.later(AGAIN_S, self._keep_pairing, one, other)

    async def _keep(self, daemon: Daemon, peer: DeviceId, key: bytes) -> None:
        try:
            await daemon.book.keep(NewPeer(peer, peer, key_pair(peer.encode()).certificate, key, 1), [])
            await daemon.book.set_permissions(peer, list(KINDS))
        except MeshdError as error:
            self._world.monitor.note(daemon.device, f"cannot pair with {peer}: {error}")
        else:
            daemon.links.paired(peer)

    def reconcile(self) -> None:
        """Pair all devices again that are not, and give all permissions back."""
        for one, other in itertools.combinations(self._world.devices, 2):
            self._pair(one, other)

    def are_content(self) -> bool:
        """Return whether nobody waits for a pairing."""
        return not self._pairing

    # Permissions

    def _revoke(self, one: "Device", other: "Device") -> None:
        """Take back what another device may have done here, while it does at best; give it back after a while."""
        world, rng, daemon = self._world, self._rng, one.serving
        if daemon is None or daemon.book.get(other.id) is None or world.has_healed:
            return
        used = sorted({held.kind.name for key, held in daemon.holdings._held.items() if key.origin == other.id})
        gone = rng.choice(used or list(KINDS))

        async def revoke() -> None:
            try:
                await daemon.book.set_permissions(other.id, [kind for kind in KINDS if kind != gone])
            except MeshdError as error:
                world.monitor.note(one.id, f"cannot revoke {gone}: {error}")

        daemon.spawn(revoke(), f"revoke {gone}")
        world.later(rng.uniform(3.0, 30.0), self._grant, one, other)

    def _grant(self, one: "Device", other: "Device") -> None:
        world, daemon = self._world, one.serving
        if daemon is None or daemon.book.get(other.id) is None:
            return

        async def grant() -> None:
            try:
                await daemon.book.set_permissions(other.id, list(KINDS))
            except MeshdError as error:
                world.monitor.note(one.id, f"cannot grant: {error}")

        daemon.spawn(grant(), f"grant {other.id}")


def _are_paired(one: Daemon, other: Daemon) -> bool:
    """Return whether two devices know each other by the same key, and each may have everything done by the other."""
    here, there = one.book.get(other.device), other.book.get(one.device)
    return (
        here is not None
        and there is not None
        and here.pair_key == there.pair_key
        and set(here.permissions) == set(there.permissions) == set(KINDS)
    )
