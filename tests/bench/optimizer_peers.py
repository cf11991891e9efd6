# pyright: basic
"""What other optimizers take for the same lineups; runs in a process and an environment of their own.

`python -P optimizer_peers.py NAME < PROBLEM` prints `{"seconds", "values"}`. The problem is JSON: whole-number values
and salaries of the players, the cap, how many lineups, and how many players two of them may share. Each tool finds the
lineups one after the other, the best one first; importing it is not timed. Nothing here needs meshd.

`cp-sat-programs` reads a list of linear programs instead (tests/support/linear_lineups.py), and prints what is best in
each, or null.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable

SIZE = 6

WORKERS = 2
"""Threads that CP-SAT is given."""


def pydfs(problem: dict) -> list[int]:
    """Ask pydfs-lineup-optimizer, which asks CBC."""
    package = importlib.import_module("pydfs_lineup_optimizer")
    optimizer = package.get_optimizer(package.Site.DRAFTKINGS, package.Sport.NASCAR)
    # It wants points as floats; whole numbers of this size lose nothing.
    players = [
        package.Player(str(number), f"Driver {number}", "", ["D"], f"T{number}", salary, float(value))
        for number, (salary, value) in enumerate(zip(problem["salaries"], problem["values"], strict=True))
    ]
    optimizer.player_pool.load_players(players)
    if problem["count"] > 1:
        optimizer.set_max_repeating_players(problem["overlap"])
    return [round(sum(player.fppg for player in lineup.players)) for lineup in optimizer.optimize(problem["count"])]


def highs(problem: dict) -> list[int]:
    """Ask HiGHS, one program with a row more for each lineup."""
    highspy = importlib.import_module("highspy")
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("mip_rel_gap", 0.0)
    players = range(len(problem["values"]))
    taken = [solver.addBinary(obj=float(value)) for value in problem["values"]]
    solver.addConstr(sum(taken) == SIZE)
    solver.addConstr(sum(problem["salaries"][player] * taken[player] for player in players) <= problem["cap"])
    solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
    values: list[int] = []
    for _ in range(problem["count"]):
        solver.run()
        lineup = [player for player in players if solver.variableValue(taken[player]) > 0.5]
        values.append(sum(problem["values"][player] for player in lineup))
        solver.addConstr(sum(taken[player] for player in lineup) <= problem["overlap"])
    return values


def cp_sat(problem: dict) -> list[int]:
    """Ask OR-tools' CP-SAT likewise."""
    cp_model = importlib.import_module("ortools.sat.python.cp_model")
    model = cp_model.CpModel()
    players = range(len(problem["values"]))
    taken = [model.new_bool_var(f"d{player}") for player in players]
    model.add(sum(taken) == SIZE)
    model.add(sum(problem["salaries"][player] * taken[player] for player in players) <= problem["cap"])
    model.maximize(sum(problem["values"][player] * taken[player] for player in players))
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = WORKERS
    values: list[int] = []
    for _ in range(problem["count"]):
        solver.solve(model)
        lineup = [player for player in players if solver.value(taken[player])]
        values.append(sum(problem["values"][player] for player in lineup))
        model.add(sum(taken[player] for player in lineup) <= problem["overlap"])
    return values


def cp_sat_programs(programs: list) -> list[int | None]:
    """Solve linear programs in variables of 0 and 1."""
    cp_model = importlib.import_module("ortools.sat.python.cp_model")
    found: list[int | None] = []
    for program in programs:
        model = cp_model.CpModel()
        taken = [model.new_bool_var(f"x{at}") for at in range(program["variables"])]
        for weights, low, high in program["rows"]:
            total = sum(weight * taken[at] for at, weight in weights)
            if low is not None:
                model.add(total >= low)
            if high is not None:
                model.add(total <= high)
        model.maximize(sum(value * taken[at] for at, value in enumerate(program["values"])))
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = WORKERS
        solved = solver.solve(model)
        if solved not in {cp_model.OPTIMAL, cp_model.INFEASIBLE}:
            raise SystemExit(f"CP-SAT ended as {solver.status_name(solved)}")
        found.append(round(solver.objective_value) if solved == cp_model.OPTIMAL else None)
    return found


PEERS: dict[str, tuple[str, Callable[[dict], list[int]]]] = {
    "pydfs": ("pydfs_lineup_optimizer", pydfs),
    "highs": ("highspy", highs),
    "cp-sat": ("ortools.sat.python.cp_model", cp_sat),
}
"""By name: what has to be importable, and how it is asked for lineups."""

PROGRAMS = "cp-sat-programs"

ASKED = {**PEERS, PROGRAMS: (PEERS["cp-sat"][0], cp_sat_programs)}
"""The same, and who is asked something else."""


def main() -> None:
    """Solve the problem on stdin with the peer that is named."""
    module, solve = ASKED[sys.argv[1]]
    importlib.import_module(module)
    problem = json.load(sys.stdin)
    began = time.perf_counter()
    values = solve(problem)
    print(json.dumps({"seconds": time.perf_counter() - began, "values": values}))


if __name__ == "__main__":
    main()
