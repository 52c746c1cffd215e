"""The desk at which people decide: one case each, the first one wins, prices are the list's."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fleetsight.apps.cooler.session.answers import Applied, Missing, Repeated
from fleetsight.apps.cooler.session.machine import events
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import Action, State
from fleetsight.apps.cooler.session.machine.transition import Refusal, Refused
from fleetsight.apps.cooler.session.review import Contest, RefundOrder, Reviews, ReviewVerdict
from fleetsight.clock import SECOND_NS
from fleetsight.money import Money
from tests.apps.cooler.session.shop import SHOPPER, TENANT, Shop


def in_review(shop: Shop, device_id: str = "device", basket: dict[str, int] | None = None) -> Session:
    session = shop.upload(shop.visit(shop.redeem(device_id=device_id)))
    return shop.see(session, {"cola": 1} if basket is None else basket, "review")


def verdict(session: Session, action: str = "accept", **changes: object) -> ReviewVerdict:
    made = ReviewVerdict(TENANT, session.id, "reviewer", session.version, action, "as_proposed")
    return replace(made, **changes)  # type: ignore[arg-type]


def reviews(shop: Shop) -> Reviews:
    return Reviews(shop.sessions, shop.clock)


def test_the_case_that_waits_longest_comes_first_and_comes_again_to_the_same_person(shop: Shop) -> None:
    first = in_review(shop, "one")
    shop.clock.advance(SECOND_NS)
    second = in_review(shop, "two")
    desk = reviews(shop)
    case = desk.next(TENANT, "ann")
    assert case is not None
    assert (case.session_id, case.waiting, case.reason) == (first.id, 2, "doubt")
    assert case.version == first.version
    again, other = desk.next(TENANT, "ann"), desk.next(TENANT, "bob")
    assert again is not None
    assert other is not None
    assert (again.session_id, other.session_id) == (first.id, second.id)
    assert desk.next(TENANT, "eve") is None
    assert desk.next("another tenant", "ann") is None


def test_a_case_that_somebody_left_is_free_after_five_minutes(shop: Shop) -> None:
    session = in_review(shop)
    desk = reviews(shop)
    assert desk.next(TENANT, "ann") is not None
    shop.clock.advance(299 * SECOND_NS)
    assert desk.next(TENANT, "bob") is None
    shop.clock.advance(SECOND_NS)
    case = desk.next(TENANT, "bob")
    assert case is not None
    assert case.session_id == session.id


def test_thirty_reviewers_at_once_get_a_case_each(any_shop: Shop) -> None:
    waiting = {in_review(any_shop, f"device-{n}").id for n in range(5)}
    desk = reviews(any_shop)
    with ThreadPoolExecutor(30) as pool:
        cases = [case for case in pool.map(lambda n: desk.next(TENANT, f"r{n}"), range(30)) if case is not None]
    assert sorted(case.session_id for case in cases) == sorted(waiting)


def test_an_accepted_proposal_is_charged_at_the_lists_price(shop: Shop) -> None:
    session = in_review(shop, basket={"cola": 2})
    assert isinstance(reviews(shop).decide(verdict(session, seconds=12.5)), Applied)
    after = shop.work.hurry_settlement(session.id)
    assert (after.state, after.payment.kept_minor, after.decision and after.decision.decided_by) == (
        State.SETTLED,
        500,
        "reviewer",
    )
    assert reviews(shop).next(TENANT, "ann") is None
    shop.check()


def test_an_accepted_empty_proposal_is_a_release(shop: Shop) -> None:
    session = in_review(shop, basket={})
    assert isinstance(reviews(shop).decide(verdict(session)), Applied)
    assert shop.work.hurry_settlement(session.id).state is State.RELEASED


def test_a_corrected_basket_is_charged(shop: Shop) -> None:
    session = in_review(shop)
    told = reviews(shop).decide(
        verdict(session, "correct", basket={"water": 3, "cola": 0}, reason_code="wrong_product")
    )
    assert isinstance(told, Applied)
    after = shop.work.hurry_settlement(session.id)
    assert (after.payment.kept_minor, after.stocked) == (360, (("water", 3),))
    shop.check()


def test_a_waived_basket_is_not_charged_and_leaves_the_stock(shop: Shop) -> None:
    session = in_review(shop)
    assert isinstance(reviews(shop).decide(verdict(session, "waive", reason_code="goodwill")), Applied)
    after = shop.work.hurry_settlement(session.id)
    assert (after.state, after.payment.charged_minor, after.stocked) == (State.RELEASED, 0, (("cola", 1),))
    shop.check()


def test_a_session_without_a_proposal_is_corrected_or_waived(shop: Shop) -> None:
    session = shop.visit(shop.redeem())
    shop.clock.advance(61 * SECOND_NS)
    shop.sessions.apply(session.id, events.DeadlinePassed(online=True))
    shop.clock.advance(901 * SECOND_NS)
    shop.sessions.apply(session.id, events.DeadlinePassed(online=True))
    session = shop.now(session)
    assert session.state is State.REVIEW
    told = reviews(shop).decide(verdict(session))
    assert isinstance(told, Refused)
    assert isinstance(reviews(shop).decide(verdict(session, "waive", reason_code="no_evidence")), Applied)
    assert shop.work.hurry_settlement(session.id).state is State.RELEASED


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "steal"},
        {"reason_code": "because"},
        {"action": "correct"},
        {"basket": {"cola": 1}},
        {"seconds": -1.0},
        {"seconds": float("nan")},
        {"note": "x" * 2001},
        {"action": "correct", "basket": {"ghost": 1}},
        {"action": "correct", "basket": {"cola": 100}},
    ],
    ids=str,
)
def test_a_decision_that_makes_no_sense_is_refused(shop: Shop, changes: dict[str, object]) -> None:
    session = in_review(shop)
    assert isinstance(reviews(shop).decide(verdict(session, **changes)), Refused)  # type: ignore[arg-type]
    assert shop.now(session).state is State.REVIEW


def test_a_negative_count_is_refused(shop: Shop) -> None:
    session = in_review(shop)
    told = reviews(shop).decide(verdict(session, "correct", basket={"cola": -1}))
    assert isinstance(told, Refused)
    assert shop.now(session).decision is None


def test_a_case_that_changed_since_it_was_shown_is_refused(shop: Shop) -> None:
    session = in_review(shop)
    shop.sessions.apply(session.id, events.ReviewDecided("other", Action.CHARGE, (("cola", 1),), 250, "seen"))
    told = reviews(shop).decide(verdict(session))
    assert isinstance(told, Refused)
    assert told.code is Refusal.STALE
    ahead = reviews(shop).decide(verdict(session, version=session.version + 9))
    assert isinstance(ahead, Refused)


def test_an_alert_meanwhile_does_not_cost_the_reviewer_the_work(shop: Shop) -> None:
    session = in_review(shop)
    shop.clock.advance(1801 * SECOND_NS)
    shop.sessions.apply(session.id, events.DeadlinePassed())
    assert shop.now(session).version > session.version
    assert isinstance(reviews(shop).decide(verdict(session)), Applied)


def test_what_belongs_to_another_tenant_is_as_if_it_did_not_exist(shop: Shop) -> None:
    session = shop.buy({"cola": 1})
    assert isinstance(reviews(shop).decide(verdict(session, tenant_id="other")), Missing)
    assert isinstance(reviews(shop).refund(refund(session, tenant_id="other")), Missing)
    assert isinstance(reviews(shop).contest(contest(session, tenant_id="other")), Missing)
    assert isinstance(reviews(shop).contest(contest(session, shopper_id="other")), Missing)
    assert isinstance(reviews(shop).decide(verdict(replace(session, id="none"))), Missing)


def refund(session: Session, minor: int = 100, **changes: object) -> RefundOrder:
    made = RefundOrder(TENANT, session.id, "operator", "r1", Money(minor, "EUR"), "goodwill")
    return replace(made, **changes)  # type: ignore[arg-type]


def contest(session: Session, **changes: object) -> Contest:
    made = Contest(TENANT, session.id, SHOPPER, "c1", ("cola",), "not_taken", "I put it back")
    return replace(made, **changes)  # type: ignore[arg-type]


def test_a_refund_happens_once_however_often_it_is_asked_for(shop: Shop) -> None:
    session = shop.buy({"cola": 1})
    assert isinstance(reviews(shop).refund(refund(session)), Applied)
    assert isinstance(reviews(shop).refund(refund(session)), Repeated)
    after = shop.work.hurry_settlement(session.id)
    assert (after.payment.refunded_minor, after.state) == (100, State.SETTLED)
    assert shop.bank.truth()[session.id].refunded_minor == 100
    shop.check()


@pytest.mark.parametrize(
    "changes",
    [{"amount": Money(251, "EUR")}, {"amount": Money(0, "EUR")}, {"amount": Money(1, "USD")}, {"reason_code": "x"}],
    ids=str,
)
def test_a_refund_that_cannot_be_is_refused(shop: Shop, changes: dict[str, object]) -> None:
    session = shop.buy({"cola": 1})
    assert isinstance(reviews(shop).refund(refund(session, **changes)), Refused)  # type: ignore[arg-type]
    shop.check()


def test_a_contest_comes_to_a_person_who_corrects_and_the_difference_goes_back(shop: Shop) -> None:
    session = shop.buy({"cola": 2})
    desk = reviews(shop)
    assert isinstance(desk.contest(contest(session)), Applied)
    assert isinstance(desk.contest(contest(session)), Repeated)
    case = desk.next(TENANT, "ann")
    assert case is not None
    assert (case.session_id, case.reason) == (session.id, "contest")
    told = desk.decide(verdict(shop.now(session), "correct", basket={"cola": 1}, reason_code="missed_put_back"))
    assert isinstance(told, Applied)
    after = shop.work.hurry_settlement(session.id)
    assert (after.payment.kept_minor, after.contest, after.state) == (250, "", State.SETTLED)
    assert desk.next(TENANT, "ann") is None
    shop.check()


def test_a_contest_that_is_not_right_is_answered_and_nothing_moves(shop: Shop) -> None:
    session = shop.buy({"cola": 1})
    desk = reviews(shop)
    desk.contest(contest(session))
    assert isinstance(desk.decide(verdict(shop.now(session))), Applied)
    after = shop.now(session)
    assert (after.payment.kept_minor, after.contest, after.decision and after.decision.version) == (250, "", 1)


@pytest.mark.parametrize(
    "changes", [{"reason": "because"}, {"skus": ("ghost",)}, {"text": "x" * 2001}], ids=["reason", "line", "length"]
)
def test_a_contest_about_nothing_is_refused(shop: Shop, changes: dict[str, object]) -> None:
    session = shop.buy({"cola": 1})
    assert isinstance(reviews(shop).contest(contest(session, **changes)), Refused)
