"""What stands outside of the service and outlives it: a cooler, a shopper with a phone, and what both were promised.

Every call is repeated until it is answered, as real devices and phones do; whoever keeps the service alive is asked all the while.
"""

import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.apps.cooler.device.identity import Identity
from fleetsight.apps.cooler.device.journal import Batch, Event, EventKind
from fleetsight.apps.cooler.device.link.tokens import Signer, UnlockCommand, read_unlock
from fleetsight.apps.cooler.device.link.uplink import LinkDownError, Pulse, RefusedError, Uplink
from fleetsight.apps.cooler.device.recording.segments import Segment
from fleetsight.clock import SECOND_NS, SystemClock

T = TypeVar("T")
WAIT_S = 60.0
"""Far less than the deadlines by which the machine helps itself in the end: whoever needs those is found out."""
PAUSE_S = 0.02
LISTEN_S = 1
ENDS = ("receipt", "ended", "review")
CHUNKS = 2
SEGMENTS = 2
SEGMENT_BYTES = 3000
CLIP_S = 6.0


class GaveUpError(AssertionError):
    """The service did not bring a visit to its end."""


@dataclass
class Promises:
    """What the service has said to somebody outside, and must stand by."""

    session_id: str = ""
    unlocked: bool = False
    kept: dict[str, bytes] = field(default_factory=dict, repr=False)
    """Uploads that were acknowledged, by SHA-256."""
    stage: str = ""
    receipt: dict[str, Any] = field(default_factory=dict)
    retried: int = 0

    @property
    def turned_away(self) -> bool:
        """Whether the door stayed shut and the visit is over: a command that came too late must open nothing, so scan again."""
        return self.stage == "ended" and not self.unlocked


