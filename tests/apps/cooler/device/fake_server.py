"""A service of one process and no disk that a device can talk to: it checks what the real one checks and remembers everything.

Not simulated: payments, review, settlement. A session is settled at once with the basket that `FakeService.baskets` gives.
"""

import asyncio
import base64
import hashlib
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fleetsight.clock import SECOND_NS, Clock, SystemClock
from fleetsight.store.ids import new_id

CLAIM = "ABCD-EFGH-JKLM"
OPERATOR = "operator-token"
HOLD_MINOR = 2500
EVENT_KINDS = {"door_opened", "door_closed", "locked", "forced", "camera_dead", "camera_back"}


class Problem(Exception):  # noqa: N818 - an answer, not a failure
    def __init__(self, status: int, code: str, **more: Any) -> None:
        super().__init__(code)
        self.answer = JSONResponse({"status": status, "code": code, "title": code, **more}, status)


@dataclass
class Session:
    """One visit as the fake knows it."""

    session_id: str
    device_id: str
    shopper: str
    seq: int
    state: str = "unlocking"
    manifest: dict[str, Any] | None = None
    segments: dict[tuple[str, int], bytes] = field(default_factory=dict)
    receipt: dict[str, Any] | None = None

    @property
    def stage(self) -> str:
        return {"settled": "receipt", "aborted": "ended", "open": "open", "unlocking": "unlocking"}.get(
            self.state, "working"
        )


@dataclass
class Incoming:
    """One upload."""

    session_id: str
    camera: str
    index: int
    sha256: str
    length: int
    data: bytes = b""


