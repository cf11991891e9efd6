"""The first measurement of this device: a short run of each kind that has one, on each accelerator without a rate."""

import importlib.util
import logging
from collections.abc import Awaitable, Callable, Sequence

from meshd import kinds
from meshd.capability.reading import Gpu
from meshd.errors import MeshdError
from meshd.jobs.ratebook import RateBook
from meshd.kinds.base import Kind
from meshd.scheduling.snapshot import CPU

log = logging.getLogger(__name__)

Measure = Callable[[Kind, str | None], Awaitable[float]]
"""Measures a kind on the GPU of this id, or on all processors."""


def runnable_kinds() -> list[Kind]:
    """Return the kinds whose programs can run on this device."""
    found = [kinds.find(name) for name in kinds.names()]
    has_jax = importlib.util.find_spec("jax") is not None
    return [kind for kind in found if has_jax or not kind.accelerated]


async def calibrate(kinds_here: Sequence[Kind], rates: RateBook, measure: Measure, gpu: Gpu | None = None) -> None:
    """Measure the kinds of which nobody knows how fast they run here: on a GPU, or on all processors."""
    accelerator = CPU if gpu is None else gpu.name
    for kind in kinds_here:
        if not kind.accelerated or rates.get(kind.name, accelerator) is not None:
            continue
        try:
            rate = await measure(kind, None if gpu is None else gpu.uuid)
            await rates.calibrated(kind.name, rate, accelerator)
        except MeshdError as error:
            log.warning("no calibration", extra={"kind": kind.name, "on": accelerator, "why": str(error)})
