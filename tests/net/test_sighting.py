from hypothesis import given
from hypothesis import strategies as st

from meshd.net.interfaces import Interface, announced_addresses
from meshd.net.sighting import MAX_ADDRESSES, MAX_SIGHTINGS, Sighting, SightingTable, parse_sighting
from meshd_protocol.ids import DeviceId, device_id

PC = device_id(b"pc")
GOOD = {"id": PC, "v": "1", "n": "pc", "p": "1"}


def sighting(
    device: DeviceId = PC, *, addresses: tuple[str, ...] = ("10.0.0.1:1",), now: float = 0.0, name: str = "pc"
) -> Sighting:
    return Sighting(device, name, addresses, 1, pairing=False, seen_at=now)


def test_an_announcement_is_read() -> None:
    assert parse_sighting(GOOD, ["10.0.0.1:1"], 5.0) == Sighting(PC, "pc", ("10.0.0.1:1",), 1, True, 5.0)


def test_what_is_no_announcement_of_a_device_is_ignored() -> None:
    for change in ({"id": "PC"}, {"id": None}, {"v": "x"}, {"v": None}, {"v": "0"}, {"v": "9" * 5000}):
        assert parse_sighting({**GOOD, **change}, ["10.0.0.1:1"], 5.0) is None
    assert parse_sighting(GOOD, [], 5.0) is None


def test_names_are_made_safe_and_addresses_are_few() -> None:
    seen = parse_sighting({**GOOD, "n": "\u202ecp\n"}, [f"a:{number}" for number in range(1, 99)], 5.0)

    assert seen is not None
    assert (seen.name, len(seen.addresses)) == ("cp", MAX_ADDRESSES)


@given(st.dictionaries(st.sampled_from(["id", "v", "n", "p"]), st.one_of(st.none(), st.text())))
def test_reading_never_fails(properties: dict[str, str | None]) -> None:
    parse_sighting(properties, ["a:1"], 0.0)


def test_ten_thousand_made_up_names_leave_a_small_table_and_the_newest_in_it() -> None:
    table = SightingTable()
    for number in range(10_000):
        table.put(f"fake {number}", sighting(device_id(str(number).encode()), now=float(number)))
    table.put("pc", sighting(now=20_000.0))

    assert len(table.all()) == MAX_SIGHTINGS
    assert PC in {one.device for one in table.all()}


def test_a_forged_claim_adds_addresses_and_takes_none_away() -> None:
    table = SightingTable()
    table.put("pc abc", sighting(now=1.0))
    table.put("evil", sighting(addresses=("6.6.6.6:6",), now=2.0, name="evil"))

    (seen,) = table.all()
    assert set(seen.addresses) == {"10.0.0.1:1", "6.6.6.6:6"}

    assert table.remove("evil") == PC
    (seen,) = table.all()
    assert seen.addresses == ("10.0.0.1:1",)


def test_only_what_is_new_counts_as_a_change() -> None:
    table = SightingTable()

    assert table.put("pc", sighting(now=1.0))
    assert not table.put("pc", sighting(now=2.0))
    assert table.put("pc", sighting(now=3.0, addresses=("10.0.0.2:1",)))
    assert table.remove("pc") == PC
    assert table.remove("pc") is None


def test_addresses_to_announce_are_those_that_others_can_reach_best_first() -> None:
    interfaces = [
        Interface("lo", "127.0.0.1"),
        Interface("docker0", "172.17.0.1"),
        Interface("eth0", "fe80::1"),
        Interface("eth0", "fd00::2"),
        Interface("eth0", "192.168.1.7"),
        Interface("lo", "::1"),
        Interface("wlan0", "169.254.3.4"),
    ]

    assert announced_addresses(interfaces) == ["192.168.1.7", "fd00::2", "169.254.3.4", "fe80::1", "172.17.0.1"]


def test_a_machine_with_nothing_but_loopback_announces_that() -> None:
    assert announced_addresses([Interface("lo", "127.0.0.1"), Interface("lo", "::1")]) == ["127.0.0.1", "::1"]
    assert announced_addresses([]) == []
