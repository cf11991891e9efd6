"""One history and what was seen in it."""

from dataclasses import dataclass

from tests.simulation.options import Options
from tests.simulation.story import Story, Violation


@dataclass(frozen=True, slots=True)
class History:
    """What a seed led to; the same seed leads to the same, everywhere."""

    level: str
    seed: int
    options: Options
    digest: str
    sometimes: frozenset[str]
    violation: Violation | None
    story: tuple[str, ...]
    """The last lines about the job that went wrong; empty when none did."""

    def __str__(self) -> str:
        if self.violation is None:
            return f"level {self.level}, seed {self.seed}: all held ({self.digest})"
        lines = "\n".join(self.story)
        return (
            f"level {self.level}, seed {self.seed}: {self.violation}\n"
            f"with {self.options}\n{lines}\n"
            f"again: python -m tests.simulation --level {self.level} --seed {self.seed}"
        )


def digest_of(level: str, seed: int, options: Options, seen: Story, *, lines: int = 50) -> History:
    """Return what has been seen."""
    violation = seen.violation
    story = () if violation is None else tuple(seen.last_lines(lines))
    return History(level, seed, options, seen.digest(), frozenset(seen.sometimes), violation, story)
