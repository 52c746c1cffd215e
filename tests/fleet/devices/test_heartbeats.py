"""Heartbeats say whether a shopper may open a door, and give copied keys, wrong clocks and warm food away."""

from dataclasses import replace

import pytest

from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.fleet.devices import heartbeats, registry
from fleetsight.fleet.devices.alerts import alerts_of
from fleetsight.fleet.devices.heartbeats import Heartbeat, beat, latest_beats, unready
from fleetsight.store.rows import Rows
from tests.fleet.machine import Machine

GOOD = Heartbeat("boot-1", 1, 0, "locked", camera_ok=True, temperature_c=4.0, spool_sessions=0, spool_bytes=0)


def send(rows: Rows, machine: Machine, heartbeat: Heartbeat, *, signed_ns: int | None = None) -> None:
    now_ns = machine.clock.now_ns()
    here = replace(heartbeat, at_ns=heartbeat.at_ns or now_ns)
    with rows.transaction() as connection:
        beat(connection, machine.key(rows), heartbeat=here, signed_ns=signed_ns or now_ns, now_ns=now_ns)


def kinds(rows: Rows, machine: Machine) -> list[str]:
    with rows.reading() as connection:
        return sorted(raised.alert.kind for raised in alerts_of(connection, machine.device.tenant_id))


def reason(rows: Rows, machine: Machine) -> str | None:
    with rows.reading() as connection:
        return unready(connection, machine.device, now_ns=machine.clock.now_ns())


def test_a_device_is_ready_while_it_is_heard_of(rows: Rows, machine: Machine, clock: VirtualClock) -> None:
    assert reason(rows, machine) == "offline"
    send(rows, machine, GOOD)
    assert reason(rows, machine) is None
    clock.advance(heartbeats.ONLINE_S * SECOND_NS - 1)
    assert reason(rows, machine) is None
    clock.advance(1)
    assert reason(rows, machine) == "offline"


def test_an_older_or_repeated_heartbeat_changes_nothing(rows: Rows, machine: Machine) -> None:
    send(rows, machine, replace(GOOD, seq=5, door="open"))
    send(rows, machine, replace(GOOD, seq=5, door="locked"))
    send(rows, machine, replace(GOOD, seq=4, door="closed"))
    with rows.reading() as connection:
        assert latest_beats(connection, machine.device.tenant_id)[machine.device.device_id].beat.door == "open"


@pytest.mark.bad_input(20)
def test_a_blind_device_serves_nobody_and_tells_a_person(rows: Rows, machine: Machine) -> None:
    send(rows, machine, replace(GOOD, camera_ok=False))
    assert reason(rows, machine) == "camera_dead"
    send(rows, machine, replace(GOOD, camera_ok=False, seq=2))
    assert kinds(rows, machine) == ["camera_dead"]
    send(rows, machine, replace(GOOD, seq=3))
    assert reason(rows, machine) is None


def test_maintenance_locks_until_it_is_lifted(rows: Rows, machine: Machine) -> None:
    send(rows, machine, GOOD)
    with rows.transaction() as connection:
        registry.set_maintenance(connection, machine.device, reason="broken lamp")
    assert reason(rows, machine) == "maintenance"
    with rows.transaction() as connection:
        registry.set_maintenance(connection, machine.device, reason=None)
    assert reason(rows, machine) is None


def test_half_an_hour_of_warmth_locks_until_a_person_clears_it(
    rows: Rows, machine: Machine, clock: VirtualClock
) -> None:
    for seq in range(1, 32):
        send(rows, machine, replace(GOOD, seq=seq, temperature_c=5.1))
        if seq < 31:
            assert reason(rows, machine) is None, seq
        clock.advance(60 * SECOND_NS)
    send(rows, machine, replace(GOOD, seq=32, temperature_c=3.0))
    assert reason(rows, machine) == "too_warm"
    assert kinds(rows, machine) == ["too_warm"]
    with rows.transaction() as connection:
        registry.set_maintenance(connection, machine.device, reason=None)
    assert reason(rows, machine) is None


def test_a_short_warm_spell_locks_nothing(rows: Rows, machine: Machine, clock: VirtualClock) -> None:
    for seq, temperature_c in enumerate((9.0, 9.0, 4.9, 9.0, 9.0)):
        send(rows, machine, replace(GOOD, seq=seq, temperature_c=temperature_c))
        clock.advance(1000 * SECOND_NS)
    send(rows, machine, replace(GOOD, seq=9))
    assert reason(rows, machine) is None


@pytest.mark.parametrize("away_s", [-86_400, 86_400, -1_790_000_000 + 1])
@pytest.mark.bad_input(17)
def test_a_wrong_clock_is_told_and_does_no_harm(rows: Rows, machine: Machine, away_s: int) -> None:
    send(rows, machine, replace(GOOD, at_ns=machine.clock.now_ns() + away_s * SECOND_NS))
    assert kinds(rows, machine) == ["clock"]
    assert reason(rows, machine) is None


@pytest.mark.bad_input(6)
def test_one_key_on_two_running_machines_is_told(rows: Rows, machine: Machine, clock: VirtualClock) -> None:
    send(rows, machine, GOOD)
    clock.advance(5 * SECOND_NS)
    send(rows, machine, replace(GOOD, boot_id="boot-2"))
    assert kinds(rows, machine) == []
    clock.advance(12 * SECOND_NS)
    send(rows, machine, replace(GOOD, seq=3))
    assert kinds(rows, machine) == ["cloned_key"]


def test_a_restart_is_no_copied_key(rows: Rows, machine: Machine, clock: VirtualClock) -> None:
    send(rows, machine, GOOD)
    last_words_ns = clock.now_ns() + SECOND_NS
    clock.advance(40 * SECOND_NS)
    send(rows, machine, replace(GOOD, boot_id="boot-2"))
    clock.advance(15 * SECOND_NS)
    send(rows, machine, replace(GOOD, seq=2), signed_ns=last_words_ns)  # was under way for long
    send(rows, machine, replace(GOOD, boot_id="boot-2", seq=2))
    assert kinds(rows, machine) == []
    assert reason(rows, machine) is None