@dataclass
class FakeService:
    """State of the service; tests read and change it."""

    url: str = ""
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    device_id: str = field(default_factory=new_id)
    device_key: Ed25519PublicKey | None = None
    kid: str = ""
    config: dict[str, Any] = field(
        default_factory=lambda: {"blur_faces": False, "clip_height_px": 90, "segment_s": 1.0}
    )
    spent: set[str] = field(default_factory=set)
    beats: list[dict[str, Any]] = field(default_factory=list)
    commands: list[dict[str, Any]] = field(default_factory=list)
    acks: dict[int, dict[str, Any]] = field(default_factory=dict)
    kept: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    applied: list[dict[str, Any]] = field(default_factory=list)
    applied_to: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    uploads: dict[str, Incoming] = field(default_factory=dict)
    shelves: list[bytes] = field(default_factory=list)
    prices: list[dict[str, Any]] = field(default_factory=list)
    takes_any_code: bool = False
    baskets: Callable[[Session], dict[str, int]] = lambda _session: {}
    refuse: Callable[[str, str], Problem | None] = lambda _method, _path: None
    clock: Clock = field(default_factory=SystemClock)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def unlock(self, session_id: str | None = None, shopper: str = "", **claims: Any) -> Session:
        """Issue an unlock command, as redeeming a code does."""
        with self.lock:
            seq = len(self.commands) + 1
            session = Session(session_id or new_id(), self.device_id, shopper, seq)
            self.sessions[session.session_id] = session
            self.commands.append({"seq": seq, "token": self.command(seq, session.session_id, **claims)})
            return session

    def command(self, seq: int, session_id: str, *, key: Ed25519PrivateKey | None = None, **claims: Any) -> str:
        now_s = self.clock.now_ns() // SECOND_NS
        said = {"aud": self.device_id, "kind": "unlock", "seq": seq, "session_id": session_id, "iat": now_s}
        return jwt.encode(said | {"exp": now_s + 10} | claims, key or self.key, algorithm="EdDSA")

    @property
    def kinds(self) -> list[str]:
        """Kinds of the events that took effect, in order."""
        return [event["kind"] for event in self.applied]

    def signed(self, request: Request, body: bytes) -> None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        said = self.said(token, "fleetsight")
        fresh = said is not None and said["jti"] not in self.spent and said["exp"] - said["iat"] <= 60
        if said is None or not fresh or said["body_sha256"] != hashlib.sha256(body).hexdigest():
            raise Problem(401, "unauthorized")
        self.spent.add(said["jti"])

    def said(self, token: str, audience: str) -> dict[str, Any] | None:
        """Claims of a token that the device signed and that holds now."""
        if self.device_key is None:
            return None
        try:
            header = jwt.get_unverified_header(token)
            options: Any = {"verify_exp": False, "verify_iat": False}
            said = jwt.decode(token, self.device_key, ["EdDSA"], options, audience=audience, issuer=self.device_id)
        except jwt.PyJWTError:
            return None
        now_s = self.clock.now_ns() / SECOND_NS
        return said if header["kid"] == self.kid and said["iat"] - 5 <= now_s < said["exp"] else None

    def redeem(self, token: str, shopper: str) -> Session:
        if self.takes_any_code:
            return self.unlock(shopper=shopper)
        said = self.said(token, "fleetsight-qr")
        if said is None:
            raise Problem(410, "qr_expired")
        if said["nonce"] in self.spent or any(s.state in ("unlocking", "open") for s in self.sessions.values()):
            raise Problem(409, "redeemed")
        self.spent.add(said["nonce"])
        return self.unlock(shopper=shopper)

    def apply(self, boot_id: str) -> None:
        kept = self.kept[boot_id]
        while (event := kept.get(self.applied_to[boot_id] + 1)) is not None:
            self.applied_to[boot_id] += 1
            self.applied.append(event)
            session = self.sessions.get(event["session_id"] or "")
            if session is None:
                continue
            if event["kind"] == "door_opened":
                session.state = "open"
            elif event["kind"] == "locked" and session.state in ("open", "unlocking"):
                session.state = "closed" if session.state == "open" else "aborted"
                self.settle(session)

    def missing(self, session: Session) -> list[dict[str, Any]]:
        rows = (session.manifest or {"cameras": []})["cameras"]
        listed = [(row["camera"], segment["index"]) for row in rows for segment in row["segments"]]
        return [
            {"camera": camera, "index": index} for camera, index in listed if (camera, index) not in session.segments
        ]

    def settle(self, session: Session) -> None:
        if session.state == "closed" and session.manifest is not None and not self.missing(session):
            basket = self.baskets(session)
            prices = {row["sku"]: row["gross_minor"] for row in self.prices[-1]["entries"]} if self.prices else {}
            total = sum(count * prices[sku] for sku, count in basket.items())
            session.receipt = {"paid": {"minor": total, "currency": "EUR"}, "lines": basket}
            session.state = "settled"

    def clip(self, session_id: str, camera: str = "front") -> bytes:
        """The segments of a camera, in order, as one clip."""
        segments = self.sessions[session_id].segments
        return b"".join(segments[name] for name in sorted(segments) if name[0] == camera)


Answer = Callable[[FakeService, Request, bytes], Awaitable[Response] | Response]


async def enrol(fake: FakeService, request: Request, body: bytes) -> Response:
    said = json.loads(body)
    if not set(said) <= {"claim_code", "public_key_b64", "name"} or said["claim_code"] != CLAIM:
        raise Problem(403, "claim_refused")
    raw = base64.b64decode(said["public_key_b64"], validate=True)
    kid = hashlib.sha256(raw).hexdigest()[:32]
    if fake.device_key is not None and fake.kid != kid:
        raise Problem(403, "claim_refused")
    fake.device_key, fake.kid = Ed25519PublicKey.from_public_bytes(raw), kid
    names = {
        "device_id": fake.device_id,
        "kid": kid,
        "tenant_id": "t1",
        "site_id": "s1",
        "server_ns": fake.clock.now_ns(),
    }
    public = base64.b64encode(fake.key.public_key().public_bytes_raw()).decode()
    return JSONResponse(names | {"server_public_key_b64": public}, 201)


async def heartbeat(fake: FakeService, request: Request, body: bytes) -> Response:
    fake.beats.append(json.loads(body))
    return JSONResponse({"server_ns": fake.clock.now_ns(), "config": fake.config})


