"""A durable stream delivers each message once, whatever the line and the two ends do."""

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd_protocol.errors import RemoteError
from meshd_protocol.ids import StreamId
from meshd_protocol.limits import BATCH_BYTES, MAX_WINDOW
from meshd_protocol.machines.delivery import (
    NOTHING,
    Again,
    Apply,
    Continue,
    Due,
    Inbound,
    Outbound,
    Reopen,
    acknowledge,
    digest,
    receive,
    resume,
    sendable,
    start,
    take_batch,
)

ONE, TWO = StreamId("aaaaaaaaaaaaaaaa"), StreamId("bbbbbbbbbbbbbbbb")


def test_a_known_stream_continues_where_the_receiver_is() -> None:
    assert resume(Outbound(ONE, 9, 4), stream=ONE, received=6, ours=b"d", theirs=b"d") == Continue(6)


@pytest.mark.parametrize(
    ("stream", "received", "theirs"),
    [(TWO, 6, b"d"), (ONE, 3, b"d"), (ONE, 10, b"d"), (ONE, 6, b"other"), ("", 0, b"")],
    ids=["another stream", "less than acknowledged", "more than sent", "another message", "nothing known"],
)
def test_a_stream_whose_past_differs_is_reopened(stream: str, received: int, theirs: bytes) -> None:
    assert resume(Outbound(ONE, 9, 4), stream=stream, received=received, ours=b"d", theirs=theirs) == Reopen()


def test_a_missing_message_is_an_error() -> None:
    with pytest.raises(RemoteError):
        receive(Inbound(ONE, 4, b""), 6, b"frame")


def test_a_stream_that_starts_behind_the_cursor_is_an_error() -> None:
    with pytest.raises(RemoteError):
        start(Inbound(ONE, 4, b""), ONE, 5)
    with pytest.raises(RemoteError):
        start(Inbound(ONE, 4, b""), TWO, 1)


def test_an_acknowledgement_of_what_was_not_sent_is_an_error() -> None:
    with pytest.raises(RemoteError):
        acknowledge(Outbound(ONE, 9, 4), 8, sent=7)


def test_messages_that_follow_each_other_travel_together_up_to_a_size() -> None:
    waiting = deque(Due(seq, b"x" * 1000, answered=seq) for seq in range(5, 200))
    first = take_batch(waiting, 200)
    assert (first.seq, len(first.frames), first.answered) == (5, BATCH_BYTES // 1000, 5)
    second = take_batch(waiting, first.seq + len(first.frames) + 3)
    assert (second.seq, len(second.frames)) == (first.seq + len(first.frames), 3)
    assert waiting[0].seq == second.seq + 3


def test_a_message_of_any_size_travels_alone() -> None:
    waiting = deque([Due(1, b"x" * (BATCH_BYTES + 1)), Due(2, b"y")])
    assert take_batch(waiting, 3).frames == [b"x" * (BATCH_BYTES + 1)]
    assert take_batch(waiting, 3).frames == [b"y"]


def test_no_more_than_a_window_is_under_way() -> None:
    assert sendable(Outbound(ONE, 10_000, 5), sent=5) == range(6, 6 + MAX_WINDOW)


@dataclass
class World:
    """Two ends and a line, with disks that survive what memory does not."""

    outbox: dict[int, bytes] = field(default_factory=dict[int, bytes])
    outbound: Outbound = field(default_factory=lambda: Outbound(ONE, 0, 0))
    inbound: Inbound | None = None
    applied: list[bytes] = field(default_factory=list[bytes])
    posted: list[bytes] = field(default_factory=list[bytes])
    streams: int = 0

    def post(self) -> None:
        frame = f"message {len(self.posted)}".encode()
        self.posted.append(frame)
        self.outbound = Outbound(self.outbound.stream, self.outbound.last + 1, self.outbound.acked)
        self.outbox[self.outbound.last] = frame

    def connect(self) -> int:
        """Exchange what both know, as after every reconnect; return the number last sent."""
        known = self.inbound
        ours = None if known is None else self.outbox.get(known.last)
        decision = resume(
            self.outbound,
            stream="" if known is None else known.stream,
            received=0 if known is None else known.last,
            ours=None if ours is None else digest(ours),
            theirs=NOTHING if known is None else known.digest,
        )
        match decision:
            case Continue(after):
                self.acknowledged(after)
            case Reopen():
                self.streams += 1
                waiting = [self.outbox[seq] for seq in sorted(self.outbox)]
                self.outbox = dict(enumerate(waiting, start=1))
                self.outbound = Outbound(StreamId(f"{self.streams:016}"), len(waiting), 0)
        self.inbound = start(self.inbound, self.outbound.stream, self.outbound.acked)
        return self.outbound.acked

    def acknowledged(self, seq: int) -> None:
        self.outbound = Outbound(self.outbound.stream, self.outbound.last, max(self.outbound.acked, seq))
        self.outbox = {key: frame for key, frame in self.outbox.items() if key > seq}

    def deliver(self, seq: int) -> None:
        assert self.inbound is not None
        match receive(self.inbound, seq, self.outbox[seq]):
            case Apply(then):
                self.inbound = then
                self.applied.append(self.outbox[seq])
            case Again():
                pass


@given(st.lists(st.sampled_from(["post", "deliver", "deliver twice", "ack lost", "ack", "reconnect"]), max_size=60))
def test_every_message_takes_effect_once_and_in_order(script: list[str]) -> None:
    world = World()
    sent = world.connect()
    for action in script:
        match action:
            case "post":
                world.post()
            case "deliver" | "deliver twice" | "ack lost":
                for seq in sendable(world.outbound, sent)[:2]:
                    world.deliver(seq)
                    sent = seq
                    if action == "deliver twice":
                        world.deliver(seq)
            case "ack":
                assert world.inbound is not None
                world.outbound = acknowledge(world.outbound, world.inbound.last, sent=sent)
                world.acknowledged(world.inbound.last)
            case _:
                sent = world.connect()
    sent = world.connect()
    for seq in sendable(world.outbound, sent):
        world.deliver(seq)
    assert world.applied == world.posted


@given(st.integers(0, 6), st.integers(0, 6))
def test_a_receiver_that_lost_its_database_gets_all_that_was_not_acknowledged(delivered: int, acked: int) -> None:
    world = World()
    for _ in range(6):
        world.post()
    world.connect()
    for seq in range(1, delivered + 1):
        world.deliver(seq)
    acked = min(acked, delivered)
    world.acknowledged(acked)
    world.inbound = None
    world.applied.clear()
    sent = world.connect()
    for seq in sendable(world.outbound, sent):
        world.deliver(seq)
    assert world.applied == world.posted[acked:]
