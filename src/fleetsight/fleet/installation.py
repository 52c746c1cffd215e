"""One installation put together: from addresses and choices to the parts that the API and the workers stand on.

Every process of an installation opens its own parts; what they share lies in the database, in the blobs and in the data folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fleetsight.apps.cooler.session.machine.limits import DEFAULT_LIMITS, Limits
from fleetsight.apps.cooler.session.review import Reviews
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.apps.cooler.session.work import Work
from fleetsight.billing.payments import Payments
from fleetsight.billing.provider import Provider
from fleetsight.billing.providers.wallet import Wallet
from fleetsight.clock import Clock, SystemClock
from fleetsight.errors import Error
from fleetsight.fleet.devices.server_key import ServerKey
from fleetsight.fleet.devices.unlocks import FleetUnlocker
from fleetsight.fleet.people import Role, add_person, person_token
from fleetsight.fleet.redeem import Redeemer, Selling
from fleetsight.fleet.tenants import add_tenant, tenants
from fleetsight.notify import Channel, LogChannel, WebHook
from fleetsight.store.blobs import Blobs
from fleetsight.store.rows import Rows, upgrade

if TYPE_CHECKING:
    from fleetsight.billing.providers.stripe_webhook import StripeWebhook

PROVIDERS = ("wallet", "stripe")
FIRST_PERSON = "first operator"


class InstallationError(Error):
    """A choice that does not exist, or one that lacks what it needs."""

    code = "installation"


@dataclass(frozen=True)
class Addresses:
    """Where an installation keeps things.

    Attributes:
        data_dir: local folder of keys, uploads that are not complete, and unpacked assortments.
        database_url: rows.
        jobs_url: durable jobs.
        blobs_url: clips and pictures.
        blob_options: what the blobs need beside their URL.
        base_url: how phones and devices reach the service.
    """

    data_dir: Path
    database_url: str
    jobs_url: str
    blobs_url: str
    base_url: str
    blob_options: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Choices:
    """What an installation does.

    Attributes:
        payment_provider: one of `PROVIDERS`.
        stripe_secret_key: for stripe.
        stripe_webhook_secrets: for stripe; two while one replaces the other.
        open_signup: strangers may register as shoppers and fill their wallets for nothing.
        notify_url: web hook; empty for the log alone.
        notify_secret: of the web hook.
        notify_loopback: the web hook may be on this machine.
        selling: what a session may cost.
        limits: how long everything may take.
        threads: of a model; 0 takes every core.
    """

    payment_provider: str = "wallet"
    stripe_secret_key: str = field(default="", repr=False)
    stripe_webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    open_signup: bool = False
    notify_url: str = ""
    notify_secret: str = field(default="", repr=False)
    notify_loopback: bool = False
    selling: Selling = field(default_factory=Selling)
    limits: Limits = DEFAULT_LIMITS
    threads: int = 0


@dataclass(frozen=True)
class Installation:
    """The opened parts.

    Attributes:
        addresses: where things are.
        choices: what it does.
        clock: server time.
        rows: the database.
        blobs: clips and pictures.
        server_key: signs commands to devices.
        providers: who moves money.
        payments: money.
        wallet: prepaid money.
        webhook: checks what claims to come from Stripe; None without Stripe's secrets.
        unlocker: writes unlock commands.
        sessions: the session machine on rows.
        work: performs what sessions want.
        reviews: what people decide.
        redeemer: turns QR tokens into sessions.
        channel: tells people.
    """

    addresses: Addresses
    choices: Choices
    clock: Clock
    rows: Rows
    blobs: Blobs
    server_key: ServerKey
    providers: tuple[Provider, ...]
    payments: Payments
    wallet: Wallet
    webhook: "StripeWebhook | None"
    unlocker: FleetUnlocker
    sessions: Sessions
    work: Work
    reviews: Reviews
    redeemer: Redeemer
    channel: Channel

    @classmethod
    def open(
        cls,
        addresses: Addresses,
        choices: Choices,
        *,
        clock: Clock | None = None,
        more_providers: tuple[Provider, ...] = (),
    ) -> Self:
        """Open every part; the database gets its tables from `prepare`, once for all processes.

        Args:
            addresses: where things are.
            choices: what it does.
            clock: server time; the machine's when None.
            more_providers: payment providers of tests.
        Returns:
            the parts.
        Raises:
            Error: an address or a choice that cannot be used.
        """
        clock = clock or SystemClock()
        addresses.data_dir.mkdir(parents=True, exist_ok=True)
        rows = Rows.open(addresses.database_url)
        blobs = Blobs.open(addresses.blobs_url, options=addresses.blob_options)
        wallet = Wallet(rows, clock)
        providers: tuple[Provider, ...] = (wallet, *_chosen_provider(choices), *more_providers)
        payments = Payments(rows, clock, providers=providers)
        server_key = ServerKey.open(addresses.data_dir / "server_key.pem")
        unlocker = FleetUnlocker(server_key, clock)
        sessions = Sessions(rows, clock, payments=payments, limits=choices.limits)
        work = Work(sessions, payments=payments, unlocker=unlocker)
        return cls(
            addresses=addresses,
            choices=choices,
            clock=clock,
            rows=rows,
            blobs=blobs,
            server_key=server_key,
            providers=providers,
            payments=payments,
            wallet=wallet,
            webhook=_webhook(choices, clock),
            unlocker=unlocker,
            sessions=sessions,
            work=work,
            reviews=Reviews(sessions, clock),
            redeemer=Redeemer(rows, clock, sessions=sessions, work=work, selling=choices.selling),
            channel=_channel(choices),
        )

    def close(self) -> None:
        """Close the connections."""
        self.rows.close()


def prepare(addresses: Addresses) -> None:
    """Make folders and tables, or bring them up to date; safe when two processes do it at once.

    Args:
        addresses: where things are.
    Raises:
        Error: the database cannot be used, or is newer than this program.
    """
    addresses.data_dir.mkdir(parents=True, exist_ok=True)
    rows = Rows.open(addresses.database_url)
    try:
        upgrade(rows)
    finally:
        rows.close()


def first_operator(installation: Installation, company: str) -> str | None:
    """Make the first tenant and its first person, an administrator, when there is none.

    Args:
        installation: a prepared one.
        company: name of the tenant.
    Returns:
        the person's access token, shown once; None when there is a tenant already.
    """
    now_ns = installation.clock.now_ns()
    with installation.rows.transaction() as connection:
        if tenants(connection):
            return None
        tenant = add_tenant(connection, company, now_ns=now_ns)
        person = add_person(connection, tenant.tenant_id, name=FIRST_PERSON, role=Role.ADMIN, now_ns=now_ns)
        return person_token(connection, person, now_ns=now_ns)


def add_operator(installation: Installation, name: str, *, role: Role) -> str:
    """Add a person to the first tenant.

    Args:
        installation: a prepared one.
        name: of the person.
        role: what the person may do.
    Returns:
        the person's access token, shown once.
    Raises:
        InstallationError: there is no tenant yet.
    """
    now_ns = installation.clock.now_ns()
    with installation.rows.transaction() as connection:
        found = tenants(connection)
        if not found:
            raise InstallationError("there is no tenant yet", hint="start the service once: fleetsight serve")
        person = add_person(connection, found[0].tenant_id, name=name, role=role, now_ns=now_ns)
        return person_token(connection, person, now_ns=now_ns)


def _chosen_provider(choices: Choices) -> tuple[Provider, ...]:
    if choices.payment_provider not in PROVIDERS:
        raise InstallationError(
            f"there is no payment provider {choices.payment_provider!r}", hint=f"choose from {', '.join(PROVIDERS)}"
        )
    if choices.payment_provider == "wallet":
        return ()
    if not choices.stripe_secret_key:
        raise InstallationError("Stripe without its secret key", hint="set FLEETSIGHT_STRIPE_SECRET_KEY_FILE")
    from fleetsight.billing.providers.stripe_provider import connect  # an extra, and slow to import

    return (connect(choices.stripe_secret_key),)


def _webhook(choices: Choices, clock: Clock) -> "StripeWebhook | None":
    if choices.payment_provider != "stripe" or not choices.stripe_webhook_secrets:
        return None
    from fleetsight.billing.providers.stripe_webhook import StripeWebhook

    live = choices.stripe_secret_key.startswith(("sk_live_", "rk_live_"))
    return StripeWebhook(choices.stripe_webhook_secrets, clock, live=live)


def _channel(choices: Choices) -> Channel:
    if not choices.notify_url:
        return LogChannel()
    return WebHook(choices.notify_url, choices.notify_secret, loopback_allowed=choices.notify_loopback)
