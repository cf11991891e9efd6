"""`meshd status`: how this device is doing, without anything that takes time to import."""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

from meshd.client.connection import Connection
from meshd.paths import find

TYPE_CHECKING = False
if TYPE_CHECKING:
    from meshd_protocol.localapi import StatusView

STATES = ("queued", "running", "retrying", "completed", "failed", "cancelled")


def report(*, as_json: bool) -> None:
    """Print the status of the daemon; raise `DaemonUnreachable` when none runs."""
    body = Connection(find(os.environ)).request("GET", "/api/v1/status").body
    if as_json:
        sys.stdout.write(body.decode() + "\n")
        return
    # The same names as in `StatusView`, without msgspec, which checks them but takes as long to import as all else.
    status: StatusView = json.loads(body, object_hook=lambda fields: SimpleNamespace(**fields))
    sys.stdout.write(text(status) + "\n")


def text(status: StatusView) -> str:
    """Return the status as lines for a person."""
    counts = {state: getattr(status.counts, state) for state in STATES}
    lines = [
        f"{status.name}  ({status.device}, meshd {status.version}, up {duration(status.uptime_s)})",
        "jobs       " + (", ".join(f"{number} {state}" for state, number in counts.items() if number) or "none yet"),
        f"slots      {status.busy} of {status.slots} busy",
        "peers      " + (f"{status.peers_online} of {status.peers} online" if status.peers else "none: meshd pair"),
        *(f"rate       {rate.kind} {figure(rate.rate)}/s ({rate.source})" for rate in status.rates),
        f"listens    127.0.0.1:{status.api_port} for this machine, port {status.peer_port} for others",
    ]
    if status.discovery != "on":
        lines.append(f"discovery  {status.discovery}")
    if status.degraded:
        lines.append(f"degraded   {status.degraded}")
    return "\n".join(lines)


def figure(value: float) -> str:
    """Return a large number with three digits and a prefix."""
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g} "


def duration(seconds: float) -> str:
    """Return a time span in the two units that matter."""
    whole = int(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{whole // 60} min"
    if whole < 48 * 3600:
        return f"{whole // 3600} h {whole // 60 % 60} min"
    return f"{whole // 86400} days"
