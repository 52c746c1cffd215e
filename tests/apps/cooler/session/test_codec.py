"""Sessions survive being written down, also by another version of the program."""

import json

import pytest

from fleetsight.apps.cooler.session.codec import CodecError, from_json, to_json
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.store.canonical import canonical
from tests.apps.cooler.session.machine import steps
from tests.apps.cooler.session.machine.device import Device
from tests.apps.cooler.session.machine.world import World


def test_every_session_of_a_rough_world_comes_back_equal() -> None:
    for seed in range(60):
        world = World(seed, Device)
        world.run()
        text = canonical(to_json(world.session))
        assert from_json(Session, json.loads(text)) == world.session


def test_a_field_that_an_older_version_did_not_know_takes_its_default() -> None:
    body = written()
    del body["contest"]
    payment = body["payment"]
    assert isinstance(payment, dict)
    del payment["frozen"]
    assert from_json(Session, body) == steps.settled().session


def test_a_field_that_a_newer_version_added_is_left_out() -> None:
    assert from_json(Session, written() | {"mood": "good"}) == steps.settled().session


@pytest.mark.parametrize(
    "change",
    [
        {"state": "elsewhere"},
        {"version": "7"},
        {"version": True},
        {"flags": "none"},
        {"stocked": [["cola"]]},
        {"payment": []},
        {"hold_minor": 1.5},
        {"created_ns": None},
    ],
    ids=str,
)
def test_what_is_no_session_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(CodecError):
        from_json(Session, written() | change)


def test_a_session_without_a_name_is_refused() -> None:
    body = written()
    del body["id"]
    with pytest.raises(CodecError, match="without id"):
        from_json(Session, body)


def test_what_has_no_place_in_json_is_refused() -> None:
    with pytest.raises(CodecError, match="bytes"):
        to_json(b"bytes")


def written() -> dict[str, object]:
    body = to_json(steps.settled().session)
    assert isinstance(body, dict)
    return body
