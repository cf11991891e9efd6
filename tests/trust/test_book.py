"""The peer table, through the only door there is, on a real database."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
import pytest_asyncio

from meshd.errors import BadInput, Conflict, NotFound, PeerRefused
from meshd.store import peers
from meshd.store.database import Connection, SqliteStore, open_store
from meshd.trust.book import PeerBook
from meshd.trust.policy import DEFAULT_PERMISSIONS
from meshd_protocol.ids import DeviceId
from meshd_protocol.machines.pairing import NewPeer
from tests.support.keys import key_pair
from tests.support.manual_clock import ManualClock

PC, LAPTOP, OTHER = key_pair(b"pc"), key_pair(b"laptop"), key_pair(b"other")


def new(name: str = "pc", *, keys: bytes = b"pc", pair_key: bytes = b"k" * 32) -> NewPeer:
    pair = key_pair(keys)
    return NewPeer(pair.device, name, pair.certificate, pair_key, 1)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncGenerator[SqliteStore, None]:
    async with open_store(tmp_path / "mesh.db") as store:
        yield store


@pytest.mark.asyncio
async def test_a_peer_is_there_again_after_a_restart(store: SqliteStore) -> None:
    book = await PeerBook.load(store, ManualClock())
    kept = await book.keep(new(), ["192.168.1.2:62223"])

    again = await PeerBook.load(store, ManualClock())

    assert again.all() == [kept]
    assert kept.permissions == DEFAULT_PERMISSIONS
    assert kept.addresses == ("192.168.1.2:62223",)


@pytest.mark.asyncio
async def test_every_change_is_on_disk(store: SqliteStore) -> None:
    book = await PeerBook.load(store, ManualClock())
    await book.keep(new(), ["a:1"])
    await book.rename(PC.device, "big box")
    await book.set_permissions(PC.device, ["command", "lineups"])
    await book.seen(PC.device, "b:2")

    (peer,) = (await PeerBook.load(store, ManualClock())).all()

    assert peer == book.get(PC.device)
    assert (peer.name, peer.permissions, peer.addresses) == ("big box", ("command", "lineups"), ("b:2", "a:1"))
    assert book.may(PC.device, "command")
    assert not book.may(PC.device, "function")
    assert not book.may(LAPTOP.device, "lineups")


@pytest.mark.asyncio
async def test_pairing_again_renews_the_key_and_keeps_permissions_and_streams(store: SqliteStore) -> None:
    book = await PeerBook.load(store, ManualClock())
    await book.keep(new(), ["a:1"])
    await book.set_permissions(PC.device, ["command"])
    await store.write(lambda db: db.execute("INSERT INTO outbound VALUES (?, 's', 3, 1)", (PC.device,)) and None)

    again = await book.keep(new(pair_key=b"n" * 32), ["b:2"])

    assert (again.pair_key, again.permissions, again.addresses) == (b"n" * 32, ("command",), ("b:2", "a:1"))
    assert len(await store.fetch("SELECT * FROM outbound")) == 1


@pytest.mark.asyncio
async def test_an_id_with_another_key_replaces_nobody(store: SqliteStore) -> None:
    book = await PeerBook.load(store, ManualClock())
    kept = await book.keep(new(), [])
    impostor = NewPeer(PC.device, "pc", OTHER.certificate, b"x" * 32, 1)

    with pytest.raises(PeerRefused, match="another key"):
        await book.keep(impostor, [])

    assert (await PeerBook.load(store, ManualClock())).all() == [kept]


@pytest.mark.asyncio
async def test_forgetting_drops_streams_and_remembers_only_how_to_say_so(store: SqliteStore) -> None:
    seen = list[DeviceId]()

    def on_forget(connection: Connection, device: DeviceId) -> None:
        assert peers.get(connection, device) is not None
        seen.append(device)

    book = await PeerBook.load(store, ManualClock(), on_forget=on_forget)
    await book.keep(new(), [])
    await store.write(lambda db: db.execute("INSERT INTO outbound VALUES (?, 's', 3, 1)", (PC.device,)) and None)

    await book.forget(PC.device)

    former = await book.former(PC.device)
    assert former is not None
    assert (former.certificate, former.pair_key) == (PC.certificate, b"k" * 32)
    assert await store.fetch("SELECT * FROM outbound") == []
    assert (await PeerBook.load(store, ManualClock())).all() == []
    assert seen == [PC.device]


@pytest.mark.asyncio
async def test_a_forgotten_peer_that_is_paired_again_starts_with_the_default_permissions(store: SqliteStore) -> None:
    book = await PeerBook.load(store, ManualClock())
    await book.keep(new(), [])
    await book.set_permissions(PC.device, ["command"])
    await book.forget(PC.device)

    again = await book.keep(new(), [])

    assert again.permissions == DEFAULT_PERMISSIONS
    assert await book.former(PC.device) is None


@pytest.mark.asyncio
async def test_a_peer_stays_trusted_when_forgetting_fails(store: SqliteStore) -> None:
    def on_forget(connection: Connection, device: DeviceId) -> None:
        raise OSError("no")

    book = await PeerBook.load(store, ManualClock(), on_forget=on_forget)
    kept = await book.keep(new(), [])
    with pytest.raises(OSError, match="no"):
        await book.forget(PC.device)

    assert book.all() == book.listed() == [kept]
    assert (await PeerBook.load(store, ManualClock())).all() == [kept]


@pytest.mark.asyncio
async def test_nobody_is_told_that_a_peer_is_forgotten_before_that_is_on_disk(store: SqliteStore) -> None:
    book = await PeerBook.load(store, ManualClock())
    kept = await book.keep(new(), [])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(book.forget(PC.device))
        await asyncio.sleep(0)
        assert (book.all(), book.listed()) == ([], [kept])

    assert book.listed() == []


@pytest.mark.asyncio
async def test_a_peer_is_found_by_id_by_the_start_of_it_and_by_name(store: SqliteStore) -> None:
    book = await PeerBook.load(store, ManualClock())
    pc = await book.keep(new("pc"), [])
    laptop = await book.keep(new("Laptop", keys=b"laptop"), [])

    assert book.find("laptop") == laptop
    assert book.find(pc.device) == book.find(pc.device[:6].upper()) == pc
    for text in ("desk", "", pc.device[:3], "la"):
        with pytest.raises(NotFound):
            book.find(text)


@pytest.mark.asyncio
async def test_a_name_that_two_peers_have_names_neither(store: SqliteStore) -> None:
    book = await PeerBook.load(store, ManualClock())
    await book.keep(new("pc"), [])
    await book.keep(new("PC", keys=b"other"), [])

    with pytest.raises(Conflict, match=OTHER.device):
        book.find("pc")


@pytest.mark.asyncio
async def test_names_that_cannot_be_shown_are_replaced_or_refused(store: SqliteStore) -> None:
    book = await PeerBook.load(store, ManualClock())
    kept = await book.keep(new("\u202e\n"), [])

    assert kept.name == PC.device
    for name in ("", "x" * 65, "a\u202eb"):
        with pytest.raises(BadInput):
            await book.rename(PC.device, name)
    with pytest.raises(NotFound):
        await book.rename(LAPTOP.device, "x")


@pytest.mark.asyncio
async def test_addresses_of_a_peer_are_few_and_the_last_good_one_comes_first(store: SqliteStore) -> None:
    book = await PeerBook.load(store, ManualClock())
    await book.keep(new(), [f"a:{number}" for number in range(1, 20)])
    await book.seen(PC.device, "a:5")

    peer = book.get(PC.device)
    assert peer is not None
    assert peer.addresses == ("a:5", "a:1", "a:2", "a:3", "a:4", "a:6", "a:7", "a:8")
