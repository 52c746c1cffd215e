"""Uploads (bad inputs 21 to 32): whole, verified and told once, or refused with the place to go on."""

import asyncio
import errno
import os
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from fleetsight.clock import SECOND_NS
from fleetsight.store import crashpoint
from fleetsight.store.blobs import Blobs, Digest, StorageFullError
from fleetsight.store.crashpoint import Crash, SimulatedCrashError
from fleetsight.web.app import tidy
from fleetsight.web.uploads import desk
from tests.fleet.machine import Machine
from tests.web.world import Company, World, sha256

UPLOADS = "/v1/device/uploads"
DATA = random.Random(1).randbytes(10_000)
BYTES = "application/octet-stream"


@pytest.fixture
def session_id(world: World, company: Company) -> str:
    return world.recording_session(company)


def said(session_id: str, data: bytes = DATA, **changed: Any) -> dict[str, Any]:
    values = {
        "session_id": session_id,
        "camera": "top",
        "index": 0,
        "sha256": sha256(data),
        "length": len(data),
    }
    return values | changed


def announce(world: World, machine: Machine, asked: dict[str, Any]) -> httpx.Response:
    return world.as_device(machine, "POST", UPLOADS, json=asked)


def patch(
    world: World, machine: Machine, upload_id: str, *, offset: int, chunk: bytes, **options: Any
) -> httpx.Response:
    headers = {"Upload-Offset": str(offset), "Content-Type": BYTES}
    path = f"{UPLOADS}/{upload_id}"
    return world.as_device(machine, "PATCH", path, content=chunk, headers=headers, **options)


def progress(world: World, machine: Machine, upload_id: str) -> httpx.Response:
    return world.as_device(machine, "GET", f"{UPLOADS}/{upload_id}")


def upload(world: World, company: Company, session_id: str, data: bytes = DATA, **changed: Any) -> httpx.Response:
    made = announce(world, company.machine, said(session_id, data, **changed))
    assert made.status_code in (200, 201), made.text
    return patch(world, company.machine, made.json()["upload_id"], offset=made.json()["offset"], chunk=data)


def stored(world: World, data: bytes = DATA) -> bool:
    return world.services.blobs.size(Digest(f"sha256:{sha256(data)}")) == len(data)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def review_reason(world: World, session_id: str) -> str:
    session = world.services.sessions.load(session_id)
    assert session is not None
    return str(session.review_reason)


def flags(world: World, session_id: str) -> set[str]:
    session = world.services.sessions.load(session_id)
    assert session is not None
    return {str(flag.value) for flag in session.flags}


def test_a_segment_comes_in_pieces_and_is_verified(world: World, company: Company, session_id: str) -> None:
    made = announce(world, company.machine, said(session_id))
    assert made.status_code == 201
    upload_id = made.json()["upload_id"]
    assert made.json() == {"upload_id": upload_id, "offset": 0, "complete": False}
    for offset in range(0, len(DATA), 3000):
        assert not stored(world)
        answer = patch(world, company.machine, upload_id, offset=offset, chunk=DATA[offset : offset + 3000])
        assert answer.json()["offset"] == min(offset + 3000, len(DATA))
    assert answer.json() == {"offset": len(DATA), "complete": True, "verified": True}
    assert progress(world, company.machine, upload_id).json() == answer.json()
    assert stored(world)
    assert list(world.services.parts_dir.iterdir()) == []


@pytest.mark.bad_input(21)
def test_the_same_segment_twice_is_one(world: World, company: Company, session_id: str) -> None:
    first = announce(world, company.machine, said(session_id)).json()
    again = announce(world, company.machine, said(session_id))
    assert (again.status_code, again.json()) == (200, first)
    upload(world, company, session_id)
    after = announce(world, company.machine, said(session_id))
    assert after.status_code == 200
    assert after.json() == {"upload_id": first["upload_id"], "offset": len(DATA), "complete": True}
    repeated = patch(world, company.machine, first["upload_id"], offset=0, chunk=DATA)
    assert refusal(repeated) == (409, "offset_differs")
    assert repeated.json()["offset"] == len(DATA)


@pytest.mark.bad_input(22)
def test_other_bytes_for_a_known_segment_are_refused_and_a_person_looks(
    world: World, company: Company, session_id: str
) -> None:
    assert upload(world, company, session_id).status_code == 200
    other = announce(world, company.machine, said(session_id, b"other bytes"))
    assert refusal(other) == (409, "segment_conflict")
    assert "tamper" in flags(world, session_id)
    assert stored(world)


