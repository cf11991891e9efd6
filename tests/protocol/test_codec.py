"""Bytes become messages or are refused; nothing else ever leaves the decoder."""

import json
from pathlib import Path
from typing import cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd_protocol import codec, limits
from meshd_protocol.errors import BadMessage
from meshd_protocol.messages import blobs, jobs, session, status
from meshd_protocol.messages.base import Message

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "messages.json"

JOB = "abcdefghijkl"
MESSAGES: list[Message] = [
    session.Resume(stream="", received=0, digest=b""),
    session.StreamStart(stream="aaaabbbbccccdddd", after=7),
    session.Durable(seq=1, frames=[b"\x92\xa4ping\x81\xa6number\x01"]),
    session.Ack(seq=9),
    session.Rejected(seq=2, code="bad-message", reason="no"),
    session.Refusal(code="leaving", reason="shutting down"),
    jobs.Offer(job=JOB, attempt=1, kind="echo", name="hello", resolved=b'{"text":"hi"}', priority=0, timeout_s=0.0),
    jobs.Declined(job=JOB, attempt=1, code="refused", reason="not allowed"),
    jobs.Finished(job=JOB, attempt=2, state="succeeded", duration_s=1.5, result=b"{}"),
    jobs.Finished(job=JOB, attempt=2, state="failed", duration_s=0.0, error_kind="crashed", error="it broke"),
    jobs.Cancel(job=JOB, attempt=3, reason="cancelled by its user"),
    jobs.Holding(boot="aaaabbbbcccc", number=4, attempts=[jobs.HeldAttempt(job=JOB, attempt=1, state="running")]),
    jobs.Renewed(number=4, renewed=[jobs.AttemptKey(job=JOB, attempt=1)], superseded=[]),
    jobs.Progress(job=JOB, attempt=1, share=0.25, eta_s=3.0, best="271.3 pts"),
    status.Status(
        name="pc",
        version="0.1.0",
        platform="Linux x86_64",
        kinds=[status.KindStatus(kind="lineups", free=1, wait_s=0.0, rate=5e10, source="declared")],
        slots=2,
        busy=0,
        queued=0,
    ),
    status.Status(
        name="box",
        version="0.1.0",
        platform="Linux x86_64",
        kinds=[
            status.KindStatus(
                kind="lineups",
                free=0,
                wait_s=2.5,
                rate=5e12,
                source="measured",
                accelerator="NVIDIA H200",
                slots=1,
                start_s=3.0,
                warm=True,
                permitted=False,
            )
        ],
        slots=16,
        busy=1,
        queued=2,
        paused=True,
        reluctance="on battery at 34%",
        cores=16,
        memory_bytes=128 << 30,
        free_bytes=100 << 30,
        cpu=0.25,
        battery=0.34,
        plugged=False,
        gpus=(
            status.GpuStatus(
                uuid="GPU-1",
                name="NVIDIA H200",
                compute="9.0",
                memory_bytes=139 << 30,
                free_bytes=100 << 30,
                busy=0.5,
                usable=True,
            ),
        ),
        platforms=("cpu", "gpu"),
    ),
    jobs.Offer(
        job=JOB,
        attempt=2,
        kind="lineups",
        name="20 lineups",
        resolved=b"{}",
        priority=0,
        timeout_s=0.0,
        part=jobs.Part(phase=1, units=98, start=49, stop=98, plan=b'{"number":1}'),
    ),
    jobs.Shrink(job=JOB, attempt=1, keep=0.25),
    jobs.Shrunk(job=JOB, attempt=1, part=jobs.Part(phase=1, units=98, start=49, stop=98, plan=b'{"number":1}')),
    jobs.Waiting(job=JOB, attempt=1, phase=1, units=98, missing=[jobs.Span(start=49, stop=98)]),
    jobs.Extend(job=JOB, attempt=1, phase=1, start=49, stop=98),
    jobs.Joined(
        job=JOB,
        attempt=1,
        phase=1,
        partials=[jobs.PartialRef(phase=1, units=98, start=0, stop=98, digest="ab" * 32, size=100)],
    ),
    status.Ping(number=1),
    status.Pong(number=1),
    blobs.BlobKey(token="A0_-" * 11),
    blobs.BlobWanted(digest="0123456789abcdef" * 4, size=5_000_000, start=262_144),
    blobs.BlobMissing(digest="0123456789abcdef" * 4),
    jobs.Finished(
        job=JOB,
        attempt=2,
        state="failed",
        duration_s=0.0,
        error_kind="exit_status",
        error="the command ended with exit status 3",
        exit_code=3,
        files=b'[{"role":"log","name":"log","digest":"' + b"ab" * 32 + b'","size":5}]',
    ),
    jobs.Collected(job=JOB, attempt=2),
    jobs.LogWanted(job=JOB, attempt=2, after=10),
    jobs.LogPart(job=JOB, attempt=2, after=10, offset=10, data=b"hello", end=15),
]


def name(message: Message) -> str:
    return str(message.__struct_config__.tag)


@pytest.mark.parametrize("message", MESSAGES, ids=name)
def test_a_message_survives_the_way(message: Message) -> None:
    assert codec.decode(codec.encode(message)) == message


def test_the_golden_vectors_hold_in_both_directions() -> None:
    vectors = cast("list[dict[str, str]]", json.loads(VECTORS.read_text()))
    assert [vector["frame"] for vector in vectors] == [codec.encode(message).hex() for message in MESSAGES]
    for vector, message in zip(vectors, MESSAGES, strict=True):
        assert codec.decode(bytes.fromhex(vector["frame"])) == message


