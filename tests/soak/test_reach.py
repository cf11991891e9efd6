"""Who can talk and who does: what was said before the last change does not count."""

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.simulation.options import luck
from tests.soak.ledger import CannotTalk, CanTalk, Connected, Disconnected, Ledger, read
from tests.soak.reach import Reach
from tests.soak.switch import Air


class World:
    """Two machines, the time, and what was written about them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.time = 0.0
        self.air = Air(("laptop", "pc"), random=luck("air"))
        self.ledger = Ledger(folder, lambda: self.time)
        self.reach = Reach(("laptop", "pc"), self.ledger, is_cut=self.air.is_cut)

    def both_say(self, *, asked_at: float, connected: bool = True) -> None:
        self.reach.heard("laptop", ["pc"] if connected else [], asked_at=asked_at)
        self.reach.heard("pc", ["laptop"] if connected else [], asked_at=asked_at)

    def told(self) -> list[tuple[type[object], float]]:
        return [(type(entry), entry.at) for entry in read(self.folder)]


@pytest.fixture
def world(tmp_path: Path) -> Generator[World]:
    world = World(tmp_path)
    with world.ledger:
        world.reach.now("laptop", ready=True)
        world.reach.now("pc", ready=True)
        yield world


def test_both_must_say_so_and_after_they_could(world: World) -> None:
    world.both_say(asked_at=-1.0)
    world.time = 2.0
    world.reach.heard("laptop", ["pc"], asked_at=1.0)
    assert world.told() == [(CanTalk, 0.0)]
    assert world.reach.apart() == ["laptop-pc"]
    world.reach.heard("pc", ["laptop"], asked_at=1.5)
    assert world.told() == [(CanTalk, 0.0), (Connected, 2.0)]
    assert world.reach.apart() == []
    world.time = 3.0
    world.reach.heard("pc", [], asked_at=2.5)
    assert world.told()[-1] == (Disconnected, 3.0)


@pytest.mark.parametrize("change", ["ready", "still", "linked", "full"])
def test_whatever_keeps_a_machine_away_begins_a_new_count(world: World, change: str) -> None:
    away, back = (False, True) if change in {"ready", "linked"} else (True, False)
    world.time = 1.0
    world.both_say(asked_at=0.5)
    world.time = 5.0
    world.reach.now("pc", **{change: away})
    assert world.reach.apart() == ["laptop-pc"]
    world.time = 8.0
    world.reach.now("pc", **{change: back})
    world.both_say(asked_at=7.9)
    world.time = 9.0
    world.both_say(asked_at=8.5)

    assert world.told() == [
        (CanTalk, 0.0), (Connected, 1.0), (CannotTalk, 5.0), (CanTalk, 8.0), (Connected, 9.0)
    ]  # fmt: skip


def test_a_cut_of_one_way_keeps_both_apart(world: World) -> None:
    world.air.cut([("pc", "laptop")])
    world.reach.look_again()
    world.air.cut([])
    world.reach.look_again()

    assert [kind for kind, _ in world.told()] == [CanTalk, CannotTalk, CanTalk]
