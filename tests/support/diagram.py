"""The pages of docs/machines: state diagrams drawn by running the step functions, never by hand.

Each machine is started, fed with sample events, and followed from every state that it reaches. What comes out is
what the code does; `tests/test_docs.py` compares it with the pages. To write the pages anew:

    .venv/bin/python -m tests.support.diagram
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from meshd.jobs import lifecycle
from meshd.jobs.model import Attempt, Failure, Job, Traits
from meshd_protocol.codec import GreetingMessage, PairingMessage
from meshd_protocol.errors import Code, LocalError
from meshd_protocol.ids import DeviceId, JobId
from meshd_protocol.limits import LEASE_MARGIN, LEASE_S, MAX_LOSSES
from meshd_protocol.machines import lease, pairing, session
from meshd_protocol.messages.pairing import PairConfirm, PairRefused, PairReply, PairStart
from meshd_protocol.messages.session import Hello, Proof, Refusal, Welcome
from tests.support.keys import key_pair

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "machines"
COMMAND = ".venv/bin/python -m tests.support.diagram"

S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Transition(Generic[S]):
    """One step that changed something or had an effect."""

    before: S
    label: str
    after: S
    effects: tuple[object, ...]


def explore(
    starts: Iterable[S],
    events: Callable[[S], Mapping[str, E]],
    step: Callable[[S, E], tuple[S, Sequence[object]]],
) -> list[Transition[S]]:
    """Return every transition that the samples lead to, in a stable order."""
    found: list[Transition[S]] = []
    waiting = list(starts)
    known = set(waiting)
    for state in waiting:
        for label, event in events(state).items():
            try:
                after, effects = step(state, event)
            except LocalError:
                continue
            if after == state and not effects:
                continue
            found.append(Transition(state, label, after, tuple(effects)))
            if after not in known:
                known.add(after)
                waiting.append(after)
    return found


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow from one named state to another."""

    start: str
    end: str
    label: str


def mermaid(starts: Sequence[str], edges: Iterable[Edge]) -> str:
    """Return a Mermaid state diagram: one arrow for each pair of states, with all labels on it."""
    labels: dict[tuple[str, str], list[str]] = {}
    for edge in edges:
        on_arrow = labels.setdefault((edge.start, edge.end), [])
        if edge.label not in on_arrow:
            on_arrow.append(edge.label)
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [f"    [*] --> {start}" for start in starts]
    lines += [f"    {start} --> {end}: {' or '.join(on_arrow)}" for (start, end), on_arrow in labels.items()]
    leaving = {start for start, end in labels if start != end}
    lines += [f"    {end} --> [*]" for end in dict.fromkeys(end for _, end in labels) if end not in leaving]
    return "\n".join([*lines, "```"])


def with_effects(transition: Transition[S]) -> str:
    """Return the label of a transition: its event, and after a slash what the driver must do."""
    names: list[str] = []
    for effect in transition.effects:
        match effect:
            case pairing.Send(message) | session.Send(message):
                names.append(f"send {type(message).__name__}")
            case _:
                names.append(type(effect).__name__)
    return f"{transition.label} / {' + '.join(names)}" if names else transition.label


# Jobs and attempts

DEVICE = DeviceId("aaaaaaaaaaaaaaaa")
ALL_TRAITS = [Traits(True, True), Traits(False, True), Traits(False, False)]
MAX_SAMPLE_ATTEMPTS = 2
"""Two are enough for every transition between attempts; each more multiplies the states by nine."""


def a_job(losses: int) -> Job:
    """Return a queued job that may fail once, and has lost so many attempts before."""
    return Job(
        id=JobId("abcdefghijkl"),
        kind="lineups",
        name="a job",
        state="queued",
        placement="auto",
        priority=0,
        timeout_s=0.0,
        retries=1,
        offload_timeout_s=30.0,
        cost=None,
        created_at=0.0,
        losses=losses,
    )


def job_events(job: Job) -> dict[str, lifecycle.JobEvent]:
    """Return every event for every attempt of `job`, by a name that no two share."""
    events: dict[str, lifecycle.JobEvent] = {"CancelAsked": lifecycle.CancelAsked("cancelled")}
    if len(job.attempts) < MAX_SAMPLE_ATTEMPTS:
        events["Placed"] = lifecycle.Placed(DEVICE, "it is free")
    for attempt in job.attempts:
        number = attempt.number
        about: list[lifecycle.JobEvent] = [
            lifecycle.Accepted(number, "b"),
            lifecycle.Started(number, "b"),
            lifecycle.Declined(number, "no"),
            lifecycle.Succeeded(number),
            lifecycle.Failed(number, Failure("crashed", "it broke")),
            lifecycle.Stopped(number, "stopped"),
            lifecycle.Lost(number, "gone"),
            lifecycle.TooSlow(number, "slow"),
        ]
        events |= {f"{type(event).__name__} {number}": event for event in about}
    return events


