"""What the door says, in order and out of it."""

import pytest

from fleetsight.apps.cooler.session.machine import commands as c
from fleetsight.apps.cooler.session.machine import events as e
from fleetsight.apps.cooler.session.machine.states import Action, Answer, DoorState, Flag, ReviewReason, State
from tests.apps.cooler.session.machine import steps
from tests.apps.cooler.session.machine.steps import SECOND_NS


def test_a_visit_goes_from_unlock_to_lock() -> None:
    assert steps.unlocking().session.door.state is DoorState.UNLOCK_SENT
    assert steps.unlocked().session.door.state is DoorState.UNLOCKED
    assert steps.opened().session.door.state is DoorState.OPEN
    walk = steps.closed()
    assert (walk.state, walk.session.door.state) == (State.CLOSED, DoorState.CLOSED_LOCKED)
    assert walk.session.door.closed_ns == walk.now_ns
    assert walk.session.flags == ()


def test_an_unlock_command_lives_ten_seconds_at_most() -> None:
    walk = steps.authorized()
    assert walk.do(e.UnlockIssued(1, walk.now_ns + 10 * SECOND_NS + 1)).refused is not None
    assert walk.do(e.UnlockIssued(1, walk.now_ns + 10 * SECOND_NS)).state is State.UNLOCKING


def test_a_refused_unlock_gives_the_hold_back() -> None:
    walk = steps.unlocking().do(e.UnlockAcknowledged("boot", unlocked=False, reason="expired"))
    assert (walk.state, walk.session.outcome, walk.wanted(c.Pay)) == (State.ABORTED, "refused", ["sid:void"])
    assert not walk.session.occupies_device


def test_without_an_acknowledgement_the_door_is_unknown_and_keeps_its_device_a_while() -> None:
    walk = steps.unlocking().after(10)
    assert (walk.state, walk.session.door.state) == (State.ABORTED, DoorState.UNKNOWN)
    assert walk.session.occupies_device
    assert "door_check" in walk.told()
    walk.do(e.UnlockAcknowledged("boot", unlocked=True))
    assert walk.session.occupies_device
    walk.answer(Answer.VOIDED).after(20)
    assert (walk.session.door.state, walk.session.occupies_device) == (DoorState.LOCKED, False)


def test_a_late_refusal_changes_nothing() -> None:
    assert steps.unlocking().after(10).do(e.UnlockAcknowledged("boot", unlocked=False)).refused is not None


@pytest.mark.bad_input(8)
def test_an_opening_stands_for_a_lost_acknowledgement() -> None:
    walk = steps.unlocking().do(e.DoorOpened("boot"))
    assert (walk.state, walk.session.door.state, walk.session.door.boot_id) == (State.OPEN, DoorState.OPEN, "boot")
    assert walk.age_s == 180


def test_a_lock_without_an_opening_ends_the_visit() -> None:
    for walk in (steps.unlocked(), steps.unlocking()):
        walk.do(e.DoorLocked("boot"))
        assert (walk.state, walk.session.outcome) == (State.ABORTED, "never_opened")
        assert (walk.session.occupies_device, walk.wanted(c.Pay)) == (False, ["sid:void"])


@pytest.mark.bad_input(13)
def test_never_opened_keeps_the_device_until_it_says_locked() -> None:
    walk = steps.aborted()
    assert (walk.session.door.state, walk.session.occupies_device) == (DoorState.NEVER_OPENED, True)
    walk.do(e.DoorLocked("boot"))
    assert (walk.state, walk.session.occupies_device) == (State.ABORTED, False)


@pytest.mark.parametrize("event", [e.DoorOpened("boot"), e.DoorForced("boot")], ids=["opened", "forced"])
def test_a_late_opening_comes_back_as_a_review(event: e.Event) -> None:
    walk = steps.aborted().do(event)
    assert (walk.state, walk.session.review_reason) == (State.REVIEW, ReviewReason.LATE)
    assert Flag.SENSORS_DISAGREE in walk.session.flags
    assert walk.session.door.opened_ns == walk.now_ns


def test_an_aborted_session_whose_door_is_not_in_doubt_hears_no_lock() -> None:
    assert steps.created().after(30).do(e.DoorLocked("boot")).refused is not None
    assert steps.aborted().do(e.DoorLocked("boot")).do(e.DoorLocked("boot")).refused is not None


@pytest.mark.bad_input(14)
def test_open_close_open_before_the_lock_is_one_visit() -> None:
    walk = steps.opened().do(e.DoorClosed("boot"), e.DoorOpened("boot"))
    assert (walk.state, walk.session.door.ajar, walk.session.flags) == (State.OPEN, True, ())


def test_an_opening_after_the_lock_is_looked_at_by_a_person() -> None:
    walk = steps.analyzing().do(e.DoorOpened("boot"))
    assert (walk.state, walk.session.flags) == (State.ANALYZING, (Flag.REOPENED,))
    assert steps.seen(walk).session.review_reason is ReviewReason.SENSORS


