"""One cooler shop on real rows: a virtual clock, a made-up bank, a device that says what a test tells it to."""

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sqlalchemy as sa

from fleetsight.apps.cooler.session.answers import (
    Acknowledgement,
    Applied,
    Created,
    DeviceEvent,
    DeviceEventKind,
    DeviceResult,
    Manifest,
    NewSession,
    NotCreated,
    Offered,
    UnlockOrder,
)
from fleetsight.apps.cooler.session.machine import events
from fleetsight.apps.cooler.session.machine.limits import Limits
from fleetsight.apps.cooler.session.machine.session import Basket, Segment, Session
from fleetsight.apps.cooler.session.machine.states import State, Verdict
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.apps.cooler.session.tables import DECISIONS, SESSIONS, STOCK_MOVES
from fleetsight.apps.cooler.session.work import Work
from fleetsight.billing.books import Book
from fleetsight.billing.payments import Payments
from fleetsight.billing.prices import PriceEntry, PriceList, publish
from fleetsight.billing.provider import Authorize, Authorized, Captured, Declined, Refused, Unknown
from fleetsight.billing.providers.bank import Bank
from fleetsight.billing.providers.desk import Faults, no_faults
from fleetsight.billing.providers.faulty import FaultyProvider
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.money import Money
from fleetsight.store import chain
from fleetsight.store.blobs import Blobs
from fleetsight.store.outbox import OUTBOX
from fleetsight.store.rows import METADATA, Rows

START_NS = 1_760_000_000 * SECOND_NS
PRICES = {"bar": 199, "cola": 250, "water": 120}
TENANT, SITE, DEVICE, SHOPPER = "tenant", "site", "device", "shopper"
HOLD_MINOR = 1500


class FakeUnlocker:
    """Numbers commands; nothing is signed."""

    def __init__(self) -> None:
        self.orders: list[UnlockOrder] = []

    def issue(self, connection: sa.Connection, order: UnlockOrder) -> int:
        self.orders.append(order)
        return len(self.orders)


class Teller(FaultyProvider):
    """A bank that declines the calls whose keys end as told."""

    declines: tuple[str, ...] = ()

    def authorize(self, request: Authorize) -> Authorized | Captured | Declined | Refused | Unknown:
        method_id = "card_declined" if request.key.endswith(self.declines) else request.method_id
        return super().authorize(replace(request, method_id=method_id))


