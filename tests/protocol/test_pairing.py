"""The ceremony as a pure machine, two of them back to back, with the real exchange in between."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.trust import pake
from meshd_protocol import codec
from meshd_protocol.codec import PairingMessage
from meshd_protocol.crypto import fingerprint
from meshd_protocol.errors import BadMessage, Code, LocalError
from meshd_protocol.machines.pairing import (
    Answered,
    Broken,
    Calling,
    Effect,
    Event,
    Exchanged,
    ExchangeFailed,
    HalfMade,
    Keep,
    Kept,
    KeyMade,
    MakeHalf,
    MakeKey,
    Me,
    NewPeer,
    NotKept,
    Paired,
    Received,
    Send,
    SpendAndKeep,
    State,
    TakeTry,
    initiate,
    respond,
    step,
)
from meshd_protocol.messages.pairing import PairConfirm, PairRefused, PairReply, PairStart
from tests.support.keys import KeyPair, key_pair

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors" / "pairing.json"

A, B, M = key_pair(b"a"), key_pair(b"b"), key_pair(b"m")
CODE = "123456"

T = TypeVar("T")


def seeded(seed: bytes) -> Callable[[int], bytes]:
    """Return random bytes that are the same each time, for exchanges that must be."""
    return random.Random(seed).randbytes  # noqa: S311 - no secret is made here


@dataclass
class Side:
    """A machine and a driver that performs its effects at once."""

    state: State
    code: str
    token: Callable[[int], bytes]
    open_code: bool = True
    kept: list[NewPeer] = field(default_factory=list[NewPeer])
    out: list[PairingMessage] = field(default_factory=list[PairingMessage])
    exchange: pake.Exchange | None = None

    def feed(self, event: Event) -> None:
        self.state, effects = step(self.state, event)
        self.perform(effects)

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            answer = self.answer(effect)
            if answer is not None:
                self.feed(answer)

    def answer(self, effect: Effect) -> Event | None:
        match effect:
            case Send(message):
                self.out.append(message)
            case MakeHalf(a, b):
                self.exchange = pake.initiator(self.code, a, b, self.token)
                return HalfMade(self.exchange.half)
            case MakeKey(half):
                assert self.exchange is not None
                return _or_failed(lambda exchange: KeyMade(exchange.finish(half)), self.exchange)
            case TakeTry(a, b, half):
                if not self.open_code:
                    return NotKept(Code.NO_CODE, "none")
                exchange = pake.responder(self.code, a, b, self.token)
                return _or_failed(lambda made: Exchanged(made.half, made.finish(half), 2), exchange)
            case SpendAndKeep(peer):
                self.kept.append(peer)
                return Kept()
            case Keep(peer):
                self.kept.append(peer)
        return None


def _or_failed(make: Callable[[pake.Exchange], Event], exchange: pake.Exchange) -> Event:
    try:
        return make(exchange)
    except pake.ExchangeError:
        return ExchangeFailed()


def me(keys: KeyPair, name: str, version: int = 1) -> Me:
    return Me(keys.certificate, name, keys.sign, version)


def initiator(code: str = CODE, *, shown: KeyPair = B, mine: KeyPair = A, version: int = 1) -> Side:
    state, effects = initiate(me(mine, "laptop", version), shown.certificate)
    side = Side(state, code, seeded(b"A"))
    side.perform(effects)
    return side


def responder(code: str = CODE, *, mine: KeyPair = B, open_code: bool = True) -> Side:
    return Side(respond(me(mine, "pc")), code, seeded(b"B"), open_code)


def converse(a: Side, b: Side, change: Callable[[PairingMessage], PairingMessage] = lambda message: message) -> None:
    """Carry messages both ways until nobody has one; `change` is whoever sits on the wire."""
    while a.out or b.out:
        for sender, receiver in ((a, b), (b, a)):
            while sender.out:
                receiver.feed(Received(change(sender.out.pop(0))))


def code_of(state: State) -> Code | None:
    return state.code if isinstance(state, Broken) else None


def test_two_devices_with_the_same_code_hold_the_same_key_and_each_others_certificate() -> None:
    a, b = initiator(), responder()

    converse(a, b)

    assert [a.state, b.state] == [Paired(a.kept[0]), Paired(b.kept[0])]
    assert a.kept[0].pair_key == b.kept[0].pair_key
    assert (a.kept[0].device, a.kept[0].name, a.kept[0].certificate) == (B.device, "pc", B.certificate)
    assert (b.kept[0].device, b.kept[0].name, b.kept[0].certificate) == (A.device, "laptop", A.certificate)


def test_a_wrong_code_is_told_only_by_the_side_that_shows_it_and_keeps_nothing() -> None:
    a, b = initiator("999999"), responder()

    converse(a, b)

    assert a.state == Broken(Code.WRONG_CODE, "the other side refused", theirs=True, tries_left=2)
    assert code_of(b.state) is Code.WRONG_CODE
    assert a.kept == b.kept == []


def test_without_an_open_code_no_half_is_told() -> None:
    a, b = initiator(), responder(open_code=False)

    converse(a, b)

    assert code_of(a.state) is Code.NO_CODE
    assert b.exchange is None


def test_the_initiator_confirms_before_the_responder_does() -> None:
    a, b = initiator(), responder()
    b.feed(Received(a.out.pop()))

    (reply,) = b.out

    assert isinstance(reply, PairReply)
    assert isinstance(b.state, Answered)


def test_a_machine_in_the_middle_with_the_same_frames_and_its_own_certificates_gets_no_key() -> None:
    # M shows its own certificate in both TLS connections and hands every frame on as it is.
    a, b = initiator(shown=M), responder()

    converse(a, b)

    assert isinstance(a.state, Broken)
    assert isinstance(b.state, Broken)
    assert a.kept == b.kept == []


def test_a_machine_in_the_middle_that_swaps_the_certificate_gets_no_key() -> None:
    def swap(message: PairingMessage) -> PairingMessage:
        return (
            PairStart(message.version, M.certificate, message.name, message.pake)
            if isinstance(message, PairStart)
            else message
        )

    a, b = initiator(), responder()
    converse(a, b, swap)

    assert isinstance(a.state, Broken)
    assert isinstance(b.state, Broken)
    assert a.kept == b.kept == []


def test_someone_who_knows_the_code_but_not_the_key_of_the_certificate_is_refused() -> None:
    thief = KeyPair(A.certificate, M.sign)
    a, b = initiator(mine=thief), responder()

    converse(a, b)

    assert code_of(b.state) is Code.REFUSED
    assert b.kept == []


def test_the_shower_of_the_code_must_hold_the_key_of_its_certificate_too() -> None:
    a, b = initiator(), responder(mine=KeyPair(B.certificate, M.sign))

    converse(a, b)

    assert code_of(a.state) is Code.REFUSED
    assert a.kept == []


def test_ones_own_messages_sent_back_pair_nothing() -> None:
    a = initiator()
    (start,) = a.out
    assert isinstance(start, PairStart)

    a.feed(Received(PairReply(version=1, name="me", pake=start.pake)))

    assert code_of(a.state) is Code.REFUSED


def test_ones_own_half_with_the_other_sides_mark_pairs_nothing() -> None:
    a = initiator()
    (start,) = a.out
    assert isinstance(start, PairStart)

    a.feed(Received(PairReply(version=1, name="me", pake=b"B" + start.pake[1:])))

    assert code_of(a.state) is Code.REFUSED


def test_a_device_does_not_pair_with_itself() -> None:
    state, effects = initiate(me(A, "laptop"), A.certificate)
    b = responder(mine=A)
    b.feed(Received(PairStart(version=1, certificate=A.certificate, name="laptop", pake=b"A" + bytes(32))))

    assert (code_of(state), effects) == (Code.OWN_DEVICE, [])
    assert code_of(b.state) is Code.OWN_DEVICE


@pytest.mark.parametrize("certificate", [b"", b"nonsense", A.certificate[:-1], A.certificate + b"\0"])
def test_what_is_no_certificate_costs_no_try(certificate: bytes) -> None:
    state, effects = step(
        respond(me(B, "pc")), Received(PairStart(version=1, certificate=certificate, name="x", pake=b"A"))
    )

    assert code_of(state) is Code.BAD_MESSAGE
    assert not any(isinstance(effect, TakeTry) for effect in effects)


def test_a_changed_version_is_noticed() -> None:
    def raise_version(message: PairingMessage) -> PairingMessage:
        return replace_field(message, version=7) if isinstance(message, PairStart | PairReply) else message

    a, b = initiator(), responder()
    converse(a, b, raise_version)

    assert a.kept == b.kept == []


def test_a_newer_device_speaks_the_older_ones_version() -> None:
    a, b = initiator(version=9), responder()

    converse(a, b)

    assert (a.kept[0].version, b.kept[0].version) == (1, 1)


def replace_field(message: T, **changes: object) -> T:
    fields = {name: getattr(message, name) for name in type(message).__struct_fields__}  # type: ignore[attr-defined]
    return type(message)(**{**fields, **changes})


def captured() -> list[PairingMessage]:
    """Return every message of one whole ceremony."""
    said: list[PairingMessage] = []

    def listen(message: PairingMessage) -> PairingMessage:
        said.append(message)
        return message

    converse(initiator(), responder(), listen)
    return said


SAID = captured()
NOISE = [
    *SAID,
    PairRefused(code="no-code"),
    PairRefused(code="a code of the future"),
    PairConfirm(mac=bytes(32), signature=bytes(64)),
    PairStart(version=1, certificate=M.certificate, name="m", pake=b"A" + bytes(32)),
    PairReply(version=1, name="m", pake=b"B" + bytes(32)),
]


@settings(max_examples=200)
@given(st.lists(st.sampled_from(NOISE), max_size=6))
def test_no_messages_from_another_ceremony_ever_pair(messages: list[PairingMessage]) -> None:
    # The code is the same and the messages are genuine, but this side's half is a new one.
    a, b = initiator(), responder()
    a.token, b.token = seeded(b"A2"), seeded(b"B2")
    a.state, effects = initiate(me(A, "laptop"), B.certificate)
    a.perform(effects)
    for message in messages:
        for side in (a, b):
            side.feed(Received(message))

    assert not isinstance(a.state, Paired)
    assert not isinstance(b.state, Paired)
    assert a.kept == b.kept == []


@pytest.mark.filterwarnings("ignore:Parsed a serial number:Warning")
@given(st.integers(0, 3), st.data())
def test_a_changed_byte_anywhere_pairs_nothing(position: int, data: st.DataObject) -> None:
    target = codec.encode(SAID[position])
    at = data.draw(st.integers(0, len(target) - 1))
    flipped = bytearray(target)
    flipped[at] ^= data.draw(st.integers(1, 255))
    count = iter(range(4))

    def tamper(message: PairingMessage) -> PairingMessage:
        if next(count, 9) != position:
            return message
        changed = codec.decode(bytes(flipped))
        assert isinstance(changed, PairStart | PairReply | PairConfirm | PairRefused)
        return changed

    a, b = initiator(), responder()
    try:
        converse(a, b, tamper)
    except (BadMessage, AssertionError):
        pass
    else:
        assert SAID[position] == codec.decode(bytes(flipped)) or not a.kept


@given(st.permutations(range(4)))
def test_a_side_that_hears_its_messages_out_of_order_pairs_nothing(order: list[int]) -> None:
    a, b = initiator(), responder()
    for position in order:
        (b if position % 2 == 0 else a).feed(Received(SAID[position]))

    assert bool(a.kept) == (order.index(1) < order.index(3))
    assert bool(b.kept) == (order.index(0) < order.index(2))


def test_the_driver_may_not_report_what_it_was_not_asked_for() -> None:
    with pytest.raises(LocalError):
        step(respond(me(B, "pc")), Kept())
    with pytest.raises(LocalError):
        step(initiator().state, Exchanged(b"", b"", 0))


def test_after_the_end_nothing_changes_the_end() -> None:
    a, b = initiator(), responder()
    converse(a, b)

    for message in NOISE:
        assert step(a.state, Received(message)) == (a.state, [])
        assert step(b.state, Received(message)) == (b.state, [])


def test_secrets_do_not_show_when_a_state_is_printed() -> None:
    a, b = initiator(), responder()
    converse(a, b)

    assert a.kept[0].pair_key.hex()[:8] not in repr(a.state)
    assert repr(a.kept[0].pair_key) not in repr(a.state)


def test_the_ceremony_says_what_it_always_said() -> None:
    vector = json.loads(VECTORS.read_text())
    a, b = initiator(vector["code"]), responder(vector["code"])
    frames: list[str] = []

    def listen(message: PairingMessage) -> PairingMessage:
        frames.append(codec.encode(message).hex())
        return message

    converse(a, b, listen)

    assert isinstance(a.state, Paired)
    assert vector["fingerprints"] == [fingerprint(A.certificate).hex(), fingerprint(B.certificate).hex()]
    assert vector["frames"] == frames
    assert vector["pair_key"] == a.kept[0].pair_key.hex()


def test_calling_waits_for_the_reply_and_nothing_else() -> None:
    a = initiator()

    assert isinstance(a.state, Calling)
    for message in (SAID[0], SAID[2]):
        state, effects = step(a.state, Received(message))
        assert code_of(state) is Code.UNEXPECTED
        assert effects == [Send(PairRefused(code=Code.UNEXPECTED))]
    assert replace(a, out=[]).kept == []
