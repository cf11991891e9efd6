# pyright: reportUnknownMemberType=false
"""Finding devices on the network without being told: mDNS, `_meshd._tcp`.

Everything heard here is a hint. It says where to dial and whom to offer for pairing; who answers is found out
by cryptography, and whether a peer is alive by its session. A machine without a network, or without multicast,
says so once and goes on: addresses can be typed.

The library leaves a few results untyped, hence the first line.
"""

import asyncio
import ipaddress
import itertools
import logging
from collections.abc import Callable, Sequence
from types import TracebackType

from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from meshd.clock import Clock
from meshd.net.address import format_address
from meshd.net.interfaces import Interface, announced_addresses, list_interfaces
from meshd.net.sighting import MAX_SIGHTINGS, Sighting, SightingTable, parse_sighting
from meshd.tasks import TaskSet, supervise
from meshd.trust.notice import Notice
from meshd_protocol.ids import DeviceId
from meshd_protocol.version import PROTOCOL_VERSION

log = logging.getLogger(__name__)

SERVICE = "_meshd._tcp.local."

POLL_S = 5.0
"""Between two looks at the interfaces: no system tells all of them the same way, and looking costs 1 ms."""

DAMPING_S = 2.0
"""Interfaces change several times while they come up; each announcement goes out to everyone."""

RESOLVE_MS = 3000
"""How long to ask for the addresses behind a name."""

_MAX_LABEL_BYTES = 40
"""Of the device's name in the mDNS label of at most 63 bytes, which also holds a part of the id."""

_FAMILIES = (IPVersion.All, IPVersion.V4Only, IPVersion.V6Only)


