"""What must hold of attempts that compute a part of a job: beside one that runs it as a whole, one on each device."""

from collections.abc import Iterable

from tests.simulation.seen import OPEN
from tests.simulation.story import Story


class PartMonitor:
    """Judges parts. What they compute is judged by `CheckpointMonitor`."""

    def __init__(self, story: Story) -> None:
        self._story = story

    def offered(self, job: str, number: int, device: str, *, beside: Iterable[tuple[str, bool]]) -> None:
        """A part is on disk; `beside` it these devices have open attempts of the job, each a part or not."""
        others = list(beside)
        self._story.sometime("a job was shared")
        if all(is_part for _, is_part in others):
            self._story.broken("fence", f"attempt {number} is a part of a job that runs nowhere as a whole", job)
        if any(other == device for other, _ in others):
            self._story.broken("fence", f"{device} was to compute two attempts of one job at once", job)

    def changed(self, job: str, number: int, before: str, state: str) -> None:
        """The state of a part is on disk."""
        if before not in OPEN:
            self._story.broken("I4", f"attempt {number} was {before} and became {state}", job)
        if state == "succeeded":
            self._story.sometime("a part was computed on another device")
        elif state in {"lost", "failed", "declined"}:
            self._story.sometime("a part was lost")
