"""What must hold of divisible jobs: each unit counts once, what is done stays done, its blobs stay as long as it.

Like the whole monitor it sees only what is on disks, and what workers are given and give back.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from tests.simulation.story import Story

Span: TypeAlias = tuple[int, int, int]
"""Phase, start, stop."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One span of a checkpoint on an origin's disk."""

    attempt: int
    units: int
    stop: int
    digest: str


@dataclass(slots=True)
class _Divided:
    """A divisible job."""

    origin: str
    answer: str
    """The result that it has when nothing disturbs it."""

    rows: dict[tuple[int, int], _Row] = field(default_factory=dict[tuple[int, int], _Row])
    """The checkpoint, by phase and start."""

    offered: dict[int, tuple[str, dict[Span, str]]] = field(default_factory=dict[int, tuple[str, dict[Span, str]]])
    """What each attempt was to go on from: its device, and the spans with their digests."""

    was_misread: bool = False
    """Whether an attempt began without spans that its device could not read: what it computes may cross them."""

    may_begin_anew: bool = False
    """Whether an attempt has said that it cannot use the checkpoint."""

    ended: bool = False


class CheckpointMonitor:
    """Judges checkpoints, their blobs, and the results made of them."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._jobs: dict[str, _Divided] = {}
        self._damaged: set[tuple[str, str]] = set()

    def planned(self, origin: str, job: str, answer: str) -> None:
        """A divisible job is on disk, whose undisturbed result is known."""
        self._jobs[job] = _Divided(origin, answer)

    def wiped(self, origin: str) -> None:
        """A device has lost its database."""
        for job in [job for job, known in self._jobs.items() if known.origin == origin]:
            del self._jobs[job]

    # The checkpoint on the origin's disk

    def covered(self, job: str, attempt: int, units: int, span: Span, digest: str, *, is_open: bool) -> None:
        """A span has entered a checkpoint; `is_open` says whether its attempt was open at that moment."""
        known = self._jobs[job]
        phase, start, stop = span
        self._story.note(known.origin, f"attempt {attempt}: units {start} to {stop} of phase {phase} are safe", job)
        if not is_open:
            self._story.broken("coverage", f"attempt {attempt} was over when its units {start} to {stop} counted", job)
        if known.ended:
            self._story.broken("coverage", f"units {start} to {stop} counted after the end of the job", job)
        replaced = 0
        for (other_phase, other_start), other in list(known.rows.items()):
            if other_phase != phase or other_start >= stop or start >= other.stop:
                continue
            if other_start < start or stop < other.stop:
                self._story.broken(
                    "coverage",
                    f"units {start} to {stop} of attempt {attempt} overlap"
                    f" units {other_start} to {other.stop} of attempt {other.attempt}",
                    job,
                )
            if other.attempt != attempt:
                self._story.sometime("what others had computed as well was replaced")
            replaced += other.stop - other_start
            del known.rows[other_phase, other_start]
        if replaced >= stop - start:
            self._story.broken("coverage", f"units {start} to {stop} of attempt {attempt} count again", job)
        known.rows[phase, start] = _Row(attempt, units, stop, digest)

    def uncovered(self, job: str) -> None:
        """The checkpoint of a job was dropped."""
        known = self._jobs.get(job)
        if known is None or not known.rows:
            return
        has_rotted = any((known.origin, row.digest) in self._damaged for row in known.rows.values())
        if not known.ended and not (known.may_begin_anew or known.was_misread or has_rotted):
            self._story.broken("coverage", "the checkpoint was dropped though nobody had refused it", job)
        if not known.ended:
            self._story.note(known.origin, "its checkpoint is dropped", job)
            self._story.sometime("a bad checkpoint was dropped")
        known.may_begin_anew = known.was_misread = False
        known.rows.clear()

    def refused(self, job: str) -> None:
        """An attempt has ended because it could not use the checkpoint."""
        if job in self._jobs:
            self._jobs[job].may_begin_anew = True

    def ended(self, job: str) -> None:
        """A job has ended."""
        if job in self._jobs:
            self._jobs[job].ended = True

    # Attempts

    def offered(self, job: str, number: int, device: str) -> None:
        """An attempt is on disk: it is to go on from what is covered now."""
        known = self._jobs.get(job)
        if known is not None:
            if known.may_begin_anew and known.rows:
                self._story.broken("coverage", f"attempt {number} is to go on from a checkpoint that was refused", job)
            spans = {(phase, start, row.stop): row.digest for (phase, start), row in known.rows.items()}
            known.offered[number] = (device, spans)

    def began(self, executor: str, job: str, number: int, given: Iterable[Span]) -> None:
        """A worker begins, with these spans to go on from."""
        known = self._jobs.get(job)
        offered = None if known is None else known.offered.get(number)
        if known is None or offered is None:
            return
        spans, wanted = set(given), offered[1]
        if spans:
            self._story.sometime("an attempt went on from a checkpoint")
            owners = {known.rows[phase, start].attempt for phase, start, _ in spans if (phase, start) in known.rows}
            if len(owners) > 1:
                self._story.sometime("a checkpoint was made by several attempts")
        if spans == set(wanted):
            return
        known.was_misread = True
        here = (executor, known.origin)
        if not any((device, digest) in self._damaged for digest in wanted.values() for device in here):
            self._story.broken(
                "coverage", f"attempt {number} begins with {sorted(spans)}, and was to have {sorted(wanted)}", job
            )

    def result(self, job: str, answer: object) -> None:
        """This is the result on the origin's disk when all is over."""
        known = self._jobs.get(job)
        if known is not None and answer != known.answer:
            self._story.broken("coverage", f"the result is {answer}, undisturbed it is {known.answer}", job)

    # Blobs

    def dropped(self, node: str, digest: str) -> None:
        """A device has removed a blob."""
        for job, known in self._jobs.items():
            if known.origin == node and any(row.digest == digest for row in known.rows.values()):
                self._story.broken("blobs", f"{node} removed a blob of the job's checkpoint", job)

    def damaged(self, node: str, digest: str) -> None:
        """A blob has rotted on a device's disk."""
        self._story.note(node, "a blob rots")
        self._damaged.add((node, digest))
        checkpoints = [row for known in self._jobs.values() if not known.ended for row in known.rows.values()]
        if any(row.digest == digest for row in checkpoints):
            self._story.sometime("a blob of a checkpoint rotted")
