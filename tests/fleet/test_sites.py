"""Sites belong to one tenant, and receipts carry their names."""

from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.clock import VirtualClock
from fleetsight.fleet.sites import add_site, find_site, sites_of, wording
from fleetsight.fleet.tenants import add_tenant
from fleetsight.store.rows import Rows


def sold(tenant_id: str, site_id: str) -> Session:
    return Session(
        id="s",
        tenant_id=tenant_id,
        site_id=site_id,
        device_id="d",
        shopper_id="p",
        provider="wallet",
        method_id="p",
        currency="EUR",
        hold_minor=2500,
        cap_minor=3000,
        price_list_id="l",
        assortment="a",
        pipeline="c",
        created_ns=1,
    )


def test_a_site_is_found_by_its_own_tenant_alone(rows: Rows, clock: VirtualClock) -> None:
    with rows.transaction() as connection:
        ours, theirs = (add_tenant(connection, name, now_ns=clock.now_ns()) for name in ("ours", "theirs"))
        lobby = add_site(connection, ours.tenant_id, name="Lobby", now_ns=clock.now_ns())
        attic = add_site(connection, ours.tenant_id, name="Attic", now_ns=clock.now_ns())
        assert find_site(connection, ours.tenant_id, site_id=lobby.site_id) == lobby
        assert find_site(connection, theirs.tenant_id, site_id=lobby.site_id) is None
        assert list(sites_of(connection, ours.tenant_id).values()) == [attic, lobby]
        assert sites_of(connection, theirs.tenant_id) == {}


def test_a_receipt_names_seller_and_place_or_their_ids(rows: Rows, clock: VirtualClock) -> None:
    with rows.transaction() as connection:
        tenant = add_tenant(connection, "Coolers Ltd", now_ns=clock.now_ns())
        site = add_site(connection, tenant.tenant_id, name="Lobby", now_ns=clock.now_ns())
        assert wording(connection, sold(tenant.tenant_id, site.site_id)) == ("Coolers Ltd", "Lobby")
        assert wording(connection, sold(tenant.tenant_id, "gone")) == (tenant.tenant_id, "gone")
