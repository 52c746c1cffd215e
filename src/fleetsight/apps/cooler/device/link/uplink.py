"""The calls that a device makes, each as one method: signed, checked, and with two kinds of failure.

`LinkDownError`: nobody knows whether the call took effect; make it again later, all of them may be repeated. `RefusedError`: the server understood
and said no. A request is signed at the moment it is sent, so each repetition has a token of its own.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

import httpx

from fleetsight.apps.cooler.device.identity import Identity
from fleetsight.apps.cooler.device.journal import Batch
from fleetsight.apps.cooler.device.link.server_time import ServerTime
from fleetsight.apps.cooler.device.link.tokens import Signer
from fleetsight.apps.cooler.device.recording.preprocess import RecordingConfig
from fleetsight.apps.cooler.device.recording.segments import Segment
from fleetsight.clock import Clock
from fleetsight.errors import Error

CONNECT_S = 5.0
ANSWER_S = 15.0
POLL_SLACK_S = 10.0  # the server may take this much longer than the wait it was asked for
ANSWER_BYTES_MAX = 1 << 20
BUSY = frozenset({408, 425, 429})  # with every 5xx: the server could not look at the request; it says nothing about it


class LinkDownError(Error):
    """No answer, or none that says what became of the request.

    Args:
        message: what happened.
        wait_s: the server asks not to come back earlier; 0 when it said nothing.
    """

    code = "device_link_down"

    def __init__(self, message: str, *, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class RefusedError(Error):
    """The server refused a request.

    Args:
        message: what it said.
        status: of the answer.
        body: of the answer.
        hint: what the server advises.
    """

    code = "device_refused"

    def __init__(self, message: str, *, status: int, body: dict[str, Any], hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a heartbeat says.

    Attributes:
        boot_id: the start of the device.
        seq: number of the heartbeat within it.
        at_ns: device time.
        door: locked, unlocked, open or closed.
        camera_ok: every camera answers.
        temperature_c: inside; None without a thermometer.
        spool_sessions: sessions that wait.
        spool_bytes: bytes that wait.
    """

    boot_id: str
    seq: int
    at_ns: int
    door: str
    camera_ok: bool
    temperature_c: float | None
    spool_sessions: int
    spool_bytes: int


@dataclass(frozen=True, slots=True)
class Offered:
    """A command as it came.

    Attributes:
        seq: as the server lists it; what counts is the number inside the token.
        token: signed.
    """

    seq: int
    token: str


@dataclass(frozen=True, slots=True)
class Upload:
    """How far an upload has come.

    Attributes:
        upload_id: its name.
        offset: bytes that the server has.
        complete: it has all of them.
        verified: it has compared the digest and keeps the segment; only this allows the device to forget it.
    """

    upload_id: str
    offset: int
    complete: bool
    verified: bool


