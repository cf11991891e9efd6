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
    from collections.abc import Iterator

    from meshd_protocol.localapi import GpuView, MachineView, RateView, StatusView

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
        *_pause(status.paused_at),
        "jobs       " + (", ".join(f"{number} {state}" for state, number in counts.items() if number) or "none yet"),
        f"slots      {status.busy} of {status.slots} busy",
        *_machine(status.machine, status.reluctance),
        "peers      " + (f"{status.peers_online} of {status.peers} online" if status.peers else "none: meshd pair"),
        *(f"rate       {speed(rate)} ({rate.source})" for rate in status.rates),
        f"listens    127.0.0.1:{status.api_port} for this machine, port {status.peer_port} for others",
    ]
    if status.discovery != "on":
        lines.append(f"discovery  {status.discovery}")
    if status.degraded:
        lines.append(f"degraded   {status.degraded}")
    return "\n".join(lines)


def _pause(since: str | None) -> Iterator[str]:
    if since is not None:
        yield f"paused     since {since}: nothing new starts here; meshd resume"


def _machine(machine: MachineView | None, reluctance: str) -> Iterator[str]:
    if machine is None:
        return
    if machine.memory_bytes:
        yield f"machine    {hardware(machine)}"
    if machine.battery is not None:
        told = "charging, or full" if machine.plugged else "takes no jobs of others" if reluctance else "not plugged in"
        yield f"battery    {machine.battery:.0%}, {told}"
    for gpu in machine.gpus:
        yield f"gpu        {card(gpu)}"


def hardware(machine: MachineView) -> str:
    """Return processors and memory in a line."""
    busy = "" if machine.cpu is None else f", {machine.cpu:.0%} busy"
    return f"{machine.cores} core{'s' if machine.cores != 1 else ''}{busy}; {memory(machine)}"


def memory(what: MachineView | GpuView) -> str:
    """Return how much memory is free."""
    free = "" if what.free_bytes is None else f"{what.free_bytes / 1e9:.3g} of "
    return f"{free}{what.memory_bytes / 1e9:.3g} GB {'free' if free else 'of memory'}"


def card(gpu: GpuView) -> str:
    """Return a GPU in a line."""
    busy = "" if gpu.busy is None else f", {gpu.busy:.0%} busy"
    return f"{gpu.name}, {memory(gpu)}{busy}{'' if gpu.usable else ' (not used: JAX has not computed on it yet)'}"


def speed(rate: RateView) -> str:
    """Return a rate, with what it is the rate of."""
    return f"{rate.kind} {figure(rate.rate)}/s" + (f" on {rate.accelerator}" if rate.accelerator else "")


def figure(value: float) -> str:
    """Return a large number with three digits and a prefix."""
    for size, unit in ((1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
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
