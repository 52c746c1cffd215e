"""An installation with one settled purchase, made without any process, line or clip."""

from dataclasses import dataclass
from pathlib import Path

from fleetsight.apps.cooler.session.answers import (
    Acknowledgement,
    Applied,
    Created,
    DeviceEvent,
    DeviceEventKind,
    Manifest,
    NewSession,
    Offered,
)
from fleetsight.apps.cooler.session.machine.events import Analysed, AnalysisStarted
from fleetsight.apps.cooler.session.machine.session import Segment, Session
from fleetsight.apps.cooler.session.machine.states import State, Verdict
from fleetsight.billing.prices import PriceEntry, PriceList, publish
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.fleet.installation import Addresses, Choices, Installation
from fleetsight.fleet.shoppers import add_shopper
from fleetsight.money import Money
from fleetsight.store.ids import new_id
from fleetsight.store.rows import METADATA
from tests.fleet.machine import START_NS, Machine, enrolled

PRICE_MINOR = 250
COUNT = 2
TOTAL_MINOR = PRICE_MINOR * COUNT
HOLD_MINOR = 2500


@dataclass
class Settled:
    """The installation, who sells, and who buys."""

    parts: Installation
    clock: VirtualClock
    machine: Machine
    shopper_id: str
    price_list_id: str
    seq: int = 0

    @classmethod
    def make(cls, folder: Path) -> "Settled":
        clock = VirtualClock(START_NS)
        addresses = Addresses(
            data_dir=folder,
            database_url=f"sqlite:///{folder / 'rows.db'}",
            jobs_url=f"sqlite:///{folder / 'jobs.db'}",
            blobs_url=(folder / "blobs").as_uri(),
            base_url="http://service.test",
        )
        parts = Installation.open(addresses, Choices(), clock=clock)
        parts.rows.create_tables(METADATA)  # without the triggers that keep tests from tampering
        machine = enrolled(parts.rows, clock)
        here = machine.device
        entries = {"cola": PriceEntry(Money(PRICE_MINOR, "EUR"), 1900)}
        draft = PriceList(new_id(), here.tenant_id, here.site_id, "EUR", START_NS, None, entries)
        with parts.rows.transaction() as connection:
            prices = publish(connection, draft, now_ns=START_NS)
            shopper, _ = add_shopper(connection, here.tenant_id, name="Ada", now_ns=START_NS)
        money = Money(100_000, "EUR")
        parts.wallet.top_up(here.tenant_id, shopper.shopper_id, amount=money, key="first")
        return cls(parts, clock, machine, shopper.shopper_id, prices.id)

    def redeem(self) -> Session:
        """A session whose unlock command is on its way."""
        here = self.machine.device
        order = NewSession(
            tenant_id=here.tenant_id,
            site_id=here.site_id,
            device_id=here.device_id,
            shopper_id=self.shopper_id,
            provider="wallet",
            method_id=self.shopper_id,
            hold=Money(HOLD_MINOR, "EUR"),
            cap=Money(3000, "EUR"),
            price_list_id=self.price_list_id,
            assortment="sha256:none",
            pipeline="cooler-1",
            jti=new_id(),
        )
        created = self.parts.sessions.create(order)
        assert isinstance(created, Created), created
        return self.parts.work.hurry(created.session.id)

    def visit(self, session: Session) -> None:
        """The door opens, closes and locks."""
        here = self.machine.device
        who = (here.tenant_id, here.device_id)
        told = Acknowledgement(*who, session.id, 1, "boot", unlocked=True, at_ns=0)
        self.parts.sessions.acknowledge(told)
        for kind in (DeviceEventKind.DOOR_OPENED, DeviceEventKind.DOOR_CLOSED, DeviceEventKind.LOCKED):
            self.seq += 1
            self.parts.sessions.device_event(DeviceEvent(*who, "boot", self.seq, kind, 0, session.id))
            self.clock.advance(SECOND_NS)

    def upload(self, session: Session) -> None:
        """The video comes."""
        here = self.machine.device
        data = f"video of {session.id}".encode()
        digest = self.parts.blobs.put_bytes(data).removeprefix("sha256:")
        segment = Segment("front", 0, digest, len(data), 0, SECOND_NS)
        self.parts.sessions.manifest(Manifest(here.tenant_id, here.device_id, session.id, (segment,)))
        self.parts.sessions.stored(Offered(here.tenant_id, here.device_id, session.id, segment))

    def buy(self) -> Session:
        """A whole purchase."""
        session = self.redeem()
        self.visit(session)
        self.upload(session)
        run_id = self.now(session).run_id
        self.parts.sessions.apply(session.id, AnalysisStarted(run_id))
        lines = (("cola", COUNT),)
        seen = Analysed(run_id, Verdict.CHARGE, lines, TOTAL_MINOR, lines, TOTAL_MINOR, 0.99, "seen")
        assert isinstance(self.parts.sessions.apply(session.id, seen), Applied)
        settled = self.parts.work.hurry_settlement(session.id)
        assert settled.state is State.SETTLED
        return settled

    def now(self, session: Session) -> Session:
        found = self.parts.sessions.load(session.id)
        assert found is not None
        return found
