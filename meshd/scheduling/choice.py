"""On which of its accelerators a device runs an attempt that could use several: where it would end first."""

from collections.abc import Sequence
from dataclasses import dataclass

from meshd.scheduling.snapshot import is_gpu


@dataclass(frozen=True, slots=True)
class Option:
    """One accelerator, as an attempt finds it."""

    accelerator: str
    is_free: bool
    wait_s: float
    start_s: float
    rate: float | None
    gpu: str | None = None
    """Which of the GPUs of that model, where it is one."""

    obstacle: str = ""
    """Why it cannot take this attempt now, busy or not."""

    def finish_s(self, cost: float | None) -> float | None:
        """Return when work of this cost would be done; None: nobody knows."""
        return None if cost is None or self.rate is None else self.wait_s + self.start_s + cost / self.rate


def choose(cost: float | None, options: Sequence[Option]) -> Option | None:
    """Return the accelerator to use, or to wait for; None when there is none at the moment."""
    fit = [option for option in options if not option.obstacle]
    if not fit:
        return None
    known = [(finish_s, option.gpu or "", option) for option in fit if (finish_s := option.finish_s(cost)) is not None]
    if len(known) == len(fit):
        return min(known, key=lambda each: each[:2])[2]
    # A GPU of which nobody knows how fast it is finds that out soonest by being used.
    return max(fit, key=lambda option: (option.is_free, is_gpu(option.accelerator), option.rate or 0.0, -option.wait_s))
