"""A connection put to the test: a few pings, then a job that does nothing."""

import asyncio
from dataclasses import dataclass
from typing import Literal

from meshd.clock import Clock
from meshd.errors import MeshdError, PeerUnreachable
from meshd.jobs.history import History
from meshd.jobs.roster import Roster
from meshd_protocol.ids import DeviceId
from meshd_protocol.localapi import END_STATES, JobRequest, JobView

PINGS = 3
"""The shortest of them is the way; the others may have met other traffic."""

JOB_S = 5.0
"""A job that does nothing takes some tens of milliseconds on a LAN, and a second where a worker has to start first."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the test of a connection has shown."""

    round_trip_s: float | None = None
    job_s: float | None = None
    problem: Literal["offline", "silent", "refused", "failed"] | None = None
    message: str = ""
    hint: str = ""


class Trial:
    """Tests connections; leaves no job behind."""

    def __init__(self, *, roster: Roster, history: History, clock: Clock) -> None:
        self._roster = roster
        self._history = history
        self._clock = clock

    async def run(self, peer: DeviceId, name: str, *, is_online: bool, trouble: str) -> Findings:
        """Return what a connection to the peer is worth; `trouble` is why there is none, where that is known."""
        if not is_online:
            return Findings(
                problem="offline",
                message=f"{name} is not connected" + (f": {trouble}" if trouble else ""),
                hint=f"is it switched on, with meshd running, and on this network? on {name}: meshd status",
            )
        try:
            round_trip_s = min([await self._roster.round_trip_s(peer) for _ in range(PINGS)])
        except PeerUnreachable as error:
            return Findings(
                problem="silent",
                message=error.message.replace(peer, name),
                hint=f"it may be asleep, or its network gone a moment ago; on {name}: meshd status",
            )
        return await self._try_job(peer, name, round_trip_s)

    async def _try_job(self, peer: DeviceId, name: str, round_trip_s: float) -> Findings:
        request = JobRequest(
            kind="echo", spec={"text": "is anybody there?"}, name="connection test", placement=peer, priority=100
        )
        began = self._clock.boot()
        try:
            job = (await self._history.submit(request, idempotency_key=None)).id
        except MeshdError as error:
            return Findings(round_trip_s, problem="failed", message=error.message, hint=error.hint)
        async with self._history.changes(job) as changes:
            view = await self._history.job(job)
            try:
                async with asyncio.timeout(JOB_S):
                    while not _has_answered(view):
                        change = await anext(changes, None)
                        # The reader was too slow, on a busy device: what has happened is on disk.
                        view = await self._history.job(job)
                        if change is None:
                            break
            except TimeoutError:
                pass
            took_s = self._clock.boot() - began
        if view.state not in END_STATES:
            await self._history.cancel(job, reason="the test is over")
        await self._history.delete(job)
        return _judge(view, name, round_trip_s, took_s)


def _has_answered(view: JobView) -> bool:
    """Return whether the peer has done with the first attempt; a second one may run elsewhere, and proves nothing."""
    return view.state in END_STATES or (bool(view.attempts) and view.attempts[0].ended_at is not None)


def _judge(view: JobView, name: str, round_trip_s: float, took_s: float) -> Findings:
    first = view.attempts[0] if view.attempts else None
    match first.state if first is not None else None:
        case "succeeded":
            return Findings(round_trip_s, job_s=took_s)
        case "declined":
            return Findings(
                round_trip_s,
                problem="refused",
                message=(first.reason if first is not None else "") or f"{name} declined the test job",
                hint=f"on {name}, its owner grants kinds of jobs to this device",
            )
        case "failed" | "lost" | "cancelled" | "superseded":
            return Findings(
                round_trip_s,
                problem="failed",
                message=f"the test job went wrong on {name}: {first.reason if first is not None else ''}",
                hint=f"the log on {name} says more",
            )
        case _:
            return Findings(
                round_trip_s,
                problem="silent",
                message=f"{name} answers, but has not done the test job within {JOB_S:g} s: {view.reason}",
                hint="it may be busy; see the column BUSY of: meshd peers",
            )