@pytest.mark.parametrize("announced", [2 * len(DATA), len(DATA) // 2])
@pytest.mark.bad_input(23)
def test_more_or_fewer_bytes_than_announced_are_no_segment(
    world: World, company: Company, session_id: str, announced: int
) -> None:
    made = announce(world, company.machine, said(session_id, length=announced)).json()
    answer = patch(world, company.machine, made["upload_id"], offset=0, chunk=DATA)
    if announced < len(DATA):
        assert refusal(answer) == (413, "too_large")
        assert progress(world, company.machine, made["upload_id"]).json()["offset"] == 0
    else:
        assert answer.json() == {"offset": len(DATA), "complete": False, "verified": False}
    assert not stored(world)


@pytest.mark.bad_input(24)
def test_wrong_bytes_may_be_sent_again_once_and_are_then_put_aside(
    world: World, company: Company, session_id: str
) -> None:
    made = announce(world, company.machine, said(session_id)).json()
    wrong = DATA[:-1] + b"!"
    first = patch(world, company.machine, made["upload_id"], offset=0, chunk=wrong)
    assert refusal(first) == (409, "wrong_sha256")
    assert first.json()["offset"] == 0
    assert not stored(world, wrong)
    second = patch(world, company.machine, made["upload_id"], offset=0, chunk=wrong)
    assert refusal(second) == (409, "segment_conflict")
    assert stored(world, wrong)
    assert not stored(world)
    assert "tamper" in flags(world, session_id)
    assert refusal(patch(world, company.machine, made["upload_id"], offset=0, chunk=DATA)) == (409, "segment_conflict")


def test_right_bytes_after_wrong_ones_are_verified(world: World, company: Company, session_id: str) -> None:
    made = announce(world, company.machine, said(session_id)).json()
    patch(world, company.machine, made["upload_id"], offset=0, chunk=bytes(len(DATA)))
    answer = patch(world, company.machine, made["upload_id"], offset=0, chunk=DATA)
    assert answer.json()["verified"] is True
    assert "tamper" not in flags(world, session_id)


@pytest.mark.bad_input(25)
def test_an_upload_goes_on_where_it_was_cut(world: World, company: Company, session_id: str) -> None:
    made = announce(world, company.machine, said(session_id)).json()
    chance, offset = random.Random(3), 0
    while offset < len(DATA):
        chunk = DATA[offset : offset + chance.randint(1, 2500)]
        patch(world, company.machine, made["upload_id"], offset=offset, chunk=chunk)  # the answer is lost
        again = patch(world, company.machine, made["upload_id"], offset=offset, chunk=chunk)
        assert refusal(again) == (409, "offset_differs")
        assert again.headers["upload-offset"] == str(again.json()["offset"])
        offset = again.json()["offset"]
    assert progress(world, company.machine, made["upload_id"]).json()["verified"] is True


@pytest.mark.parametrize("camera", ["../../etc/x", "a\0b", "x" * 4096, "kämera", "a/b", "", ".", "a b", "a\u202eb"])
@pytest.mark.bad_input(27)
def test_names_that_could_lead_elsewhere_are_refused(
    world: World, company: Company, session_id: str, camera: str
) -> None:
    answer = announce(world, company.machine, said(session_id, camera=camera))
    assert answer.status_code == 422
    assert list(world.services.parts_dir.glob("*")) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"index": -1},
        {"index": 2700},
        {"index": True},
        {"length": 0},
        {"length": -5},
        {"length": "10"},
        {"length": 1.5},
        {"sha256": "A" * 64},
        {"sha256": "a" * 63},
        {"path": "/tmp/x"},
    ],
)
def test_announcements_have_their_form_or_are_refused(
    world: World, company: Company, session_id: str, changed: dict[str, Any]
) -> None:
    assert announce(world, company.machine, said(session_id, **changed)).status_code == 422


def test_a_segment_that_is_too_large_is_refused_before_it_is_sent(
    world: World, company: Company, session_id: str
) -> None:
    answer = announce(world, company.machine, said(session_id, length=desk.SEGMENT_BYTES_MAX + 1))
    assert refusal(answer) == (413, "too_large")
    made = announce(world, company.machine, said(session_id)).json()
    headers = {"Content-Length": str(desk.PIECE_BYTES_MAX + 1)}
    early = world.as_device(
        company.machine,
        "PATCH",
        f"{UPLOADS}/{made['upload_id']}",
        content=b"",
        headers=headers | {"Upload-Offset": "0"},
    )
    assert refusal(early) == (413, "too_large")


@pytest.mark.bad_input(28)
def test_sessions_of_other_devices_and_tenants_are_not_found(world: World, company: Company, session_id: str) -> None:
    other = world.company()
    foreign = announce(world, other.machine, said(session_id))
    absent = announce(world, other.machine, said("no-such-session"))
    assert refusal(foreign) == (404, "not_found")
    assert foreign.text == absent.text
    made = announce(world, company.machine, said(session_id)).json()
    for answer in (
        patch(world, other.machine, made["upload_id"], offset=0, chunk=DATA),
        patch(world, other.machine, "no-such-upload", offset=0, chunk=DATA),
        patch(world, other.machine, "..%2f..%2fx", offset=0, chunk=DATA),
        progress(world, other.machine, made["upload_id"]),
    ):
        assert refusal(answer) == (404, "not_found")
    assert list(world.services.parts_dir.iterdir()) == []


