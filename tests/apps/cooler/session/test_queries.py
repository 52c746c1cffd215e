"""Lists, a shopper's session, receipts, evidence, detail and figures: right, and within one tenant."""

from pathlib import Path

import pytest

from fleetsight.apps.cooler.session import figures, queries
from fleetsight.apps.cooler.session.detail import detail
from fleetsight.apps.cooler.session.machine import events
from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.queries import Filter, Query, Stage, stage_of
from fleetsight.apps.cooler.session.review import Contest, RefundOrder, Reviews, ReviewVerdict
from fleetsight.clock import SECOND_NS
from fleetsight.money import Money
from tests.apps.cooler.session.shop import SHOPPER, START_NS, TENANT, Shop
from tests.apps.cooler.session.staff import deliver, film, seen, worker_of


def test_a_list_goes_on_where_it_ended_and_misses_nothing(any_shop: Shop) -> None:
    made = []
    for number in range(7):
        made.append(any_shop.redeem(device_id=f"d{number}").id)
        any_shop.clock.advance(SECOND_NS if number % 2 else 0)
    got: list[str] = []
    query = Query(limit=3)
    with any_shop.rows.reading() as connection:
        while True:
            page = queries.page(connection, TENANT, query=query)
            got += [row.session_id for row in page.rows]
            if page.after is None:
                break
            query = Query(limit=3, after=page.after)
        assert queries.page(connection, "other", query=Query()).rows == ()
    assert got == sorted(got, reverse=True)
    assert set(got) == set(made)


def test_filters_show_what_they_say(shop: Shop) -> None:
    settled, released, live = shop.buy({"cola": 1}), shop.buy({}), shop.redeem()
    expected = {
        Filter.ALL: {settled.id, released.id, live.id},
        Filter.LIVE: {live.id},
        Filter.SETTLED: {settled.id},
        Filter.RELEASED: {released.id},
        Filter.ENDED: {settled.id, released.id},
        Filter.OWED: set(),
        Filter.REVIEW: set(),
    }
    with shop.rows.reading() as connection:
        for kind, ids in expected.items():
            rows = queries.page(connection, TENANT, query=Query(filter=kind)).rows
            assert {row.session_id for row in rows} == ids, kind
        one = queries.page(connection, TENANT, query=Query(state=State.SETTLED)).rows
        assert [(row.session_id, row.total, row.kept) for row in one] == [
            (settled.id, Money(250, "EUR"), Money(250, "EUR"))
        ]
        assert queries.page(connection, TENANT, query=Query(shopper_id="other")).rows == ()
        assert len(queries.page(connection, TENANT, query=Query(device_id="device", limit=-5)).rows) == 1


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_a_stage_of_the_phone(state: State) -> None:
    assert stage_of(state, has_receipt=True) in Stage
    assert stage_of(state, has_receipt=False) is not Stage.RECEIPT


