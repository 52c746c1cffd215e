"""Each call says what the table of the API says, and failures are of two kinds."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.apps.cooler.device.identity import Identity
from fleetsight.apps.cooler.device.journal import Batch, Event, EventKind
from fleetsight.apps.cooler.device.link.tokens import Signer
from fleetsight.apps.cooler.device.link.uplink import LinkDownError, Pulse, RefusedError, Uplink, Upload
from fleetsight.apps.cooler.device.recording.preprocess import RecordingConfig
from fleetsight.apps.cooler.device.recording.segments import Segment
from fleetsight.clock import SECOND_NS, VirtualClock

NOW_NS = 1_800_000_000 * SECOND_NS
KEY = Ed25519PrivateKey.generate()
SIGNER = Signer(Identity("http://server", "device-1", "kid1", "t", "s", "key"), KEY)
SEGMENT = Segment(3, "ab" * 32, 1000, 0, 1, 10)
CONFIG = {"blur_faces": True, "clip_height_px": 240, "segment_s": 1.5}
PULSE = Pulse("boot", 1, NOW_NS, "locked", True, None, 2, 300)


class Line(httpx.BaseTransport):
    """Answers as told and keeps what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers)


def uplink(line: Line, clock: VirtualClock | None = None) -> Uplink:
    return Uplink("http://server", clock or VirtualClock(NOW_NS), signer=SIGNER, transport=line)


def ask(call: Callable[[Uplink], Any], *answers: httpx.Response | Exception) -> tuple[Any, httpx.Request]:
    line = Line(*answers)
    said = call(uplink(line))
    return said, line.asked[0]


def test_every_request_is_signed_for_its_own_body() -> None:
    _, asked = ask(lambda up: up.heartbeat(PULSE), ok({"server_ns": NOW_NS, "config": CONFIG}))
    token = asked.headers["authorization"].removeprefix("Bearer ")
    options: Any = {"verify_exp": False, "verify_iat": False}
    said = jwt.decode(token, KEY.public_key(), ["EdDSA"], audience="fleetsight", options=options)
    assert said["body_sha256"] == hashlib.sha256(asked.content).hexdigest()


def test_a_heartbeat_brings_time_and_config() -> None:
    clock = VirtualClock(NOW_NS)
    line = Line(ok({"server_ns": NOW_NS + 90 * SECOND_NS, "config": CONFIG}))
    up = uplink(line, clock)
    assert up.heartbeat(PULSE) == RecordingConfig(True, 240, 1.5)
    assert up.server_time.now_ns() == NOW_NS + 90 * SECOND_NS
    assert json.loads(line.asked[0].content) == {
        "boot_id": "boot",
        "seq": 1,
        "at_ns": NOW_NS,
        "door": "locked",
        "camera_ok": True,
        "temperature_c": None,
        "spool_sessions": 2,
        "spool_bytes": 300,
    }


def test_commands_are_waited_for() -> None:
    said, asked = ask(lambda up: up.commands(4, wait_s=20), ok({"commands": [{"seq": 5, "token": "x.y.z"}]}))
    assert [(command.seq, command.token) for command in said] == [(5, "x.y.z")]
    assert str(asked.url) == "http://server/v1/device/commands?after=4&wait_s=20"
    assert asked.extensions["timeout"]["read"] > 20


def test_acknowledgements_and_events_are_as_the_table_says() -> None:
    _, asked = ask(lambda up: up.acknowledge(5, "boot", at_ns=7, refused="busy"), ok({"seq": 5, "result": "refused"}))
    assert asked.url.path == "/v1/device/commands/5/ack"
    assert json.loads(asked.content) == {"boot_id": "boot", "at_ns": 7, "result": "refused", "reason": "busy"}
    batch = Batch("boot", (Event(1, EventKind.DOOR_OPENED, 7, "s"), Event(2, EventKind.LOCKED, 8, None)))
    said, asked = ask(lambda up: up.events(batch), ok({"accepted_to": 1, "missing": [2]}))
    assert said == (1, [2])
    assert json.loads(asked.content)["events"][0] == {"seq": 1, "kind": "door_opened", "at_ns": 7, "session_id": "s"}


def test_uploads_are_announced_sent_and_looked_up() -> None:
    said, asked = ask(
        lambda up: up.begin_upload("s", "front", segment=SEGMENT),
        ok({"upload_id": "u", "offset": 4, "complete": False}),
    )
    assert said == Upload("u", 4, complete=False, verified=False)
    body = json.loads(asked.content)
    assert body == {"session_id": "s", "camera": "front", "index": 3, "sha256": "ab" * 32, "length": 1000}
    said, asked = ask(lambda up: up.send_chunk("u", 4, chunk=b"data"), ok({"offset": 8, "complete": True}))
    assert said == Upload("u", 8, complete=True, verified=False)
    assert (asked.method, asked.headers["upload-offset"], asked.content) == ("PATCH", "4", b"data")
    said, _ = ask(lambda up: up.upload("u"), ok({"offset": 8, "complete": True, "verified": True}))
    assert said.verified


