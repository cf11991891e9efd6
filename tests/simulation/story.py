"""What happened in one history, line by line, and the first thing in it that must not be."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """What did not hold."""

    invariant: str
    text: str
    job: str | None = None

    def __str__(self) -> str:
        return f"{self.invariant}: {self.text}"


class Story:
    """The trace of a history, which its monitors write together."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self._trace: list[tuple[float, str, str | None, str]] = []
        self.sometimes: set[str] = set()
        self.violation: Violation | None = None

    def note(self, node: str, text: str, job: str | None = None) -> None:
        """Add a line to the story of this history."""
        self._trace.append((self.now(), node, job, text))

    def sometime(self, what: str) -> None:
        """Note that something worth testing has happened."""
        self.sometimes.add(what)

    def broken(self, invariant: str, text: str, job: str | None = None) -> None:
        """Record the first thing that did not hold."""
        if self.violation is None:
            self.violation = Violation(invariant, text, job)
            self.note("monitor", f"VIOLATION {invariant}: {text}", job)

    def digest(self) -> str:
        """Return what two runs of the same history have in common."""
        text = "\n".join(f"{at:.9f} {node} {job} {what}" for at, node, job, what in self._trace)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def last_lines(self, count: int) -> Sequence[str]:
        """Return the last lines about the job that the violation is about, and of what happened to the world."""
        wanted = None if self.violation is None else self.violation.job
        lines = [line for line in self._trace if wanted is None or line[2] in {None, wanted}]
        return [f"{at:10.4f}  {node:>8}  {job or '-':12}  {what}" for at, node, job, what in lines[-count:]]
