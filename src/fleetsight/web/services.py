"""What the app stands on, opened by whoever starts it and handed over whole."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from fleetsight.apps.cooler.session.review import Reviews
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.apps.cooler.session.work import Work
from fleetsight.billing.payments import Payments
from fleetsight.billing.provider import BadWebhook, Hint
from fleetsight.billing.providers.wallet import Wallet
from fleetsight.clock import Clock
from fleetsight.fleet.assortment import FleetAssortments
from fleetsight.fleet.devices.door_events import DoorEvents
from fleetsight.fleet.devices.events import EventLog
from fleetsight.fleet.devices.server_key import ServerKey
from fleetsight.fleet.provider_news import ProviderNews
from fleetsight.fleet.redeem import Redeemer
from fleetsight.store.blobs import Blobs
from fleetsight.store.rows import Rows
from fleetsight.web.gate.intake import Patience
from fleetsight.web.gate.rates import Rates
from fleetsight.web.metrics import Metrics
from fleetsight.web.uploads.desk import Storage, UploadDesk
from fleetsight.web.uploads.parts import Parts


class WebhookReader(Protocol):
    """Checks web hooks of one provider."""

    def read(self, raw: bytes, signature: str | None) -> Hint | BadWebhook:
        """Check a web hook.

        Args:
            raw: the body, byte for byte.
            signature: the provider's header; None when it was not sent.
        Returns:
            where to look, or why it is not believed.
        """
        ...


@dataclass(frozen=True)
class Services:
    """Everything an endpoint may use.

    Attributes:
        rows: the database.
        blobs: clips and pictures.
        clock: server time.
        sessions: the session machine on rows.
        work: performs what a session wants at once.
        reviews: what people decide.
        payments: money.
        wallet: prepaid money; None when another provider is used.
        redeemer: turns QR tokens into sessions.
        server_key: signs commands to devices.
        parts_dir: folder of uploads that are not complete, on a local disk.
        base_url: address under which phones and devices reach the app, without a slash at its end.
        open_signup: strangers may register as shoppers and fill their wallets for nothing.
        blur_faces: whether devices blur faces before they upload.
        rates: how often who may ask.
        patience: how long a body may take.
        threads: requests that may use the database at once; fewer than the connections of `rows`.
        metrics: counts and times requests; None where nobody watches.
        webhook: checks what claims to come from the payment provider; None where no provider sends any.
        screens_dir: where simulated devices leave what their screens show, for demonstrations; None without any.
    """

    rows: Rows
    blobs: Blobs
    clock: Clock
    sessions: Sessions
    work: Work
    reviews: Reviews
    payments: Payments
    wallet: Wallet | None
    redeemer: Redeemer
    server_key: ServerKey
    parts_dir: Path
    base_url: str
    open_signup: bool = False
    blur_faces: bool = True
    rates: Rates = field(default_factory=Rates)
    patience: Patience = field(default_factory=Patience)
    threads: int = 8
    metrics: Metrics | None = None
    screens_dir: Path | None = None
    webhook: WebhookReader | None = None

    @cached_property
    def provider_news(self) -> ProviderNews:
        """Follows what payment providers say by themselves."""
        return ProviderNews(self.rows, self.clock, payments=self.payments, work=self.work)

    @cached_property
    def event_log(self) -> EventLog:
        """Takes door and camera events."""
        return EventLog(self.rows, self.clock, apply=DoorEvents(self.rows, self.clock, sessions=self.sessions))

    @cached_property
    def upload_desk(self) -> UploadDesk:
        """Takes uploads."""
        storage = Storage(self.blobs, Parts(self.parts_dir))
        return UploadDesk(self.rows, self.clock, storage=storage, sessions=self.sessions)

    @cached_property
    def assortments(self) -> FleetAssortments:
        """Names and pictures of what is sold, unpacked beside the uploads."""
        return FleetAssortments(self.blobs, self.parts_dir.with_name("assortments"))

    @property
    def base_host(self) -> str:
        """Host and port of `base_url`."""
        return urlsplit(self.base_url).netloc

    @property
    def secure(self) -> bool:
        """Whether browsers reach the app over https."""
        return self.base_url.startswith("https://")