async def commands(fake: FakeService, request: Request, body: bytes) -> Response:
    after, wait_s = int(request.query_params["after"]), float(request.query_params["wait_s"])
    assert wait_s <= 25
    until_s = time.monotonic() + wait_s
    while True:
        waiting = [row for row in fake.commands if row["seq"] > after and row["seq"] not in fake.acks]
        if waiting or time.monotonic() > until_s or await request.is_disconnected():
            return JSONResponse({"commands": waiting})
        await asyncio.sleep(0.01)


async def ack(fake: FakeService, request: Request, body: bytes) -> Response:
    seq = int(request.path_params["seq"])
    if seq > len(fake.commands):
        raise Problem(404, "not_found")
    said = fake.acks.setdefault(seq, json.loads(body))
    for session in fake.sessions.values():
        if session.seq == seq and said["result"] == "refused" and session.state == "unlocking":
            session.state = "aborted"
    return JSONResponse({"seq": seq, "result": said["result"]})


async def events(fake: FakeService, request: Request, body: bytes) -> Response:
    said = json.loads(body)
    kept = fake.kept.setdefault(said["boot_id"], {})
    fake.applied_to.setdefault(said["boot_id"], 0)
    for event in said["events"]:
        assert event["kind"] in EVENT_KINDS
        before = kept.setdefault(event["seq"], event)
        assert before == event, "an event came again and was another one"
    fake.apply(said["boot_id"])
    accepted_to = fake.applied_to[said["boot_id"]]
    gaps = [seq for seq in range(accepted_to + 1, max(kept, default=0)) if seq not in kept]
    return JSONResponse({"accepted_to": accepted_to, "missing": gaps})


async def manifest(fake: FakeService, request: Request, body: bytes) -> Response:
    session = fake.sessions.get(request.path_params["session_id"])
    if session is None:
        raise Problem(404, "not_found")
    session.manifest = json.loads(body)
    fake.settle(session)
    return JSONResponse({"missing": fake.missing(session)})


async def begin_upload(fake: FakeService, request: Request, body: bytes) -> Response:
    said = Incoming(**json.loads(body))
    if said.session_id not in fake.sessions:
        raise Problem(404, "not_found")
    for upload_id, known in fake.uploads.items():
        if (known.session_id, known.camera, known.index) == (said.session_id, said.camera, said.index):
            if (known.sha256, known.length) != (said.sha256, said.length):
                raise Problem(409, "segment_conflict")
            return JSONResponse(_progress(upload_id, known))
    upload_id = new_id()
    fake.uploads[upload_id] = said
    return JSONResponse(_progress(upload_id, said), 201)


async def patch_upload(fake: FakeService, request: Request, body: bytes) -> Response:
    upload = fake.uploads[request.path_params["upload_id"]]
    if int(request.headers["upload-offset"]) != len(upload.data):
        raise Problem(409, "offset", offset=len(upload.data))
    upload.data += body
    if len(upload.data) == upload.length:
        if hashlib.sha256(upload.data).hexdigest() != upload.sha256:
            upload.data = b""
            raise Problem(409, "wrong_sha256", offset=0)
        session = fake.sessions[upload.session_id]
        session.segments[upload.camera, upload.index] = upload.data
        fake.settle(session)
    return JSONResponse(_progress(request.path_params["upload_id"], upload))


async def get_upload(fake: FakeService, request: Request, body: bytes) -> Response:
    upload_id = request.path_params["upload_id"]
    return JSONResponse(_progress(upload_id, fake.uploads[upload_id]))


def _progress(upload_id: str, upload: Incoming) -> dict[str, Any]:
    complete = len(upload.data) == upload.length
    return {"upload_id": upload_id, "offset": len(upload.data), "complete": complete, "verified": complete}


async def add_shopper(fake: FakeService, request: Request, body: bytes) -> Response:
    assert json.loads(body)["method"] == {"kind": "wallet"}
    return JSONResponse({"shopper_id": "shopper-1", "token": "shopper-token"}, 201)


async def top_up(fake: FakeService, request: Request, body: bytes) -> Response:
    assert request.headers["idempotency-key"]
    return JSONResponse({"balance": json.loads(body)}, 201)


