"""Events take effect once and in order, however they arrive."""

import random

import pytest

from fleetsight.clock import SECOND_NS, VirtualClock
from fleetsight.fleet.devices.alerts import alerts_of
from fleetsight.fleet.devices.events import AHEAD_MAX, GAP_WAIT_S, MISSING_MAX, DeviceEvent, EventLog, EventsReceived
from fleetsight.fleet.devices.registry import Device
from fleetsight.store import crashpoint
from fleetsight.store.crashpoint import Crash, SimulatedCrashError
from fleetsight.store.rows import Rows
from tests.fleet.machine import Machine

Applied = list[tuple[str, int]]


def event(seq: int, kind: str = "door_opened") -> DeviceEvent:
    return DeviceEvent(seq, kind, seq * 1000, None)


class Recorder:
    """Stands for the sessions."""

    def __init__(self) -> None:
        self.applied: Applied = []

    def __call__(self, device: Device, boot_id: str, happening: DeviceEvent) -> str:
        if (boot_id, happening.seq) not in self.applied:
            self.applied.append((boot_id, happening.seq))
        return "applied"


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def log(rows: Rows, clock: VirtualClock, recorder: Recorder) -> EventLog:
    return EventLog(rows, clock, apply=recorder)


def test_events_in_order_take_effect_at_once(log: EventLog, rows: Rows, machine: Machine, recorder: Recorder) -> None:
    assert log.receive(machine.key(rows), "b", events=[event(1), event(2)]) == EventsReceived(2, ())
    assert log.receive(machine.key(rows), "b", events=[event(3)]) == EventsReceived(3, ())
    assert recorder.applied == [("b", 1), ("b", 2), ("b", 3)]


def test_a_gap_holds_later_events_back_until_it_is_filled(
    log: EventLog, rows: Rows, machine: Machine, recorder: Recorder
) -> None:
    assert log.receive(machine.key(rows), "b", events=[event(4), event(2)]) == EventsReceived(0, (1, 3))
    assert recorder.applied == []
    assert log.receive(machine.key(rows), "b", events=[event(1)]) == EventsReceived(2, (3,))
    assert log.receive(machine.key(rows), "b", events=[event(3)]) == EventsReceived(4, ())
    assert [seq for _, seq in recorder.applied] == [1, 2, 3, 4]


@pytest.mark.bad_input(15)
def test_any_order_with_repetitions_comes_to_the_same(
    log: EventLog, rows: Rows, machine: Machine, recorder: Recorder
) -> None:
    chance = random.Random(7)
    batches = [[event(chance.randint(1, 40)) for _ in range(8)] for _ in range(60)] + [[event(n) for n in range(1, 41)]]
    for batch in batches:
        received = log.receive(machine.key(rows), "b", events=batch)
    assert received == EventsReceived(40, ())
    assert [seq for _, seq in recorder.applied] == list(range(1, 41))


def test_each_boot_counts_for_itself(log: EventLog, rows: Rows, machine: Machine, recorder: Recorder) -> None:
    log.receive(machine.key(rows), "b", events=[event(1)])
    assert log.receive(machine.key(rows), "a", events=[event(1), event(2)]).accepted_to == 2
    assert recorder.applied == [("b", 1), ("a", 1), ("a", 2)]


@pytest.mark.bad_input(15)
def test_a_lost_event_is_passed_over_after_a_while_and_told(
    log: EventLog, rows: Rows, machine: Machine, clock: VirtualClock, recorder: Recorder
) -> None:
    log.receive(machine.key(rows), "b", events=[event(1), event(3)])
    clock.advance(GAP_WAIT_S * SECOND_NS - 1)
    assert log.receive(machine.key(rows), "b", events=[event(3)]) == EventsReceived(1, (2,))
    clock.advance(1)
    assert log.receive(machine.key(rows), "b", events=[event(3)]) == EventsReceived(3, ())
    assert [seq for _, seq in recorder.applied] == [1, 3]
    with rows.reading() as connection:
        (raised,) = alerts_of(connection, machine.device.tenant_id)
    assert raised.alert.kind == "events_lost"
    assert "2 to 2" in raised.alert.detail


def test_an_event_that_comes_again_as_another_keeps_its_first_meaning(
    log: EventLog, rows: Rows, machine: Machine, recorder: Recorder
) -> None:
    log.receive(machine.key(rows), "b", events=[event(2, "door_opened")])
    log.receive(machine.key(rows), "b", events=[event(2, "locked"), event(1)])
    with rows.reading() as connection:
        (raised,) = alerts_of(connection, machine.device.tenant_id)
    assert raised.alert.kind == "event_changed"


def test_far_numbers_fill_neither_database_nor_answer(log: EventLog, rows: Rows, machine: Machine) -> None:
    received = log.receive(machine.key(rows), "b", events=[event(AHEAD_MAX), event(AHEAD_MAX + 1), event(2**63 - 1)])
    assert received.accepted_to == 0
    assert received.missing == tuple(range(1, MISSING_MAX + 1))


@pytest.mark.parametrize("point", ["device-events.kept", "device-events.before-mark", "device-events.applied"])
def test_dying_anywhere_repeats_no_effect_and_loses_no_event(
    log: EventLog, rows: Rows, machine: Machine, recorder: Recorder, point: str
) -> None:
    crashpoint.arm(point, how=Crash.RAISE)
    with pytest.raises(SimulatedCrashError):
        log.receive(machine.key(rows), "b", events=[event(1), event(2)])
    assert log.receive(machine.key(rows), "b", events=[event(1), event(2)]) == EventsReceived(2, ())
    assert recorder.applied == [("b", 1), ("b", 2)]
