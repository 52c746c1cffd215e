"""Unlock commands are numbered, signed, short-lived, and one for each session."""

import base64
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fleetsight.apps.cooler.session.answers import UnlockOrder
from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.fleet.devices import unlocks
from fleetsight.fleet.devices.registry import revoke_device
from fleetsight.fleet.devices.server_key import ServerKey
from fleetsight.fleet.devices.unlocks import (
    FleetUnlocker,
    Told,
    UnlockRefusedError,
    acknowledge,
    latest_seqs,
    pending_commands,
)
from fleetsight.store.rows import Rows
from tests.fleet.machine import Machine, enrolled


@pytest.fixture
def server_key(tmp_path: Path) -> ServerKey:
    return ServerKey.open(tmp_path / "key.pem")


@pytest.fixture
def unlocker(server_key: ServerKey, clock: VirtualClock) -> FleetUnlocker:
    return FleetUnlocker(server_key, clock)


def order(machine: Machine, session_id: str, lasts_s: int = 10, *, tenant_id: str = "") -> UnlockOrder:
    expires_ns = machine.clock.now_ns() + lasts_s * SECOND_NS
    return UnlockOrder(tenant_id or machine.device.tenant_id, machine.device.device_id, session_id, expires_ns)


def issue(rows: Rows, unlocker: FleetUnlocker, wanted: UnlockOrder) -> int:
    with rows.transaction() as connection:
        return unlocker.issue(connection, wanted)


def waiting(rows: Rows, machine: Machine, after: int = 0) -> list[int]:
    with rows.reading() as connection:
        found = pending_commands(connection, machine.device.device_id, after=after, now_ns=machine.clock.now_ns())
    return [command.seq for command in found]


def test_a_device_can_verify_its_command(
    rows: Rows, machine: Machine, unlocker: FleetUnlocker, server_key: ServerKey
) -> None:
    seq = issue(rows, unlocker, order(machine, "s1"))
    with rows.reading() as connection:
        (command,) = pending_commands(connection, machine.device.device_id, after=0, now_ns=machine.clock.now_ns())
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(server_key.public_key_b64))
    said: dict[str, Any] = jwt.decode(
        command.token, public, algorithms=["EdDSA"], audience=machine.device.device_id, options={"verify_exp": False}
    )
    assert (said["kind"], said["seq"], said["session_id"]) == ("unlock", seq, "s1")
    assert 0 < said["exp"] - said["iat"] <= unlocks.UNLOCK_LIFETIME_S
    assert command.expires_ns == said["exp"] * SECOND_NS
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(command.token, public, algorithms=["EdDSA"], audience="another", options={"verify_exp": False})


def test_a_command_never_outlives_its_order(rows: Rows, machine: Machine, unlocker: FleetUnlocker) -> None:
    issue(rows, unlocker, order(machine, "s1", lasts_s=3))
    issue(rows, unlocker, order(machine, "s2", lasts_s=99))
    with rows.reading() as connection:
        found = pending_commands(connection, machine.device.device_id, after=0, now_ns=machine.clock.now_ns())
    assert [command.expires_ns - machine.clock.now_ns() for command in found] == [3 * SECOND_NS, 10 * SECOND_NS]


def test_a_session_has_one_command_however_often_it_is_asked_for(
    rows: Rows, machine: Machine, unlocker: FleetUnlocker, clock: VirtualClock
) -> None:
    assert [issue(rows, unlocker, order(machine, name)) for name in ("s1", "s2", "s1")] == [1, 2, 1]
    clock.advance(3600 * SECOND_NS)
    assert issue(rows, unlocker, order(machine, "s1")) == 1
    assert waiting(rows, machine) == []


def test_fifty_at_once_get_numbers_without_gap_or_double(rows: Rows, machine: Machine, unlocker: FleetUnlocker) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: issue(rows, unlocker, order(machine, f"s{number}")), range(50)))
    assert sorted(found) == list(range(1, 51))


def test_a_revoked_or_foreign_device_gets_no_command(
    rows: Rows, machine: Machine, unlocker: FleetUnlocker, clock: VirtualClock
) -> None:
    other = enrolled(rows, clock)
    with pytest.raises(UnlockRefusedError):
        issue(rows, unlocker, order(machine, "s1", tenant_id=other.device.tenant_id))
    with rows.transaction() as connection:
        here = machine.device
        revoke_device(connection, here.tenant_id, device_id=here.device_id, now_ns=clock.now_ns())
    with pytest.raises(UnlockRefusedError):
        issue(rows, unlocker, order(machine, "s1"))


def test_a_device_sees_what_it_has_not_seen_answered_or_let_expire(
    rows: Rows, machine: Machine, unlocker: FleetUnlocker, clock: VirtualClock
) -> None:
    device_id = machine.device.device_id
    for name in ("s1", "s2", "s3"):
        issue(rows, unlocker, order(machine, name))
    assert waiting(rows, machine) == [1, 2, 3]
    assert waiting(rows, machine, after=2) == [3]
    with rows.transaction() as connection:
        first = acknowledge(connection, device_id, seq=3, told=Told("unlocked"), now_ns=1)
        second = acknowledge(connection, device_id, seq=3, told=Told("refused", "late"), now_ns=2)
        unknown = acknowledge(connection, device_id, seq=9, told=Told("unlocked"), now_ns=1)
        foreign = acknowledge(connection, "another", seq=1, told=Told("unlocked"), now_ns=1)
    assert first is not None
    assert second is not None
    assert (first.result, first.fresh, second.result, second.fresh) == ("unlocked", True, "unlocked", False)
    assert unknown is None
    assert foreign is None
    assert waiting(rows, machine) == [1, 2]
    with rows.reading() as connection:
        assert latest_seqs(connection, [device_id, "another"], now_ns=clock.now_ns()) == {device_id: 2}
    clock.advance(10 * SECOND_NS)
    assert waiting(rows, machine) == []
