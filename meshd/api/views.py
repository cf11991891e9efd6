"""Small pieces that several answers of the local API share."""

from meshd_protocol.localapi import GpuView, MachineView, RateView
from meshd_protocol.messages.status import Status


def rate_views(status: Status) -> list[RateView]:
    """Return the rates that a device tells of itself."""
    return [
        RateView(kind=kind.kind, rate=kind.rate, source=kind.source, accelerator=kind.accelerator)
        for kind in status.kinds
        if kind.rate is not None
    ]


def machine_view(status: Status) -> MachineView:
    """Return what a device tells of its machine."""
    return MachineView(
        cores=status.cores,
        memory_bytes=status.memory_bytes,
        free_bytes=status.free_bytes,
        cpu=None if status.cpu is None else round(status.cpu, 3),
        battery=None if status.battery is None else round(status.battery, 3),
        plugged=status.plugged,
        gpus=[
            GpuView(
                uuid=gpu.uuid,
                name=gpu.name,
                compute=gpu.compute,
                memory_bytes=gpu.memory_bytes,
                free_bytes=gpu.free_bytes,
                busy=gpu.busy,
                usable=gpu.usable,
            )
            for gpu in status.gpus
        ],
        platforms=list(status.platforms),
    )
