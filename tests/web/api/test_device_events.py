"""What doors do (bad inputs 11 and 15 to 18): in order, once, and never another shopper's matter."""

from typing import Any

import httpx
import pytest

from fleetsight.fleet.devices.alerts import alerts_of
from tests.web.world import Company, World

EVENTS = "/v1/device/events"


def event(seq: int, kind: str, session_id: str | None = None, **changed: Any) -> dict[str, Any]:
    return {"seq": seq, "kind": kind, "at_ns": seq, "session_id": session_id} | changed


def send(world: World, company: Company, *events: dict[str, Any], boot_id: str = "boot-1") -> httpx.Response:
    return world.as_device(company.machine, "POST", EVENTS, json={"boot_id": boot_id, "events": list(events)})


def state(world: World, session_id: str) -> str:
    session = world.services.sessions.load(session_id)
    assert session is not None
    return session.state.value


def unlocked(world: World, company: Company) -> str:
    session_id = world.open_session(company)
    said = {"boot_id": "boot-1", "at_ns": 0, "result": "unlocked"}
    assert world.as_device(company.machine, "POST", "/v1/device/commands/1/ack", json=said).status_code == 200
    return session_id


def kinds(world: World, company: Company) -> set[str]:
    with world.rows.reading() as connection:
        return {raised.alert.kind for raised in alerts_of(connection, company.tenant_id)}


def test_a_visit_closes_its_session(world: World, company: Company) -> None:
    session_id = unlocked(world, company)
    visit = [event(n, kind, session_id) for n, kind in enumerate(("door_opened", "door_closed", "locked"), 1)]
    assert send(world, company, *visit).json() == {"accepted_to": 3, "missing": []}
    assert state(world, session_id) == "closed"


@pytest.mark.bad_input(11)
def test_closed_before_open_waits_for_what_came_first(world: World, company: Company) -> None:
    session_id = unlocked(world, company)
    late = [event(2, "door_closed", session_id), event(3, "locked", session_id)]
    assert send(world, company, *late).json() == {"accepted_to": 0, "missing": [1]}
    assert state(world, session_id) == "open" or state(world, session_id) == "unlocking"
    assert send(world, company, event(1, "door_opened", session_id)).json() == {"accepted_to": 3, "missing": []}
    assert state(world, session_id) == "closed"


@pytest.mark.bad_input(15)
def test_repetitions_change_nothing(world: World, company: Company) -> None:
    session_id = unlocked(world, company)
    visit = [event(n, kind, session_id) for n, kind in enumerate(("door_opened", "door_closed", "locked"), 1)]
    for _ in range(3):
        assert send(world, company, *visit, *visit).json() == {"accepted_to": 3, "missing": []}
    session = world.services.sessions.load(session_id)
    assert session is not None
    version = session.version
    send(world, company, *visit)
    again = world.services.sessions.load(session_id)
    assert again is not None
    assert again.version == version


@pytest.mark.bad_input(16)
def test_a_restart_in_the_middle_of_a_visit_goes_on_in_the_new_boot(world: World, company: Company) -> None:
    session_id = unlocked(world, company)
    assert send(world, company, event(1, "door_opened", session_id)).json()["accepted_to"] == 1
    rest = [event(1, "door_closed", session_id), event(2, "locked", session_id)]
    assert send(world, company, *rest, boot_id="boot-2").json() == {"accepted_to": 2, "missing": []}
    assert state(world, session_id) == "closed"


@pytest.mark.parametrize("at_ns", [0, 1, 1_790_086_400_000_000_000, 4 * 10**18])
@pytest.mark.bad_input(17)
def test_clocks_of_devices_decide_nothing(world: World, company: Company, at_ns: int) -> None:
    session_id = unlocked(world, company)
    visit = [
        event(n, kind, session_id, at_ns=at_ns) for n, kind in enumerate(("door_opened", "door_closed", "locked"), 1)
    ]
    assert send(world, company, *visit).json()["accepted_to"] == 3
    assert state(world, session_id) == "closed"


@pytest.mark.bad_input(18)
def test_a_door_that_opens_for_nobody_is_told_and_charged_to_nobody(world: World, company: Company) -> None:
    answer = send(world, company, event(1, "door_opened"), event(2, "forced"), event(3, "door_closed"))
    assert answer.json() == {"accepted_to": 3, "missing": []}
    assert {"intrusion", "forced"} <= kinds(world, company)


def test_an_event_of_a_foreign_session_does_not_touch_it(world: World, company: Company) -> None:
    other = world.company()
    theirs = unlocked(world, other)
    before = state(world, theirs)
    answer = send(world, company, event(1, "door_opened", theirs), event(2, "locked", "no-such-session"))
    assert answer.json() == {"accepted_to": 2, "missing": []}
    assert state(world, theirs) == before
    assert "intrusion" in kinds(world, company)


@pytest.mark.bad_input(20)
def test_a_dead_camera_is_told(world: World, company: Company) -> None:
    assert send(world, company, event(1, "camera_dead"), event(2, "camera_back")).json()["accepted_to"] == 2
    assert "camera_dead" in kinds(world, company)


@pytest.mark.parametrize(
    "events",
    [
        [],
        [event(0, "locked")],
        [event(1, "exploded")],
        [event(1, "locked", tenant_id="mine")],
        [event(1, "locked", at_ns=-1)],
        [event(1, "locked", at_ns=2**63)],
        [event(n, "locked") for n in range(1, 202)],
    ],
)
def test_events_have_their_form_or_are_refused(world: World, company: Company, events: list[dict[str, Any]]) -> None:
    assert send(world, company, *events).status_code == 422
