"""Letters and jobs do what sessions want, once, whatever fails meanwhile."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from fleetsight.apps.cooler.session.analysis import Died, Unusable
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import EvidenceState, Flag, ReviewReason, State
from fleetsight.apps.cooler.session.tables import EVIDENCE, RECEIPTS, RUNS
from fleetsight.clock import SECOND_NS
from tests.apps.cooler.session.shop import SHOPPER, Shop
from tests.apps.cooler.session.staff import deliver, film, seen, worker_of


def filmed(shop: Shop, worker: object) -> Session:
    return film(shop, worker, shop.visit(shop.redeem()))  # type: ignore[arg-type]


def test_complete_evidence_becomes_a_receipt(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({"cola": 1, "water": 2})]) as (worker, analyst):
        session = filmed(shop, worker)
        assert session.state is State.ANALYZING
        deliver(shop, worker)
        after = shop.now(session)
        assert (after.state, after.payment.kept_minor) == (State.SETTLED, 490)
        assert analyst.clips == [session.id.encode() + b"one" + session.id.encode() + b"two"]
        with shop.rows.reading() as connection:
            body = connection.execute(sa.select(RECEIPTS.c.body)).scalars().all()[-1]
            files = connection.execute(sa.select(EVIDENCE.c.name, EVIDENCE.c.digest)).all()
            assert connection.execute(sa.select(sa.func.count()).select_from(RUNS)).scalar() == 1
        assert [line["name"] for line in body["lines"]] == ["Cola can", "Water can"]
        assert body["lines"][0]["evidence"] == ["event_0_take.png"]
        assert (body["seller"], body["place"], body["paid_minor"]) == ("Seller Ltd", "Lobby", 490)
        assert {name for name, _ in files} == {"annotated.mp4", "event_0_take.png", "event_1_take.png"}
        assert all(worker.blobs.size(digest) for _, digest in files)
    shop.check()


def test_a_letter_for_the_unlock_comes_when_the_request_died(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({})]) as (worker, _):
        from fleetsight.apps.cooler.session.answers import Created

        created = shop.sessions.create(shop.order())
        assert isinstance(created, Created)
        assert worker.deliver_once() == 0  # the request has three seconds for itself
        shop.clock.advance(4 * SECOND_NS)
        assert worker.deliver_once() == 1
        assert shop.now(created.session).state is State.AUTHORIZED
        shop.clock.advance(4 * SECOND_NS)
        assert worker.deliver_once() == 1
        assert shop.now(created.session).state is State.UNLOCKING


def test_a_request_that_hurries_leaves_no_letter_behind(shop: Shop) -> None:
    shop.redeem()
    assert shop.letters() == []


def test_an_analysis_that_dies_thrice_is_a_review(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [Died("signal SIGKILL")]) as (worker, analyst):
        session = filmed(shop, worker)
        deliver(shop, worker)
        after = shop.now(session)
        assert (after.state, after.review_reason) == (State.REVIEW, ReviewReason.PIPELINE)
        assert len(analyst.clips) == 3
    shop.check()


def test_an_analysis_that_dies_twice_is_settled_by_the_third_run(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [Died("oom"), Died("oom"), seen({"cola": 1})]) as (worker, analyst):
        session = filmed(shop, worker)
        deliver(shop, worker)
        assert shop.now(session).state is State.SETTLED
        assert len(analyst.clips) == 3


def test_a_clip_at_fault_is_a_review_after_one_run(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [Unusable("media_corrupt", "no picture")]) as (worker, analyst):
        session = filmed(shop, worker)
        deliver(shop, worker)
        after = shop.now(session)
        assert (after.state, after.review_reason) == (State.REVIEW, ReviewReason.UNUSABLE)
        assert after.evidence.state is EvidenceState.UNUSABLE
        assert len(analyst.clips) == 1


def test_a_clip_shorter_than_its_segments_is_looked_at_by_a_person(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({"cola": 1}, end_s=1.0)]) as (worker, _):
        session = filmed(shop, worker)
        deliver(shop, worker)
        after = shop.now(session)
        assert (after.state, after.review_reason) == (State.REVIEW, ReviewReason.UNUSABLE)
        assert Flag.SALVAGED in after.flags


@pytest.mark.parametrize(
    ("basket", "reason"),
    [({"ghost": 1}, ReviewReason.NO_PRICE), ({"cola": 13}, ReviewReason.OVER_CAP)],
    ids=["a SKU without a price", "more than the cap"],
)
def test_a_basket_that_cannot_be_charged_alone_is_a_review(
    shop: Shop, tmp_path: Path, basket: dict[str, int], reason: ReviewReason
) -> None:
    with worker_of(shop, tmp_path, [seen(basket)]) as (worker, _):
        session = filmed(shop, worker)
        deliver(shop, worker)
        assert (shop.now(session).state, shop.now(session).review_reason) == (State.REVIEW, reason)


@pytest.mark.parametrize(
    "nonsense",
    [{"cola": -1}, {"cola": 100_000}, {f"sku-{n}": 1 for n in range(10_000)}],
    ids=["negative", "a hundred thousand", "ten thousand SKUs"],
)
def test_nonsense_from_the_pipeline_is_a_review_and_never_a_charge(
    shop: Shop, tmp_path: Path, nonsense: dict[str, int]
) -> None:
    with worker_of(shop, tmp_path, [seen(nonsense)]) as (worker, _):
        session = filmed(shop, worker)
        deliver(shop, worker)
        after = shop.now(session)
        assert (after.state, after.review_reason) == (State.REVIEW, ReviewReason.PIPELINE)
        assert after.payment.charged_minor == 0


def test_a_confidence_that_is_no_number_is_a_review(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({"cola": 1}, confidence=float("nan"))]) as (worker, _):
        session = filmed(shop, worker)
        deliver(shop, worker)
        assert shop.now(session).review_reason is ReviewReason.PIPELINE


def test_a_segment_that_is_gone_from_the_blobs_is_a_review(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({"cola": 1})]) as (worker, _):
        session = filmed(shop, worker)
        from fleetsight.store.blobs import Digest

        worker.blobs.delete(Digest(f"sha256:{session.evidence.segments[0].sha256}"))
        deliver(shop, worker)
        assert shop.now(session).review_reason is ReviewReason.PIPELINE


def test_a_session_that_ended_while_its_job_waited_is_left_alone(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({"cola": 1})]) as (worker, analyst):
        session = filmed(shop, worker)
        shop.see(session, {}, "release")
        shop.work.hurry_settlement(session.id)
        deliver(shop, worker)
        assert shop.now(session).state is State.RELEASED
        assert analyst.clips == []


def test_video_is_deleted_after_its_time_and_its_digests_stay(shop: Shop, tmp_path: Path) -> None:
    with worker_of(shop, tmp_path, [seen({"cola": 1})]) as (worker, _):
        session = filmed(shop, worker)
        deliver(shop, worker)
        shop.clock.advance(71 * 3600 * SECOND_NS)
        assert worker.sweep_once() == 0
        shop.clock.advance(2 * 3600 * SECOND_NS)
        assert worker.sweep_once() == 1
        deliver(shop, worker)
        after = shop.now(session)
        assert after.evidence.state is EvidenceState.EXPIRED_DELETED
        from fleetsight.store.blobs import Digest

        digests = [Digest(f"sha256:{segment.sha256}") for segment in after.evidence.segments]
        assert len(digests) == 2
        assert [worker.blobs.size(digest) for digest in digests] == [None, None]
        with shop.rows.reading() as connection:
            left = connection.execute(sa.select(EVIDENCE.c.name).where(EVIDENCE.c.deleted_ns.is_(None))).scalars()
            assert list(left) == ["event_0_take.png"]
    shop.check()


def test_video_that_another_session_needs_is_not_deleted(shop: Shop, tmp_path: Path) -> None:
    from tests.apps.cooler.session.shop import store_film

    with worker_of(shop, tmp_path, [seen({"cola": 1})]) as (worker, _):
        pieces = store_film(worker.blobs, (b"same", b"film"))
        first = shop.upload(shop.visit(shop.redeem()), pieces)
        deliver(shop, worker)
        shop.clock.advance(72 * 3600 * SECOND_NS - SECOND_NS)
        second = shop.upload(shop.visit(shop.redeem()), pieces)
        deliver(shop, worker)
        shop.clock.advance(10 * SECOND_NS)
        worker.sweep_once()
        deliver(shop, worker)
        assert shop.now(first).evidence.state is EvidenceState.EXPIRED_DELETED
        from fleetsight.store.blobs import Digest

        assert all(worker.blobs.size(Digest(f"sha256:{piece.sha256}")) for piece in second.evidence.segments)


def test_every_letter_may_be_performed_twice(shop: Shop, tmp_path: Path) -> None:
    from fleetsight.store.outbox import OUTBOX

    with worker_of(shop, tmp_path, [seen({"cola": 7})]) as (worker, _):
        session = filmed(shop, worker)
        deliver(shop, worker)
        settled = shop.now(session)
        assert settled.state is State.SETTLED
        with shop.rows.transaction() as connection:
            again = sa.update(OUTBOX).where(OUTBOX.c.topic.like("session.%")).values(done_ns=None, due_ns=0)
            connection.execute(again)
        deliver(shop, worker)
        assert shop.now(session) == settled
        with shop.rows.reading() as connection:
            assert connection.execute(sa.select(sa.func.count()).select_from(RECEIPTS)).scalar() == 1
    shop.check()


def test_who_owes_and_tops_up_is_collected_from_at_once(shop: Shop) -> None:
    from fleetsight.apps.cooler.session.machine import events

    shop.teller.declines = (":extra",)
    session = shop.buy({"cola": 7})
    assert session.state is State.OWED
    shop.sessions.apply(session.id, events.CollectionRequested())
    assert shop.work.hurry_settlement(session.id).state is State.SETTLED
    shop.check()
    assert shop.redeem(shopper_id=SHOPPER).state is State.UNLOCKING