def job_transitions() -> list[Transition[Job]]:
    """Return what can happen to a job, whatever its kind promises."""
    found: list[Transition[Job]] = []
    for traits in ALL_TRAITS:

        def step(job: Job, event: lifecycle.JobEvent, traits: Traits = traits) -> tuple[Job, Sequence[object]]:
            after = lifecycle.step(job, event, 1.0, traits)
            return after.job, after.effects

        found += explore([a_job(0), a_job(MAX_LOSSES - 1)], job_events, step)
    return found


def job_page() -> str:
    """Return the page about jobs."""
    edges = [Edge(found.before.state, found.after.state, found.label.partition(" ")[0]) for found in job_transitions()]
    return mermaid(["queued"], edges)


def attempt_page() -> str:
    """Return the page about attempts."""
    edges: list[Edge] = []
    for found in job_transitions():
        before: dict[int, Attempt] = {attempt.number: attempt for attempt in found.before.attempts}
        name, _, about = found.label.partition(" ")
        for attempt in found.after.attempts:
            old = before.get(attempt.number)
            # What happens to one attempt because of another one is named so.
            label = name if about in {"", str(attempt.number)} else f"{name} of another attempt"
            if old is not None and old.state != attempt.state:
                edges.append(Edge(old.state, attempt.state, label))
    return mermaid(["offered"], edges)


# Leases


def executor_lease_page() -> str:
    """Return the page about a lease as the executor sees it."""
    late = LEASE_S + 1
    samples: dict[str, tuple[lease.ExecutorEvent, float]] = {
        "Renewed in time": (lease.Renewed(asked_at=0.0), 1.0),
        "Renewed too late": (lease.Renewed(asked_at=0.0), late),
        "Superseded": (lease.Superseded(), 1.0),
        "Disconnected": (lease.Disconnected(), 1.0),
        "Tick before the deadline": (lease.Tick(), 1.0),
        "Tick at the deadline": (lease.Tick(), late),
    }

    def step(
        state: lease.ExecutorLease, event: tuple[lease.ExecutorEvent, float]
    ) -> tuple[lease.ExecutorLease, Sequence[object]]:
        return lease.executor_step(state, *event)

    starts: list[lease.ExecutorLease] = [lease.Waiting()]
    found = explore(starts, lambda _: samples, step)
    return mermaid(["Waiting"], [Edge(name_of(each.before), name_of(each.after), with_effects(each)) for each in found])


def origin_lease_page() -> str:
    """Return the page about a lease as the origin sees it."""
    soon, late = 1.0, 10 * LEASE_S * LEASE_MARGIN
    samples: dict[str, Callable[[lease.OriginLease], lease.OriginLease]] = {
        "Holding names the attempt": lambda state: lease.renew(state, soon),
        "session lost (deterministic kind)": lambda state: lease.disconnect(state, soon, deterministic=True),
        "session lost (any other kind)": lambda state: lease.disconnect(state, soon, deterministic=False),
        "looked at before the deadline": lambda state: lease.check(state, soon),
        "looked at after the deadline": lambda state: lease.check(state, late),
    }
    starts: list[lease.OriginLease] = [lease.grant(0.0)]
    found = explore(starts, lambda _: samples, lambda state, event: (event(state), ()))
    return mermaid(["Granted"], [Edge(name_of(each.before), name_of(each.after), each.label) for each in found])


# Conversations


def name_of(value: object) -> str:
    """Return the name of a state."""
    return type(value).__name__


