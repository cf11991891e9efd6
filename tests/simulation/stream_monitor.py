"""What must hold of durable messages: on disk before they are sent, applied once and in order, in one pairing only."""

from tests.simulation.story import Story
from tests.simulation.trust_monitor import TrustMonitor


class StreamMonitor:
    """Judges the streams of all pairs of devices."""

    def __init__(self, story: Story, trust: TrustMonitor) -> None:
        self._story = story
        self._trust = trust
        self._outbound: dict[tuple[str, str], tuple[str, int]] = {}
        self._applied: dict[tuple[str, str], tuple[str, int]] = {}
        self._void: dict[tuple[str, str], tuple[str, int]] = {}
        """How far a device had applied a stream before it lost its memory of it."""

        self._effects: dict[str, set[tuple[str, str]]] = {}
        self._former: set[tuple[str, str, str]] = set()
        """Streams of pairings that are over: whose disk, the other side, their name."""

        self._unpaired_at: dict[tuple[str, str], float] = {}

    def wiped(self, node: str) -> None:
        """A device has lost its database."""
        for pair in [pair for pair in self._applied if pair[0] == node]:
            self._void[pair] = self._applied.pop(pair)
        for pair in [pair for pair in self._outbound if pair[0] == node]:
            del self._outbound[pair]
        self._effects.pop(node, None)

    def unpaired(self, node: str, peer: str) -> None:
        """A device's disk has forgotten a peer, and the streams between the two with it."""
        outbound, applied = self._outbound.pop((node, peer), None), self._applied.pop((node, peer), None)
        if outbound is not None:
            self._former.add((node, peer, outbound[0]))
        if applied is not None:
            self._former.add((node, peer, applied[0]))
            self._void[node, peer] = applied
        self._unpaired_at[node, peer] = self._story.now()
        # What the peer has not forgotten may come again, in a new stream.
        self._effects[node] = {(sender, what) for sender, what in self._effects.get(node, set()) if sender != peer}

    def numbered(self, sender: str, receiver: str, stream: str, last: int) -> None:
        """A sender's disk holds messages up to this number."""
        self._check_pairing(sender, receiver, stream)
        known = self._outbound.get((sender, receiver))
        if known is not None and known[0] != stream and last > 0:
            self._story.sometime("a stream was opened anew")
        self._outbound[sender, receiver] = (stream, last)

    def sent(self, sender: str, receiver: str, seq: int) -> None:
        """A durable message is on the line."""
        known = self._outbound.get((sender, receiver))
        is_parting = known is None and self._unpaired_at.get((sender, receiver)) == self._story.now()
        if is_parting or not self._trust.is_paired(sender, receiver):
            return  # It was queued for a session that ends in this moment, though they may be paired again already.
        if known is None or seq > known[1]:
            self._story.broken("I7", f"{sender} sent message {seq} to {receiver} before it was on its disk")

    def arrived(self, receiver: str, sender: str, seq: int) -> None:
        """A durable message has reached a device."""
        known = self._applied.get((receiver, sender))
        if known is not None and seq <= known[1]:
            self._story.sometime("a message came again")

    def applied(self, receiver: str, sender: str, stream: str, seq: int, what: str, job: str) -> None:
        """What a message has done is on the receiver's disk."""
        self._story.note(receiver, f"applies {what} of {sender} ({seq})", job)
        self._check_pairing(receiver, sender, stream)
        if not self._trust.is_paired(receiver, sender):
            self._story.broken("trust", f"{receiver} applied {what} of {sender}, which is not paired with it", job)
        known = self._applied.get((receiver, sender))
        due = 1 if known is None or known[0] != stream else known[1] + 1
        if seq != due:
            self._story.broken("delivery", f"{receiver} applied message {seq} of {sender} where {due} was due", job)
        self._applied[receiver, sender] = (stream, seq)
        effects = self._effects.setdefault(receiver, set())
        if (sender, what) in effects:
            self._story.broken("delivery", f"{receiver} applied {what} of {sender} twice", job)
        effects.add((sender, what))

    def forgotten(self, sender: str, receiver: str, stream: str, seq: int) -> None:
        """A sender's disk takes messages up to this number as applied over there."""
        known = (self._applied.get((receiver, sender)), self._void.get((receiver, sender)))
        if seq > 0 and not any(each is not None and each[0] == stream and each[1] >= seq for each in known):
            self._story.broken("delivery", f"{sender} takes message {seq} as applied by {receiver}, which it is not")

    def _check_pairing(self, node: str, peer: str, stream: str) -> None:
        if (node, peer, stream) in self._former:
            self._story.broken("trust", f"a stream between {node} and {peer} has outlived their pairing")
