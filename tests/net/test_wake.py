import asyncio

import pytest

from meshd.net.wake import watch_for_resume


class SleepyClock:
    """A boot clock that jumps ahead, by what is left in `naps`, each time it is read for the second time."""

    def __init__(self, naps: list[float]) -> None:
        self._naps = naps
        self.now = 0.0
        self._reads = 0
        self.used_up = asyncio.Event()

    def boot(self) -> float:
        self._reads += 1
        if self._reads % 2 == 0:
            if not self._naps:
                self.used_up.set()
            self.now += self._naps.pop(0) if self._naps else 0.0
        return self.now

    def wall(self) -> float:
        raise AssertionError("the time of day says nothing about sleep")


@pytest.mark.asyncio
async def test_sleep_is_noticed_once_and_a_busy_machine_is_not_taken_for_a_sleeping_one() -> None:
    clock = SleepyClock([0.0, 9.0, 3600.0, 0.0, 20.0])
    resumed = list[float]()

    watching = asyncio.gather(watch_for_resume(clock, lambda: resumed.append(clock.now), tick_s=0.001))
    await asyncio.wait_for(clock.used_up.wait(), 5)
    watching.cancel()

    assert resumed == [3609.0, 3629.0]
