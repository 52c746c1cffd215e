"""A clock that never jumps."""

from fleetsight.apps.cooler.device.hardware import SteadyClock
from fleetsight.clock import SECOND_NS, VirtualClock


def test_a_clock_that_is_set_meanwhile_changes_nothing() -> None:
    wall, steady = VirtualClock(1_000 * SECOND_NS), VirtualClock(5 * SECOND_NS)
    clock = SteadyClock(wall, steady_ns=steady.now_ns)
    assert clock.now_ns() == 1_000 * SECOND_NS
    steady.advance(3 * SECOND_NS)
    wall.advance(-500 * SECOND_NS)
    assert clock.now_ns() == 1_003 * SECOND_NS