def talk(
    start: S,
    first: Sequence[object],
    messages: Mapping[str, E],
    answers: Mapping[str, E],
    step: Callable[[S, E], tuple[S, Sequence[object]]],
) -> str:
    """Return the diagram of one side of a conversation.

    `messages` may come from the other side at any time; `answers` come from the driver. The messages that end
    the conversation are drawn as one, but for bad ones of the sort that was due.
    """
    found = explore([start], lambda _: {**messages, **answers}, step)
    edges: list[Edge] = []
    for state in dict.fromkeys(name_of(each.before) for each in found):
        here = [each for each in found if name_of(each.before) == state]
        due = {each.label.partition(" (")[0] for each in here if name_of(each.after) != "Broken"}
        edges += [
            Edge(state, name_of(each.after), with_effects(each)) for each in here if name_of(each.after) != "Broken"
        ]
        broken = [each for each in here if name_of(each.after) == "Broken"]
        edges += [Edge(state, "Broken", each.label) for each in broken if each.label.partition(" (")[0] in due]
        others = [each for each in broken if each.label.partition(" (")[0] not in due]
        edges += [Edge(state, "Broken", each.label) for each in others if each.label in answers]
        if any(each.label in messages for each in others):
            edges.append(Edge(state, "Broken", "any other message"))
    opening = with_effects(Transition(start, "first", start, tuple(first)))
    note = f"It begins in {name_of(start)}" + (f", with: {opening.partition(' / ')[2]}." if first else ", and waits.")
    return f"{note}\n\n{mermaid([name_of(start)], edges)}"


def spoken(effects: Sequence[object]) -> PairingMessage | GreetingMessage:
    """Return the message that is sent among these effects."""
    (message,) = [effect.message for effect in effects if isinstance(effect, pairing.Send | session.Send)]
    return message


def pairing_page() -> str:
    """Return the page about pairing: one honest ceremony gives the samples, and each side is tried with all of them."""
    a, b = key_pair(b"a"), key_pair(b"b")
    half_a, half_b, key = b"A" * 33, b"B" * 33, bytes(32)
    start_a, first_a = pairing.initiate(pairing.Me(a.certificate, "laptop", a.sign), b.certificate)
    start_b = pairing.respond(pairing.Me(b.certificate, "pc", b.sign))
    calling, said = pairing.step(start_a, pairing.HalfMade(half_a))
    hello = spoken(said)
    assert isinstance(hello, PairStart)
    charging, _ = pairing.step(start_b, pairing.Received(hello))
    answered, said = pairing.step(charging, pairing.Exchanged(half_b, key, 2))
    reply = spoken(said)
    assert isinstance(reply, PairReply)
    deriving, _ = pairing.step(calling, pairing.Received(reply))
    _, said = pairing.step(deriving, pairing.KeyMade(key))
    proof_a = spoken(said)
    assert isinstance(proof_a, PairConfirm)
    keeping, _ = pairing.step(answered, pairing.Received(proof_a))
    _, said = pairing.step(keeping, pairing.Kept())
    proof_b = spoken(said)
    assert isinstance(proof_b, PairConfirm)

    def messages(proof: PairConfirm) -> dict[str, pairing.Event]:
        return {
            "PairStart": pairing.Received(hello),
            "PairStart (of this device itself)": pairing.Received(
                PairStart(version=1, certificate=b.certificate, name="pc", pake=half_a)
            ),
            "PairReply": pairing.Received(reply),
            "PairReply (this side's own half)": pairing.Received(PairReply(version=1, name="pc", pake=half_a)),
            "PairConfirm": pairing.Received(proof),
            "PairConfirm (wrong MAC)": pairing.Received(PairConfirm(mac=bytes(32), signature=proof.signature)),
            "PairConfirm (wrong signature)": pairing.Received(PairConfirm(mac=proof.mac, signature=bytes(64))),
            "PairRefused": pairing.Received(PairRefused(code=Code.NO_CODE)),
        }

    failed: dict[str, pairing.Event] = {"ExchangeFailed": pairing.ExchangeFailed()}
    answers_a = {"HalfMade": pairing.HalfMade(half_a), "KeyMade": pairing.KeyMade(key), **failed}
    answers_b = {
        "Exchanged": pairing.Exchanged(half_b, key, 2),
        "Kept": pairing.Kept(),
        "NotKept": pairing.NotKept(Code.NO_CODE, "no code is open"),
        **failed,
    }
    return (
        "## A, which enters the code\n\n"
        + talk(start_a, first_a, messages(proof_b), answers_a, pairing.step)
        + "\n\n## B, which shows the code\n\n"
        + talk(start_b, [], messages(proof_a), answers_b, pairing.step)
    )