def test_another_offset_is_an_answer_and_no_refusal() -> None:
    problem = ok({"status": 409, "code": "offset", "offset": 12}, 409)
    said, _ = ask(lambda up: up.send_chunk("u", 4, chunk=b"data"), problem)
    assert said == Upload("u", 12, complete=False, verified=False)
    with pytest.raises(RefusedError):
        ask(lambda up: up.send_chunk("u", 4, chunk=b"data"), ok({"code": "segment_conflict"}, 409))


def test_a_manifest_brings_what_is_missing() -> None:
    said, asked = ask(
        lambda up: up.manifest("a/../b", {"cameras": []}), ok({"missing": [{"camera": "front", "index": 2}]})
    )
    assert said == [("front", 2)]
    assert asked.url.raw_path == b"/v1/device/sessions/a/../b/manifest".replace(b"a/../b", b"a%2F..%2Fb")


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("no"),
        httpx.ReadTimeout("no"),
        httpx.RemoteProtocolError("no"),
        ok({}, 500),
        ok({}, 503),
        ok({}, 429),
        ok({}, 507),
        ok({}, 302),
        httpx.Response(200, content=b"<html>a hotel's landing page"),
        ok(["no", "object"]),
        ok({"server_ns": "soon", "config": CONFIG}),
        ok({"server_ns": True, "config": CONFIG}),
        ok({"server_ns": NOW_NS}),
        httpx.Response(200, content=b"{" + b" " * (2 << 20)),
    ],
)
def test_what_says_nothing_about_the_request_is_a_line_that_is_down(failure: httpx.Response | Exception) -> None:
    with pytest.raises(LinkDownError):
        ask(lambda up: up.heartbeat(PULSE), failure)


def test_the_server_may_ask_for_a_pause() -> None:
    with pytest.raises(LinkDownError) as caught:
        ask(lambda up: up.heartbeat(PULSE), ok({}, 503, **{"Retry-After": "7"}))
    assert caught.value.wait_s == 7


def test_a_refusal_carries_the_servers_words() -> None:
    problem = ok({"status": 404, "code": "not_found", "detail": "no such thing", "hint": "look elsewhere"}, 404)
    with pytest.raises(RefusedError, match="no such thing") as caught:
        ask(lambda up: up.upload("u"), problem)
    assert (caught.value.status, caught.value.body["code"], caught.value.hint) == (404, "not_found", "look elsewhere")


def test_an_identity_refused_because_of_the_clock_corrects_the_clock() -> None:
    clock = VirtualClock(0)  # 1970
    date = "Fri, 15 Jan 2027 08:00:00 GMT"
    line = Line(ok({}, 401, Date=date), ok({}, 401, Date=date))
    up = uplink(line, clock)
    with pytest.raises(LinkDownError, match="clock"):
        up.heartbeat(PULSE)
    assert abs(up.server_time.now_ns() - NOW_NS) <= SECOND_NS
    with pytest.raises(RefusedError):  # the clock is right now: it was not that
        up.heartbeat(PULSE)


def test_time_can_be_asked_for_without_a_name() -> None:
    line = Line(httpx.Response(200, headers={"Date": "Fri, 15 Jan 2027 08:00:00 GMT"}), httpx.ConnectError("no"))
    up = uplink(line, VirtualClock(0))
    up.ask_time()
    assert "authorization" not in line.asked[0].headers
    assert abs(up.server_time.now_ns() - NOW_NS) <= SECOND_NS
    with pytest.raises(LinkDownError):
        up.ask_time()


def test_enrolment_brings_an_identity(tmp_path: Path) -> None:
    said = {
        "device_id": "d",
        "kid": "k",
        "tenant_id": "t",
        "site_id": "s",
        "server_public_key_b64": "p",
        "server_ns": 1,
    }
    line = Line(ok(said, 201))
    up = Uplink("http://server/", VirtualClock(NOW_NS), transport=line)
    assert up.enrol("CODE", "public", name=None) == Identity("http://server", "d", "k", "t", "s", "p")
    assert json.loads(line.asked[0].content) == {"claim_code": "CODE", "public_key_b64": "public"}
    assert "authorization" not in line.asked[0].headers
