"""`meshd pair`: show a code, or enter the one that another device shows."""

import re
import time

import click

from meshd.cli.connect import connect
from meshd.cli.failure import FAILED, REFUSED, TIMED_OUT
from meshd.cli.screen import as_json, put, put_json, say
from meshd.client.local import Client
from meshd.clock import SystemClock
from meshd.config import is_address
from meshd.errors import BadInput, NotFound
from meshd.logs import escape
from meshd_protocol.localapi import PairingState, PeerView

POLL_S = 0.3

SEARCH_S = 5.0
"""Devices on a network see each other within 3 s of a start."""


@click.command()
@click.argument("code", required=False)
@click.argument("where", metavar="[NAME|HOST:PORT]", required=False)
@click.option("--no-wait", is_flag=True, help="Show the code and return at once.")
@click.option("--ttl", type=click.FloatRange(5, 3600), metavar="SECONDS", help="How long the code is good for.")
@as_json
@click.pass_context
def pair(
    ctx: click.Context, code: str | None, where: str | None, no_wait: bool, ttl: float | None, as_json: bool
) -> None:
    """Pair with another device: show a code here, or enter the CODE that it shows.

    NAME is the other device's name or id, needed only when several show a code; HOST or HOST:PORT reaches one
    that is not found by itself.
    """
    if code is None:
        ctx.exit(_show_code(connect(), ttl_s=ttl, wait=not no_wait, as_json=as_json))
    digits = re.sub(r"[\s-]", "", code)
    if not (len(digits) == 6 and digits.isascii() and digits.isdigit()):
        raise BadInput(
            f"{code!r} is not a code of six digits",
            field="code",
            hint="the other device shows one after `meshd pair`; here: meshd pair 123456 [NAME|HOST:PORT]",
        )
    peer = _enter(connect(), digits, where)
    if as_json:
        put_json(peer)
    else:
        put(f"paired with {escape(peer.name)} ({peer.id})")


def _show_code(client: Client, *, ttl_s: float | None, wait: bool, as_json: bool) -> int:
    shown = client.open_code(ttl_s)
    if not wait:
        if as_json:
            put_json(shown)
        else:
            put(f"{shown.code[:3]} {shown.code[3:]}")
            say("enter it on the other device: meshd pair " + shown.code)
        return 0
    say(f"code: {shown.code[:3]} {shown.code[3:]}")
    say(f"enter it on the other device: meshd pair {shown.code}   (waiting; Ctrl-C closes the code)")
    try:
        while (state := client.pairing()).open is not None:
            time.sleep(POLL_S)
    except KeyboardInterrupt:
        client.close_code()
        raise
    if as_json:
        put_json(state)
    return _say_end(state, quiet=as_json)


def _say_end(state: PairingState, *, quiet: bool) -> int:
    """Tell how the code ended; return the exit code."""
    match state.ended:
        case "paired":
            if not quiet:
                peer = state.paired_with
                put("paired" if peer is None else f"paired with {escape(peer.name)} ({peer.id})")
            return 0
        case "expired":
            say("error: nobody entered the code in time\nhint: show another one: meshd pair")
            return TIMED_OUT
        case "burned":
            say("error: the code was entered wrongly too often and is worth nothing now")
            say("hint: if it was you, show another one: meshd pair")
            return REFUSED
        case "closed" | None:
            say("error: the code was closed")
            return FAILED


def _enter(client: Client, code: str, where: str | None) -> PeerView:
    """Enter the code; a device that does not show itself yet gets a moment to."""
    clock = SystemClock()
    until = clock.boot() + SEARCH_S
    told = False
    while True:
        device, address = _find(client, where)
        try:
            return client.accept(code, device=device, address=address)
        except NotFound:
            if address is not None or clock.boot() >= until:
                raise
        if not told:
            say(f"looking for {escape(where) if where else 'a device that shows a code'} …")
            told = True
        time.sleep(POLL_S)


def _find(client: Client, where: str | None) -> tuple[str | None, str | None]:
    """Return what the user means by `where`: (name or id of a device, None), or (None, an address)."""
    if where is None:
        return None, None
    for sighting in client.sightings():
        if where == sighting.id or where.casefold() == sighting.name.casefold():
            return where, None
    looks_like_address = ("." in where or ":" in where or where == "localhost") and is_address(where)
    return (None, where) if looks_like_address else (where, None)
