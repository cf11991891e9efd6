"""Attempts that were sent to devices which have not counted them yet in what they say of their load."""

from collections.abc import Callable
from dataclasses import dataclass

from meshd.clock import Clock
from meshd.jobs.model import Job
from meshd.scheduling.planning import Coming
from meshd_protocol.ids import DeviceId, JobId


@dataclass(slots=True)
class _Sending:
    """One attempt on its way."""

    coming: Coming
    answered_at: float | None = None
    """When its device was heard to hold it, on the clock that counts sleep."""


class Sendings:
    """Remembers what was sent where until the device's own word includes it.

    Without this, a device that tells of its load a moment late would be given its free slot again and again.
    """

    def __init__(self, *, device: DeviceId, clock: Clock) -> None:
        self._device = device
        self._clock = clock
        self._sent: dict[JobId, _Sending] = {}

    def sent(self, job: JobId, coming: Coming) -> None:
        """Note that an attempt of a job was placed."""
        self._sent[job] = _Sending(coming)

    def dropped(self, job: JobId) -> None:
        """Note that the placing of a job came to nothing."""
        self._sent.pop(job, None)

    def tracked(self, job: Job) -> None:
        """Take note of a job's new state."""
        sending = self._sent.get(job.id)
        if sending is None:
            return
        whole = job.whole
        # This device's own executor counts what it has at once.
        if whole is None or whole.device != sending.coming.device or whole.device == self._device:
            del self._sent[job.id]
        elif whole.state != "offered" and sending.answered_at is None:
            sending.answered_at = self._clock.boot()

    def coming(self, heard_at: Callable[[DeviceId], float]) -> list[Coming]:
        """Return what no device counts yet; `heard_at` tells when each has last told of its load."""
        for job, sending in tuple(self._sent.items()):
            if sending.answered_at is not None and heard_at(sending.coming.device) > sending.answered_at:
                del self._sent[job]
        return [sending.coming for sending in self._sent.values()]
