"""A backend that fails is left alone for a while, then asked once."""

from fleetsight.serve.queueing.breaker import FAILURES_MIN, Breaker, State
from fleetsight.serve.queueing.request import SECOND_NS


def broken(now_ns: int = 0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES_MIN):
        breaker.failed(now_ns)
    return breaker


def test_single_failures_among_answers_change_nothing() -> None:
    breaker = Breaker()
    for _ in range(20):
        breaker.answered()
        breaker.answered()
        breaker.failed(0)
    assert breaker.state(0) is State.CLOSED


def test_it_rests_then_takes_one_probe_and_closes_on_an_answer() -> None:
    breaker = broken()
    assert not breaker.may_try(SECOND_NS - 1)
    assert breaker.state(SECOND_NS) is State.HALF_OPEN
    assert breaker.may_try(SECOND_NS)
    breaker.trying(SECOND_NS)
    assert not breaker.may_try(SECOND_NS)
    breaker.answered()
    assert breaker.state(SECOND_NS) is State.CLOSED


def test_a_failed_probe_doubles_the_rest() -> None:
    breaker = broken()
    breaker.trying(SECOND_NS)
    breaker.failed(SECOND_NS)
    assert not breaker.may_try(3 * SECOND_NS - 1)
    assert breaker.may_try(3 * SECOND_NS)


def test_a_probe_that_says_nothing_may_be_repeated() -> None:
    breaker = broken()
    breaker.trying(SECOND_NS)
    breaker.untold()
    assert breaker.may_try(SECOND_NS)
