"""The users of the machines: they submit, insist, change their minds, and look what has become of it."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import TracebackType

from meshd.client.connection import DaemonUnreachable
from meshd.client.local import Client
from meshd.errors import MeshdError
from meshd_protocol.localapi import END_STATES
from tests.simulation.options import luck
from tests.soak.ledger import Asked, CancelAsked, EndSeen, Ledger, Refused, Taken, Unanswered
from tests.soak.plan import JOBS_PER_S
from tests.soak.workload import Wish, Workload

LOOK_S = 1.0
"""Between two looks at how all jobs have ended."""

PAGE = 500
"""The most that one look shows."""

TURN_S = 0.05

BURST = 3
"""Jobs that a hurried user submits at once."""

SENT = ("in the middle of an answer", "Connection reset", "(waited")
"""What is said when a request was sent and its answer did not come."""


@dataclass(slots=True)
class _Pending:
    key: str
    wish: Wish
    job: str | None = None
    cancel_at: float | None = None


@dataclass(slots=True)
class User:
    """The user of one machine."""

    machine: str
    client: Client
    workload: Workload
    ledger: Ledger
    every_s: float
    stopped: threading.Event
    hurried: threading.Event
    resting: threading.Event
    ends: dict[str, str] = field(default_factory=dict[str, str])
    """How each job has ended, when it was last looked at."""

    taken: set[str] = field(default_factory=set[str])
    _pending: list[_Pending] = field(default_factory=list[_Pending])
    _drawn: int = 0
    _next_at: float = 0.0
    _looked_at: float = 0.0

    def run(self) -> None:
        """Use the machine until told to stop."""
        self._next_at = self.ledger.now()
        while not self.stopped.is_set():
            if self.hurried.wait(TURN_S):
                self.hurried.clear()
                self._next_at -= BURST * self.every_s
            now = self.ledger.now()
            while not self.resting.is_set() and self._next_at <= now:
                self._next_at += self.every_s
                self._draw()
            for pending in tuple(self._pending):
                try:
                    self._go_on(pending)
                except DaemonUnreachable:
                    break
            if now - self._looked_at >= LOOK_S:
                self._looked_at = now
                self._look()

    @property
    def is_served(self) -> bool:
        """Return whether everything was answered, and every job has ended."""
        return not self.open()

    def open(self) -> list[str]:
        """Return what is still waited for."""
        waiting = [pending.key for pending in tuple(self._pending)]
        return waiting + [job for job in tuple(self.taken) if job not in self.ends]

    def _draw(self) -> None:
        self._drawn += 1
        pending = _Pending(f"{self.machine} {self._drawn}", self.workload.draw())
        self._pending.append(pending)
        self.ledger.write(Asked(key=pending.key, origin=self.machine, request=pending.wish.request))

    def _go_on(self, pending: _Pending) -> None:
        """Submit, or cancel; raise `DaemonUnreachable` when there is nobody to ask."""
        if pending.job is None:
            self._submit(pending)
        elif pending.cancel_at is not None and pending.cancel_at <= self.ledger.now():
            self._cancel(pending, pending.job)

    def _submit(self, pending: _Pending) -> None:
        try:
            accepted = self.client.submit(pending.wish.request, idempotency_key=pending.key)
        except DaemonUnreachable as error:
            if any(words in error.message for words in SENT):
                self.ledger.write(Unanswered(key=pending.key))
            raise
        except MeshdError as error:
            if error.status < 500:
                self._pending.remove(pending)
                self.ledger.write(Refused(key=pending.key, code=error.code))
            # Otherwise the machine cannot, now: its disk is full. The user insists.
            return
        pending.job = accepted.id
        self.taken.add(accepted.id)
        self.ledger.write(Taken(key=pending.key, job=accepted.id))
        if pending.wish.cancel_after_s is None:
            self._pending.remove(pending)
        else:
            pending.cancel_at = self.ledger.now() + pending.wish.cancel_after_s

    def _cancel(self, pending: _Pending, job: str) -> None:
        self.ledger.write(CancelAsked(job=job))
        try:
            view = self.client.cancel(job)
        except DaemonUnreachable:
            raise
        except MeshdError as error:
            if error.status < 500:
                # That the job is not there is for the check to find.
                self._pending.remove(pending)
            return
        self._pending.remove(pending)
        if view.state in END_STATES:
            self._see(job, view.state)

    def _look(self) -> None:
        try:
            page = self.client.jobs(states=sorted(END_STATES), limit=PAGE)
        except MeshdError:
            return
        for view in page.jobs:
            self._see(view.id, view.state)

    def _see(self, job: str, state: str) -> None:
        if self.ends.get(job) != state:
            self.ends[job] = state
            self.ledger.write(EndSeen(origin=self.machine, job=job, state=state))


class Load:
    """All users, each in a thread; `with` it."""

    def __init__(self, clients: Iterable[tuple[str, Client]], ledger: Ledger, *, seed: int) -> None:
        named = list(clients)
        self._stopped, self._resting = threading.Event(), threading.Event()
        names = [name for name, _ in named]
        self.users = [
            User(
                machine=name,
                client=client,
                workload=Workload(name, names, luck(f"user {seed} {name}")),
                ledger=ledger,
                every_s=len(names) / JOBS_PER_S,
                stopped=self._stopped,
                hurried=threading.Event(),
                resting=self._resting,
            )
            for name, client in named
        ]
        self._threads = [threading.Thread(target=user.run, name=f"user of {user.machine}") for user in self.users]

    def __enter__(self) -> "Load":
        """Begin to submit."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop looking, too."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def hurry(self, machine: str) -> None:
        """Let a user submit a few jobs at once, now."""
        for user in self.users:
            if user.machine == machine:
                user.hurried.set()

    def rest(self) -> None:
        """Ask for nothing new; see to it that what was asked for is answered."""
        self._resting.set()
