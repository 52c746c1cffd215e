"""The process dies at each named point, and at pairs of points, and starts again: nothing twice, nothing lost, no wrong amount.

The process dies by an exception that nothing catches; what it held in memory is thrown away. `fleetsight chaos` and its tests do
the same with SIGKILL.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa

from fleetsight.apps.cooler.session.machine.session import Segment, Session
from fleetsight.apps.cooler.session.machine.states import EvidenceState, State
from fleetsight.apps.cooler.session.review import RefundOrder, Reviews, ReviewVerdict
from fleetsight.apps.cooler.session.tables import RECEIPTS
from fleetsight.apps.cooler.session.work import Work, Worker
from fleetsight.clock import SECOND_NS
from fleetsight.money import Money
from fleetsight.store.blobs import Blobs
from fleetsight.store.canonical import JsonObject
from fleetsight.store.crashpoint import POINTS, Crash, SimulatedCrashError, arm, disarm
from fleetsight.store.jobs import Jobs, Steps
from fleetsight.store.outbox import Outbox
from fleetsight.store.rows import Rows
from tests.apps.cooler.session.shop import TENANT, Shop, store_film
from tests.apps.cooler.session.staff import FolderAssortments, TellingAnalyst, seen

OURS = re.compile(r"(session|settle|work|sweep|retention|outbox|payments)\.(?!revoked)")  # leases are the store's
MINE = sorted(point for point in POINTS if OURS.match(point))
AFTER_THE_REVIEW = sorted(
    point
    for point in MINE
    if re.match(r"(work|session|outbox|payments|retention|sweep)\.(?!.*(unlock|created|inserted))", point)
)
"""What a review, a refund and a deletion come by."""
BEFORE_THE_END = sorted(set(MINE) - {"retention.deleted", "sweep.before-commit"})
"""What a purchase comes by: no deadline passes and nothing is old."""
PAIRS = 60
LIVES = 40
TRANSACTIONS_MAX = 60
ALIVE = 1
"""Lives of a plant in which nobody dies."""


class HandSteps(Steps):
    """Steps whose results a restarted job finds again."""

    def __init__(self, job_id: str, known: dict[str, object]) -> None:
        super().__init__(job_id)
        self.known = known

    def run(self, name, function, *, attempts=1, wait_s=0.5):  # type: ignore[no-untyped-def]
        if name not in self.known:
            self.known[name] = function()
        return self.known[name]


class HandJobs(Jobs):
    """Durable jobs that run when they are told to, in this thread."""

    def __init__(self, kept: dict[str, tuple[JsonObject, dict[str, object]]]) -> None:
        self.kept = kept  # survives the process
        self.done: set[str] = set()

    def define(self, name: str, body: Callable[[Steps, JsonObject], JsonObject]) -> None:
        self.body = body

    def enqueue(self, name: str, job_id: str, *, arguments: JsonObject) -> None:
        self.kept.setdefault(job_id, (arguments, {}))

    def run_all(self) -> None:
        for job_id, (arguments, known) in list(self.kept.items()):
            if "finished" not in known:
                self.body(HandSteps(job_id, known), arguments)
                known["finished"] = True


class Plant:
    """A shop and its worker, in lives: each crash ends one, and the next begins with what is on disk."""

    def __init__(self, folder: Path) -> None:
        self.shop = Shop.open(Rows.open(f"sqlite:///{folder}/rows.db"))
        self.blobs = Blobs.open(f"file://{folder}/blobs")
        made = folder / "assortments"
        made.mkdir()
        self.assortments = FolderAssortments(made)
        self.kept: dict[str, tuple[JsonObject, dict[str, object]]] = {}
        self.lives = 0
        self.outcomes = [seen({"cola": 7})]
        self.restart()

    def restart(self) -> None:
        self.lives += 1
        assert self.lives < LIVES, "it dies for ever"
        shop = self.shop
        self.jobs = HandJobs(self.kept)
        self.worker = Worker(
            Work(shop.sessions, payments=shop.payments, unlocker=shop.unlocker),
            outbox=Outbox(shop.rows, shop.clock),
            jobs=self.jobs,
            blobs=self.blobs,
            analyst=TellingAnalyst(self.outcomes),
            assortments=self.assortments,
            name="worker-0",
        )
        self.worker.define()

    def survive(self, act: Callable[[], object]) -> None:
        """Do something until nobody dies of it; the world waits a minute after each death, so that claims run out."""
        while True:
            try:
                act()
            except SimulatedCrashError:
                self.restart()
                self.shop.clock.advance(61 * SECOND_NS)
            else:
                return

    def work(self) -> None:
        """What a worker does in a while: letters, jobs, a sweep."""
        for _ in range(12):
            self.worker.deliver_once()
            self.jobs.run_all()
            self.shop.clock.advance(SECOND_NS)
        self.worker.sweep_once()

    def visit(self) -> Session:
        """From the code to complete evidence; every word of phone and device is repeated until it is heard."""
        shop = self.shop

        def redeem() -> None:
            self.session = shop.redeem(jti="code")

        shop.says(None, "camera_back")  # the first event of the boot: numbers go on from here
        self.survive(redeem)
        if shop.now(self.session).state is not State.UNLOCKING:
            return shop.now(self.session)
        self.survive(lambda: shop.acknowledge(self.session))
        for seq, kind in enumerate(("door_opened", "door_closed", "locked"), start=500):
            self.survive(lambda kind=kind, seq=seq: shop.says(self.session, kind, seq=seq))  # type: ignore[misc]
        pieces: tuple[Segment, ...] = store_film(self.blobs, (self.session.id.encode(), b"two"))
        self.survive(lambda: shop.upload(self.session, pieces))
        return shop.now(self.session)

    def settle(self) -> Session:
        for _ in range(6):
            self.survive(self.work)
        return self.shop.now(self.session)

    def close(self) -> None:
        disarm()
        self.shop.close()


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    made = Plant(tmp_path)
    yield made
    made.close()


def arm_all(points: tuple[str, ...], nth: int = 1) -> None:
    for point in points:
        arm(point, nth, how=Crash.RAISE)


def purchase(plant: Plant) -> None:
    """Seven colas: the whole hold is captured and the rest is an extra; or, when the unlock came too late, nothing is."""
    plant.visit()
    after = plant.settle()
    if after.state is State.ABORTED:  # the crash lasted longer than the shopper's hold waits for its unlock
        assert after.payment.charged_minor == 0
        assert plant.shop.bank.truth()[after.id].held_minor == 0
    else:
        assert after.state is State.SETTLED, (after.state, after.review_reason)
        assert [charge.amount_minor for charge in after.payment.charges] == [1500, 250]
        with plant.shop.rows.reading() as connection:
            assert connection.execute(sa.select(RECEIPTS.c.version)).first() is not None
    plant.shop.check()


def test_every_point_is_come_by_somewhere() -> None:
    assert set(BEFORE_THE_END) | set(AFTER_THE_REVIEW) == set(MINE)


@pytest.mark.parametrize("point", BEFORE_THE_END)
def test_a_purchase_survives_a_death_at_each_point(plant: Plant, point: str) -> None:
    arm_all((point,))
    purchase(plant)
    assert plant.lives == ALIVE + 1, "nobody died"


@pytest.mark.slow
@pytest.mark.parametrize("point", ["session.before-commit", "session.committed", "work.after-pay"])
def test_a_purchase_survives_a_death_at_each_transaction(tmp_path: Path, point: str) -> None:
    """Raise the count until the purchase comes through alive."""
    for nth in range(1, TRANSACTIONS_MAX):
        folder = tmp_path / str(nth)
        folder.mkdir()
        plant = Plant(folder)
        try:
            arm_all((point,), nth)
            purchase(plant)
            if plant.lives == ALIVE:
                assert nth > 2, "it came by too rarely"
                return
        finally:
            plant.close()
    raise AssertionError("there is no end of transactions")


@pytest.mark.slow
@pytest.mark.parametrize("pair", Random(3).sample(list(itertools.permutations(MINE, 2)), PAIRS), ids=" ".join)
def test_a_purchase_survives_two_deaths(plant: Plant, pair: tuple[str, str]) -> None:
    arm_all(pair)
    purchase(plant)


@pytest.mark.parametrize("point", AFTER_THE_REVIEW)
@pytest.mark.bad_input(64)
def test_a_review_a_refund_and_the_deletion_survive_a_death_at_each_point(plant: Plant, point: str) -> None:
    plant.outcomes = [seen({"cola": 2}, decision="review")]
    plant.restart()
    plant.visit()
    session = plant.settle()
    assert session.state is State.REVIEW
    arm_all((point,))
    reviews = Reviews(plant.shop.sessions, plant.shop.clock)
    verdict = ReviewVerdict(TENANT, session.id, "reviewer", session.version, "accept", "as_proposed")
    plant.survive(lambda: reviews.decide(verdict))
    session = plant.settle()
    assert (session.state, session.payment.kept_minor) == (State.SETTLED, 500)
    order = RefundOrder(TENANT, session.id, "operator", "r1", Money(200, "EUR"), "goodwill")
    plant.survive(lambda: reviews.refund(order))
    session = plant.settle()
    assert (session.state, session.payment.kept_minor) == (State.SETTLED, 300)
    assert plant.shop.bank.truth()[session.id].refunded_minor == 200
    plant.shop.clock.advance(80 * 3600 * SECOND_NS)
    session = plant.settle()
    assert session.evidence.state is EvidenceState.EXPIRED_DELETED
    assert plant.lives == ALIVE + 1 + 1, "nobody died"
    plant.shop.check()


@pytest.mark.parametrize("point", [point for point in BEFORE_THE_END if point.startswith(("settle", "payments"))])
def test_an_empty_basket_gives_its_hold_back_whatever_dies(plant: Plant, point: str) -> None:
    plant.outcomes = [seen({}, decision="release")]
    plant.restart()
    arm_all((point,))
    plant.visit()
    session = plant.settle()
    assert session.state in (State.RELEASED, State.ABORTED)
    assert plant.shop.bank.truth()[session.id].held_minor == 0
    plant.shop.check()


def test_a_deadline_is_done_once_by_two_sweepers(plant: Plant) -> None:
    session = plant.shop.redeem()
    plant.shop.clock.advance(60 * SECOND_NS)
    assert plant.worker.sweep_once() == 1
    assert plant.worker.sweep_once() == 0
    assert plant.shop.now(session).outcome == "no_acknowledgement"
