"""How long it took until two machines that could talk again did."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.soak.ledger import AnyEntry, CannotTalk, CanTalk, Connected, Disconnected

STEADY_S = 8.0
"""A session that ends sooner was one from before the fault: its death had not been noticed yet."""

P95_S = 10.0
LONGEST_S = 30.0
"""What users were promised: the network is back, and so are the devices."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """From the moment when two machines could talk to the session that stayed."""

    pair: str
    at: float
    took_s: float
    came: bool = True
    """Whether there was a session at last; otherwise the next fault came first."""


def recoveries(entries: Iterable[AnyEntry], until: float) -> list[Recovery]:
    """Return how long each return took; those that were cut short by the next fault only if they were late already."""
    found: list[Recovery] = []
    since: dict[str, float] = {}
    sessions: dict[str, list[tuple[float, float | None]]] = {}
    for entry in entries:
        match entry:
            case CanTalk(at=at, pair=pair):
                since[pair], sessions[pair] = at, []
            case Connected(at=at, pair=pair) if pair in since:
                sessions[pair].append((at, None))
            case Disconnected(at=at, pair=pair) if pair in since and sessions[pair]:
                sessions[pair][-1] = (sessions[pair][-1][0], at)
            case CannotTalk(at=at, pair=pair) if pair in since:
                found += _of_one(pair, since.pop(pair), at, sessions[pair])
            case _:
                continue
    for pair, began in since.items():
        found += _of_one(pair, began, until, sessions[pair])
    return found


def _of_one(pair: str, began: float, ended: float, sessions: Sequence[tuple[float, float | None]]) -> list[Recovery]:
    """Judge one stretch of time in which nothing kept the two apart."""
    found: list[Recovery] = []
    since: float | None = began
    for opened, closed in sessions:
        since = opened if since is None else since
        if closed is None:
            found.append(Recovery(pair, began, round(opened - since, 2)))
            since = None
        elif closed - opened >= STEADY_S:
            found.append(Recovery(pair, began, round(opened - since, 2)))
            since = closed
    if since is not None and ended - since > P95_S:
        found.append(Recovery(pair, began, round(ended - since, 2), came=False))
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share does not exceed; 0 when there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
