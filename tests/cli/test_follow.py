from meshd.cli.follow import Lines, Story
from tests.support.services import attempt, job_view


def test_each_move_of_a_job_is_told_once_however_often_it_is_seen() -> None:
    told: list[str] = []
    story = Story(told.append)
    on_pc, lost = attempt(1, "pc", "running"), attempt(1, "pc", "lost", "the connection to pc is lost")
    offered, here = attempt(2, "laptop", "offered"), attempt(2, "laptop", "running")
    for view in (
        job_view("j", "queued", reason="waiting for a slot"),
        job_view("j", "running", attempts=[on_pc]),
        job_view("j", "retrying", reason="the connection to pc is lost", attempts=[lost]),
        job_view("j", "retrying", reason="the connection to pc is lost", attempts=[lost, offered]),
        job_view("j", "running", attempts=[lost, here]),
        job_view("j", "completed", attempts=[lost, attempt(2, "laptop", "succeeded")]),
    ):
        story.add(view)
        story.add(view)

    assert told == [
        "queued: waiting for a slot",
        "running on pc",
        "retrying: the connection to pc is lost (was on pc)",
        "running on laptop",
    ]


def test_a_move_between_two_looks_is_told_all_the_same() -> None:
    told: list[str] = []
    lost = attempt(1, "pc", "lost", "pc is too slow")
    Story(told.append).add(job_view("j", "running", attempts=[lost, attempt(2, "laptop", "running")]))

    assert told == ["retrying: pc is too slow (was on pc)", "running on laptop"]


def test_progress_is_told_in_tenths_and_again_when_an_attempt_begins_anew() -> None:
    told: list[str] = []
    lines = Lines(told.append)
    for share in (0.01, 0.09, 0.11, 0.15, 0.5, 0.02, 0.08, 1.0):
        lines.show(job_view("j", "running", progress=share))

    assert [line.strip() for line in told] == ["11%", "50%", "2%", "100%"]
