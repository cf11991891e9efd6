"""What this device says to each origin that it holds, and when it has asked this."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from meshd.clock import Clock
from meshd.jobs.executor import AttemptKey
from meshd.net.streams import Streams
from meshd_protocol.ids import DeviceId, job_id
from meshd_protocol.messages import jobs as wire

MAX_ASKED = 64
"""Questions to one origin to which it may still refer: one that never answers must not fill the memory."""


class Roll:
    """Tells origins what is held of theirs, the ends included that they may not have heard of."""

    def __init__(self, *, boot: str, streams: Streams, clock: Clock) -> None:
        self._streams = streams
        self._clock = clock
        self._boots: defaultdict[DeviceId, str] = defaultdict(lambda: boot)
        """What each origin is told of the run of this daemon: another one since it was unpaired and forgotten."""

        self._asked: defaultdict[DeviceId, dict[int, tuple[float, object]]] = defaultdict(dict)
        """When each question was asked, and in which conversation."""

        self._number = 0
        self._ends: defaultdict[DeviceId, dict[AttemptKey, int]] = defaultdict(dict)
        """Those that are on disk, with the numbers of the messages that tell them."""

    def call(self, origin: DeviceId, held: Iterable[tuple[AttemptKey, bool]]) -> None:
        """Tell an origin what is held of it, each with whether it runs, and ask it to renew the leases."""
        if not self._streams.is_open(origin):
            return
        lines = [
            wire.HeldAttempt(job=key.job, attempt=key.number, state="running" if runs else "waiting")
            for key, runs in held
        ]
        # What its origin has on its disk, it need not hear of.
        applied = self._streams.applied_by(origin)
        lines += [
            wire.HeldAttempt(job=key.job, attempt=key.number, state="finished")
            for key, seq in sorted(self._ends[origin].items(), key=lambda end: end[1])
            if seq > applied
        ]
        self._number += 1
        asked = self._asked[origin]
        asked[self._number] = self._clock.boot(), self._streams.conversation(origin)
        if len(asked) > MAX_ASKED:
            del asked[min(asked)]
        message = wire.Holding(boot=self._boots[origin], number=self._number, attempts=lines)
        self._streams.tell(origin, message, key="holding")

    def asked_at(self, origin: DeviceId, number: int) -> float | None:
        """Return when the question of this number was asked; None when it was not, or not in this session."""
        at, conversation = self._asked[origin].get(number, (0.0, None))
        # What an earlier session has brought may still be on its way to the disk when the next one opens.
        return at if conversation is not None and conversation is self._streams.conversation(origin) else None

    def ended(self, key: AttemptKey, seq: int) -> None:
        """Note that the end of an attempt is on disk, and told by message `seq`."""
        self._ends[key.origin][key] = seq

    def has_ends(self, origin: DeviceId) -> bool:
        """Return whether an origin may not have heard of an end; for the writer's thread, too."""
        return bool(self._ends.get(origin))

    def acknowledged(self, origin: DeviceId, seq: int) -> None:
        """Forget the ends that are told by messages up to `seq`."""
        ends = self._ends[origin]
        for key in [key for key, told in ends.items() if told <= seq]:
            del ends[key]

    def reopened(self, origin: DeviceId, renumbered: Mapping[int, int]) -> None:
        """Follow the messages into their new numbers; forget the ends that no message tells any more."""
        ends = self._ends[origin]
        self._ends[origin] = {key: renumbered[seq] for key, seq in ends.items() if seq in renumbered}

    def forget(self, origin: DeviceId) -> None:
        """Forget an origin that is no longer paired."""
        self._ends.pop(origin, None)
        self._asked.pop(origin, None)
        # Paired again, it may send offers anew that were begun here before: it must not take them for the same.
        self._boots[origin] = job_id(hashlib.sha256(self._boots[origin].encode()).digest()[:8])
