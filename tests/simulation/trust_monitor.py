"""What must hold between devices that unpair, pair again, and take permissions back."""

from typing import Final

from tests.simulation.story import Story

MAY_HAPPEN_TO_ITS_ATTEMPTS: Final = frozenset({"lost", "cancelled", "superseded"})
"""What becomes of an attempt on a device that is not paired: its origin decides that alone, nobody reports it."""

CUT_BOUND_S: Final = 2.0
"""How long a worker may run on that its device no longer grants: work ends with the right to it, as after a cancel."""


class TrustMonitor:
    """Judges what an unpaired or unpermitted device still moves."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._kinds: dict[tuple[str, str], frozenset[str]] = {}
        """What a device, the first, lets its peer, the second, have done there; as its disk says."""

        self._since: dict[tuple[str, str, str], float] = {}
        """Since when a kind of job of the second is not granted at the first."""

        self._was_paired: set[tuple[str, str]] = set()
        self._unpairings: dict[tuple[str, str], int] = {}
        """How often a device's disk has forgotten a peer."""

    # What disks say

    def paired(self, node: str, peer: str, kinds: frozenset[str]) -> None:
        """A device's disk says that it is paired with another one, and what that may have done there."""
        known = self._kinds.get((node, peer))
        if known is None and (node, peer) in self._was_paired:
            self._story.sometime("a device was paired again")
        if known != kinds:
            self._story.note(node, f"grants {peer} {', '.join(sorted(kinds)) or 'nothing'}")
        for kind in (known or frozenset()) - kinds:
            self._since[node, peer, kind] = self._story.now()
        for kind in kinds:
            self._since.pop((node, peer, kind), None)
        self._kinds[node, peer] = kinds
        self._was_paired.add((node, peer))

    def unpaired(self, node: str, peer: str) -> None:
        """A device's disk says that it is not paired with another one any more."""
        self._story.note(node, f"has unpaired {peer}")
        self._unpairings[node, peer] = self.unpairings(node, peer) + 1
        for kind in self._kinds.pop((node, peer), frozenset()):
            self._since[node, peer, kind] = self._story.now()

    def unpairings(self, node: str, peer: str) -> int:
        """Return how often a device's disk has forgotten a peer."""
        return self._unpairings.get((node, peer), 0)

    def acknowledged(self, node: str, peer: str, *, asked_after: int) -> None:
        """A user was told that a device is not paired any more, who asked after so many unpairings."""
        if self.unpairings(node, peer) <= asked_after:
            self._story.broken("trust", f"{node} says that it has unpaired {peer}, and its disk says otherwise")

    def wiped(self, node: str) -> None:
        """A device has lost its database."""
        for pair in [pair for pair in self._kinds if pair[0] == node]:
            del self._kinds[pair]

    def is_paired(self, node: str, peer: str) -> bool:
        """Return whether a device's disk says that it is paired with another one."""
        return (node, peer) in self._kinds

    # What happens

    def attempt_changed(self, origin: str, device: str, job: str, state: str, *, is_paired: bool) -> None:
        """An attempt on another device has changed; `is_paired` says how the two stood at that moment."""
        if not is_paired and state not in MAY_HAPPEN_TO_ITS_ATTEMPTS:
            self._story.broken("trust", f"an attempt on {device}, which is not paired with {origin}, is {state}", job)

    def session_opened(self, node: str, peer: str) -> None:
        """A device takes a session for good."""
        if not self.is_paired(node, peer):
            self._story.broken("trust", f"{node} talks with {peer}, which is not paired with it")

    def refused_since(self, executor: str, origin: str, kind: str) -> float | None:
        """Return since when such jobs of an origin are not granted at an executor; None when they are."""
        return self._since.get((executor, origin, kind))