def test_a_shopper_sees_the_own_session_and_no_other(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({"cola": 1, "water": 1})]) as (worker, _):
        session = film(shop, worker, shop.visit(shop.redeem()))
        with shop.rows.reading() as connection:
            own = queries.shopper_session(connection, TENANT, shopper_id=SHOPPER, session_id=session.id)
        assert own is not None
        assert (own.stage, own.hold, own.receipt) == (Stage.WORKING, Money(1500, "EUR"), None)
        deliver(shop, worker)
        reviews = Reviews(shop.sessions, shop.clock)
        reviews.refund(RefundOrder(TENANT, session.id, "op", "r", Money(120, "EUR"), "not_taken"))
        shop.work.hurry_settlement(session.id)
        reviews.contest(Contest(TENANT, session.id, SHOPPER, "c", ("cola",), "not_taken", "no"))
        deliver(shop, worker)
        with shop.rows.reading() as connection:
            own = queries.shopper_session(connection, TENANT, shopper_id=SHOPPER, session_id=session.id)
            foreign = [
                queries.shopper_session(connection, TENANT, shopper_id="other", session_id=session.id),
                queries.shopper_session(connection, "other", shopper_id=SHOPPER, session_id=session.id),
                queries.shopper_session(connection, TENANT, shopper_id=SHOPPER, session_id="none"),
            ]
        assert foreign == [None, None, None]
        assert own is not None
        assert (own.stage, own.hold) == (Stage.RECEIPT, None)
        receipt = own.receipt
        assert receipt is not None
        assert [(line.name, line.amount) for line in receipt.lines] == [
            ("Cola can", Money(250, "EUR")),
            ("Water can", Money(120, "EUR")),
        ]
        assert [strip.kind for line in receipt.lines for strip in line.strips] == ["take", "take"]
        assert (receipt.total, receipt.paid) == (Money(370, "EUR"), Money(250, "EUR"))
        assert [(refund.amount, refund.reason) for refund in receipt.refunds] == [(Money(120, "EUR"), "not_taken")]
        assert sum(share.amount.minor for share in receipt.taxes) == 59
        assert own.contest is not None
        assert (own.contest.skus, own.contest.answered_ns) == (("cola",), None)


def test_evidence_is_shown_to_whom_it_belongs(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({"cola": 1})]) as (worker, _):
        session = film(shop, worker, shop.visit(shop.redeem()))
        deliver(shop, worker)
    with shop.rows.reading() as connection:

        def file(name: str, *, tenant: str = TENANT, shopper: str | None = None) -> queries.EvidenceFile | None:
            return queries.evidence_file(connection, tenant, session_id=session.id, name=name, shopper_id=shopper)

        strip, clip = "event_0_take.png", "annotated.mp4"
        assert file(clip) is not None
        assert file(strip) is not None
        assert file(strip, shopper=SHOPPER) is not None
        assert file(clip, shopper=SHOPPER) is None  # the whole clip may show others
        assert file(strip, shopper="other") is None
        assert file(strip, tenant="other") is None
        assert file("../../etc/passwd") is None


def test_detail_tells_everything_about_a_session(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({"cola": 2}, decision="review")]) as (worker, _):
        session = film(shop, worker, shop.visit(shop.redeem()))
        deliver(shop, worker)
        reviews = Reviews(shop.sessions, shop.clock)
        now = shop.now(session)
        verdict = ReviewVerdict(TENANT, session.id, "ann", now.version, "correct", "wrong_count", {"cola": 1}, 14.5)
        reviews.decide(verdict)
        deliver(shop, worker)
    with shop.rows.reading() as connection:
        shown = detail(connection, TENANT, session_id=session.id, payments=shop.payments)
        assert detail(connection, "other", session_id=session.id, payments=shop.payments) is None
    assert shown is not None
    assert [(line.sku, line.count, line.amount, line.events) for line in shown.basket] == [
        ("cola", 1, Money(250, "EUR"), (0,))
    ]
    assert [(line.sku, line.count) for line in shown.proposed] == [("cola", 2)]
    assert (shown.clip, shown.events[0].strip, shown.duration_s) == ("annotated.mp4", "event_0_take.png", 2.0)
    assert shown.events[0].alternatives[0].sku == "cola"
    assert [(row.reviewer_id, row.seconds, row.before, row.after) for row in shown.reviews] == [
        ("ann", 14.5, (("cola", 2),), (("cola", 1),))
    ]
    assert [row.decided_by for row in shown.decisions] == ["ann"]
    assert shown.refundable == Money(250, "EUR")
    assert [operation.kind.value for operation in shown.money] == ["hold", "capture"]
    assert shown.history[0].kind == "Created"
    assert [row.after for row in shown.history][-1] == "settled"
    assert shown.log_broken_at is None
    assert shown.receipt is not None


