"""Clocks tell UTC nanoseconds, and a virtual one obeys."""

import time

from fleetsight.clock import Clock, SystemClock, VirtualClock


def test_the_system_clock_tells_the_machines_time() -> None:
    before_ns = time.time_ns()
    now_ns = SystemClock().now_ns()
    assert before_ns <= now_ns <= time.time_ns()


def test_a_virtual_clock_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock(1_000)
    assert [clock.now_ns(), clock.now_ns()] == [1_000, 1_000]
    clock.advance(5)
    assert clock.now_ns() == 1_005


def test_a_virtual_clock_can_step_backwards_as_a_machines_clock_may() -> None:
    clock = VirtualClock(1_000)
    clock.advance(-400)
    assert clock.now_ns() == 600


def test_both_are_clocks() -> None:
    clocks: list[Clock] = [SystemClock(), VirtualClock(0)]
    assert all(type(clock.now_ns()) is int for clock in clocks)
