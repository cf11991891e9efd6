"""What users ask for during a soak: a mix of jobs, each of which has one right outcome, or none if it is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

from meshd_protocol.localapi import JobRequest

Sort = Literal["sleep", "cancel", "fail", "crash", "timeout", "lineups", "large lineups", "bad"]

SHARES: Final[dict[Sort, float]] = {
    "sleep": 0.61,
    "cancel": 0.09,
    "fail": 0.06,
    "crash": 0.04,
    "timeout": 0.03,
    "lineups": 0.07,
    "large lineups": 0.01,
    "bad": 0.09,
}

LARGE_AT: Final = 3
"""Which job of each origin is large lineups whatever is drawn: each run has some."""

SMALL_SCENARIOS: Final = (20_000, 60_000)
LARGE_SCENARIOS: Final = 2_000_000
"""About four seconds on a core of its own, and several of them on cores that are shared: enough for checkpoints."""

DRIVERS: Final = 10
"""210 lineups: the time goes into the races, which are the units that are checkpointed."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A job that a user wants, and when the user changes their mind."""

    request: JobRequest
    cancel_after_s: float | None = None


class Workload:
    """Draws the wishes of the user of one machine."""

    def __init__(self, machine: str, machines: Sequence[str], random: Random) -> None:
        self._peers = [name for name in machines if name != machine]
        self._random = random
        self._drawn = 0

    def draw(self) -> Wish:
        """Return the next wish."""
        random = self._random
        self._drawn += 1
        sort = random.choices(list(SHARES), weights=list(SHARES.values()))[0]
        if self._drawn == LARGE_AT:
            sort = "large lineups"
        request = JobRequest(
            kind="lineups" if "lineups" in sort else "echo",
            spec=self._spec(sort),
            name=f"{sort} {self._drawn}",
            placement=self._placement(),
            priority=random.choice((0, 0, 0, 5, -5)),
            retries=random.choice((0, 1)) if sort in {"fail", "crash"} else 0,
            timeout_s=1.0 if sort == "timeout" else 0.0,
        )
        if sort == "bad":
            return Wish(self._spoilt())
        return Wish(request, random.uniform(0.2, 1.5) if sort == "cancel" else None)

    def _placement(self) -> str:
        return self._random.choices(("auto", "local", self._random.choice(self._peers)), weights=(45, 20, 35))[0]

    def _spec(self, sort: Sort) -> dict[str, object]:
        random = self._random
        text = f"{sort} {random.getrandbits(64):x}"
        match sort:
            case "lineups":
                return lineups_spec(random.choice(SMALL_SCENARIOS), random.choice((1, 2)))
            case "large lineups":
                return lineups_spec(LARGE_SCENARIOS, 1)
            case "cancel":
                return {"text": text, "sleep_s": 3.0}
            case "timeout":
                return {"text": text, "sleep_s": 3.0}
            case "fail":
                return {"text": text, "sleep_s": round(random.uniform(0.0, 1.0), 2), "fail": "it was to fail"}
            case "crash":
                return {"text": text, "behaviour": random.choice(("crash", "exit0", "garbage"))}
            case "sleep" | "bad":
                spec: dict[str, object] = {"text": text, "sleep_s": round(3.0 * random.random() ** 2, 2)}
                if random.random() < 0.2:
                    spec["size_bytes"] = random.choice((1_000, 60_000, 400_000))
                return spec

    def _spoilt(self) -> JobRequest:
        return self._random.choice(
            (
                JobRequest(kind="telepathy", spec={}),
                JobRequest(kind="echo", spec={"text": "hello", "loud": True}),
                JobRequest(kind="echo", spec={"sleep_s": -1.0}),
                JobRequest(kind="echo", spec={"text": "hello"}, placement="nowhere"),
                JobRequest(kind="lineups", spec={"drivers": []}),
                JobRequest(kind="lineups", spec=lineups_spec(0, 1)),
            )
        )


def is_bad(request: JobRequest) -> bool:
    """Return whether a wish must be refused: only those have no name."""
    return request.name is None


def lineups_spec(scenarios: int, seed: int) -> dict[str, object]:
    """Return the spec of an optimization over invented drivers whose salaries make the cap bite."""
    drivers = [
        {
            "id": str(100 + number),
            "name": f"Driver {number}",
            "salary": 5_500 + 100 * (number * 37 % 54),
            "avg_points": 10 + number * 29 % 41,
        }
        for number in range(DRIVERS)
    ]
    return {"drivers": drivers, "lineup_count": 3, "scenarios": scenarios, "objective": "mean", "seed": seed}