@dataclass
class Shop:
    """Everything behind one cooler."""

    rows: Rows
    clock: VirtualClock
    bank: Bank
    teller: Teller
    payments: Payments
    sessions: Sessions
    work: Work
    unlocker: FakeUnlocker
    price_list_id: str
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def open(cls, rows: Rows, *, faults: Faults = no_faults, limits: Limits | None = None) -> "Shop":
        rows.create_tables(METADATA)
        clock = VirtualClock(START_NS)
        bank = Bank(":memory:", clock)
        teller = Teller(bank, faults=faults)
        payments = Payments(rows, clock, providers=[teller])
        sessions = Sessions(rows, clock, payments=payments, limits=limits or Limits())
        unlocker = FakeUnlocker()
        entries = {sku: PriceEntry(Money(minor, "EUR"), 1900) for sku, minor in PRICES.items()}
        draft = PriceList("prices", TENANT, SITE, "EUR", START_NS, None, entries)
        with rows.transaction() as connection:
            prices = publish(connection, draft, now_ns=START_NS)
        work = Work(sessions, payments=payments, unlocker=unlocker)
        return cls(rows, clock, bank, teller, payments, sessions, work, unlocker, prices.id)

    def close(self) -> None:
        self.bank.close()
        self.rows.close()

    def order(self, *, jti: str = "", shopper_id: str = SHOPPER, device_id: str = DEVICE) -> NewSession:
        return NewSession(
            tenant_id=TENANT,
            site_id=SITE,
            device_id=device_id,
            shopper_id=shopper_id,
            provider="faulty",
            method_id="card",
            hold=Money(HOLD_MINOR, "EUR"),
            cap=Money(3000, "EUR"),
            price_list_id=self.price_list_id,
            assortment="sha256:a",
            pipeline="cooler-1",
            jti=jti or f"code-{next(self.numbers)}",
        )

    def redeem(self, **changes: str) -> Session:
        """A shopper with an unlock command on its way."""
        created = self.sessions.create(self.order(**changes))
        assert isinstance(created, Created), created
        return self.work.hurry(created.session.id)

    def refused(self, **changes: str) -> str:
        """Why no session begins."""
        created = self.sessions.create(self.order(**changes))
        assert isinstance(created, NotCreated), created
        return created.reason.value

    def says(self, session: Session | None, kind: str, *, seq: int = 0, boot_id: str = "boot") -> DeviceResult:
        """The device says something."""
        event = DeviceEvent(
            TENANT,
            session.device_id if session else DEVICE,
            boot_id,
            seq or next(self.numbers),
            DeviceEventKind(kind),
            0,
            session.id if session else None,
        )
        return self.sessions.device_event(event)

    def acknowledge(self, session: Session, *, unlocked: bool = True) -> DeviceResult:
        told = Acknowledgement(TENANT, session.device_id, session.id, 1, "boot", unlocked=unlocked, at_ns=0)
        return self.sessions.acknowledge(told)

    def visit(self, session: Session) -> Session:
        """The door opens and locks."""
        self.acknowledge(session)
        for kind in ("door_opened", "door_closed", "locked"):
            assert self.says(session, kind) is DeviceResult.APPLIED
            self.clock.advance(SECOND_NS)
        return self.now(session)

    def upload(self, session: Session, segments: tuple[Segment, ...] = ()) -> Session:
        """The device lists and sends its video."""
        segments = segments or self.film(session)
        missing = self.sessions.manifest(Manifest(TENANT, session.device_id, session.id, segments))
        assert isinstance(missing, tuple), missing
        for piece in segments:
            self.sessions.stored(Offered(TENANT, session.device_id, session.id, piece))
        return self.now(session)

    def film(self, session: Session, pieces: int = 2) -> tuple[Segment, ...]:
        def piece(index: int) -> Segment:
            sha256 = hashlib.sha256(f"{session.id}{index}".encode()).hexdigest()
            return Segment("top", index, sha256, 1000, index * SECOND_NS, (index + 1) * SECOND_NS)

        return tuple(piece(index) for index in range(pieces))

    def see(self, session: Session, basket: Mapping[str, int], verdict: str = "charge") -> Session:
        """The analysis sees a basket."""
        run_id = self.now(session).run_id
        begun = self.sessions.apply(session.id, events.AnalysisStarted(run_id))
        assert isinstance(begun, Applied), begun
        lines: Basket = tuple(sorted(basket.items()))
        total = sum(PRICES[sku] * count for sku, count in lines)
        done = events.Analysed(run_id, Verdict(verdict), lines, total, lines, total, 0.97, "seen")
        outcome = self.sessions.apply(session.id, done)
        assert isinstance(outcome, Applied), outcome
        return outcome.session

    def buy(self, basket: Mapping[str, int], **changes: str) -> Session:
        """A whole purchase, up to the receipt's money."""
        session = self.upload(self.visit(self.redeem(**changes)))
        assert session.state is State.ANALYZING, session.state
        self.see(session, basket, "charge" if basket else "release")
        return self.work.hurry_settlement(session.id)

    def now(self, session: Session) -> Session:
        found = self.sessions.load(session.id)
        assert found is not None
        return found

    def letters(self) -> list[str]:
        """Topics of letters that wait."""
        with self.rows.reading() as connection:
            waiting = sa.select(OUTBOX.c.topic).where(OUTBOX.c.done_ns.is_(None)).order_by(OUTBOX.c.key)
            return list(connection.execute(waiting).scalars())

    def check(self) -> None:
        """Everything that must hold between sessions, decisions, stock, books and the bank."""
        truth = self.bank.truth()
        with self.rows.reading() as connection:
            assert Book(TENANT, "sales").verify(connection) == ()
            for session_id in connection.execute(sa.select(SESSIONS.c.id)).scalars().all():
                session = self.sessions.load(session_id, connection=connection)
                assert session is not None
                assert chain.verify(connection, f"session:{session_id}") is None
                money = self.payments.money_of(connection, TENANT, session_id=session_id, currency="EUR")
                assert money.taken.minor == session.payment.charged_minor
                assert money.refunded.minor == session.payment.refunded_minor
                assert money.owed.minor == session.payment.owed_minor
                real = truth.get(session_id)
                if real is not None and session.payment.pending is None:
                    assert real.captured_minor == session.payment.charged_minor
                    assert real.refunded_minor == session.payment.refunded_minor
                    assert real.captures <= 2
                    assert real.held_minor == session.payment.held_minor
                moves = sa.select(STOCK_MOVES.c.sku, sa.func.sum(STOCK_MOVES.c.delta)).where(
                    STOCK_MOVES.c.session_id == session_id
                )
                rows = connection.execute(moves.group_by("sku"))
                moved = {row[0]: -row[1] for row in rows if row[1]}
                assert moved == dict(session.stocked)
                versions = sa.select(DECISIONS.c.version).where(DECISIONS.c.session_id == session_id)
                decided = sorted(connection.execute(versions).scalars())
                assert decided == list(range(1, (session.decision.version if session.decision else 0) + 1))


def store_film(blobs: Blobs, pieces: tuple[bytes, ...], *, piece_s: float = 1.0) -> tuple[Segment, ...]:
    """Put pieces of a real clip into the blobs."""
    segments = []
    for index, data in enumerate(pieces):
        digest = blobs.put_bytes(data).removeprefix("sha256:")
        start_ns, end_ns = round(index * piece_s * SECOND_NS), round((index + 1) * piece_s * SECOND_NS)
        segments.append(Segment("top", index, digest, len(data), start_ns, end_ns))
    return tuple(segments)
