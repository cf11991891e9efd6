"""Pairing as a person sees it: show a code here, or enter here the code that another device shows."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from meshd.errors import BadInput, Conflict, NotFound
from meshd.net.address import DEFAULT_PORT, format_address, parse_address
from meshd.net.ceremony import PairingError, enter_code, show_code
from meshd.net.channel import Channel
from meshd.net.dialer import Dialer
from meshd.net.sighting import Sighting
from meshd.store.peers import TrustedPeer
from meshd.trust.book import PeerBook
from meshd.trust.codes import Codes, ShownCode, Try
from meshd.trust.identity import Identity
from meshd.trust.notice import Notice
from meshd.trust.refusals import OwnDevice, refusal
from meshd_protocol import codec
from meshd_protocol.errors import Code
from meshd_protocol.limits import CODE_TTL_S, HANDSHAKE_STEP_S
from meshd_protocol.machines.pairing import NewPeer
from meshd_protocol.messages.pairing import PairRefused

log = logging.getLogger(__name__)

MAX_AT_ONCE = 4
"""Ceremonies that this device takes part in as the one that shows the code; each costs 10 ms of arithmetic."""

_CODE_DIGITS = 6


class Pairings:
    """Both sides of the ceremony."""

    def __init__(
        self,
        *,
        identity: Identity,
        name: Callable[[], str],
        book: PeerBook,
        codes: Codes,
        dialer: Dialer,
        token: Callable[[int], bytes],
        sightings: Callable[[], Sequence[Sighting]],
        paired: Callable[[TrustedPeer], None],
        notify: Callable[[Notice], None],
        ttl_s: float = CODE_TTL_S,
        step_s: float = HANDSHAKE_STEP_S,
    ) -> None:
        self._identity = identity
        self._name = name
        self._book = book
        self._codes = codes
        self._dialer = dialer
        self._token = token
        self._sightings = sightings
        self._paired = paired
        self._notify = notify
        self._ttl_s = ttl_s
        self._step_s = step_s
        self._running = 0
        self._expiry: asyncio.TimerHandle | None = None

    def open_code(self, ttl_s: float | None = None) -> ShownCode:
        """Show a new code, in place of any other."""
        ttl_s = self._ttl_s if ttl_s is None else ttl_s
        shown = self._codes.open(ttl_s)
        self._cancel_expiry()
        # Only so that the announcement ends in time; whether the code is good is decided by the clocks.
        self._expiry = asyncio.get_running_loop().call_later(ttl_s, self._codes.showing)
        return shown

    def close_code(self) -> None:
        """Show no code any more."""
        self._cancel_expiry()
        self._codes.close()

    def showing(self) -> ShownCode | None:
        """Return the code that can be entered elsewhere now."""
        return self._codes.showing()

    async def accept(self, code: str, target: str | None = None) -> TrustedPeer:
        """Pair with the device that shows `code`, and return it.

        `target` is its address, its name or its id; without it, the one device in sight that shows a code.

        Raises:
            BadInput: `code` is no code, `target` no address, or it leads back here (`OwnDevice`).
            NotFound: no device in sight is called so, or none shows a code.
            Conflict: several do.
            PeerUnreachable: nobody answers there.
            PeerRefused: the other side said no: `WrongCode`, `NoCodeOpen`, `VersionMismatch`.
        """
        digits = "".join(code.split()).replace("-", "")
        if len(digits) != _CODE_DIGITS or not (digits.isascii() and digits.isdigit()):
            raise BadInput(f"a code has {_CODE_DIGITS} digits", field="code")
        dialled = await self._dialer.connect(self._find(target), None, path="/pair")

        kept: list[TrustedPeer] = []

        async def keep(peer: NewPeer) -> None:
            kept.append(await self._book.keep(peer, [dialled.address]))

        try:
            await enter_code(
                dialled.channel,
                identity=self._identity,
                name=self._name(),
                certificate=dialled.certificate,
                code=digits,
                keep=keep,
                token=self._token,
                step_s=self._step_s,
            )
        except PairingError as error:
            raise refusal(
                error.code or Code.REFUSED, error.reason, theirs=error.theirs, tries_left=error.tries_left
            ) from error
        finally:
            await dialled.channel.close()
        return self._welcome(kept[0])

    async def answer(self, channel: Channel) -> None:
        """Serve somebody who wants to pair with this device."""
        if self._running >= MAX_AT_ONCE:
            channel.post(codec.encode(PairRefused(code=Code.BUSY)))
            await channel.close(Code.BUSY)
            return

        kept: list[TrustedPeer] = []

        async def keep(peer: NewPeer) -> None:
            kept.append(await self._book.keep(peer, _guess_address(channel.remote)))

        self._running += 1
        try:
            await show_code(
                channel,
                identity=self._identity,
                name=self._name(),
                codes=self._codes,
                keep=keep,
                failed=lambda attempt: self._report(attempt, channel.remote),
                token=self._token,
                step_s=self._step_s,
            )
        except PairingError as error:
            log.info("no pairing with %s: %s", channel.remote, error)
        finally:
            self._running -= 1
            if kept:
                # On disk is paired, even if the other side was cut off before it heard so.
                self._cancel_expiry()
                self._welcome(kept[0])

    def _welcome(self, peer: TrustedPeer) -> TrustedPeer:
        log.info("paired with %s (%s)", peer.name, peer.device)
        self._paired(peer)
        self._notify(Notice("paired", f"paired with {peer.name}", peer.device))
        return peer

    def _report(self, attempt: Try, remote: str) -> None:
        """Tell the person in front of this device that somebody, somewhere, used up a try."""
        if attempt.tries_left == 0:
            self._notify(Notice("code_burned", f"the code is burned: the last failed try came from {remote}"))
        else:
            left = f"{attempt.tries_left} left"
            self._notify(Notice("code_failed", f"a try with the code failed, from {remote}; {left}"))

    def _find(self, target: str | None) -> Sequence[str]:
        """Return the addresses that the person means."""
        if target is None:
            return self._only_open()
        if target == self._identity.device:
            raise OwnDevice
        seen = self._sightings()
        named = [one for one in seen if one.device == target] or [
            one for one in seen if one.name.casefold() == target.casefold()
        ]
        # Of several devices of one name, the one that shows a code is meant.
        named = [one for one in named if one.pairing] or named
        if len(named) > 1:
            raise Conflict(
                f"{target!r} can be any of {_listed(named)}", hint="give the id or the address of the one you mean"
            )
        if named:
            return named[0].addresses
        if not any(char in target for char in ".:") and target != "localhost":
            known = ", ".join(one.name for one in seen) or "none"
            raise NotFound(
                f"no device in sight is called {target!r} (in sight: {known})",
                hint="give its address, HOST:PORT; `meshd status` shows it there",
            )
        return [str(parse_address(target))]

    def _only_open(self) -> Sequence[str]:
        """Return the addresses of the one device in sight that shows a code."""
        match [sighting for sighting in self._sightings() if sighting.pairing]:
            case [sighting]:
                return sighting.addresses
            case []:
                raise NotFound(
                    "no device in sight shows a code",
                    hint="run `meshd pair` there; if it is in another network, add its address here, HOST:PORT",
                )
            case several:
                raise Conflict(
                    f"several devices show a code: {_listed(several)}", hint="add the name of the one you mean"
                )

    def _cancel_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None


def _listed(sightings: Sequence[Sighting]) -> str:
    return ", ".join(f"{one.name} ({one.device}, {' '.join(one.addresses[:2])})" for one in sightings)


def _guess_address(remote: str) -> list[str]:
    """Return where the device that connected from `remote` probably listens; a wrong guess costs one refused try."""
    try:
        host = parse_address(remote).host
    except BadInput:
        return []
    return [] if host in ("127.0.0.1", "::1") else [format_address(host, DEFAULT_PORT)]
