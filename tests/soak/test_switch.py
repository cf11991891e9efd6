"""The switch does to frames what it is told, and nothing else."""

import socket
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from meshd.clock import SystemClock
from tests.simulation.options import luck
from tests.soak.machines import AirHost
from tests.soak.switch import CALM, Air, Switch, Weather
from tests.support.hosts import DEADLINE_S, until

LAPTOP, PC, BOX = (bytes((2, 0, 0, 0, 0, number)) for number in (1, 2, 3))
EVERYBODY = b"\xff" * 6


def frame(sender: bytes, receiver: bytes) -> bytes:
    return receiver + sender + b"\x08\x00" + b"hello"


def introduced(weather: Weather = CALM) -> Air:
    """Return air in which everybody has been heard once."""
    air = Air(("laptop", "pc", "box"), random=luck("air"))
    for name, address in (("laptop", LAPTOP), ("pc", PC), ("box", BOX)):
        air.carry(frame(address, EVERYBODY), name, 0.0)
    air.weather = weather
    air.seen.clear()
    return air


def arrived(air: Air, count: int = 1000, *, every_s: float = 1.0) -> list[list[float]]:
    """Send frames from laptop to pc; return when each arrived, counted from its departure."""
    return [
        [arrival.at - number * every_s for arrival in air.carry(frame(LAPTOP, PC), "laptop", number * every_s)]
        for number in range(count)
    ]


def test_a_frame_goes_to_its_receiver_alone_once_that_was_heard_and_to_all_before() -> None:
    air = Air(("laptop", "pc", "box"), random=luck("air"))

    assert [arrival.host for arrival in air.carry(frame(LAPTOP, PC), "laptop", 0.0)] == ["pc", "box"]
    air.carry(frame(PC, LAPTOP), "pc", 0.0)
    assert [arrival.host for arrival in air.carry(frame(LAPTOP, PC), "laptop", 0.0)] == ["pc"]
    assert [arrival.host for arrival in air.carry(frame(LAPTOP, EVERYBODY), "laptop", 0.0)] == ["pc", "box"]


def test_in_calm_weather_every_frame_arrives_once_and_at_once() -> None:
    assert arrived(introduced()) == [[0.0]] * 1000


def test_frames_are_delayed_within_the_jitter_and_keep_their_order() -> None:
    took = arrived(introduced(Weather(delay_s=0.5, jitter_s=0.25)), every_s=0.001)

    assert all(len(times) == 1 for times in took)
    assert 0.25 <= took[0][0] <= 0.75
    at = [round(number * 0.001 + times[0], 9) for number, times in enumerate(took)]
    assert at == sorted(at)


def test_about_as_many_frames_are_lost_doubled_and_overtaken_as_was_asked_for() -> None:
    air = introduced(Weather(delay_s=0.1, loss=0.1, doubled=0.2, overtaken=0.3))
    took = arrived(air, 5000)

    assert 400 < sum(times == [] for times in took) < 600
    assert 700 < sum(len(times) == 2 for times in took) < 1100
    assert 1150 < sum(bool(times) and times[0] > 0.2 for times in took) < 1550
    assert air.seen["lost"] + air.seen["carried"] == 5000


def test_a_cut_stops_one_way_and_no_other() -> None:
    air = introduced()
    air.cut([("laptop", "pc")])

    assert air.carry(frame(LAPTOP, PC), "laptop", 0.0) == []
    assert [arrival.host for arrival in air.carry(frame(PC, LAPTOP), "pc", 0.0)] == ["laptop"]
    assert [arrival.host for arrival in air.carry(frame(LAPTOP, EVERYBODY), "laptop", 0.0)] == ["box"]
    assert (air.is_cut("laptop", "pc"), air.is_cut("pc", "laptop")) == (True, False)
    air.cut([])
    assert [arrival.host for arrival in air.carry(frame(LAPTOP, PC), "laptop", 0.0)] == ["pc"]


def test_the_same_seed_has_the_same_weather() -> None:
    weather = Weather(delay_s=0.1, jitter_s=0.05, loss=0.1, doubled=0.1, overtaken=0.1)

    assert arrived(introduced(weather)) == arrived(introduced(weather))


@contextmanager
def two_hosts(air: Air) -> Generator[tuple[AirHost, AirHost]]:
    switch = Switch(air)
    laptop, pc = AirHost("laptop", 1, switch), AirHost("pc", 2, switch)
    try:
        for host in (laptop, pc):
            host.open()
        with switch:
            yield laptop, pc
    finally:
        for host in (laptop, pc):
            host.close()


def udp(host: AirHost) -> socket.socket:
    with host.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host.address, 9))
    made.settimeout(DEADLINE_S)
    return made


@pytest.mark.hosts
def test_real_hosts_hear_each_other_through_it_with_its_delay_and_not_through_a_cut() -> None:
    air, clock = Air(("laptop", "pc"), random=luck("air")), SystemClock()
    air.weather = Weather(delay_s=0.05)
    with two_hosts(air) as (laptop, pc), udp(laptop) as ours, udp(pc) as theirs:
        ours.sendto(b"first", (pc.address, 9))
        assert theirs.recv(100) == b"first"
        sent_at = clock.boot()
        ours.sendto(b"second", (pc.address, 9))
        assert theirs.recv(100) == b"second"
        assert clock.boot() - sent_at >= 0.05
        air.cut([("laptop", "pc")])
        ours.sendto(b"lost", (pc.address, 9))
        theirs.sendto(b"back", (laptop.address, 9))
        assert ours.recv(100) == b"back"
        until(lambda: air.seen["cut off"])
        air.cut([])
        laptop.unplug()
        laptop.plug()
        ours.sendto(b"third", (pc.address, 9))
        assert theirs.recv(100) == b"third"