class Uplink:
    """A connection to the server; safe to use from several threads.

    Args:
        server_url: where it is.
        clock: the device's clock.
        signer: None before enrolment.
        transport: how requests travel; None takes the network as it is.
    """

    def __init__(
        self,
        server_url: str,
        clock: Clock,
        *,
        signer: Signer | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.server_time = ServerTime(clock)
        self._clock = clock
        self._signer = signer
        self._http = httpx.Client(base_url=server_url, transport=transport, trust_env=False)

    def close(self) -> None:
        """End all connections."""
        self._http.close()

    def enrol(self, claim_code: str, public_key_b64: str, *, name: str | None = None) -> Identity:
        """Become a device of the server's.

        Args:
            claim_code: as an operator got it; good once, for ten minutes. A repetition with the same key gets the same answer.
            public_key_b64: the public half of the device's key.
            name: what the machine calls itself.
        Returns:
            what the server said.
        """
        body = {"claim_code": claim_code, "public_key_b64": public_key_b64} | ({"name": name} if name else {})
        said = self._call("POST", "/v1/enrolments", _json(body))
        names = ("device_id", "kid", "tenant_id", "site_id", "server_public_key_b64")
        return Identity(str(self._http.base_url).rstrip("/"), *(_field(said, field, str) for field in names))

    def ask_time(self) -> None:
        """Learn the server's time to the second without saying who asks.

        Raises:
            LinkDownError: no answer.
        """
        try:
            answer = self._http.get("/healthz", timeout=ANSWER_S)
        except httpx.TransportError as error:
            raise LinkDownError(f"GET /healthz: {type(error).__name__} {error}") from error
        self.server_time.learn_date(answer.headers.get("Date"))

    def heartbeat(self, pulse: Pulse) -> RecordingConfig:
        """Say how the device is, and learn the time.

        Args:
            pulse: how it is.
        Returns:
            how to record from now on.
        """
        sent_ns = self._clock.now_ns()
        said = self._call("POST", "/v1/device/heartbeat", _json(asdict(pulse)))
        server_ns = _field(said, "server_ns", int)
        self.server_time.learn(server_ns, sent_ns=sent_ns, received_ns=self._clock.now_ns())
        config = _field(said, "config", dict)
        return RecordingConfig(
            blur_faces=_field(config, "blur_faces", bool),
            clip_height_px=_field(config, "clip_height_px", int),
            segment_s=float(_field(config, "segment_s", (int, float))),
        )

    def commands(self, after: int, *, wait_s: float) -> list[Offered]:
        """Wait for commands.

        Args:
            after: only later ones.
            wait_s: how long the server may wait for one, at most 25.
        Returns:
            the commands, none when there was none in time.
        """
        path = f"/v1/device/commands?after={after}&wait_s={wait_s:g}"
        said = self._call("GET", path, b"", read_s=wait_s + POLL_SLACK_S)
        return [Offered(_field(row, "seq", int), _field(row, "token", str)) for row in _field(said, "commands", list)]

    def acknowledge(self, seq: int, boot_id: str, *, at_ns: int, refused: str | None = None) -> None:
        """Say what became of a command.

        Args:
            seq: its number.
            boot_id: the start of the device.
            at_ns: when, device time.
            refused: why the door was not unlocked; None when it was.
        """
        result = "unlocked" if refused is None else "refused"
        body = {"boot_id": boot_id, "at_ns": at_ns, "result": result, "reason": refused}
        self._call("POST", f"/v1/device/commands/{seq}/ack", _json(body))

    def events(self, batch: Batch) -> tuple[int, list[int]]:
        """Send events.

        Args:
            batch: of one start.
        Returns:
            the server has every event up to the first number, without those of the second.
        """
        body = {"boot_id": batch.boot_id, "events": [asdict(event) for event in batch.events]}
        said = self._call("POST", "/v1/device/events", _json(body))
        return _field(said, "accepted_to", int), _field(said, "missing", list)

    def manifest(self, session_id: str, manifest: dict[str, Any]) -> list[tuple[str, int]]:
        """Say which segments a session has.

        Args:
            session_id: the session.
            manifest: see `courier.manifest_of`.
        Returns:
            camera and number of those that the server does not have.
        """
        said = self._call("PUT", f"/v1/device/sessions/{_part(session_id)}/manifest", _json(manifest))
        missing = _field(said, "missing", list)
        return [(_field(row, "camera", str), _field(row, "index", int)) for row in missing]

    def begin_upload(self, session_id: str, camera: str, *, segment: Segment) -> Upload:
        """Announce a segment, or find out how far it has come.

        Args:
            session_id: the session.
            camera: the camera.
            segment: the segment.
        Returns:
            where to go on.
        """
        body = {"session_id": session_id, "camera": camera, "index": segment.index}
        body |= {"sha256": segment.sha256, "length": segment.length}
        said = self._call("POST", "/v1/device/uploads", _json(body))
        return _upload(_field(said, "upload_id", str), said)

    def send_chunk(self, upload_id: str, offset: int, *, chunk: bytes) -> Upload:
        """Send the next bytes of a segment.

        Args:
            upload_id: see `begin_upload`.
            offset: where they belong.
            chunk: the bytes.
        Returns:
            how far it has come; when the server stands at another offset, that one.
        """
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/octet-stream"}
        try:
            said = self._call("PATCH", f"/v1/device/uploads/{_part(upload_id)}", chunk, headers=headers)
        except RefusedError as error:
            if error.status == httpx.codes.CONFLICT and type(error.body.get("offset")) is int:
                return _upload(upload_id, error.body)
            raise
        return _upload(upload_id, said)

    def upload(self, upload_id: str) -> Upload:
        """Find out how far an upload has come.

        Args:
            upload_id: see `begin_upload`.
        Returns:
            how far.
        """
        return _upload(upload_id, self._call("GET", f"/v1/device/uploads/{_part(upload_id)}", b""))

    def _call(
        self, method: str, path: str, body: bytes, *, headers: dict[str, str] | None = None, read_s: float = ANSWER_S
    ) -> dict[str, Any]:
        sent = {"Content-Type": "application/json"} if body else {}
        sent |= headers or {}
        if self._signer is not None:
            sent["Authorization"] = f"Bearer {self._signer.request_token(body, self.server_time.now_ns())}"
        timeout = httpx.Timeout(connect=CONNECT_S, read=read_s, write=ANSWER_S, pool=CONNECT_S)
        try:
            answer = self._http.request(method, path, content=body, headers=sent, timeout=timeout)
        except httpx.TransportError as error:
            raise LinkDownError(f"{method} {path}: {type(error).__name__} {error}") from error
        return self._checked(answer, f"{method} {path}")

    def _checked(self, answer: httpx.Response, what: str) -> dict[str, Any]:
        said = _object(answer)
        if answer.is_success:
            if said is None:
                raise LinkDownError(f"{what}: the answer {answer.status_code} is no JSON object")
            return said
        words = f"{what}: {answer.status_code} {(said or {}).get('detail') or (said or {}).get('title') or ''}".strip()
        if answer.is_server_error or answer.status_code in BUSY or answer.is_redirect:
            raise LinkDownError(words, wait_s=_seconds(answer.headers.get("Retry-After")))
        if answer.status_code == httpx.codes.UNAUTHORIZED and self.server_time.learn_date(answer.headers.get("Date")):
            raise LinkDownError(f"{words}; the device's clock was wrong and is corrected")
        raise RefusedError(words, status=answer.status_code, body=said or {}, hint=str((said or {}).get("hint") or ""))


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _part(name: str) -> str:
    """A name as one part of a path, whatever is in it."""
    return quote(name, safe="")


def _object(answer: httpx.Response) -> dict[str, Any] | None:
    if len(answer.content) > ANSWER_BYTES_MAX:
        return None
    try:
        said = json.loads(answer.content)
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _field(said: Any, name: str, kind: type | tuple[type, ...]) -> Any:
    """A field of an answer; an answer without it says nothing that can be relied on."""
    value = said.get(name) if isinstance(said, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise LinkDownError(f"the answer has no {name} of the right kind: {str(said)[:200]}")
    return value


def _upload(upload_id: str, said: dict[str, Any]) -> Upload:
    offset = _field(said, "offset", int)
    return Upload(upload_id, offset, said.get("complete") is True, said.get("verified") is True)


def _seconds(header: str | None) -> float:
    return float(header) if header is not None and header.isascii() and header.isdigit() else 0.0
