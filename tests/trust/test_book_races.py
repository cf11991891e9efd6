"""What happens to the peer table when a person unpairs a device that is just being paired."""

import asyncio
from pathlib import Path

import pytest

from meshd.errors import PeerRefused
from meshd.store.database import open_store
from meshd.trust.book import PeerBook
from meshd_protocol.machines.pairing import NewPeer
from tests.support.keys import key_pair
from tests.support.manual_clock import ManualClock

PC = key_pair(b"pc")


def new(pair_key: bytes) -> NewPeer:
    return NewPeer(PC.device, "pc", PC.certificate, pair_key, 1)


@pytest.mark.asyncio
async def test_who_is_forgotten_while_being_paired_again_stays_forgotten(tmp_path: Path) -> None:
    async with open_store(tmp_path / "mesh.db") as store:
        book = await PeerBook.load(store, ManualClock())
        await book.keep(new(b"k" * 32), [])
        kept, forgotten = await asyncio.gather(
            book.keep(new(b"n" * 32), []), book.forget(PC.device), return_exceptions=True
        )
        assert isinstance(kept, PeerRefused)
        assert not isinstance(forgotten, BaseException)
        assert book.get(PC.device) is None
        assert (await PeerBook.load(store, ManualClock())).all() == []


@pytest.mark.asyncio
async def test_who_is_paired_again_after_being_forgotten_is_a_peer(tmp_path: Path) -> None:
    async with open_store(tmp_path / "mesh.db") as store:
        book = await PeerBook.load(store, ManualClock())
        await book.keep(new(b"k" * 32), [])
        await asyncio.gather(book.forget(PC.device), book.keep(new(b"n" * 32), []))
        assert book.get(PC.device) is not None
        assert len((await PeerBook.load(store, ManualClock())).all()) == 1