def session_page() -> str:
    """Return the page about the greeting: one honest greeting gives the samples, and each side is tried with all."""
    c, s = key_pair(b"client"), key_pair(b"server")
    pair_key = bytes(range(32))
    start_c = session.call(session.Me(c.certificate, b"c" * 32, c.sign), session.Secrets(s.certificate, pair_key))
    start_s, first_s = session.greet(session.Me(s.certificate, b"s" * 32, s.sign))
    hello = spoken(first_s)
    assert isinstance(hello, Hello)
    _, said = session.step(start_c, session.Received(hello))
    proof = spoken(said)
    assert isinstance(proof, Proof)
    checking, _ = session.step(start_s, session.Received(proof))
    right, wrong = session.Secrets(c.certificate, pair_key), session.Secrets(c.certificate, bytes(32))
    _, said = session.step(checking, session.Known(right))
    welcome = spoken(said)
    assert isinstance(welcome, Welcome)
    messages: dict[str, session.Event] = {
        "Hello": session.Received(hello),
        "Hello (nonce of another size)": session.Received(Hello(version=1, nonce=b"s")),
        "Proof": session.Received(proof),
        "Welcome": session.Received(welcome),
        "Welcome (wrong MAC)": session.Received(Welcome(mac=bytes(32))),
        "Refusal": session.Received(Refusal(code=Code.REFUSED)),
    }
    answers: dict[str, session.Event] = {
        "Known": session.Known(right),
        "Known (the proof does not hold)": session.Known(wrong),
        "Former": session.Former(right),
        "Former (the proof does not hold)": session.Former(wrong),
        "Unknown": session.Unknown(),
    }
    return (
        "## The client, which dialled\n\n"
        + talk(start_c, [], messages, {}, session.step)
        + "\n\n## The server\n\n"
        + talk(start_s, first_s, messages, answers, session.step)
    )


PAGES: Mapping[str, tuple[str, str, Callable[[], str]]] = {
    "job.md": (
        "A job",
        "At its origin: `meshd/jobs/lifecycle.py`, `step`. Every change passes through `meshd/jobs/ledger.py`. "
        "A lost attempt ends the job only if its kind may not run twice, or if it was the "
        f"{MAX_LOSSES}th; a failed one only when no retries are left. A late `Succeeded` of a deterministic kind "
        "completes a job that is retrying.",
        job_page,
    ),
    "attempt.md": (
        "An attempt",
        "One numbered try, as the origin records it: `meshd/jobs/lifecycle.py`, `step`. The first three states are "
        "open: only an open attempt can change its job. The exception is drawn as well: a deterministic kind's late "
        "success counts, from `lost` and from `superseded`.",
        attempt_page,
    ),
    "executor-lease.md": (
        "A lease, as the executor sees it",
        "`protocol/meshd_protocol/machines/lease.py`, `executor_step`. The deadline is "
        f"{LEASE_S:g} s after the question that was answered, on the clock that counts sleep. `Permit`: the attempt "
        "may start. `GiveUp`: the driver stops it if its kind is safe to run twice but not deterministic, for then it "
        "may be running elsewhere and its result counts no more; any other goes on. `Kill`: it is stopped and "
        "forgotten.",
        executor_lease_page,
    ),
    "origin-lease.md": (
        "A lease, as the origin sees it",
        "`protocol/meshd_protocol/machines/lease.py`, `grant`, `renew`, `disconnect` and `check`. The origin waits "
        f"{(LEASE_MARGIN - 1) * 100:.0f} % longer than the executor. What has expired is not revived.",
        origin_lease_page,
    ),
    "pairing.md": (
        "Pairing",
        "`protocol/meshd_protocol/machines/pairing.py`, `step`; driven by `meshd/net/ceremony.py`. What is sent to "
        "the other side on the way to `Broken` is left out: it is `PairRefused`, unless that is what was heard.",
        pairing_page,
    ),
    "session.md": (
        "The greeting that opens a session",
        "`protocol/meshd_protocol/machines/session.py`, `step`; driven by `meshd/net/greeting.py`. What is sent to "
        "the other side on the way to `Broken` is left out: it is `Refusal`, unless that is what was heard.",
        session_page,
    ),
}
"""The title, the sentences and the diagrams of each page."""


def page(name: str) -> str:
    """Return the whole text of one page."""
    title, about, draw = PAGES[name]
    how = f"Drawn by running the code; do not edit. To draw it anew: `{COMMAND}`"
    return f"# {title}\n\n{about}\n\n{draw()}\n\n{how}\n"


def main() -> None:
    """Write all pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in PAGES:
        (FOLDER / name).write_text(page(name), encoding="utf-8")


if __name__ == "__main__":
    main()
