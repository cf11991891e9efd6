"""The first measurement of this device: a short run of each kind that has one and no rate yet."""

import importlib.util
import logging
from collections.abc import Awaitable, Callable, Sequence

from meshd import kinds
from meshd.errors import MeshdError
from meshd.jobs.ratebook import RateBook
from meshd.kinds.base import Kind

log = logging.getLogger(__name__)


def runnable_kinds() -> list[Kind]:
    """Return the kinds whose programs can run on this device."""
    found = [kinds.find(name) for name in kinds.names()]
    has_jax = importlib.util.find_spec("jax") is not None
    return [kind for kind in found if has_jax or not kind.accelerated]


async def calibrate(kinds_here: Sequence[Kind], rates: RateBook, measure: Callable[[Kind], Awaitable[float]]) -> None:
    """Measure the kinds of which nobody knows how fast they run here."""
    for kind in kinds_here:
        if not kind.accelerated or rates.get(kind.name) is not None:
            continue
        try:
            await rates.calibrated(kind.name, await measure(kind))
        except MeshdError as error:
            log.warning("no calibration", extra={"kind": kind.name, "why": str(error)})