@pytest.mark.bad_input(11)
def test_closed_before_opened_means_that_the_sensors_disagree() -> None:
    walk = steps.unlocked().do(e.DoorClosed("boot"))
    assert (walk.state, walk.session.flags) == (State.OPEN, (Flag.SENSORS_DISAGREE,))


def test_a_closing_before_the_acknowledgement_is_noted_and_does_not_end_the_visit() -> None:
    walk = steps.unlocking().do(e.DoorClosed("boot"))
    assert (walk.refused, walk.state, walk.session.flags) == (None, State.UNLOCKING, (Flag.SENSORS_DISAGREE,))


def test_a_lock_on_an_open_leaf_means_that_the_sensors_disagree() -> None:
    walk = steps.opened().do(e.DoorLocked("boot"))
    assert (walk.state, walk.session.flags) == (State.CLOSED, (Flag.SENSORS_DISAGREE,))
    assert not walk.session.door.ajar


@pytest.mark.bad_input(12)
def test_a_door_that_stays_open_reminds_alerts_and_is_reviewed() -> None:
    walk = steps.opened().after(180)
    assert (walk.told(), walk.state) == ({"close_door"}, State.OPEN)
    assert walk.age_s == 600 - 180
    walk.after(420)
    assert (walk.told(), walk.session.door.state) == ({"held_open"}, DoorState.HELD_OPEN)
    assert walk.age_s == 1800 - 600
    walk.after(1200)
    assert (walk.state, walk.session.review_reason) == (State.REVIEW, ReviewReason.HELD_OPEN)


def test_a_door_held_open_that_closes_is_never_charged_alone() -> None:
    walk = steps.opened().after(180).after(420).do(e.DoorClosed("boot"), e.DoorLocked("boot"))
    assert walk.session.door.state is DoorState.CLOSED_LOCKED
    walk.do(e.ManifestReceived("m", steps.FILM), *(e.SegmentStored(piece) for piece in steps.FILM))
    assert steps.seen(walk).session.review_reason is ReviewReason.HELD_OPEN


def test_an_opening_does_not_undo_held_open() -> None:
    walk = steps.opened().after(180).after(420).do(e.DoorOpened("boot"))
    assert walk.session.door.state is DoorState.HELD_OPEN


@pytest.mark.bad_input(18)
def test_a_forced_door_is_told_and_reviewed() -> None:
    walk = steps.unlocking().do(e.DoorForced("boot"))
    assert (walk.state, walk.session.door.state, walk.told()) == (State.OPEN, DoorState.FORCED, {"forced"})
    walk.do(e.DoorLocked("boot"))
    assert walk.state is State.CLOSED
    assert Flag.FORCED in walk.session.flags


@pytest.mark.bad_input(16)
def test_a_reboot_in_the_middle_is_noted() -> None:
    walk = steps.opened().do(e.DoorClosed("another"))
    assert walk.session.flags == (Flag.REBOOTED,)
    assert steps.opened().do(e.DoorLocked("another")).session.flags == (Flag.REBOOTED, Flag.SENSORS_DISAGREE)
    assert Flag.REBOOTED in steps.unlocked().do(e.DoorOpened("another")).session.flags


def test_a_dead_camera_matters_only_while_the_door_is_the_sessions() -> None:
    walk = steps.opened().do(e.CameraChanged("boot", alive=False))
    assert (walk.session.flags, walk.told()) == ((Flag.CAMERA_DEAD,), {"camera_dead"})
    walk.do(e.CameraChanged("boot", alive=True))
    assert walk.session.flags == (Flag.CAMERA_DEAD,)
    assert steps.closed().do(e.CameraChanged("boot", alive=False)).refused is not None


def test_an_intrusion_during_a_visit_is_noted() -> None:
    walk = steps.opened().do(e.IntrusionSeen("boot"))
    assert (walk.session.flags, walk.told()) == ((Flag.SENSORS_DISAGREE,), {"intrusion"})
    assert steps.settled().do(e.IntrusionSeen("boot")).refused is not None


@pytest.mark.parametrize("event", [e.DoorOpened("boot"), e.DoorForced("boot")], ids=["opened", "forced"])
def test_a_door_never_belongs_to_the_last_shopper(event: e.Event) -> None:
    for walk in (steps.settled(), steps.released(), steps.decided(), steps.authorized(), steps.created()):
        before = walk.session
        assert walk.do(event).refused is not None
        assert walk.session == before


def test_a_door_that_shuts_after_the_decision_frees_the_device_and_no_more() -> None:
    walk = steps.opened().after(180).after(420).after(1200)
    walk.do(steps.decision(Action.RELEASE, (), 0))
    assert walk.session.door.ajar
    walk.do(e.DoorClosed("boot"))
    assert (walk.state, walk.session.door.ajar, walk.commands) == (State.DECIDED, False, [])
    assert walk.do(e.DoorLocked("boot")).refused is not None


@pytest.mark.bad_input(17)
def test_device_time_decides_nothing() -> None:
    for at_ns in (0, -SECOND_NS, 10**19):
        walk = steps.unlocked().do(e.DoorOpened("boot", at_ns))
        assert walk.session.door.opened_ns == walk.now_ns
