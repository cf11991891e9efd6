"""Real hosts find each other, come to trust each other, and stay connected, whatever happens to them."""

from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future

import pytest

from meshd.errors import MeshdError, NotFound
from tests.support.hosts import Daemon, Lan, Scenario, measured, open_lan, pair, played_side_by_side, until

pytestmark = pytest.mark.hosts

SIGHTING_S = 3.0
DEAD_S = 7.5
"""A peer that says nothing is known to be away after so long: a heartbeat and half of one for its answer."""

BACK_S = 30.0
"""From the return of the network to the session, at the very worst."""

SLACK_S = 1.5
"""For a machine that has other things to do."""


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Daemon, Daemon, Lan]]:
    """Return two devices that are not paired, and their LAN; whoever uses them leaves them so."""
    with open_lan(tmp_path_factory.mktemp("strangers")) as lan:
        laptop, pc = lan.start("laptop", "pc")
        yield laptop, pc, lan


def are_online(one: Daemon, other: Daemon) -> bool:
    return one.is_online(other) and other.is_online(one)


def refusal(attempt: Callable[[], object]) -> MeshdError:
    with pytest.raises(MeshdError) as caught:
        attempt()
    return caught.value


# Seeing each other


def test_hosts_see_one_another_within_three_seconds_without_being_told(lan: Lan) -> None:
    daemons = lan.start("laptop", "pc", "box")
    names = {daemon.name for daemon in daemons}
    for daemon in daemons:
        others = names - {daemon.name}
        took = until(lambda: {one.name for one in daemon.client.sightings()} == others, within_s=SIGHTING_S)  # noqa: B023
        print(f"{daemon.name} saw the others after {took:.2f} s")
    laptop, pc, box = daemons
    box.stop()
    until(lambda: [one.name for one in laptop.client.sightings()] == ["pc"], within_s=SIGHTING_S)
    box.start()
    for daemon in (laptop, pc):
        until(lambda: "box" in {one.name for one in daemon.client.sightings()}, within_s=SIGHTING_S)  # noqa: B023


# Pairing


def test_a_code_entered_on_the_other_host_pairs_both_under_their_names_and_is_used_up(lan: Lan) -> None:
    laptop, pc = lan.start("laptop", "pc")
    shown = pc.client.open_code()
    until(lambda: any(one.pairing for one in laptop.client.sightings()), within_s=SIGHTING_S)
    with measured("pairing"):
        peer = laptop.client.accept(shown.code)
    assert (peer.name, peer.id) == ("pc", pc.client.status().device)
    ended = pc.client.pairing()
    assert ended.ended == "paired"
    assert ended.paired_with is not None
    assert (ended.paired_with.name, ended.paired_with.id) == ("laptop", laptop.client.status().device)
    took = until(lambda: are_online(laptop, pc))
    print(f"both were online {took:.3f} s after that")
    assert refusal(lambda: laptop.client.accept(shown.code, address=pc.host.address)).code == "no_code"


def test_three_wrong_codes_burn_the_right_one(strangers: tuple[Daemon, Daemon, Lan]) -> None:
    laptop, pc, _ = strangers
    code = pc.client.open_code().code
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for left in (2, 1, 0):
        assert refusal(lambda: laptop.client.accept(wrong, address=pc.host.address)).code == "wrong_code"
        shown = pc.client.pairing().open
        assert (0 if shown is None else shown.tries_left) == left
    assert pc.client.pairing().ended == "burned"
    assert refusal(lambda: laptop.client.accept(code, address=pc.host.address)).code == "no_code"
    assert laptop.client.peers() == pc.client.peers() == []


def test_nobody_can_be_given_a_job_without_being_paired(strangers: tuple[Daemon, Daemon, Lan]) -> None:
    laptop, pc, _ = strangers
    until(lambda: laptop.client.sightings(), within_s=SIGHTING_S)
    with pytest.raises(NotFound):
        laptop.echo("pc")
    assert pc.records().held == 0


# Unpairing


def test_unpairing_cuts_both_sides_at_once_and_for_good(lan: Lan) -> None:
    laptop, pc = lan.start("laptop", "pc")
    for one, other in ((laptop, pc), (pc, laptop)):
        pair(pc, laptop)
        one.client.unpair(other.name)
        assert one.client.peers() == []
        took = until(lambda: other.client.peers() == [], within_s=1.0 + SLACK_S)  # noqa: B023
        print(f"the other side knew after {took:.3f} s")
        other.kill()
        other.start()
        assert other.client.peers() == one.client.peers() == []


def test_a_device_that_was_away_when_it_was_unpaired_learns_it_on_its_return(lan: Lan) -> None:
    laptop, pc = lan.start("laptop", "pc")
    pair(pc, laptop)
    pc.kill()
    laptop.client.unpair("pc")
    pc.start()
    until(lambda: pc.client.peers() == [])


# Staying connected


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_session_comes_back_by_itself_after_a_restart_of_either_side(lan: Lan, ending: str) -> None:
    laptop, pc = lan.start("laptop", "pc")
    pair(pc, laptop)
    for restarted, other in ((laptop, pc), (pc, laptop)):
        restarted.stop() if ending == "stop" else restarted.kill()
        until(lambda: not other.is_online(restarted))  # noqa: B023
        assert [peer.name for peer in other.client.peers()] == [restarted.name], "going away is not unpairing"
        restarted.start()
        took = until(lambda: are_online(laptop, pc), within_s=10)
        print(f"online {took:.2f} s after {restarted.name} was ready again ({ending})")


