"""The worker's side of `echo`."""

import os
import time

from meshd.clock import Clock, SystemClock
from meshd.kinds.base import Context, Document

NAP_S = 0.02
"""Between two looks at whether to stop; programs look at least every 0.1 s."""


WORKER_WRITES = 4
"""The descriptor of the worker's messages, which no program but this one has a reason to touch."""


class EchoProgram:
    """Sleeps, and returns its text."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def run(self, resolved: Document, context: Context) -> Document:
        """Return the text, after its time, unless it is to misbehave."""
        match resolved.get("behaviour"):
            case "crash":
                os.abort()
            case "garbage":
                os.write(WORKER_WRITES, b"\x00\x00\x00\x04junk")
                time.sleep(3600)
            case "hang":
                while True:
                    time.sleep(3600)
            case "exit0":
                os._exit(0)
            case _:
                pass
        self._sleep(resolved.get("sleep_s"), context)
        if isinstance(reason := resolved.get("fail"), str):
            raise RuntimeError(reason)
        result: dict[str, object] = {"text": resolved.get("text", "")}
        if isinstance(size := resolved.get("size_bytes"), int):
            result["padding"] = "x" * size
        return result

    def calibrate(self) -> float:
        """Return 1: a second is a second."""
        return 1.0

    def _sleep(self, seconds: object, context: Context) -> None:
        if not isinstance(seconds, int | float) or seconds <= 0:
            return
        started_at = self._clock.boot()
        while (passed := self._clock.boot() - started_at) < seconds and not context.cancelled():
            context.report(passed / seconds, note=f"{passed:.0f} of {seconds:g} s")
            time.sleep(min(NAP_S, seconds - passed))


program = EchoProgram(SystemClock())
