"""Devices are claimed once, keys rotate, and what is revoked stays out."""

import base64

import pytest

from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.fleet.devices import registry
from fleetsight.fleet.devices.registry import Device, add_device, add_key, enrol, find_device, key_named, revoke_device
from fleetsight.fleet.sites import add_site
from fleetsight.fleet.tenants import add_tenant
from fleetsight.store.rows import Rows
from tests.fleet.machine import Machine, enrolled, new_key, public_b64


@pytest.fixture
def made(rows: Rows, clock: VirtualClock) -> tuple[Device, str]:
    with rows.transaction() as connection:
        tenant = add_tenant(connection, "tenant", now_ns=clock.now_ns())
        site = add_site(connection, tenant.tenant_id, name="site", now_ns=clock.now_ns())
        found = add_device(connection, tenant.tenant_id, site_id=site.site_id, name="c", now_ns=clock.now_ns())
    assert found is not None
    return found


def claim(rows: Rows, code: str, *, public_key_b64: str, now_ns: int) -> str | None:
    with rows.transaction() as connection:
        key = enrol(connection, code, public_key_b64=public_key_b64, hardware="box 7", now_ns=now_ns)
    return None if key is None else key.kid


def test_a_claim_code_works_once_and_repeats_for_the_same_key_alone(
    rows: Rows, clock: VirtualClock, made: tuple[Device, str]
) -> None:
    _, code = made
    mine, other = public_b64(new_key()), public_b64(new_key())
    kid = claim(rows, code, public_key_b64=mine, now_ns=clock.now_ns())
    assert kid is not None
    assert claim(rows, code.lower().replace("-", " "), public_key_b64=mine, now_ns=clock.now_ns()) == kid
    assert claim(rows, code, public_key_b64=other, now_ns=clock.now_ns()) is None


def test_a_claim_code_expires_after_ten_minutes(rows: Rows, clock: VirtualClock, made: tuple[Device, str]) -> None:
    _, code = made
    key = public_b64(new_key())
    late_ns = clock.now_ns() + registry.CLAIM_LIFETIME_S * SECOND_NS
    assert claim(rows, code, public_key_b64=key, now_ns=late_ns) is None
    assert claim(rows, code, public_key_b64=key, now_ns=late_ns - 1) is not None


@pytest.mark.parametrize(
    "key",
    ["", "AAAA", "not base64!", base64.b64encode(bytes(31)).decode(), base64.b64encode(bytes(33)).decode(), "é" * 44],
)
def test_what_is_no_key_is_not_enrolled(rows: Rows, clock: VirtualClock, made: tuple[Device, str], key: str) -> None:
    assert claim(rows, made[1], public_key_b64=key, now_ns=clock.now_ns()) is None


def test_a_key_that_was_known_is_never_enrolled_again(
    rows: Rows, clock: VirtualClock, made: tuple[Device, str], machine: Machine
) -> None:
    with rows.transaction() as connection:
        assert revoke_device(
            connection, machine.device.tenant_id, device_id=machine.device.device_id, now_ns=clock.now_ns()
        )
    assert claim(rows, made[1], public_key_b64=public_b64(machine.private_key), now_ns=clock.now_ns()) is None


def test_a_site_of_another_tenant_gets_no_device(rows: Rows, clock: VirtualClock, machine: Machine) -> None:
    other = enrolled(rows, clock)
    with rows.transaction() as connection:
        found = add_device(
            connection, machine.device.tenant_id, site_id=other.device.site_id, name="c", now_ns=clock.now_ns()
        )
    assert found is None


def test_two_keys_are_valid_while_one_replaces_the_other(rows: Rows, clock: VirtualClock, machine: Machine) -> None:
    second, third = new_key(), new_key()
    first_kid = machine.kid

    def add(key_b64: str) -> str | None:
        with rows.transaction() as connection:
            return add_key(connection, machine.device, public_key_b64=key_b64, now_ns=clock.now_ns())

    def valid(kid: str | None, at_ns: int) -> bool:
        with rows.reading() as connection:
            return key_named(connection, kid or "", now_ns=at_ns) is not None

    second_kid = add(public_b64(second))
    assert add(public_b64(second)) == second_kid
    assert valid(first_kid, clock.now_ns())
    assert valid(second_kid, clock.now_ns())
    overlap_ns = registry.KEY_OVERLAP_S * SECOND_NS
    assert not valid(first_kid, clock.now_ns() + overlap_ns)
    assert valid(second_kid, clock.now_ns() + overlap_ns)
    clock.advance(SECOND_NS)
    third_kid = add(public_b64(third))
    assert not valid(first_kid, clock.now_ns())
    assert valid(second_kid, clock.now_ns())
    assert valid(third_kid, clock.now_ns())
    assert add(public_b64(machine.private_key)) is None
    assert add("nonsense") is None


def test_a_key_of_another_device_is_refused(rows: Rows, clock: VirtualClock, machine: Machine) -> None:
    other = enrolled(rows, clock)
    with rows.transaction() as connection:
        stolen = public_b64(other.private_key)
        assert add_key(connection, machine.device, public_key_b64=stolen, now_ns=clock.now_ns()) is None


def test_a_revoked_device_is_out_with_every_key_and_code(
    rows: Rows, clock: VirtualClock, made: tuple[Device, str], machine: Machine
) -> None:
    device, code = made
    with rows.transaction() as connection:
        assert not revoke_device(connection, machine.device.tenant_id, device_id=device.device_id, now_ns=1)
        for gone in (device, machine.device):
            assert revoke_device(connection, gone.tenant_id, device_id=gone.device_id, now_ns=clock.now_ns())
            assert revoke_device(connection, gone.tenant_id, device_id=gone.device_id, now_ns=clock.now_ns() + 9)
    assert claim(rows, code, public_key_b64=public_b64(new_key()), now_ns=clock.now_ns()) is None
    with rows.reading() as connection:
        assert key_named(connection, machine.kid, now_ns=clock.now_ns()) is None
        kept = find_device(connection, machine.device.tenant_id, device_id=machine.device.device_id)
        assert kept is not None
        assert kept.revoked_ns == clock.now_ns()