async def redeem(fake: FakeService, request: Request, body: bytes) -> Response:
    assert request.headers["idempotency-key"]
    session = fake.redeem(json.loads(body)["qr_token"], request.headers["authorization"])
    hold = {"minor": HOLD_MINOR, "currency": "EUR"}
    return JSONResponse({"session_id": session.session_id, "state": session.state, "hold": hold}, 201)


async def shopper_session(fake: FakeService, request: Request, body: bytes) -> Response:
    session = fake.sessions[request.path_params["session_id"]]
    return JSONResponse({"session_id": session.session_id, "state": session.state, "stage": session.stage})


async def receipt(fake: FakeService, request: Request, body: bytes) -> Response:
    return JSONResponse(fake.sessions[request.path_params["session_id"]].receipt)


async def add_site(fake: FakeService, request: Request, body: bytes) -> Response:
    return JSONResponse({"site_id": "s1"}, 201)


async def add_device(fake: FakeService, request: Request, body: bytes) -> Response:
    return JSONResponse({"device_id": fake.device_id, "claim_code": CLAIM}, 201)


async def assortment(fake: FakeService, request: Request, body: bytes) -> Response:
    if request.headers["authorization"] != f"Bearer {OPERATOR}":
        raise Problem(401, "unauthorized")
    fake.shelves.append(body)
    return JSONResponse({"version": len(fake.shelves), "digest": hashlib.sha256(body).hexdigest()})


async def prices(fake: FakeService, request: Request, body: bytes) -> Response:
    fake.prices.append(json.loads(body))
    return JSONResponse({})


async def healthz(fake: FakeService, request: Request, body: bytes) -> Response:
    return JSONResponse({"status": "ok"})


ROUTES: tuple[tuple[str, str, Callable[[FakeService, Request, bytes], Awaitable[Response]]], ...] = (
    ("POST", "/v1/enrolments", enrol),
    ("POST", "/v1/device/heartbeat", heartbeat),
    ("GET", "/v1/device/commands", commands),
    ("POST", "/v1/device/commands/{seq}/ack", ack),
    ("POST", "/v1/device/events", events),
    ("PUT", "/v1/device/sessions/{session_id}/manifest", manifest),
    ("POST", "/v1/device/uploads", begin_upload),
    ("PATCH", "/v1/device/uploads/{upload_id}", patch_upload),
    ("GET", "/v1/device/uploads/{upload_id}", get_upload),
    ("POST", "/v1/shoppers", add_shopper),
    ("POST", "/v1/shopper/top-ups", top_up),
    ("POST", "/v1/shopper/sessions", redeem),
    ("GET", "/v1/shopper/sessions/{session_id}", shopper_session),
    ("GET", "/v1/shopper/sessions/{session_id}/receipt", receipt),
    ("POST", "/v1/operator/sites", add_site),
    ("POST", "/v1/operator/devices", add_device),
    ("PUT", "/v1/operator/devices/{device_id}/assortment", assortment),
    ("PUT", "/v1/operator/sites/{site_id}/prices", prices),
    ("GET", "/healthz", healthz),
)


def make_app(fake: FakeService) -> Starlette:
    def route(method: str, path: str, answer: Callable[[FakeService, Request, bytes], Awaitable[Response]]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                body = await request.body()
            except ClientDisconnect:
                return Response(status_code=400)
            try:
                if path.startswith("/v1/device/"):
                    fake.signed(request, body)
                problem = fake.refuse(request.method, request.url.path)
                if problem is not None:
                    raise problem
                return await answer(fake, request, body)
            except Problem as refusal:
                return refusal.answer

        return Route(path, endpoint, methods=[method])

    return Starlette(routes=[route(*row) for row in ROUTES])


@contextmanager
def running(fake: FakeService) -> Iterator[FakeService]:
    """Serve on a free port of the loopback until the block ends."""
    config = uvicorn.Config(make_app(fake), port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    fake.url = f"http://{host}:{port}"
    try:
        yield fake
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
