"""The order of lineups has no ties, and taking the first few is the same as sorting all."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.ranking import first, ranked, spelled

SLATE = Lineups(7, 3)


@given(st.integers(0, 2**32), st.integers(0, SLATE.total + 3), st.integers(1, 4), st.integers(1, 4))
def test_the_first_are_the_first_of_all_sorted(seed: int, take: int, one: int, other: int) -> None:
    draw = np.random.default_rng(seed)
    numbers = draw.permutation(SLATE.total)
    values = [draw.integers(0, spread, SLATE.total) for spread in (one, other)]
    keys = {
        int(number): (-int(values[0][at]), -int(values[1][at]), SLATE.members(numbers[at : at + 1])[0].tolist())
        for at, number in enumerate(numbers)
    }
    expected = sorted(keys, key=lambda number: keys[number])
    assert ranked(SLATE, numbers, values).tolist() == expected
    assert first(SLATE, numbers, values, take).tolist() == expected[:take]


def test_spelling_orders_lineups_as_their_players_do() -> None:
    members = SLATE.members(np.arange(SLATE.total))
    by_key = members[np.argsort(spelled(members))].tolist()
    assert by_key == sorted(members.tolist())