class Discovery:
    """Announces this device and collects sightings of others; `async with` it."""

    def __init__(
        self,
        *,
        device: DeviceId,
        name: Callable[[], str],
        port: int,
        clock: Clock,
        on_change: Callable[[DeviceId | None], None],
        notify: Callable[[Notice], None],
        host: str = "",
        poll_s: float = POLL_S,
        service: str = SERVICE,
    ) -> None:
        """Prepare to announce `port`, at `host` if the peer port is open only there.

        `on_change` hears of a device that is seen anew or elsewhere, and None when this machine's own network
        has changed.
        """
        self._device = device
        self._name = name
        self._port = port
        self._clock = clock
        self._on_change = on_change
        self._notify = notify
        self._host = host
        self._poll_s = poll_s
        self._service = service
        self._pairing = False
        self._table = SightingTable()
        self._interfaces: frozenset[Interface] = frozenset()
        self._stale = asyncio.Event()
        """Set when what is announced is not what should be."""

        self._count = itertools.count()
        self._resolving: set[str] = set()
        self._said_so = False
        self._tasks = TaskSet()

    async def __aenter__(self) -> "Discovery":
        """Begin in the background: nobody waits for the network."""
        self._tasks.start("discovery", supervise("discovery", self._run))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say goodbye."""
        await self._tasks.close()

    def sightings(self) -> Sequence[Sighting]:
        """Return every other device in sight, in order of names."""
        return self._table.all()

    def addresses_of(self, device: DeviceId) -> Sequence[str]:
        """Return where this device is said to be."""
        return next((one.addresses for one in self._table.all() if one.device == device), ())

    def announce(self, *, pairing: bool) -> None:
        """Tell everyone whether this device shows a code, and its name if that has changed."""
        self._pairing = pairing
        self._stale.set()

    async def _run(self) -> None:
        """Announce and listen until cancelled."""
        self._interfaces = await asyncio.to_thread(list_interfaces)
        mdns = self._open()
        while mdns is None:
            await asyncio.sleep(self._poll_s)
            self._interfaces = await asyncio.to_thread(list_interfaces)
            mdns = self._open()
        browser = AsyncServiceBrowser(mdns.zeroconf, self._service, handlers=[self._heard])
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_announced(mdns), name="announcement")
                group.create_task(self._watch_interfaces(mdns), name="interfaces")
        finally:
            await browser.async_cancel()
            await mdns.async_close()
            self._table.clear()

    def _open(self) -> AsyncZeroconf | None:
        """Return mDNS on every interface, of the families that this machine has; None if it has none."""
        # It warns, with a traceback, of each interface that cannot multicast; ::1 is always one of them.
        logging.getLogger("zeroconf").setLevel(logging.ERROR)
        troubles: list[str] = []
        for family in _FAMILIES:
            try:
                return AsyncZeroconf(ip_version=family)
            except (OSError, RuntimeError) as error:
                troubles.append(str(error))
        if not self._said_so:
            self._said_so = True
            log.warning("no discovery on this network: %s", "; ".join(dict.fromkeys(troubles)))
            message = "other devices cannot be found by themselves on this network; their addresses can be typed"
            self._notify(Notice("no_discovery", message))
        return None

    async def _keep_announced(self, mdns: AsyncZeroconf) -> None:
        """Keep what the network is told up to date."""
        announced: AsyncServiceInfo | None = None
        self._stale.set()
        while True:
            await self._stale.wait()
            self._stale.clear()
            wanted = self._describe()
            try:
                if announced is not None and announced.name == wanted.name:
                    await (await mdns.async_update_service(wanted))
                else:
                    if announced is not None:
                        await (await mdns.async_unregister_service(announced))
                    # Nobody has to be asked whether the name is free: a part of the id is in it. Saves 1.2 s.
                    await (await mdns.async_register_service(wanted, cooperating_responders=True))
                announced = wanted
            except OSError as error:
                log.info("the announcement did not go out: %s", error)

    def _describe(self) -> AsyncServiceInfo:
        addresses = [self._host] if self._host else announced_addresses(self._interfaces)
        name = self._name()
        label = name.replace(".", " ").encode()[:_MAX_LABEL_BYTES].decode(errors="ignore").strip()
        return AsyncServiceInfo(
            self._service,
            f"{label} {self._device[:6]}.{self._service}".lstrip(),
            addresses=[ipaddress.ip_address(address).packed for address in addresses],
            port=self._port,
            properties={
                "v": str(PROTOCOL_VERSION),
                "id": self._device,
                "n": name,
                "p": "1" if self._pairing else "0",
                # Listeners ignore a record that they still hold as expiring: what is said again must differ.
                "c": str(next(self._count)),
            },
            # A host name of its own: with the machine's, the addresses of several responders would be mixed.
            server=f"{self._device}.local.",
        )

    async def _watch_interfaces(self, mdns: AsyncZeroconf) -> None:
        """Move along when this machine's network changes: no socket does so by itself."""
        while True:
            await asyncio.sleep(self._poll_s)
            now = await asyncio.to_thread(list_interfaces)
            if now == self._interfaces:
                continue
            await asyncio.sleep(min(DAMPING_S, self._poll_s))
            self._interfaces = await asyncio.to_thread(list_interfaces)
            log.info("the network interfaces changed")
            try:
                await mdns.async_update_interfaces()
            except (OSError, RuntimeError) as error:
                log.info("no discovery until the network is back: %s", error)
            self._stale.set()
            self._on_change(None)

    def _heard(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        """Take note that something was announced or withdrawn."""
        if state_change is ServiceStateChange.Removed:
            gone = self._table.remove(name)
            if gone is not None:
                self._on_change(gone)
        elif name not in self._resolving and len(self._resolving) < MAX_SIGHTINGS:
            self._resolving.add(name)
            self._tasks.start(f"resolve {name[:80]}", self._resolve(zeroconf, name))

    async def _resolve(self, zeroconf: Zeroconf, name: str) -> None:
        """Find out who and where it is."""
        try:
            info = AsyncServiceInfo(self._service, name)
            if not await info.async_request(zeroconf, RESOLVE_MS) or not info.port:
                return
        finally:
            self._resolving.discard(name)
        addresses = [
            format_address(host, info.port)
            for host in info.parsed_scoped_addresses()
            # Without the interface on which it was heard, a link-local address leads nowhere.
            if "%" in host or not ipaddress.ip_address(host).is_link_local or "." in host
        ]
        sighting = parse_sighting(info.decoded_properties, addresses, self._clock.wall())
        if sighting is None or sighting.device == self._device:
            return
        if self._table.put(name, sighting):
            self._on_change(sighting.device)
