"""Pairing as the local API shows it, with how the last code ended."""

from collections.abc import Callable
from typing import Literal

from meshd.clock import Clock
from meshd.errors import BadInput
from meshd.jobs.views import iso
from meshd.net.pairings import Pairings
from meshd.store.peers import TrustedPeer
from meshd.trust.codes import ShownCode
from meshd_protocol.localapi import PairingAccept, PairingState, PairingView, PeerView


class Ceremony:
    """See `meshd.api.services.Pairings`."""

    def __init__(self, *, pairings: Pairings, view: Callable[[TrustedPeer], PeerView], clock: Clock) -> None:
        self._pairings = pairings
        self._view = view
        self._clock = clock
        self._last: ShownCode | None = None
        self._closed = False
        self._paired: TrustedPeer | None = None

    def paired(self, peer: TrustedPeer) -> None:
        """Note that a device was paired; by the code shown here if that is gone now."""
        if self._last is not None and self._pairings.showing() is None:
            self._paired = peer

    async def open_code(self, *, ttl_s: float | None) -> PairingView:
        """Open a new code."""
        self._last = self._pairings.open_code(ttl_s)
        self._closed, self._paired = False, None
        return _shown(self._last)

    async def current(self) -> PairingState:
        """Return the open code, or how the last one ended."""
        shown = self._pairings.showing()
        if shown is not None:
            return PairingState(open=_shown(shown))
        if self._last is None:
            return PairingState(open=None)
        if self._paired is not None:
            return PairingState(open=None, ended="paired", paired_with=self._view(self._paired))
        return PairingState(open=None, ended=self._end(self._last))

    async def close_code(self) -> None:
        """Close the open code, if there is one."""
        self._closed = self._pairings.showing() is not None
        self._pairings.close_code()

    async def accept(self, request: PairingAccept) -> PeerView:
        """Enter the code that another device shows."""
        if request.device is not None and request.address is not None:
            raise BadInput("name a device or an address, not both", field="address")
        return self._view(await self._pairings.accept(request.code, request.device or request.address))

    def _end(self, last: ShownCode) -> Literal["expired", "burned", "closed"]:
        if self._closed:
            return "closed"
        return "expired" if self._clock.wall() >= last.expires_at else "burned"


def _shown(code: ShownCode) -> PairingView:
    return PairingView(code=code.code, expires_at=iso(code.expires_at), tries_left=code.tries_left)
