"""Which of the user's rules leave no lineup, or no other one: found by a solver that is asked with and without each.

A set of rules is named of which none could be spared: without any of them there would be a lineup.
"""

from collections.abc import Collection, Sequence
from typing import cast

from meshd.errors import BadInput
from meshd.kinds.base import Document
from meshd.kinds.lineups.engine.bench import needing_jax
from meshd.kinds.lineups.engine.diversity import Chosen
from meshd.kinds.lineups.sports.conflicts import NoLineup
from meshd.kinds.lineups.sports.exact.task import StreamedTask
from meshd.kinds.lineups.sports.players import Player
from meshd.kinds.lineups.sports.problem import SlateProblem
from meshd.kinds.lineups.sports.roster import roster_of

with needing_jax():
    from meshd.kinds.lineups.sports.solving import Linear

_NAMED = 24
"""Exclusions that are told one by one; more are told of together."""


def why_none(problem: SlateProblem, resolved: Document) -> BadInput:
    """Return what is said of rules that no lineup keeps."""
    asked = _asked(problem, resolved)
    needed = _needed(asked)
    if needed is None:
        return NoLineup()
    if not needed:
        return BadInput(
            "No lineup of this slate keeps what the site asks.", field="players", hint="Send the whole slate."
        )
    if len(needed) == 1:
        told = f"No lineup keeps {needed[0]}."
    else:
        told = f"No lineup keeps all constraints: {' and '.join(needed)} conflict."
    return BadInput(told, field="constraints", hint="Loosen one of them." if len(needed) > 1 else "Loosen it.")


def why_no_more(problem: SlateProblem, resolved: Document, picked: Sequence[Sequence[int]]) -> dict[str, object]:
    """Return why an answer has fewer lineups than were asked for; they are given as the task's players."""
    asked = _asked(problem, resolved)
    _differ(problem, asked, picked)
    needed, wanted = _needed(asked), problem.task.diversity.count
    is_proven = needed is not None
    binding = needed or ["the number of players" if is_proven else "the rules"]
    verb = "leaves" if len(binding) == 1 and not binding[0].startswith("the rules") else "leave"
    why = f"{', '.join(binding)} {verb} no other open" if is_proven else "no other was found"
    return {
        "binding": binding,
        "message": f"{wanted:,} lineups were asked for, and {len(picked):,} are returned: {why}.",
        "hint": "Loosen one of them, or ask for fewer lineups.",
    }


def _needed(asked: Linear) -> list[str] | None:
    """Return rules that together leave no lineup, none of which could be spared; None where there is a lineup."""
    nothing = [0] * len(asked.players)

    def is_none(without: Collection[str]) -> bool:
        return asked.solve(nothing, without).is_proven_none

    if not is_none(()):
        return None
    names = asked.names
    without: set[str] = set()
    # Leaving a rule out never makes lineups fewer: what is left after one try each is minimal.
    for name in names:
        if is_none(without | {name}):
            without.add(name)
    return [name for name in names if name not in without]


def _asked(problem: SlateProblem, resolved: Document) -> Linear:
    """Return what is asked of every lineup, each of the user's rules under the name that he knows it by."""
    constraints = cast("dict[str, object]", resolved["constraints"])
    roster = roster_of(str(resolved["site"]), str(resolved["sport"]))
    asked = Linear(roster, problem.players)
    size, cap, floor = roster.size, cast("int", constraints["salary_cap"]), cast("int", constraints["salary_min"])
    asked.spend(f"salary_cap ({cap:,})", 0, cap)
    if floor:
        asked.spend(f"salary_min ({floor:,})", floor, float("inf"))
    _mark(problem, asked)
    for name, group in problem.groups:
        asked.group(name, group)
    for name, stack in problem.stacks:
        asked.stack(name, stack)
    most = cast("int | None", constraints["max_from_team"])
    if most is not None:
        for rows in _teams(problem.players, roster.not_of_team):
            asked.hold(f"max_from_team ({most})", rows, 0, most)
    for lineup in problem.banned:
        columns = lineup if isinstance(problem.task, StreamedTask) else asked.columns_of(lineup)
        asked.differ("exclude_lineups", columns, size - 1)
    return asked


def _mark(problem: SlateProblem, asked: Linear) -> None:
    """Ask for locks and exclusions."""
    entrants = problem.entrants
    for rows in problem.locked:
        asked.hold(f"the lock of {entrants[rows[0]].name}", rows, 1)
    asked.hold("", [at for at, player in enumerate(entrants) if player.withdrawn], 0, 0)
    excluded = [at for at, player in enumerate(entrants) if player.excluded and not player.withdrawn]
    together = len({entrants[at].name for at in excluded}) > _NAMED
    for at in excluded:
        asked.hold("the exclusions" if together else f"the exclusion of {entrants[at].name}", [at], 0, 0)


def _teams(players: Sequence[Player], without: Collection[str]) -> list[list[int]]:
    counted = [at for at, player in enumerate(players) if player.team and not set(player.positions) & set(without)]
    names = sorted({players[at].team for at in counted})
    return [[at for at in counted if players[at].team == name] for name in names]


def _differ(problem: SlateProblem, asked: Linear, picked: Sequence[Sequence[int]]) -> None:
    """Ask for a lineup that those picked and given leave open."""
    task, diversity, size = problem.task, problem.task.diversity, problem.roster.size
    exact = isinstance(task, StreamedTask)

    def columns(some: Sequence[int]) -> list[int]:
        return list(some) if exact else asked.columns_of(some)

    chosen = Chosen(diversity, task.lineups.players, size)
    for lineup in picked:
        chosen.choose(lineup)
    for lineup in chosen.lineups:
        name = "existing_lineups" if lineup in diversity.given else ""
        asked.differ(name, columns(lineup), size - 1)
        if diversity.max_overlap is not None:
            asked.differ("max_overlap", columns(lineup), min(size - 1, diversity.max_overlap))
    used_up = [at for at, most in enumerate(diversity.most) if int(chosen.uses[at]) >= most]
    asked.rule("the most exposure", dict.fromkeys(columns(used_up), 1.0), 0, 0)
    needed = chosen.demand()
    if needed.players:
        asked.rule("the least exposure", dict.fromkeys(columns(needed.players), 1.0), needed.held, size)
    if needed.some:
        asked.rule("the least exposure", dict.fromkeys(columns(needed.among), 1.0), needed.some, size)