def packed(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


LINE: dict[str, object] = {"kind": "lineups", "free": 1, "wait_s": 0.0, "rate": None, "source": ""}
CLAIM: dict[str, object] = {
    "name": "pc",
    "version": "0.1.0",
    "platform": "Linux x86_64",
    "kinds": [LINE],
    "slots": 2,
    "busy": 0,
    "queued": 0,
}


def test_a_device_that_tells_no_more_than_it_must_is_heard() -> None:
    assert isinstance(codec.decode(packed(["status", CLAIM])), status.Status)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        packed(["ping"]),
        packed(["ping", dict[str, int]()]),
        packed(["ping", {"number": 1}, 3]),
        packed(["nobody", {"number": 1}]),
        packed({"number": 1}),
        packed(["ping", {"number": -1}]),
        packed(["ping", {"number": 1.5}]),
        packed(["ping", {"number": 2**63}]),
        packed(["ping", {1: 1}]),
        packed(["ping", {"number": 1}]) + b"\x00",
        b"\x92\xa4ping\x82\xa6number\x01\xa6number\x02",
        b"\x92\xa4ping\x81\xa6number\xd4\x01\x00",
        b"\x92\xa4ping\xdf\xff\xff\xff\xff",
        b"\x92\xa4ping\x81\xa6number\xdb\xff\xff\xff\xff",
        b"\x91" * 3000 + b"\x01",
        packed(["progress", {"job": JOB, "attempt": 1, "share": float("nan")}]),
        packed(["progress", {"job": JOB, "attempt": 1, "share": 1e9}]),
        packed(["progress", {"job": "../etc/passwd", "attempt": 1, "share": 0.5}]),
        packed(["holding", {"boot": JOB, "number": 1, "attempts": [0] * 5000}]),
        packed(["status", CLAIM | {"slots": limits.MAX_SLOTS + 1}]),
        packed(["status", CLAIM | {"reluctance": "x" * (limits.MAX_REASON + 1)}]),
        packed(["status", CLAIM | {"cpu": 1.5}]),
        packed(["status", CLAIM | {"battery": float("nan")}]),
        packed(["status", CLAIM | {"gpus": [{"uuid": "GPU-1", "name": "A"}] * (limits.MAX_GPUS + 1)}]),
        packed(["status", CLAIM | {"gpus": [{"uuid": "GPU-1", "name": "A", "memory_bytes": -1}]}]),
        packed(["status", CLAIM | {"kinds": [LINE] * (limits.MAX_KIND_LINES + 1)}]),
        packed(["status", CLAIM | {"kinds": [LINE | {"rate": 1e19}]}]),
        packed(["status", CLAIM | {"kinds": [LINE | {"rate": 0.0}]}]),
        packed(["status", CLAIM | {"kinds": [LINE | {"free": limits.MAX_SLOTS + 1}]}]),
        packed(["status", CLAIM | {"kinds": [LINE | {"start_s": float("inf")}]}]),
        packed(["status", CLAIM | {"platforms": ["cpu"] * 9}]),
    ],
)
def test_what_is_no_message_is_refused(frame: bytes) -> None:
    with pytest.raises(BadMessage):
        codec.decode(frame)


def test_a_frame_of_empty_maps_is_refused_before_it_fills_the_memory() -> None:
    bomb = b"\x92\xa4ping\x81\xa6number" + b"\xdc\x0f\xff" + (b"\xdc\x00\x3f" + b"\x80" * 63) * 4095
    with pytest.raises(BadMessage, match=f"{limits.MAX_CONTAINERS}|bytes"):
        codec.decode(bomb)


def test_a_large_document_may_travel_but_a_large_structure_may_not() -> None:
    large = session.Durable(seq=1, frames=[b"x" * 900_000])
    assert codec.decode(codec.encode(large)) == large
    with pytest.raises(BadMessage, match="outside its documents"):
        codec.decode(packed(["holding", {"boot": JOB, "number": 1, "attempts": ["x" * 16_000] * 5}]))


def test_a_stranger_may_send_only_small_frames() -> None:
    frame = codec.encode(session.Refusal(code="x", reason="y" * 4096))
    with pytest.raises(BadMessage, match="over the limit"):
        codec.decode(frame, limit=limits.MAX_UNAUTHENTICATED_FRAME_BYTES)


def test_a_message_too_large_to_be_read_is_not_sent() -> None:
    with pytest.raises(BadMessage, match="over the limit"):
        codec.encode(session.Durable(seq=1, frames=[b"x" * (limits.MAX_FRAME_BYTES + 1)]))


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_and_nothing_else(frame: bytes) -> None:
    with pytest.raises(BadMessage):
        codec.decode(frame)


@given(st.sampled_from(MESSAGES), st.data())
def test_a_damaged_message_decodes_or_is_refused(message: Message, data: st.DataObject) -> None:
    frame = bytearray(codec.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = codec.decode(bytes(frame))
    except BadMessage:
        return
    assert isinstance(decoded, Message)


@given(st.recursive(st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5), st.lists, max_leaves=20))
def test_a_document_must_be_an_object(value: object) -> None:
    with pytest.raises(BadMessage):
        codec.decode_document(msgspec.json.encode(value))
