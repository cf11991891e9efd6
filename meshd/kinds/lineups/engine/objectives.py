"""Which story tells which objective."""

from meshd.kinds.lineups.engine.answers import Answer
from meshd.kinds.lineups.engine.planning import Planned, Planner, Story
from meshd.kinds.lineups.engine.portfolio_story import together
from meshd.kinds.lineups.engine.quantile_story import by_quantile
from meshd.kinds.lineups.engine.stories import by_mean, by_wins
from meshd.kinds.lineups.engine.task import Beat, Cover, ExpectedMax, Mean, Quantile, Task


def story_of(task: Task) -> Story:
    """Return the story of a task, from its beginning."""
    match task.objective:
        case Mean():
            return by_mean(task)
        case Quantile() as objective:
            return by_quantile(task, objective)
        case Beat() as objective:
            return by_wins(task, objective)
        case Cover() | ExpectedMax() as objective:
            return together(task, objective)


def planner() -> Planner[Task, Planned, Answer]:
    """Return a planner of all objectives."""
    return Planner(story_of)