@pytest.mark.bad_input(29)
def test_video_of_a_session_that_was_aborted_sends_it_to_a_person_and_charges_nothing(
    world: World, company: Company
) -> None:
    session_id = world.open_session(company)
    refused = {"boot_id": "b", "at_ns": 1, "result": "refused"}
    world.as_device(company.machine, "POST", "/v1/device/commands/1/ack", json=refused)
    assert world.session(session_id).state.value == "aborted"
    assert upload(world, company, session_id).json()["verified"]
    after = world.session(session_id)
    assert (after.state.value, after.payment.charged_minor) == ("review", 0)


@pytest.mark.bad_input(30)
def test_a_manifest_tells_which_segments_are_missing(world: World, company: Company, session_id: str) -> None:
    upload(world, company, session_id)

    def listed(camera: str, *parts: bytes) -> dict[str, Any]:
        segments = [
            {
                "index": n,
                "sha256": sha256(p),
                "length": len(p),
                "pts_start_ns": n * 10**9,
                "pts_end_ns": (n + 1) * 10**9,
            }
            for n, p in enumerate(parts)
        ]
        return {"camera": camera, "segments": segments}

    boot_id = f"boot-{session_id}"
    ends = [
        {"seq": n, "kind": kind, "at_ns": n, "session_id": session_id}
        for n, kind in ((2, "door_closed"), (3, "locked"))
    ]
    world.as_device(company.machine, "POST", "/v1/device/events", json={"boot_id": boot_id, "events": ends})
    body = {
        "boot_id": boot_id,
        "opened_ns": 1,
        "closed_ns": 2,
        "cameras": [listed("top", DATA, b"2"), listed("side", b"3")],
    }
    path = f"/v1/device/sessions/{session_id}/manifest"
    answer = world.as_device(company.machine, "PUT", path, json=body)
    missing = [{"camera": "side", "index": 0}, {"camera": "top", "index": 1}]
    assert sorted(answer.json()["missing"], key=str) == missing
    upload(world, company, session_id, b"2", index=1)
    again = world.as_device(company.machine, "PUT", path, json=body)
    assert again.json() == {"missing": [{"camera": "side", "index": 0}]}
    upload(world, company, session_id, b"3", camera="side")
    assert world.as_device(company.machine, "PUT", path, json=body).json() == {"missing": []}
    twice = body | {"cameras": [listed("top", DATA), listed("top", DATA)]}
    assert refusal(world.as_device(company.machine, "PUT", path, json=twice)) == (409, "segment_twice")
    other = world.company()
    assert refusal(world.as_device(other.machine, "PUT", path, json=body)) == (404, "not_found")


