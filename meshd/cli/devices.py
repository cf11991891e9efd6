"""The commands about other devices."""

import click

from meshd.cli.connect import connect
from meshd.cli.failure import FAILED, REFUSED, TIMED_OUT
from meshd.cli.screen import ago, as_json, put, put_json, put_table, say
from meshd.cli.status import card, hardware, speed
from meshd.logs import escape
from meshd_protocol.localapi import PeerTest, PeerView


@click.command()
@as_json
def peers(as_json: bool) -> None:
    """List the paired devices, and those that could be paired."""
    client = connect()
    paired = client.peers()
    if as_json:
        put_json(paired)
        return
    if paired:
        titles = ("NAME", "ID", "STATE", "LATENCY", "BUSY", "QUEUED", "GPU", "SPEED", "SEEN")
        put_table(titles, [_row(peer) for peer in paired], right=("LATENCY", "BUSY", "QUEUED"))
    else:
        put("no paired devices; on another device run `meshd pair`, here `meshd pair CODE`")
    others = [sighting for sighting in client.sightings() if not sighting.paired]
    if others:
        put("\non this network, not paired:")
        for other in others:
            addresses = ", ".join(escape(address) for address in other.addresses[:2])
            put(f"  {escape(other.name)}  ({addresses}){'  shows a code' if other.pairing else ''}")


def _row(peer: PeerView) -> tuple[str, ...]:
    return (
        peer.name,
        peer.id,
        _state(peer),
        "" if peer.latency_ms is None else f"{peer.latency_ms:.1f} ms",
        "" if peer.busy is None or peer.slots is None else f"{peer.busy}/{peer.slots}",
        "" if peer.queued is None else str(peer.queued),
        ", ".join(gpu.name for gpu in peer.machine.gpus) if peer.machine else "",
        ", ".join(speed(rate) for rate in peer.rates),
        "now" if peer.state != "offline" else ago(peer.seen_at),
    )


def _state(peer: PeerView) -> str:
    """Return the state with what keeps a peer that is there from taking jobs."""
    if peer.state == "offline":
        return peer.state
    battery = None if peer.machine is None or peer.machine.plugged else peer.machine.battery
    on_battery = "" if battery is None else f"on battery at {battery:.0%}"
    return ", ".join(filter(None, [peer.state, "paused" if peer.paused else "", peer.reluctance or on_battery]))


@click.command()
@click.argument("device", metavar="NAME|ID")
@as_json
@click.pass_context
def test(ctx: click.Context, device: str, as_json: bool) -> None:
    """Test the connection to a paired device: its round trip, what it has, and a job that does nothing."""
    found = connect().test(device)
    if as_json:
        put_json(found)
    else:
        _put_test(found)
    if found.problem is not None:
        say(f"error: {escape(found.message)}")
        say(f"hint: {escape(found.hint)}")
        ctx.exit({"offline": TIMED_OUT, "silent": TIMED_OUT, "refused": REFUSED, "failed": FAILED}[found.problem])


def _put_test(found: PeerTest) -> None:
    peer = found.peer
    gpus = [card(gpu) for gpu in peer.machine.gpus] if peer.machine else []
    rows = {
        "reachable": "yes" if found.reachable else "no",
        "round trip": "" if found.round_trip_ms is None else f"{found.round_trip_ms:.1f} ms",
        "runs": ", ".join(filter(None, (peer.version and f"meshd {peer.version}", peer.platform))),
        "machine": hardware(peer.machine) if peer.machine and peer.machine.memory_bytes else "",
        "gpu": "; ".join(gpus) or ("none" if peer.machine else "not known yet"),
        "speed": ", ".join(f"{speed(rate)} ({rate.source})" for rate in peer.rates) or "not known yet",
        "takes jobs": ", ".join(filter(None, ["no: paused" if peer.paused else "", peer.reluctance])) or "yes",
        "test job": "" if found.job_s is None else f"done in {found.job_s * 1000:.0f} ms",
    }
    put(f"{escape(peer.name)}  ({peer.id}{', ' + escape(peer.address) if peer.address else ''})")
    for title, value in rows.items():
        if value:
            put(f"{title:<10}  {escape(value)}")


@click.command()
@click.argument("device", metavar="NAME|ID")
@as_json
def unpair(device: str, as_json: bool) -> None:
    """Forget a paired device; it can do nothing here from now on."""
    gone = connect().unpair(device)
    if as_json:
        put_json(gone)
    else:
        put(f"{escape(gone.name)} ({gone.id}) is no longer paired with this device")


@click.command()
@click.argument("device", metavar="NAME|ID")
@click.argument("kind")
@as_json
def allow(device: str, kind: str, as_json: bool) -> None:
    """Let a paired device have jobs of a kind done here: `meshd allow laptop command`."""
    peer = connect().permit(device, kind, allowed=True)
    if as_json:
        put_json(peer)
    else:
        put(f"{escape(peer.name)} may have these done here: {', '.join(peer.permissions)}")


@click.command()
@click.argument("device", metavar="NAME|ID")
@click.argument("kind")
@as_json
def deny(device: str, kind: str, as_json: bool) -> None:
    """Let a paired device have jobs of a kind done here no longer; those that run stop."""
    peer = connect().permit(device, kind, allowed=False)
    if as_json:
        put_json(peer)
    else:
        put(f"{escape(peer.name)} may have these done here: {', '.join(peer.permissions) or 'nothing'}")
