"""A divisible program: the sum of the squares below `units`, and then the sum of that sum's multiples."""

import time

from meshd.kinds.base import Context, Document, Done, Phase


class Counting:
    """Two phases; the second depends on the first."""

    def plan(self, resolved: Document, finished: tuple[int, ...]) -> Phase | Done:
        units = int(str(resolved["units"]))
        match finished:
            case ():
                return Phase(0, units, "squares", 0.75, {})
            case (squares,):
                return Phase(1, 4, "multiples", 0.25, {"squares": squares})
            case _:
                return Done({"squares": finished[0], "multiples": finished[1]})

    def run_span(self, resolved: Document, phase: Phase, start: int, stop: int, context: Context) -> int | None:
        total = 0
        for unit in range(start, stop):
            if context.cancelled():
                return None
            self.work(resolved)
            total += unit * unit if phase.number == 0 else unit * int(str(phase.params["squares"]))
            context.report((unit + 1 - start) / (stop - start), best=str(total))
        return total

    def work(self, resolved: Document) -> None:
        """Take the time of one unit."""
        time.sleep(float(str(resolved.get("unit_s", 0))))

    def merge(self, one: int, other: int) -> int:
        return one + other

    def pack(self, partial: int) -> bytes:
        return str(partial).encode()

    def unpack(self, data: bytes) -> int:
        return int(data)

    def calibrate(self) -> float:
        return 12.5


program = Counting()
