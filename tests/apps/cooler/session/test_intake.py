"""What devices send is taken once, and only for sessions of their own."""

import hashlib
from dataclasses import replace

import pytest

from fleetsight.apps.cooler.session.answers import (
    Acknowledgement,
    Applied,
    DeviceResult,
    Manifest,
    Missing,
    Offer,
    Offered,
    Repeated,
)
from fleetsight.apps.cooler.session.machine.session import Segment, Session
from fleetsight.apps.cooler.session.machine.states import Flag, ReviewReason, State
from fleetsight.apps.cooler.session.machine.transition import Refused
from tests.apps.cooler.session.shop import TENANT, Shop


def offered(session: Session, segment: Segment, *, device_id: str = "device", tenant_id: str = TENANT) -> Offered:
    return Offered(tenant_id, device_id, session.id, segment)


def listed(session: Session, segments: tuple[Segment, ...], device_id: str = "device") -> Manifest:
    return Manifest(TENANT, device_id, session.id, segments)


def forged(segment: Segment) -> Segment:
    return replace(segment, sha256=hashlib.sha256(b"forged").hexdigest())


def test_an_upload_goes_from_wanted_to_stored(shop: Shop) -> None:
    session = shop.visit(shop.redeem())
    film = shop.film(session)
    missing = shop.sessions.manifest(listed(session, film))
    assert isinstance(missing, tuple)
    assert [piece.index for piece in missing] == [0, 1]
    assert shop.sessions.offer(offered(session, film[0])) == Offer("wanted")
    assert isinstance(shop.sessions.stored(offered(session, film[0])), Applied)
    assert isinstance(shop.sessions.stored(offered(session, film[0])), Repeated)
    assert shop.sessions.offer(offered(session, film[0])) == Offer("stored")
    again = shop.sessions.manifest(listed(session, film))
    assert isinstance(again, tuple)
    assert [piece.index for piece in again] == [1]


def test_other_bytes_are_a_conflict_and_the_session_goes_to_a_person(shop: Shop) -> None:
    session = shop.visit(shop.redeem())
    film = shop.film(session)
    shop.sessions.manifest(listed(session, film))
    for _ in range(2):
        answer = shop.sessions.offer(offered(session, forged(film[0])))
        assert isinstance(answer, Offer)
        assert answer.answer == "conflict"
    after = shop.now(session)
    assert (after.state, after.review_reason) == (State.REVIEW, ReviewReason.TAMPER)
    assert isinstance(shop.sessions.stored(offered(session, forged(film[0]))), Refused)


def test_another_manifest_is_refused_and_noticed(shop: Shop) -> None:
    session = shop.visit(shop.redeem())
    film = shop.film(session)
    shop.sessions.manifest(listed(session, film))
    assert isinstance(shop.sessions.manifest(listed(session, film[:1])), Refused)
    assert Flag.TAMPER in shop.now(session).flags


def test_the_order_of_a_manifest_does_not_matter_and_a_double_entry_does(shop: Shop) -> None:
    session = shop.visit(shop.redeem())
    film = shop.film(session)
    shop.sessions.manifest(listed(session, film))
    assert isinstance(shop.sessions.manifest(listed(session, film[::-1])), tuple)
    assert isinstance(shop.sessions.manifest(listed(session, (film[0], film[0]))), Refused)
    assert Flag.TAMPER not in shop.now(session).flags


@pytest.mark.parametrize(("device_id", "tenant_id"), [("other", TENANT), ("device", "other")])
def test_a_foreign_session_is_missing(shop: Shop, device_id: str, tenant_id: str) -> None:
    session = shop.visit(shop.redeem())
    film = shop.film(session)
    foreign = Offered(tenant_id, device_id, session.id, film[0])
    assert isinstance(shop.sessions.offer(foreign), Missing)
    assert isinstance(shop.sessions.stored(foreign), Missing)
    assert isinstance(shop.sessions.manifest(Manifest(tenant_id, device_id, session.id, film)), Missing)
    told = Acknowledgement(tenant_id, device_id, session.id, 1, "boot", unlocked=True, at_ns=0)
    assert shop.sessions.acknowledge(told) is DeviceResult.NOTED
    assert shop.now(session) == session


def test_a_session_that_released_no_door_wants_no_video(shop: Shop) -> None:
    session = shop.redeem()
    answer = shop.sessions.offer(offered(session, shop.film(session)[0]))
    assert isinstance(answer, Offer)
    assert answer.answer == "refused"
    assert isinstance(shop.sessions.manifest(listed(session, shop.film(session))), Refused)


def test_a_segment_that_is_too_large_is_refused_before_it_is_sent(shop: Shop) -> None:
    session = shop.visit(shop.redeem())
    large = replace(shop.film(session)[0], length=(64 << 20) + 1)
    answer = shop.sessions.offer(offered(session, large))
    assert isinstance(answer, Offer)
    assert answer.answer == "refused"


def test_an_acknowledgement_counts_once_and_the_first_one_counts(shop: Shop) -> None:
    session = shop.redeem()
    assert shop.acknowledge(session) is DeviceResult.APPLIED
    assert shop.acknowledge(session, unlocked=False) is DeviceResult.REPEATED
    assert shop.now(session).state is State.OPEN


def test_a_dead_camera_without_a_session_is_the_matter_of_the_session_that_has_the_door(shop: Shop) -> None:
    assert shop.says(None, "camera_dead") is DeviceResult.NOTED
    session = shop.redeem()
    assert shop.says(None, "camera_dead") is DeviceResult.APPLIED
    assert Flag.CAMERA_DEAD in shop.now(session).flags


def test_a_door_that_opens_for_nobody_during_a_visit_is_an_incident_and_noted_there(shop: Shop) -> None:
    session = shop.redeem()
    assert shop.says(None, "forced", seq=9) is DeviceResult.INCIDENT
    assert shop.says(None, "forced", seq=9) is DeviceResult.REPEATED
    after = shop.now(session)
    assert (after.flags, after.door.opened_ns) == ((Flag.SENSORS_DISAGREE,), None)


def test_words_without_a_session_that_open_nothing_are_noted(shop: Shop) -> None:
    shop.redeem()
    for kind in ("door_closed", "locked"):
        assert shop.says(None, kind) is DeviceResult.NOTED


def test_the_same_number_of_another_boot_is_another_event(shop: Shop) -> None:
    session = shop.redeem()
    assert shop.says(session, "door_opened", seq=1, boot_id="first") is DeviceResult.APPLIED
    assert shop.says(session, "door_closed", seq=1, boot_id="second") is DeviceResult.APPLIED
    assert Flag.REBOOTED in shop.now(session).flags