def test_a_stranger_at_a_peers_address_is_not_taken_for_it(lan: Lan) -> None:
    laptop, pc = lan.start("laptop", "pc")
    pair(pc, laptop)
    pc.stop()
    stranger = lan.add("pc", host=pc.host)
    stranger.start()
    moved = lan.add("pc", home=pc.home)
    until(lambda: laptop.client.sightings(), within_s=SIGHTING_S)
    job = laptop.echo("pc")
    assert laptop.client.job(job).state == "queued"
    moved.start()
    took = until(lambda: are_online(laptop, moved))
    print(f"online at another host after {took:.2f} s")
    assert laptop.ended(job).state == "completed"
    assert stranger.client.peers() == []
    assert "attempt" not in stranger.log()
    lan.settle(laptop, moved)


# Several on one machine


def test_a_second_daemon_with_the_same_home_is_refused_in_words(strangers: tuple[Daemon, Daemon, Lan]) -> None:
    laptop, _, lan = strangers
    second = lan.add("laptop", host=laptop.host, home=laptop.home)
    second.launch()
    assert second.await_end() == 1
    assert "error: another meshd already runs" in second.log()
    assert f"(pid {laptop.client.status().pid})" in second.log()
    assert "Traceback" not in second.log()
    assert laptop.client.status().name == "laptop"


def test_a_second_device_on_one_host_takes_the_next_ports_and_can_be_paired(lan: Lan) -> None:
    laptop, pc = lan.start("laptop", "pc")
    guest = lan.add("guest", host=pc.host)
    guest.start()
    ports = [(status.api_port, status.peer_port) for status in (pc.client.status(), guest.client.status())]
    assert ports[0] == (62222, 62223)
    assert all(62222 < port < 62243 for port in ports[1]), ports
    assert len({*ports[0], *ports[1]}) == 4
    until(lambda: {one.name for one in laptop.client.sightings()} == {"pc", "guest"}, within_s=SIGHTING_S)
    laptop.client.accept(guest.client.open_code().code, device="guest")
    until(lambda: are_online(laptop, guest))
    assert laptop.ended(laptop.echo("guest")).device == "guest"


# What takes long


def an_expired_code_is_refused(lan: Lan) -> None:
    laptop, pc = lan.start("laptop", "pc")
    code = pc.client.open_code(ttl_s=5).code
    until(lambda: any(one.pairing for one in laptop.client.sightings()), within_s=SIGHTING_S)
    until(lambda: pc.client.pairing().ended == "expired", within_s=5 + SLACK_S)
    until(lambda: not any(one.pairing for one in laptop.client.sightings()), within_s=SIGHTING_S)
    assert refusal(lambda: laptop.client.accept(code, address=pc.host.address)).code == "no_code"
    assert laptop.client.peers() == pc.client.peers() == []


def a_cable_that_is_out_is_noticed_and_so_is_its_return(lan: Lan) -> None:
    laptop, pc = lan.start("laptop", "pc")
    pair(pc, laptop)
    pc.host.unplug()
    took = until(
        lambda: not laptop.is_online(pc) and not pc.is_online(laptop), within_s=DEAD_S + SLACK_S, what="both noticed"
    )
    print(f"both sides noticed after {took:.2f} s")
    pc.host.plug()
    took = until(lambda: are_online(laptop, pc), within_s=BACK_S)
    print(f"online {took:.2f} s after the cable was back")


def a_device_that_slept_is_back_as_soon_as_it_wakes(lan: Lan) -> None:
    laptop, pc = lan.start("laptop", "pc")
    pair(pc, laptop)
    laptop.suspend()
    took = until(lambda: not pc.is_online(laptop), within_s=DEAD_S + SLACK_S)
    print(f"seen asleep after {took:.2f} s")
    laptop.resume()
    took = until(lambda: are_online(laptop, pc), within_s=BACK_S)
    print(f"online {took:.2f} s after waking")


def hosts_with_new_addresses_find_each_other_again(lan: Lan) -> None:
    laptop, pc = lan.start("laptop", "pc")
    pair(pc, laptop)
    pc.host.move(102)
    laptop.host.move(101)
    # Neither end's old address exists any more, so every connection over IPv4 is dead.
    took = until(
        lambda: are_online(laptop, pc) and knows_address(laptop, pc) and knows_address(pc, laptop), within_s=BACK_S
    )
    print(f"online {took:.2f} s after the addresses changed")
    assert laptop.ended(laptop.echo("pc")).device == "pc"


def knows_address(one: Daemon, other: Daemon) -> bool:
    """Return whether `one` sees `other` where it is now."""
    return any(
        address.startswith(f"{other.host.address}:")
        for sighting in one.client.sightings()
        if sighting.name == other.name
        for address in sighting.addresses
    )


WHAT_TAKES_LONG = (
    an_expired_code_is_refused,
    a_cable_that_is_out_is_noticed_and_so_is_its_return,
    a_device_that_slept_is_back_as_soon_as_it_wakes,
    hosts_with_new_addresses_find_each_other_again,
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Generator[Mapping[Scenario, Future[None]]]:
    """Play what takes long side by side: it waits more than it works."""
    with played_side_by_side(tmp_path_factory.mktemp("long"), *WHAT_TAKES_LONG) as futures:
        yield futures


@pytest.mark.slow
@pytest.mark.parametrize("scenario", WHAT_TAKES_LONG, ids=lambda scenario: scenario.__name__)
def test_what_takes_long(scenario: Scenario, played: Mapping[Scenario, Future[None]]) -> None:
    played[scenario].result()
