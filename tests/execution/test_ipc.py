"""Frames carry messages whole, and nothing else gets through."""

import contextlib
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshd.errors import BadInput
from meshd.execution import ipc
from meshd.kinds.base import PackedPartial, Part, Phase

MESSAGES: list[ipc.FromWorker] = [
    ipc.Ready(1, "3.11", {"msgspec": "0.20"}),
    ipc.Heartbeat(),
    ipc.Progress("j", 1, 0.5, "best", "note", 2.0),
    ipc.Finished("j", 1, b'{"a":[1]}', spent=True),
    ipc.Failed("j", 1, "crashed", "it broke", "where"),
    ipc.Stopped("j", 1),
    ipc.Calibrated("lineups", 1e9),
]


@given(messages=st.lists(st.sampled_from(MESSAGES)), cuts=st.lists(st.integers(1, 50)))
def test_messages_arrive_whole_and_in_order_however_the_pipe_cuts_them(
    messages: list[ipc.FromWorker], cuts: list[int]
) -> None:
    data = b"".join(ipc.write_frame(message) for message in messages)
    reader, received = ipc.FrameReader(), list[ipc.FromWorker]()
    for cut in [*cuts, len(data)]:
        received += [ipc.read_from_worker(body) for body in reader.feed(data[:cut])]
        data = data[cut:]

    assert received == messages


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_bad_frame(body: bytes) -> None:
    for read in (ipc.read_from_worker, ipc.read_to_worker):
        with contextlib.suppress(ipc.BadFrame):
            read(body)


def test_what_the_daemon_says_is_read_back() -> None:
    start = ipc.Start("j", 2, "echo", "meshd.kinds.echo.program", {"text": "é", "deep": [1, {"x": None}]}, (0, 2))

    assert ipc.read_to_worker(ipc.write_frame(start)[4:]) == start


@pytest.mark.parametrize(
    "share", [-0.1, 1.1, float("nan"), float("inf")], ids=["negative", "above one", "NaN", "infinite"]
)
def test_a_share_is_between_zero_and_one(share: float) -> None:
    with pytest.raises(ipc.BadFrame):
        ipc.read_from_worker(msgspec.msgpack.encode(ipc.Progress("j", 1, share)))


@pytest.mark.parametrize("eta_s", [-1.0, float("nan"), float("inf"), 3.2e10])
def test_an_estimate_is_one_that_a_peer_would_take(eta_s: float) -> None:
    with pytest.raises(ipc.BadFrame):
        ipc.read_from_worker(msgspec.msgpack.encode(ipc.Progress("j", 1, 0.5, eta_s=eta_s)))


@pytest.mark.parametrize("rate", [0.0, float("nan"), float("inf"), 1e19])
def test_a_rate_is_one_that_a_peer_would_take(rate: float) -> None:
    with pytest.raises(ipc.BadFrame):
        ipc.read_from_worker(msgspec.msgpack.encode(ipc.Calibrated("echo", rate)))


@pytest.mark.parametrize(
    "partial",
    [
        PackedPartial(0, 10, -5, 1, b"x"),
        PackedPartial(0, 10, 5, 11, b"x"),
        PackedPartial(0, 10, 5, 5, b"x"),
        PackedPartial(-1, 10, 0, 5, b"x"),
        PackedPartial(0, 2**63, 0, 5, b"x"),
        PackedPartial(2**53, 10, 0, 5, b"x"),
        PackedPartial(0, 10, 0, 5, b""),
    ],
)
def test_a_checkpoint_is_a_span_that_a_peer_would_take(partial: PackedPartial) -> None:
    with pytest.raises(ipc.BadFrame):
        ipc.read_from_worker(msgspec.msgpack.encode(ipc.Kept("j", 1, partial)))


@pytest.mark.parametrize(
    ("phase", "units", "start", "stop"),
    [(-1, 10, 0, 5), (0, 2**63, 0, 5), (0, 10, 5, 11), (0, 9, -5, 5), (0, 9, 5, 5)],
)
def test_shared_units_are_such_that_a_peer_would_take_them(phase: int, units: int, start: int, stop: int) -> None:
    part = Part(Phase(phase, units, "odd", 1.0, {}), start, stop)
    for message in (ipc.Shrunk("j", 1, part), ipc.Waiting("j", 1, phase, units, ((start, stop),))):
        with pytest.raises(ipc.BadFrame):
            ipc.read_from_worker(msgspec.msgpack.encode(message))


@pytest.mark.parametrize("fields", [{"type": "Quit"}, {"type": "Failed", "error_kind": "bewitched"}, {"type": 1}, []])
def test_what_no_worker_says_is_a_bad_frame(fields: object) -> None:
    with pytest.raises(ipc.BadFrame):
        ipc.read_from_worker(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("result", [b"", b"[1]", b'{"a":', b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":1} b', b"{" * 9000])
def test_a_result_is_a_json_object(result: bytes) -> None:
    with pytest.raises(ipc.BadFrame):
        ipc.read_from_worker(msgspec.msgpack.encode(ipc.Finished("j", 1, result)))


def test_deep_nesting_is_a_bad_frame() -> None:
    with pytest.raises(ipc.BadFrame):
        ipc.read_from_worker(
            msgspec.msgpack.encode(ipc.Finished("j", 1, b'{"a":' + b"[" * 10**5 + b"]" * 10**5 + b"}"))
        )


def test_a_frame_too_large_is_refused_before_it_is_buffered() -> None:
    with pytest.raises(ipc.BadFrame, match="67,108,865"):
        list(ipc.FrameReader().feed(struct.pack(">I", ipc.MAX_FRAME_BYTES + 1)))


@pytest.mark.parametrize("value", [2**70, object(), "x" * (ipc.MAX_FRAME_BYTES + 1)], ids=["large", "odd", "long"])
def test_what_no_frame_can_carry_is_bad_input(value: object) -> None:
    with pytest.raises(BadInput):
        ipc.write_frame(ipc.Start("j", 1, "echo", "program", {"value": value}))
