"""Users in a hurry: threads that submit, cancel, delete, repeat and read jobs, and never take silence for an answer."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeVar

from meshd.client.connection import DaemonUnreachable
from meshd.client.local import Client
from meshd.errors import Conflict, MeshdError
from meshd.paths import Paths
from meshd_protocol.localapi import END_STATES, JobAccepted, JobRequest
from tests.faults.ledger import ASKED, Ledger

T = TypeVar("T")

LONG_S = 600.0
"""Such a job ends by being cancelled."""

MAX_LONG = 1
"""Long jobs of one user; with more it cancels before it does anything else, or nobody else's jobs would run."""

MAX_OPEN = 25
"""Jobs that a user has seen no end of; with more it looks instead of submitting."""


@dataclass(slots=True)
class Findings:
    """What users complain about, and how often they were answered."""

    wrong: list[str] = field(default_factory=list[str])
    answered: Counter[str] = field(default_factory=Counter[str])
    unanswered: int = 0


class User(threading.Thread):
    """One of them; the jobs it submits are nobody else's."""

    def __init__(self, number: int, seed: int, client: Client, ledger: Ledger, open_: threading.Event) -> None:
        super().__init__(name=f"user-{number}", daemon=True)
        self.findings = Findings()
        self._rng = random.Random(f"user {number} of {seed}")  # noqa: S311 - a seed must bring it back
        self._client = client
        self._ledger = ledger
        self._open = open_
        self._over = threading.Event()
        self._made = 0
        self._unsure: tuple[str, Callable[[str], JobAccepted], bool] | None = None
        """A submission that has had no answer: asked again under its key until it has one."""

        self._short: list[str] = []
        self._long: list[str] = []
        self._unended: list[str] = []

    @property
    def is_unsure(self) -> bool:
        """Whether a submission still waits for its answer."""
        return self._unsure is not None

    def leave(self) -> None:
        """Stop after the current request."""
        self._over.set()

    def run(self) -> None:
        """Ask for one thing after the other, while the daemon is there."""
        while not self._over.is_set():
            if not self._open.wait(0.1):
                continue
            try:
                self._do_something()
            except DaemonUnreachable:
                self.findings.unanswered += 1
                self._over.wait(0.01)
            except MeshdError as error:
                self.findings.wrong.append(f"{self.name} was answered: {error.code}: {error.message}")

    def _do_something(self) -> None:
        if self._unsure is not None:
            self._submit(*self._unsure)
        elif len(self._long) > MAX_LONG:
            self._cancel(self._long.pop(0))
        elif len(self._unended) > MAX_OPEN:
            # Few jobs end by themselves where the daemon dies every second.
            self._rng.choice((self._see, self._cancel))(self._unended[0])
        else:
            deeds: Sequence[tuple[int, Callable[[], None]]] = (
                (45, self._submit_new),
                (15, self._cancel_any),
                (12, self._delete_any),
                (8, self._run_again),
                (12, self._look),
                (5, self._ask_again),
                (3, self._list),
            )
            (deed,) = self._rng.choices([deed for _, deed in deeds], [weight for weight, _ in deeds])
            deed()
            self.findings.answered[deed.__name__.strip("_")] += 1

    def _submit_new(self) -> None:
        (sleep_s,) = self._rng.choices((0.0, self._rng.uniform(0.02, 0.3), LONG_S), (70, 22, 8))
        request = JobRequest(kind="echo", spec={"text": "x" * self._rng.choice((10, 300, 5000)), "sleep_s": sleep_s})
        self._submit(self._key(), lambda key: self._client.submit(request, idempotency_key=key), sleep_s == LONG_S)

    def _run_again(self) -> None:
        if job := self._any(self._short):
            self._submit(self._key(), lambda key: self._client.rerun(job, idempotency_key=key), False)

    def _submit(self, key: str, ask: Callable[[str], JobAccepted], is_long: bool) -> None:
        self._unsure = key, ask, is_long
        job = ask(key).id
        self._ledger.note("submitted", job, key)
        self._unsure = None
        if is_long:
            self._long.append(job)
        else:
            self._short.append(job)
            self._unended.append(job)

    def _key(self) -> str:
        self._made += 1
        return f"{self.name}-{self._made}"

    def _ask_again(self) -> None:
        """Repeat a submission that was answered: the answer is the same."""
        if job := self._any(self._short):
            key = self._ledger.promises.jobs[job].key
            request = JobRequest(kind="echo", spec={"text": "whatever"})
            again = self._client.submit(request, idempotency_key=key).id
            self._ledger.note("submitted", again, key)

    def _cancel_any(self) -> None:
        if job := self._any(self._short):
            self._cancel(job)

    def _cancel(self, job: str) -> None:
        try:
            state = self._client.cancel(job).state
        except DaemonUnreachable:
            if job not in self._short:
                self._long.insert(0, job)
            raise
        self._ledger.note("cancelled", job, state)
        if state not in END_STATES:
            self.findings.wrong.append(f"{job} was cancelled, and is {state}")
        self._forget(job)
        if job not in self._short:
            self._short.append(job)

    def _delete_any(self) -> None:
        ended = [job for job in self._short if job not in self._unended]
        if job := self._any(ended or self._short):
            # Beforehand: it may be deleted although no answer says so. Then nobody knows, and nobody asks.
            self._short.remove(job)
            self._forget(job)
            self._ledger.note(ASKED, job)
            with suppress(Conflict):
                self._client.delete(job)
                self._ledger.note("deleted", job)

    def _look(self) -> None:
        if job := self._any(self._short):
            self._see(job)

    def _see(self, job: str) -> None:
        state = self._client.job(job).state
        self._ledger.note("seen", job, state)
        if state in END_STATES:
            self._forget(job)

    def _forget(self, job: str) -> None:
        if job in self._unended:
            self._unended.remove(job)

    def _list(self) -> None:
        self._client.jobs(limit=50)

    def _any(self, jobs: list[str]) -> str | None:
        # The young ones: what happens to a job happens soon after its submission.
        return self._rng.choice(jobs[-40:]) if jobs else None


class Crowd:
    """Several users at once; entering the block lets them in, leaving it waits until they are gone."""

    def __init__(self, paths: Paths, ledger: Ledger, *, users: int, seed: int) -> None:
        self.open = threading.Event()
        """Whether the daemon is there; otherwise they wait."""

        self.users = [User(number, seed, Client(paths), ledger, self.open) for number in range(users)]

    def __enter__(self) -> "Crowd":
        for user in self.users:
            user.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()

    def leave(self) -> None:
        """See them all out."""
        for user in self.users:
            user.leave()
        for user in self.users:
            user.join(30)

    def wrong(self) -> list[str]:
        """Return all complaints."""
        return [complaint for user in self.users for complaint in user.findings.wrong]
