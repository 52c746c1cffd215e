"""A phone that redeems a code and waits for the receipt."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from starlette.responses import JSONResponse

from fleetsight.apps.cooler.device.simulated_shopper import ShopperError, buy, register, top_up
from fleetsight.money import Money
from tests.apps.cooler.device.fake_server import FakeService, Problem, Session, running


@pytest.fixture
def fake() -> Iterator[FakeService]:
    service = FakeService()
    service.takes_any_code = True
    with running(service):
        yield service


def later(fake: FakeService, *steps: Callable[[Session], None], every_s: float = 0.1) -> threading.Thread:
    """Let things happen to the session that a shopper gets."""

    def work() -> None:
        while not fake.sessions:
            time.sleep(0.01)
        (session,) = fake.sessions.values()
        for step in steps:
            time.sleep(every_s)
            step(session)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def state(name: str) -> Callable[[Session], None]:
    def step(session: Session) -> None:
        session.receipt = {"paid": {"minor": 250, "currency": "EUR"}, "lines": []}
        session.state = name

    return step


def test_a_purchase_from_code_to_receipt(fake: FakeService) -> None:
    shopper = register(fake.url, "Ada")
    top_up(fake.url, shopper.token, amount=Money(5000, "EUR"))
    thread = later(fake, state("open"), state("closed"), state("settled"), every_s=0.6)
    bought = buy(fake.url, "code", shopper_token=shopper.token, expected=Money(250, "EUR"))
    thread.join()
    assert (bought.stage, bought.state) == ("receipt", "settled")
    assert bought.charged == bought.expected == Money(250, "EUR")
    assert not bought.wrong
    assert bought.unlock_s is not None
    assert 0 < bought.redeem_s <= bought.unlock_s
    assert bought.receipt_s is not None
    assert bought.receipt == {"paid": {"minor": 250, "currency": "EUR"}, "lines": []}


def test_another_sum_than_what_was_taken_is_wrong(fake: FakeService) -> None:
    thread = later(fake, state("settled"))
    bought = buy(fake.url, "code", shopper_token="t", expected=Money(300, "EUR"))
    thread.join()
    assert bought.wrong


def test_a_visit_without_a_purchase_costs_nothing(fake: FakeService) -> None:
    thread = later(fake, state("aborted"))
    bought = buy(fake.url, "code", shopper_token="t", expected=Money(0, "EUR"))
    thread.join()
    assert (bought.stage, bought.charged, bought.wrong) == ("ended", Money(0, "EUR"), False)
    assert bought.receipt is None


def test_a_wait_that_is_too_short_leaves_the_charge_open(fake: FakeService) -> None:
    bought = buy(fake.url, "code", shopper_token="t", wait_s=0.2)
    assert (bought.stage, bought.charged, bought.wrong, bought.unlock_s) == ("unlocking", None, False, None)


def test_a_refused_code_says_why(fake: FakeService) -> None:
    fake.refuse = lambda _method, path: Problem(409, "device_busy") if path == "/v1/shopper/sessions" else None
    with pytest.raises(ShopperError) as caught:
        buy(fake.url, "code", shopper_token="t")
    assert (caught.value.status, caught.value.problem) == (409, "device_busy")


def test_a_busy_service_is_asked_again_with_the_same_key(fake: FakeService) -> None:
    failures = [503, 500]
    fake.refuse = lambda _method, path: Problem(failures.pop(), "busy") if "top-ups" in path and failures else None
    top_up(fake.url, "t", amount=Money(1, "EUR"))
    assert failures == []


def test_a_service_that_never_answers_is_given_up() -> None:
    with pytest.raises(ShopperError, match="times"):
        register("http://127.0.0.1:9", "Ada")


def test_an_answer_without_a_problem_body_is_reported_as_it_is(fake: FakeService) -> None:
    plain = Problem(404, "")
    plain.answer = JSONResponse(["no"], 404)
    fake.refuse = lambda _method, _path: plain
    with pytest.raises(ShopperError) as caught:
        register(fake.url, "Ada")
    assert caught.value.problem == ""
