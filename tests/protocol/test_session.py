"""The greeting as a pure machine, two of them back to back."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd_protocol import codec
from meshd_protocol.codec import GreetingMessage
from meshd_protocol.errors import BadMessage, Code, LocalError
from meshd_protocol.machines.session import (
    Broken,
    Effect,
    Event,
    Former,
    Greeting,
    Known,
    LookUp,
    Me,
    Open,
    Proving,
    Received,
    Secrets,
    Send,
    State,
    Unknown,
    call,
    greet,
    step,
)
from meshd_protocol.messages.session import Hello, Proof, Refusal, Welcome
from tests.support.keys import KeyPair, key_pair

VECTORS = Path(__file__).resolve().parents[2] / "protocol" / "vectors" / "session.json"

CLIENT, SERVER, OTHER = key_pair(b"client"), key_pair(b"server"), key_pair(b"other")
PAIR_KEY = bytes(range(32))


def me(keys: KeyPair, nonce: bytes, version: int = 1) -> Me:
    return Me(keys.certificate, nonce * 32, keys.sign, version)


def client(
    keys: KeyPair = CLIENT,
    *,
    server: KeyPair = SERVER,
    pair_key: bytes = PAIR_KEY,
    nonce: bytes = b"c",
    version: int = 1,
) -> State:
    return call(me(keys, nonce), Secrets(server.certificate, pair_key))


def hello(keys: KeyPair = SERVER, nonce: bytes = b"s", version: int = 1) -> tuple[State, Hello]:
    state, effects = greet(me(keys, nonce, version))
    message = said(effects)
    assert isinstance(message, Hello)
    return state, message


def said(effects: list[Effect]) -> GreetingMessage:
    (message,) = [effect.message for effect in effects if isinstance(effect, Send)]
    return message


def prove(state: State, greeting: Hello) -> tuple[State, Proof]:
    state, effects = step(state, Received(greeting))
    message = said(effects)
    assert isinstance(message, Proof)
    return state, message


def check(state: State, proof: Proof, found: Event) -> tuple[State, GreetingMessage]:
    state, effects = step(state, Received(proof))
    assert effects == [LookUp(proof.device)]
    state, effects = step(state, found)
    return state, said(effects)


KNOWN = Known(Secrets(CLIENT.certificate, PAIR_KEY))


def test_two_paired_devices_open_a_session_and_name_each_other() -> None:
    serving, greeting = hello()
    calling, proof = prove(client(), greeting)
    serving, welcome = check(serving, proof, KNOWN)
    calling, effects = step(calling, Received(welcome))

    assert (calling, effects) == (Open(SERVER.device, 1), [])
    assert serving == Open(CLIENT.device, 1)


def test_a_newer_device_speaks_the_older_ones_version() -> None:
    serving, greeting = hello(version=5)
    _, proof = prove(client(), greeting)
    serving, _ = check(serving, proof, KNOWN)

    assert serving == Open(CLIENT.device, 1)


@pytest.mark.parametrize(
    "liar",
    [
        client(KeyPair(CLIENT.certificate, OTHER.sign)),
        client(pair_key=bytes(32)),
        client(server=OTHER),
    ],
    ids=[
        "a stolen pair key without the private key",
        "a private key without the pair key",
        "a proof for another server",
    ],
)
def test_whoever_lacks_a_secret_is_refused(liar: State) -> None:
    serving, greeting = hello()
    _, proof = prove(liar, greeting)

    state, answer = check(serving, proof, KNOWN)

    assert isinstance(state, Broken)
    assert answer == Refusal(code=Code.REFUSED)


def test_a_stranger_and_a_failed_proof_get_the_same_answer() -> None:
    _, proof = prove(client(pair_key=bytes(32)), hello()[1])
    forged = [check(hello()[0], proof, found)[1] for found in (KNOWN, Former(KNOWN.secrets), Unknown())]

    assert [codec.encode(answer) for answer in forged] == [codec.encode(Refusal(code=Code.REFUSED))] * 3


def test_a_former_peer_learns_that_it_was_unpaired_only_after_its_proof() -> None:
    serving, greeting = hello()
    _, proof = prove(client(), greeting)

    _, answer = check(serving, proof, Former(KNOWN.secrets))

    assert isinstance(answer, Refusal)
    assert answer.code == Code.UNPAIRED


def test_a_proof_is_good_for_one_greeting() -> None:
    _, proof = prove(client(), hello(nonce=b"1")[1])

    state, _ = check(hello(nonce=b"2")[0], proof, KNOWN)

    assert isinstance(state, Broken)


def test_a_server_that_lacks_the_pair_key_is_not_believed() -> None:
    serving, greeting = hello()
    calling, proof = prove(client(), greeting)
    _, welcome = check(serving, proof, KNOWN)
    assert isinstance(welcome, Welcome)

    state, _ = step(calling, Received(replace_mac(welcome)))

    assert isinstance(state, Broken)


def replace_mac(welcome: Welcome) -> Welcome:
    return Welcome(mac=bytes([welcome.mac[0] ^ 1]) + welcome.mac[1:])


def test_the_clients_own_proof_sent_back_is_no_welcome() -> None:
    calling, proof = prove(client(), hello()[1])

    for message in (proof, Welcome(mac=proof.mac)):
        state, _ = step(calling, Received(message))
        assert isinstance(state, Broken)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_nonce_of_another_size_is_refused(size: int) -> None:
    state, _ = step(client(), Received(Hello(version=1, nonce=bytes(size))))
    assert isinstance(state, Broken)

    short = call(Me(CLIENT.certificate, bytes(size), CLIENT.sign), Secrets(SERVER.certificate, PAIR_KEY))
    serving, greeting = hello()
    _, proof = prove(short, greeting)
    state, _ = check(serving, proof, KNOWN)
    assert isinstance(state, Broken)


@given(st.integers(0, 2), st.data())
def test_a_changed_byte_anywhere_opens_no_session_on_the_side_that_reads_it(position: int, data: st.DataObject) -> None:
    serving, greeting = hello()
    calling, proof = prove(client(), greeting)
    served, welcome = check(serving, proof, KNOWN)
    frame = codec.encode([greeting, proof, welcome][position])
    at = data.draw(st.integers(0, len(frame) - 1))
    flipped = frame[:at] + bytes([frame[at] ^ data.draw(st.integers(1, 255))]) + frame[at + 1 :]
    try:
        changed = codec.decode(flipped)
    except BadMessage:
        return
    if changed in (greeting, proof, welcome) or not isinstance(changed, Hello | Proof | Welcome | Refusal):
        return
    if position == 0:
        state, effects = step(client(), Received(changed))
        if isinstance(state, Proving) and isinstance(message := said(effects), Proof):
            state, _ = check(serving, message, KNOWN)
    elif position == 1:
        state, _ = step(serving, Received(changed))
        state = step(state, KNOWN)[0] if not isinstance(state, Broken) else state
    else:
        state, _ = step(calling, Received(changed))

    assert isinstance(state, Broken)
    assert isinstance(served, Open)


MESSAGES = [
    Hello(version=1, nonce=bytes(32)),
    prove(client(), hello()[1])[1],
    Welcome(mac=bytes(32)),
    Refusal(code="refused"),
    Refusal(code="a code of the future"),
]


@given(st.lists(st.sampled_from(MESSAGES), max_size=5), st.booleans())
def test_no_sequence_of_someone_elses_messages_opens_a_session(messages: list[GreetingMessage], serves: bool) -> None:
    state = hello(nonce=b"fresh")[0] if serves else client(nonce=b"f")
    for message in messages:
        state, effects = step(state, Received(message))
        if any(isinstance(effect, LookUp) for effect in effects):
            state, _ = step(state, KNOWN)
        assert not isinstance(state, Open)


def test_the_driver_may_not_report_what_it_was_not_asked_for() -> None:
    for state in (client(), hello()[0]):
        with pytest.raises(LocalError):
            step(state, KNOWN)


def test_after_the_end_nothing_changes_the_end() -> None:
    state = Open(CLIENT.device, 1)

    for message in MESSAGES:
        assert step(state, Received(message)) == (state, [])


def test_secrets_do_not_show_when_a_state_is_printed() -> None:
    assert repr(PAIR_KEY) not in repr(client())


def test_the_greeting_says_what_it_always_said() -> None:
    vector = json.loads(VECTORS.read_text())
    serving, greeting = hello()
    assert isinstance(serving, Greeting)
    _, proof = prove(client(pair_key=bytes.fromhex(vector["pair_key"])), greeting)
    _, welcome = check(serving, proof, replace(KNOWN, secrets=Secrets(CLIENT.certificate, PAIR_KEY)))

    assert [codec.encode(message).hex() for message in (greeting, proof, welcome)] == vector["frames"]
    assert vector["certificates"] == [CLIENT.certificate.hex(), SERVER.certificate.hex()]