@dataclass(frozen=True)
class Kiosk:
    """A cooler, and a shopper before it."""

    base_url: str
    identity: Identity
    key: Ed25519PrivateKey
    shopper_token: str
    keep_alive: Callable[[], None]

    def visit(self) -> Promises:
        """One visit, from the code to its end, however often the service dies meanwhile."""
        promises = Promises()
        clock = SystemClock()
        signer = Signer(self.identity, self.key)
        boot_id = uuid.uuid4().hex
        limit_s = time.monotonic() + WAIT_S

        def until_answered(call: Callable[[], T]) -> T:
            while True:
                check()
                try:
                    return call()
                except (LinkDownError, httpx.TransportError) as error:
                    promises.retried += 1
                    if time.monotonic() > limit_s:
                        raise GaveUpError(f"no answer: {error}; {promises}") from error
                    time.sleep(PAUSE_S)

        with (
            _watched(self.keep_alive) as check,
            closing(Uplink(self.base_url, clock, signer=signer)) as link,
            self._phone() as phone,
        ):
            pulse = Pulse(boot_id, 1, clock.now_ns(), "locked", True, 4.0, 0, 0)
            until_answered(lambda: link.heartbeat(pulse))
            token = signer.qr_token(clock.now_ns()).token
            key = uuid.uuid4().hex
            said = until_answered(lambda: _asked(phone, "POST", "/v1/shopper/sessions", {"qr_token": token}, key))
            promises.session_id = said["session_id"]
            path = f"/v1/shopper/sessions/{promises.session_id}"

            def look() -> bool:
                """Whether the visit is over."""
                said = until_answered(lambda: _asked(phone, "GET", path))
                promises.stage = said["stage"]
                over = promises.stage in ENDS
                if not over and time.monotonic() > limit_s:
                    raise GaveUpError(f"no end: {said}; {promises}")
                return over

            while not (promises.unlocked or look()):
                self._open(link, promises, boot_id, until_answered)
            self._upload(link, promises, boot_id, until_answered)
            while not look():
                time.sleep(PAUSE_S)
            if promises.stage == "receipt":
                promises.receipt = until_answered(lambda: _asked(phone, "GET", f"{path}/receipt"))
        return promises

    def _phone(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.shopper_token}"}
        return httpx.Client(base_url=self.base_url, headers=headers, timeout=20, trust_env=False)

    def _open(
        self, link: Uplink, promises: Promises, boot_id: str, until_answered: Callable[[Callable[[], Any]], Any]
    ) -> None:
        """Unlock, open, close, lock; or nothing, when no command has come yet."""
        clock = SystemClock()
        offered = until_answered(lambda: link.commands(0, wait_s=LISTEN_S))
        commands = [read_unlock(one.token, self.identity, server_ns=clock.now_ns()) for one in offered]
        mine = [one for one in commands if isinstance(one, UnlockCommand) and one.session_id == promises.session_id]
        if not mine:
            return
        until_answered(lambda: link.acknowledge(mine[0].seq, boot_id, at_ns=clock.now_ns()))
        promises.unlocked = True
        happened = tuple(
            Event(number, kind, clock.now_ns(), promises.session_id)
            for number, kind in enumerate((EventKind.DOOR_OPENED, EventKind.DOOR_CLOSED, EventKind.LOCKED), start=1)
        )
        until_answered(lambda: link.events(Batch(boot_id, happened)))

    def _upload(
        self, link: Uplink, promises: Promises, boot_id: str, until_answered: Callable[[Callable[[], Any]], Any]
    ) -> None:
        """List the segments and send each in pieces; what is verified is promised."""
        if not promises.unlocked:
            return
        pieces = [os.urandom(SEGMENT_BYTES) for _ in range(SEGMENTS)]
        segments = [_segment(index, data) for index, data in enumerate(pieces)]
        now_ns = SystemClock().now_ns()
        manifest = {
            "boot_id": boot_id,
            "opened_ns": now_ns - round(CLIP_S * SECOND_NS),
            "closed_ns": now_ns,
            "cameras": [{"camera": "front", "segments": [_listed(segment) for segment in segments]}],
        }
        until_answered(lambda: link.manifest(promises.session_id, manifest))
        for segment, data in zip(segments, pieces, strict=True):
            self._send(link, promises, segment, data=data, until_answered=until_answered)

    def _send(
        self,
        link: Uplink,
        promises: Promises,
        segment: Segment,
        *,
        data: bytes,
        until_answered: Callable[[Callable[[], Any]], Any],
    ) -> None:
        step = len(data) // CHUNKS
        upload = until_answered(lambda: link.begin_upload(promises.session_id, "front", segment=segment))
        while upload.offset < len(data):
            chunk = data[upload.offset : upload.offset + step]
            upload = until_answered(partial(link.send_chunk, upload.upload_id, upload.offset, chunk=chunk))
        while not upload.verified:
            upload = until_answered(partial(link.upload, upload.upload_id))
            time.sleep(PAUSE_S)
        promises.kept[segment.sha256] = data


@contextmanager
def _watched(keep_alive: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Ask for the service all the while, also while somebody waits for the answer of a dead one; gives a look at what went wrong."""
    over, failed = threading.Event(), list[Exception]()

    def watch() -> None:
        try:
            while not over.wait(PAUSE_S):
                keep_alive()
        except Exception as error:  # noqa: BLE001 - raised again where the visit looks
            failed.append(error)

    def check() -> None:
        if failed:
            raise failed[0]

    keep_alive()
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield check
    finally:
        over.set()
        watching.join()


def _segment(index: int, data: bytes) -> Segment:
    span_ns = round(CLIP_S / SEGMENTS * SECOND_NS)
    return Segment(index, hashlib.sha256(data).hexdigest(), len(data), index * span_ns, (index + 1) * span_ns, 60)


def _listed(segment: Segment) -> dict[str, Any]:
    names = ("index", "sha256", "length", "pts_start_ns", "pts_end_ns")
    return {name: getattr(segment, name) for name in names}


def _asked(
    phone: httpx.Client, method: str, path: str, body: dict[str, Any] | None = None, key: str = ""
) -> dict[str, Any]:
    answer = phone.request(method, path, json=body, headers={"Idempotency-Key": key} if key else {})
    if answer.is_server_error or answer.status_code in (409, 429):
        raise LinkDownError(f"{answer.status_code} {answer.text[:200]}")
    if not answer.is_success:
        raise RefusedError(f"{method} {path}: {answer.status_code} {answer.text}", status=answer.status_code, body={})
    return dict(json.loads(answer.content))
