"""Connecting to a device at any of several addresses, and how long to wait before trying again."""

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from types import TracebackType

import aiohttp

from meshd.errors import BadInput, PeerUnreachable
from meshd.net.address import parse_address
from meshd.net.channel import Channel
from meshd.net.websocket import WebSocketChannel
from meshd_protocol.ids import Fingerprint
from meshd_protocol.limits import HANDSHAKE_STEP_S, HEARTBEAT_S, MAX_FRAME_BYTES

STAGGER_S = 0.25
"""Pause between the first tries of two addresses: a LAN answers in less, and no packet is sent in vain."""

BACKOFF_MIN_S = 0.5
BACKOFF_MAX_S = 60.0
BACKOFF_FACTOR = 1.5
"""A peer that restarts is back within a second; one that sleeps costs a packet a minute."""

_GOODBYE = aiohttp.ClientWSTimeout(None, 1.0)  # pyright: ignore[reportCallIssue] - attrs without annotations
"""How long a closing handshake may take."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """A connection that stands."""

    channel: Channel
    address: str
    certificate: bytes
    """What the other side showed in TLS; it holds the private key of it."""


class Dialer:
    """Makes outgoing connections; `async with` it."""

    def __init__(self, *, heartbeat_s: float = HEARTBEAT_S, connect_s: float = HANDSHAKE_STEP_S) -> None:
        self._heartbeat_s = heartbeat_s
        self._connect_s = connect_s
        self._http: aiohttp.ClientSession | None = None
        self._unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._unverified.minimum_version = ssl.TLSVersion.TLSv1_3
        self._unverified.check_hostname = False
        self._unverified.verify_mode = ssl.CERT_NONE

    async def __aenter__(self) -> "Dialer":
        """Be ready to dial."""
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut every connection that still stands."""
        if self._http is not None:
            await self._http.close()

    async def connect(
        self, addresses: Sequence[str], fingerprint: Fingerprint | None, *, path: str = "/mesh"
    ) -> Dialled:
        """Return a connection to the first address that answers as the device with this fingerprint.

        With a fingerprint, a device with another certificate receives no byte after TLS. Without one, whoever
        answers is taken, and the caller must find out who it is.

        Raises:
            PeerUnreachable: nobody answers, or only others than the one that was asked for.
        """
        if not addresses:
            raise PeerUnreachable("no address is known", hint="is meshd running there, in the same network?")
        troubles: list[str] = []
        async with asyncio.TaskGroup() as group:
            tries: set[asyncio.Task[Dialled | str]] = set()
            waiting = deque(dict.fromkeys(addresses))
            try:
                while waiting or tries:
                    if waiting:
                        address = waiting.popleft()
                        dialling = self._try(address, fingerprint, path)
                        tries.add(group.create_task(dialling, name=f"dial {address}"))
                    pause = STAGGER_S if waiting else None
                    done, tries = await asyncio.wait(tries, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                    won = [outcome for task in done if isinstance(outcome := task.result(), Dialled)]
                    for late in won[1:]:
                        await late.channel.close()
                    if won:
                        return won[0]
                    troubles += [outcome for task in done if isinstance(outcome := task.result(), str)]
            finally:
                for task in tries:
                    if not task.cancel() and isinstance(outcome := task.result(), Dialled):
                        # It connected in the moment in which the caller gave up.
                        await outcome.channel.close()
        raise PeerUnreachable(
            "; ".join(troubles), hint="is meshd running there, and does its firewall let this port in?"
        )

    async def _try(self, address: str, fingerprint: Fingerprint | None, path: str) -> Dialled | str:
        """Return a connection, or in words why there is none."""
        if self._http is None:
            raise RuntimeError("the dialer is not open")
        try:
            # The zone of a link-local address stands as it is: written %25, aiohttp would look that up as a name.
            url = f"wss://{parse_address(address)}{path}"
            async with asyncio.timeout(self._connect_s):
                websocket = await self._http.ws_connect(
                    url,
                    ssl=aiohttp.Fingerprint(fingerprint) if fingerprint is not None else self._unverified,
                    heartbeat=self._heartbeat_s,
                    compress=0,
                    max_msg_size=MAX_FRAME_BYTES,
                    timeout=_GOODBYE,
                )
        except aiohttp.ServerFingerprintMismatch:
            return f"{address}: another device answers there"
        except TimeoutError:
            return f"{address}: no answer within {self._connect_s:g} s"
        except aiohttp.WSServerHandshakeError as error:
            return f"{address}: what answers there is not meshd ({error.status})"
        except (aiohttp.ClientError, OSError, ValueError, BadInput) as error:
            return f"{address}: {_in_words(error)}"
        tls = websocket.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if isinstance(tls, ssl.SSLObject) else None
        return Dialled(WebSocketChannel(websocket, address), address, certificate or b"")


class Backoff:
    """How long to wait before the next try: longer each time, and never the same for two devices."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._pause_s = BACKOFF_MIN_S

    def next(self) -> float:
        """Return the pause to make now."""
        pause = self._pause_s * self._random.uniform(0.5, 1.0)
        self._pause_s = min(self._pause_s * BACKOFF_FACTOR, BACKOFF_MAX_S)
        return pause

    def reset(self) -> None:
        """Begin again with short pauses."""
        self._pause_s = BACKOFF_MIN_S


def _in_words(error: Exception) -> str:
    """Return the operating system's words for what failed, not the library's."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(cause, OSError) and cause.strerror and not cause.strerror.startswith("Connect call"):
        return cause.strerror.lower()
    if isinstance(cause, ConnectionRefusedError):
        return "nothing listens there"
    return str(error) or type(error).__name__
