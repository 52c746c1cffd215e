"""What the status page says of queues, shares, prices and changes."""

import pytest

from fleetsight.serve.page.contexts import changes, status_page
from fleetsight.serve.queueing.deployment import Deployment
from fleetsight.serve.queueing.lane import Lane
from fleetsight.serve.queueing.request import SECOND_NS, Answer, Reason, Refusal, Request
from fleetsight.serve.tier.meter import Meter
from fleetsight.serve.tier.router import Router
from tests.serve.queueing.drawn import START_NS, a_lane, a_request


def a_router(*lanes: Lane) -> Router:
    return Router([Deployment("m", lanes)], Meter())


def test_an_idle_service_shows_no_figures_that_nobody_measured() -> None:
    (model,) = status_page(a_router(a_lane("cpu")), now_ns=START_NS).models
    assert (model.hz, model.p50_ms, model.p99_ms, model.oldest_s) == (0.0, None, None, None)
    assert (model.refused_percent, model.usd_per_thousand_now, model.pools[0].percent) == (None, None, None)
    assert model.is_by_cost


def test_shares_times_and_prices_are_those_of_the_answers() -> None:
    router = a_router(a_lane("cpu", usd_per_hour=0.36, seats=2), a_lane("gpu", usd_per_hour=3.6))
    for variant, count in (("cpu", 30), ("gpu", 10)):
        for _ in range(count):
            router.meter.outcome(Request("m", b"", 0), Answer(b"1", variant=variant), seconds=0.02)
    (model,) = status_page(router, now_ns=START_NS).models
    cpu, gpu = model.pools
    assert (cpu.percent, gpu.percent) == (75, 25)
    assert model.p50_ms == pytest.approx(20.0, rel=0.06)
    assert model.usd_per_hour == pytest.approx(0.72 + 3.6)
    assert model.usd_per_thousand_now == pytest.approx(model.usd_per_hour / 3600 / model.hz * 1000)
    assert cpu.usd_per_thousand == pytest.approx(0.36 / 3600 / 50 * 1000)


def test_what_was_turned_away_and_what_we_lost_are_told_apart() -> None:
    router = a_router(a_lane("cpu"))
    router.meter.outcome(Request("m", b"", 0), Answer(b"1", variant="cpu"), seconds=0.02)
    for reason in (Reason.WOULD_BE_LATE, Reason.WOULD_BE_LATE, Reason.BACKEND_LOST):
        router.meter.outcome(Request("m", b"", 0), Refusal(reason), seconds=0.0)
    (model,) = status_page(router, now_ns=START_NS).models
    assert (model.refused_percent, model.failed_percent) == (50.0, 25.0)
    assert dict(model.reasons) == {"would_be_late": 2, "backend_lost": 1}


def test_the_oldest_in_the_queue_is_named() -> None:
    lane = a_lane("cpu")
    lane.line.push(a_request(now_ns=START_NS - 2 * SECOND_NS))
    lane.line.push(a_request(now_ns=START_NS - SECOND_NS))
    (model,) = status_page(a_router(lane), now_ns=START_NS).models
    assert (model.waiting, model.oldest_s) == (2, 2.0)


def test_a_pool_says_whether_it_works() -> None:
    lane = a_lane("cpu")
    (seat,) = lane.seats.values()

    def state() -> str:
        return status_page(a_router(lane), now_ns=START_NS).models[0].pools[0].state

    assert state() == "working"
    seat.running = {number: a_request() for number in range(seat.window)}
    assert state() == "full"
    seat.is_draining = True
    assert state() == "draining"
    seat.is_up = False
    assert state() == "down"


def test_the_newest_change_comes_first_in_words() -> None:
    router = a_router(a_lane("cpu"), a_lane("gpu"))
    router.history.note("m", "switch", asked={"variant": "gpu"})
    router.history.note("m", "split", asked={"shares": {"cpu": 90, "gpu": 10}})
    router.history.note("m", "split", asked={"shares": None})
    said = [(one.change, one.said) for one in changes(router.history.entries())]
    assert said == [("split", "by cost"), ("split", "cpu 90 %, gpu 10 %"), ("switch", "gpu")]
