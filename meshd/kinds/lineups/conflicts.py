"""Why there are fewer lineups than were asked for: which constraints leave no more, in a person's words."""

import numpy as np

from meshd.errors import BadInput
from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.diversity import Chosen, Diversity
from meshd.kinds.lineups.engine.rules import RuleName, conflict
from meshd.kinds.lineups.problem import Problem


def refuse_none(problem: Problem) -> None:
    """Refuse a problem that no lineup solves.

    Raises:
        BadInput: the sentence names the constraints that conflict.
    """
    if len(problem.task.feasible):
        return
    told, hint = _told_conflict(problem, 1)
    raise BadInput(f"No lineup keeps all constraints: {' and '.join(told)} conflict.", field="constraints", hint=hint)


def infeasible(problem: Problem, answer: Answer) -> dict[str, object] | None:
    """Return why an answer has fewer lineups than were asked for; None when it has them all."""
    wanted, found = problem.task.diversity.count, len(answer.lineups)
    if found >= wanted:
        return None
    feasible = len(problem.task.feasible)
    if feasible < wanted:
        told, hint = _told_conflict(problem, wanted)
        why = f"only {feasible:,} lineups keep {', '.join(told)}"
    else:
        told, hint = _binding_diversity(problem, answer), "Loosen one of them, or ask for fewer lineups."
        why = f"{', '.join(told)} {'leaves' if len(told) == 1 else 'leave'} no other open"
    return {
        "binding": told,
        "message": f"{wanted:,} lineups were asked for, and {found:,} are returned: {why}.",
        "hint": hint,
    }


def _told_conflict(problem: Problem, wanted: int) -> tuple[list[str], str]:
    task = problem.task
    found = conflict(task.lineups, task.rules, wanted)
    if found is None:
        raise AssertionError("the rules leave as many lineups as are wanted")
    told = list(dict.fromkeys(_told(problem, name) for name in found.between))
    best = max(found.without.items(), key=lambda item: item[1], default=None)
    hint = "Loosen one of them."
    if best is not None and best[1] > found.lineups:
        hint = f"Without {_told(problem, best[0])} there are {best[1]:,}."
    return told or ["the number of players"], hint


def _told(problem: Problem, rule: RuleName) -> str:
    task = problem.task
    names = [player.name for player in problem.players]
    match rule.kind:
        case "cap":
            return f"salary_cap ({task.rules.cap:,})"
        case "floor":
            return f"salary_min ({task.rules.floor:,})"
        case "group" if rule.which < problem.groups:
            group = task.rules.groups[rule.which]
            bounds = f"{group.least} to {'any' if group.most is None else group.most}"
            shown = ", ".join(names[at] for at in group.members[:4]) + (", …" if len(group.members) > 4 else "")
            when = "" if group.when is None else f" if {names[group.when]}"
            return f"group {rule.which + 1} ({bounds} of {shown}{when})"
        case "group":
            return f"max_from_team ({task.rules.groups[rule.which].most})"
        case "stack":
            return f"min_from_team ({task.rules.stacks[rule.which].least})"
        case "banned":
            return "exclude_lineups"
        case "locked":
            return f"the lock of {names[rule.which]}"
        case _:
            player = problem.players[rule.which]
            return f"the {'withdrawal' if player.withdrawn else 'exclusion'} of {player.name}"


def _binding_diversity(problem: Problem, answer: Answer) -> list[str]:
    """Return the bounds each of which alone, if dropped, would leave a lineup open; all of them where none would."""
    asked = problem.task.diversity
    bounds = {
        "existing_lineups": Diversity(asked.count, asked.max_overlap, asked.most, asked.least),
        "max_overlap": Diversity(asked.count, None, asked.most, asked.least, asked.given),
        "the most exposure": Diversity(asked.count, asked.max_overlap, (), asked.least, asked.given),
        "the least exposure": Diversity(asked.count, asked.max_overlap, asked.most, (), asked.given),
    }
    given = {
        "existing_lineups": bool(asked.given),
        "max_overlap": asked.max_overlap is not None,
        "the most exposure": bool(asked.most),
        "the least exposure": bool(asked.least),
    }
    there = [name for name in bounds if given[name]]
    return [name for name in there if _leaves_open(problem, answer, bounds[name])] or there


def _leaves_open(problem: Problem, answer: Answer, diversity: Diversity) -> bool:
    task = problem.task
    chosen = Chosen(diversity, task.lineups.players, task.lineups.size)
    for lineup in task.lineups.members(answer.lineups).tolist():
        chosen.choose(lineup)
    return bool(np.any(chosen.open_in_all(task.lineups, task.allowed)))