def test_fleet_figures_count_what_happened(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({"cola": 1}), seen({"water": 1}, decision="review")]) as (worker, _):
        first = film(shop, worker, shop.visit(shop.redeem()))
        shop.clock.advance(7 * SECOND_NS)
        deliver(shop, worker)
        film(shop, worker, shop.visit(shop.redeem(device_id="second")))
        deliver(shop, worker)
        shop.says(None, "door_opened")
        Reviews(shop.sessions, shop.clock).contest(Contest(TENANT, first.id, SHOPPER, "c", ("cola",), "not_taken"))
        with shop.rows.reading() as connection:
            found = figures.fleet(connection, TENANT, since_ns=START_NS)
            later = figures.fleet(connection, TENANT, since_ns=shop.clock.now_ns() + 1)
            nobody = figures.fleet(connection, "other", since_ns=START_NS)
    assert (found.sessions, found.waiting, found.automatic) == (2, 2, 1.0)
    assert (found.contested, found.revenue) == (1.0, (Money(250, "EUR"),))
    device = found.devices["device"]
    assert (device.sessions, device.contests, device.incidents, device.waiting) == (1, 1, 1, 1)
    assert found.devices["second"].automatic is None
    assert device.receipt_s.p50 is not None
    assert device.receipt_s.p50 >= 7
    assert (later.sessions, later.automatic, later.revenue) == (0, None, ())
    assert later.waiting == 2
    assert (nobody.devices, nobody.sessions) == ({}, 0)


def test_money_figures_add_up(shop: Shop) -> None:
    shop.buy({"cola": 1})
    held = shop.redeem(device_id="second")
    shop.teller.declines = (":extra",)
    owed = shop.buy({"cola": 7}, device_id="third")
    with shop.rows.reading() as connection:
        found = figures.money(connection, TENANT, since_ns=START_NS)
        nothing = figures.money(connection, "other", since_ns=START_NS)
    assert [(hold.session_id, hold.amount) for hold in found.holds] == [(held.id, Money(1500, "EUR"))]
    assert [(debt.session_id, debt.amount, debt.tries) for debt in found.owed] == [(owed.id, Money(250, "EUR"), 0)]
    assert (found.taken, found.refunded, found.faults) == ((Money(1750, "EUR"),), (), ())
    assert found.gauges.open_holds == 1
    assert len(found.operations) == 6
    assert (nothing.holds, nothing.owed, nothing.operations) == ((), (), ())


def test_metrics_know_every_state_and_what_is_overdue(shop: Shop) -> None:
    shop.redeem()
    with shop.rows.reading() as connection:
        assert figures.states(connection)[State.UNLOCKING] == 1
        assert set(figures.states(connection)) == set(State)
        assert figures.overdue(connection, shop.clock.now_ns()) == 0
        assert figures.overdue(connection, shop.clock.now_ns() + 11 * SECOND_NS) == 1


@pytest.mark.parametrize(
    ("seconds", "p50", "p95"),
    [([], None, None), ([3.0], 3.0, 3.0), ([1.0, 2.0], 1.0, 2.0), ([float(n) for n in range(1, 101)], 50.0, 95.0)],
)
def test_percentiles_are_values_of_the_sample(seconds: list[float], p50: float | None, p95: float | None) -> None:
    assert figures.spread(seconds) == figures.Spread(p50, p95)


def test_an_answered_contest_says_so(shop: Shop) -> None:
    session = shop.buy({"cola": 1})
    reviews = Reviews(shop.sessions, shop.clock)
    reviews.contest(Contest(TENANT, session.id, SHOPPER, "c", ("cola",), "not_taken"))
    shop.clock.advance(SECOND_NS)
    shop.sessions.apply(session.id, events.ContestClosed("op", "seen"))
    with shop.rows.reading() as connection:
        view = queries.contest_view(connection, session.id)
    assert view is not None
    assert (view.answer, view.answered_ns) == ("confirmed", shop.clock.now_ns())
