"""Which machines can talk, by what this soak does to them, and which do, by what both of them say."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations

from tests.soak.ledger import CannotTalk, CanTalk, Connected, Disconnected, Ledger

JUST_NOW_S = 1.0
"""Within which the end of a daemon is noticed."""


@dataclass(slots=True)
class _Machine:
    ready: bool = False
    still: bool = False
    linked: bool = True
    full: bool = False
    released_at: float = -1000.0
    """When its disk had room again."""

    online: frozenset[str] = frozenset()
    """The machines with which it says that it has a session."""

    asked_at: float = -1.0
    """When that was asked."""

    @property
    def is_up(self) -> bool:
        return self.ready and self.linked and not self.still and not self.full


@dataclass(slots=True)
class _Pair:
    can_talk: bool = False
    since: float = 0.0
    connected: bool = False
    members: tuple[str, str] = field(default=("", ""))


class Reach:
    """Keeps count, from any thread, and writes every change into the ledger."""

    def __init__(self, machines: Iterable[str], ledger: Ledger, *, is_cut: Callable[[str, str], bool]) -> None:
        self._machines = {name: _Machine() for name in machines}
        self._pairs = {f"{one}-{other}": _Pair(members=(one, other)) for one, other in combinations(self._machines, 2)}
        self._ledger = ledger
        self._is_cut = is_cut
        self._lock = threading.RLock()

    def now(
        self,
        machine: str,
        *,
        ready: bool | None = None,
        still: bool | None = None,
        linked: bool | None = None,
        full: bool | None = None,
    ) -> None:
        """Note what has changed about a machine: whether it answers, stands still, has a network, a full disk."""
        with self._lock:
            known = self._machines[machine]
            if full is False:
                known.released_at = self._ledger.now()
            known.ready = known.ready if ready is None else ready
            known.still = known.still if still is None else still
            known.linked = known.linked if linked is None else linked
            known.full = known.full if full is None else full
            self.look_again()

    def look_again(self) -> None:
        """Note that ways were cut, or opened again."""
        with self._lock:
            for name, pair in self._pairs.items():
                one, other = pair.members
                cut = self._is_cut(one, other) or self._is_cut(other, one)
                can_talk = self._machines[one].is_up and self._machines[other].is_up and not cut
                if can_talk and not pair.can_talk:
                    # What was said before counts no more: it may be about a session that is dead.
                    pair.since, pair.connected = self._ledger.now(), False
                    self._ledger.write(CanTalk(pair=name))
                elif pair.can_talk and not can_talk:
                    self._ledger.write(CannotTalk(pair=name))
                pair.can_talk = can_talk

    def is_answering(self, machine: str) -> bool:
        """Return whether there is any use in asking a machine."""
        with self._lock:
            return self._machines[machine].ready and not self._machines[machine].still

    def is_full_and_not_ready(self, machine: str) -> bool:
        """Return whether a daemon has a full disk, or had one a moment ago, and had not become ready before."""
        with self._lock:
            known = self._machines[machine]
            since = self._ledger.now() - known.released_at
            return not known.ready and (known.full or since < JUST_NOW_S)

    def heard(self, machine: str, online: Iterable[str], *, asked_at: float) -> None:
        """Take a machine's answer to the question with whom it has a session."""
        with self._lock:
            known = self._machines[machine]
            known.online, known.asked_at = frozenset(online), asked_at
            for name, pair in self._pairs.items():
                if machine in pair.members and pair.can_talk:
                    self._judge(name, pair)

    def _judge(self, name: str, pair: _Pair) -> None:
        one, other = pair.members
        views = (self._machines[one], other), (self._machines[other], one)
        if any(view.asked_at <= pair.since for view, _ in views):
            return
        connected = all(peer in view.online for view, peer in views)
        if connected != pair.connected:
            pair.connected = connected
            self._ledger.write(Connected(pair=name) if connected else Disconnected(pair=name))

    def apart(self) -> list[str]:
        """Return the pairs that have no session."""
        with self._lock:
            return [name for name, pair in self._pairs.items() if not (pair.connected and pair.can_talk)]