@pytest.mark.bad_input(31)
def test_a_full_disk_keeps_what_it_had_and_says_when_to_come_back(
    world: World, company: Company, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = announce(world, company.machine, said(session_id)).json()
    patch(world, company.machine, made["upload_id"], offset=0, chunk=DATA[:4000])

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(os, "fsync", full)
        answer = patch(world, company.machine, made["upload_id"], offset=4000, chunk=DATA[4000:])
    assert refusal(answer) == (507, "storage_full")
    assert int(answer.headers["retry-after"]) >= 1
    assert progress(world, company.machine, made["upload_id"]).json()["offset"] == 4000

    def no_room(_blobs: Blobs, _path: Path) -> Digest:
        raise StorageFullError("no room")

    with monkeypatch.context() as full_disk:
        full_disk.setattr(Blobs, "put_file", no_room)
        answer = patch(world, company.machine, made["upload_id"], offset=4000, chunk=DATA[4000:])
        assert refusal(answer) == (507, "storage_full")
        assert refusal(progress(world, company.machine, made["upload_id"])) == (507, "storage_full")
    assert progress(world, company.machine, made["upload_id"]).json()["verified"] is True
    assert stored(world)


@pytest.mark.bad_input(32)
def test_single_bytes_are_stopped_at_a_number_of_pieces(
    world: World, company: Company, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "PIECES_MAX", 20)
    made = announce(world, company.machine, said(session_id)).json()
    for offset in range(20):
        assert patch(
            world, company.machine, made["upload_id"], offset=offset, chunk=DATA[offset : offset + 1]
        ).is_success
    answer = patch(world, company.machine, made["upload_id"], offset=20, chunk=DATA[20:21])
    assert refusal(answer) == (409, "too_many_chunks")
    assert answer.json()["offset"] == 0
    assert patch(world, company.machine, made["upload_id"], offset=0, chunk=DATA).json()["verified"] is True


def test_an_empty_piece_and_a_piece_of_another_kind_are_refused(
    world: World, company: Company, session_id: str
) -> None:
    made = announce(world, company.machine, said(session_id)).json()
    assert refusal(patch(world, company.machine, made["upload_id"], offset=0, chunk=b"")) == (422, "invalid")
    path, headers = f"{UPLOADS}/{made['upload_id']}", {"Upload-Offset": "0", "Content-Type": "application/json"}
    answer = world.as_device(company.machine, "PATCH", path, content=DATA, headers=headers)
    assert refusal(answer) == (415, "wrong_media_type")
    for offset in ("-1", "x", "1.5", str(2**63)):
        headers = {"Upload-Offset": offset, "Content-Type": BYTES}
        answer = world.as_device(company.machine, "PATCH", path, content=DATA, headers=headers)
        assert refusal(answer) == (422, "invalid")


def test_two_hands_on_one_upload_write_it_once(world: World, company: Company, session_id: str) -> None:
    made = announce(world, company.machine, said(session_id)).json()

    async def race() -> list[httpx.Response]:
        path, headers = f"{UPLOADS}/{made['upload_id']}", {"Upload-Offset": "0", "Content-Type": BYTES}
        asked = [world.as_device_soon(company.machine, "PATCH", path, content=DATA, headers=headers) for _ in range(10)]
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(race())
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 9
    assert progress(world, company.machine, made["upload_id"]).json()["verified"] is True


def test_a_device_opens_a_bounded_number_of_uploads(
    world: World, company: Company, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "OPEN_MAX", 3)
    for index in range(3):
        assert announce(world, company.machine, said(session_id, index=index)).status_code == 201
    refused = announce(world, company.machine, said(session_id, index=3))
    assert refusal(refused) == (429, "too_many_requests")
    assert refused.json()["limit"] == "open_uploads"
    assert announce(world, company.machine, said(session_id, index=0)).status_code == 200
    upload(world, company, session_id)
    assert announce(world, company.machine, said(session_id, index=3)).status_code == 201


@pytest.mark.parametrize(
    "point", ["upload.before-fsync", "upload.appended", "upload.counted", "upload.stored", "upload.told"]
)
@pytest.mark.bad_input(25)
def test_dying_anywhere_loses_no_acknowledged_byte(world: World, company: Company, session_id: str, point: str) -> None:
    made = announce(world, company.machine, said(session_id)).json()
    upload_id, machine = made["upload_id"], company.machine
    assert patch(world, machine, upload_id, offset=0, chunk=DATA[:5000]).json()["offset"] == 5000
    crashpoint.arm(point, how=Crash.RAISE)
    with pytest.raises(SimulatedCrashError):
        patch(world, machine, upload_id, offset=5000, chunk=DATA[5000:])
    fresh = type(world.services)(
        **{name: value for name, value in vars(world.services).items() if name in world.services.__dataclass_fields__}
    )
    world.app.state.services = fresh  # nothing in memory survives
    state = progress(world, machine, upload_id)
    assert state.status_code == 200
    assert state.json()["offset"] >= 5000
    if not state.json()["verified"]:
        offset = state.json()["offset"]
        assert patch(world, machine, upload_id, offset=offset, chunk=DATA[offset:]).json()["verified"] is True
    assert stored(world)
    session = world.services.sessions.load(session_id)
    assert session is not None
    assert [segment.stored for segment in session.evidence.segments] == [True]


def test_a_part_that_is_gone_begins_again(world: World, company: Company, session_id: str) -> None:
    made = announce(world, company.machine, said(session_id)).json()
    patch(world, company.machine, made["upload_id"], offset=0, chunk=DATA[:5000])
    for file in world.services.parts_dir.iterdir():
        file.unlink()
    lost = patch(world, company.machine, made["upload_id"], offset=5000, chunk=DATA[5000:])
    assert refusal(lost) == (409, "lost")
    assert lost.json()["offset"] == 0
    assert patch(world, company.machine, made["upload_id"], offset=0, chunk=DATA).json()["verified"] is True


def test_uploads_that_nobody_goes_on_with_are_forgotten(world: World, company: Company, session_id: str) -> None:
    made = announce(world, company.machine, said(session_id)).json()
    patch(world, company.machine, made["upload_id"], offset=0, chunk=DATA[:10])
    tidy(world.services)
    assert progress(world, company.machine, made["upload_id"]).json()["offset"] == 10
    world.clock.advance((desk.STALE_S + 1) * SECOND_NS)
    tidy(world.services)
    assert refusal(progress(world, company.machine, made["upload_id"])) == (404, "not_found")
    assert list(world.services.parts_dir.iterdir()) == []
