"""A history in which nothing comes to its end is broken, and is not waited for."""

from tests.simulation.core_world import CoreWorld
from tests.simulation.options import quiet


def test_a_history_that_goes_round_in_circles_is_broken() -> None:
    world = CoreWorld("circles", quiet())

    def again() -> None:
        world.at(world.now, again)

    again()
    world.run()

    assert world.monitor.violation is not None
    assert "something goes round in circles" in str(world.monitor.violation)
