"""Tokens speak for one person or shopper, in time, and never for the other kind."""

import pytest

from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.fleet.people import Role, add_person, person_of, person_token, remove_person
from fleetsight.fleet.shoppers import add_shopper, shopper_of
from fleetsight.fleet.tables import ACCESS_TOKENS
from fleetsight.fleet.tenants import add_tenant, tenants
from fleetsight.fleet.tokens import delete_expired_tokens, revoke_token
from fleetsight.store.rows import Rows


@pytest.fixture
def tenant_id(rows: Rows, clock: VirtualClock) -> str:
    with rows.transaction() as connection:
        return add_tenant(connection, "tenant", now_ns=clock.now_ns()).tenant_id


def test_roles_contain_each_other_in_order() -> None:
    assert Role.VIEWER < Role.REVIEWER < Role.OPERATOR < Role.ADMIN
    assert [role.label for role in Role] == ["viewer", "reviewer", "operator", "admin"]


def test_a_person_is_known_by_token_until_leaving(rows: Rows, clock: VirtualClock, tenant_id: str) -> None:
    now_ns = clock.now_ns()
    with rows.transaction() as connection:
        person = add_person(connection, tenant_id, name="Ada", role=Role.REVIEWER, now_ns=now_ns)
        token = person_token(connection, person, now_ns=now_ns)
        assert person_of(connection, token, now_ns=now_ns) == person
        assert shopper_of(connection, token, now_ns=now_ns) is None
        remove_person(connection, person, now_ns=now_ns)
        assert person_of(connection, token, now_ns=now_ns) is None


def test_a_shopper_is_no_person(rows: Rows, clock: VirtualClock, tenant_id: str) -> None:
    with rows.transaction() as connection:
        shopper, token = add_shopper(connection, tenant_id, name="Bo", now_ns=clock.now_ns())
        assert shopper_of(connection, token, now_ns=clock.now_ns()) == shopper
        assert person_of(connection, token, now_ns=clock.now_ns()) is None


def test_tokens_expire_are_revoked_and_are_kept_as_digests_alone(
    rows: Rows, clock: VirtualClock, tenant_id: str
) -> None:
    now_ns = clock.now_ns()
    with rows.transaction() as connection:
        person = add_person(connection, tenant_id, name="Ada", role=Role.ADMIN, now_ns=now_ns)
        short = person_token(connection, person, now_ns=now_ns, lifetime_s=10)
        long = person_token(connection, person, now_ns=now_ns)
        later_ns = now_ns + 10 * SECOND_NS
        assert person_of(connection, short, now_ns=later_ns - 1) == person
        assert person_of(connection, short, now_ns=later_ns) is None
        revoke_token(connection, long, now_ns=now_ns)
        assert person_of(connection, long, now_ns=now_ns) is None
        kept = str(connection.execute(ACCESS_TOKENS.select()).all())
        assert short not in kept
        assert long not in kept
        assert delete_expired_tokens(connection, later_ns - 1) == 0
        assert delete_expired_tokens(connection, later_ns) == 1


@pytest.mark.parametrize(
    "token", ["", "fs_", "fs_" + "é" * 43, "fs_" + "a" * 42, "fs_" + "a" * 44, "\ud800", "' OR 1=1"]
)
def test_what_is_no_token_speaks_for_nobody(rows: Rows, clock: VirtualClock, token: str) -> None:
    with rows.reading() as connection:
        assert person_of(connection, token, now_ns=clock.now_ns()) is None
        assert shopper_of(connection, token, now_ns=clock.now_ns()) is None


def test_tenants_are_listed_oldest_first(rows: Rows) -> None:
    with rows.transaction() as connection:
        names = [add_tenant(connection, name, now_ns=at_ns).name for name, at_ns in (("b", 1), ("a", 2))]
        assert [tenant.name for tenant in tenants(connection)] == names
