"""Users ask for what can be done, but for what is to be refused; and for the same again with the same seed."""

from collections import Counter

import pytest

from meshd import kinds
from meshd.errors import BadInput
from tests.simulation.options import luck
from tests.soak.workload import Wish, Workload, is_bad

MACHINES = ("laptop", "pc", "box")


def wishes(seed: int, count: int = 400) -> list[Wish]:
    workload = Workload("laptop", MACHINES, luck(f"user {seed}"))
    return [workload.draw() for _ in range(count)]


def test_good_wishes_are_such_that_meshd_takes_them_and_bad_ones_such_that_it_does_not() -> None:
    for wish in wishes(1):
        request = wish.request
        if not is_bad(request):
            kinds.find(request.kind).validate(request.spec)
            assert request.placement in {"auto", "local", "pc", "box"}
        elif request.placement != "nowhere":
            with pytest.raises(BadInput):
                kinds.find(request.kind).validate(request.spec)


def test_there_is_some_of_everything() -> None:
    drawn = wishes(1)
    names = Counter((wish.request.name or "bad").rpartition(" ")[0] or "bad" for wish in drawn)

    assert names.keys() == {"sleep", "cancel", "fail", "crash", "timeout", "lineups", "large lineups", "bad"}
    assert {wish.request.placement for wish in drawn} == {"auto", "local", "pc", "box", "nowhere"}
    assert all((wish.cancel_after_s is not None) == (wish.request.name or "").startswith("cancel") for wish in drawn)
    assert "large lineups 3" in [wish.request.name for wish in wishes(2, 3)]


def test_the_same_seed_wants_the_same_and_no_two_echoes_are_alike() -> None:
    assert wishes(1) == wishes(1)
    assert wishes(1) != wishes(2)
    texts = [wish.request.spec["text"] for wish in wishes(1) if "text" in wish.request.spec and wish.request.name]
    assert len(texts) == len(set(texts))
