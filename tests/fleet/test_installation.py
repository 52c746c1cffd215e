"""An installation is opened from addresses and choices, and refuses what it cannot do."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from fleetsight.billing.providers.stripe_webhook import StripeWebhook
from fleetsight.fleet.installation import (
    Addresses,
    Choices,
    Installation,
    InstallationError,
    add_operator,
    first_operator,
    prepare,
)
from fleetsight.fleet.people import Role, person_of
from fleetsight.notify import LogChannel, NotifyError, WebHook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def addresses(tmp_path: Path) -> Addresses:
    folder = tmp_path / "installation"
    return Addresses(
        data_dir=folder,
        database_url=f"sqlite:///{folder / 'rows.db'}",
        jobs_url=f"sqlite:///{folder / 'jobs.db'}",
        blobs_url=(folder / "blobs").as_uri(),
        base_url="http://service.test",
    )


def test_the_first_operator_is_made_once_and_may_do_everything(addresses: Addresses) -> None:
    prepare(addresses)
    prepare(addresses)  # a restart
    with closing(Installation.open(addresses, Choices())) as parts:
        token = first_operator(parts, "My coolers")
        assert token is not None
        assert first_operator(parts, "My coolers") is None
        other = add_operator(parts, "Ada", role=Role.REVIEWER)
        with parts.rows.reading() as connection:
            first = person_of(connection, token, now_ns=parts.clock.now_ns())
            ada = person_of(connection, other, now_ns=parts.clock.now_ns())
    assert first is not None
    assert ada is not None
    assert (first.role, ada.role, ada.name) == (Role.ADMIN, Role.REVIEWER, "Ada")
    assert first.tenant_id == ada.tenant_id


def test_nobody_is_invited_before_there_is_a_tenant(addresses: Addresses) -> None:
    prepare(addresses)
    with closing(Installation.open(addresses, Choices())) as parts, pytest.raises(InstallationError) as caught:
        add_operator(parts, "Ada", role=Role.VIEWER)
    assert "fleetsight serve" in caught.value.hint


@pytest.mark.parametrize(
    "choices", [Choices(payment_provider="shells"), Choices(payment_provider="stripe", stripe_webhook_secrets=("a",))]
)
def test_a_provider_that_does_not_exist_or_lacks_its_key_is_refused(addresses: Addresses, choices: Choices) -> None:
    prepare(addresses)
    with pytest.raises(InstallationError) as caught:
        Installation.open(addresses, choices)
    assert caught.value.hint


def test_stripe_comes_with_its_web_hook_and_the_wallet_stays(addresses: Addresses) -> None:
    prepare(addresses)
    choices = Choices(
        payment_provider="stripe", stripe_secret_key="sk_test_1", stripe_webhook_secrets=("whsec_1", "whsec_2")
    )
    with closing(Installation.open(addresses, choices)) as parts:
        assert [provider.name for provider in parts.providers] == ["wallet", "stripe"]
        assert isinstance(parts.webhook, StripeWebhook)
    with closing(Installation.open(addresses, Choices())) as parts:
        assert parts.webhook is None


def test_people_are_told_by_the_log_or_by_a_web_hook(addresses: Addresses) -> None:
    prepare(addresses)
    with closing(Installation.open(addresses, Choices())) as parts:
        assert isinstance(parts.channel, LogChannel)
    told = Choices(notify_url="https://shop.example/hook", notify_secret=SECRET)
    with closing(Installation.open(addresses, told)) as parts:
        assert isinstance(parts.channel, WebHook)
    with pytest.raises(NotifyError):
        Installation.open(addresses, replace(told, notify_secret=""))


def test_secrets_do_not_show(addresses: Addresses) -> None:
    secrets = Choices(stripe_secret_key="canary", stripe_webhook_secrets=("canary",), notify_secret="canary")
    hidden = replace(addresses, blob_options={"secret_access_key": "canary"})
    assert "canary" not in repr(secrets) + repr(hidden)
