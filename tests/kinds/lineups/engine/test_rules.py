"""Rules hold for exactly the lineups that keep them, and conflicting ones are named."""

import numpy as np

from meshd.kinds.lineups.engine.enumeration import Lineups
from meshd.kinds.lineups.engine.rules import Group, RuleName, Rules, Stack, allowed, conflict

SALARIES = (9_000, 8_000, 7_000, 6_000, 5_000, 4_000, 3_000, 2_000)
SLATE = Lineups(8, 3)


def kept(rules: Rules, lineups: Lineups = SLATE) -> set[tuple[int, ...]]:
    mask = allowed(lineups, rules)
    return {(a, b, c) for a, b, c in lineups.members(np.flatnonzero(mask)).tolist()}


def test_salary_bounds_are_kept_to_the_dollar() -> None:
    assert (0, 1, 7) in kept(Rules(SALARIES, cap=19_000))
    assert (0, 1, 7) not in kept(Rules(SALARIES, cap=18_999))
    assert (0, 1, 7) in kept(Rules(SALARIES, floor=19_000))
    assert (0, 1, 7) not in kept(Rules(SALARIES, floor=19_001))


def test_a_group_binds_only_the_lineups_that_hold_its_player() -> None:
    found = kept(Rules(SALARIES, groups=(Group((1, 2), least=1, when=0),)))
    assert (0, 3, 4) not in found
    assert {(0, 1, 4), (3, 4, 5)} <= found
    assert (0, 1, 2) not in kept(Rules(SALARIES, groups=(Group((1, 2), most=1, when=0),)))


def test_a_stack_is_kept_by_any_of_its_choices() -> None:
    found = kept(Rules(SALARIES, stacks=(Stack(((0, 1), (2, 3)), 2),)))
    assert {(0, 1, 5), (2, 3, 7)} <= found
    assert (0, 2, 5) not in found


def test_a_banned_lineup_does_not_come_back() -> None:
    assert kept(Rules(SALARIES)) - kept(Rules(SALARIES, banned=((0, 1, 2), (4, 5, 6)))) == {(0, 1, 2), (4, 5, 6)}


def test_a_banned_lineup_that_breaks_a_lock_anyway_bans_nothing() -> None:
    assert len(kept(Rules(SALARIES, banned=((0, 1, 2),)), Lineups(8, 3, locked=(7,)))) == 21


def test_enough_lineups_are_no_conflict() -> None:
    assert conflict(SLATE, Rules(SALARIES, cap=18_000), 5) is None


def test_the_rules_that_leave_too_few_lineups_are_named_and_no_others() -> None:
    # Players 0 and 1 together leave 2,000 under the cap: for player 7 alone, whom the group keeps out.
    lineups = Lineups(8, 3, locked=(0, 1), excluded=(5,))
    rules = Rules(SALARIES, cap=19_000, floor=1_000, groups=(Group((2, 3), least=0), Group((7,), most=0)))
    found = conflict(lineups, rules, 1)
    assert found is not None
    assert found.lineups == 0
    assert set(found.between) == {
        RuleName("cap"),
        RuleName("group", 1),
        RuleName("locked", 0),
        RuleName("locked", 1),
    }
    assert found.without[RuleName("group", 1)] == 1
    assert found.without[RuleName("cap")] == 4
    assert found.without[RuleName("excluded", 5)] == 0
    assert found.without[RuleName("floor")] == 0


def test_a_slate_too_small_for_what_is_asked_is_a_conflict_of_no_rule() -> None:
    found = conflict(SLATE, Rules(SALARIES), 57)
    assert found is not None
    assert (found.lineups, found.between) == (56, ())
