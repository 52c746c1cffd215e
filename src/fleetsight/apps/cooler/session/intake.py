"""What devices send: door events, acknowledgements, lists and segments. Each is taken once and belongs to one session or to none.

A device says for which session it had unlocked. What it says of a session that is not its own counts as said of none; a door
that moves for none is an incident and never the matter of the last shopper.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa

from fleetsight.apps.cooler.session import records
from fleetsight.apps.cooler.session.answers import (
    Acknowledgement,
    Applied,
    DeviceEvent,
    DeviceEventKind,
    DeviceResult,
    Manifest,
    Missing,
    Offer,
    Offered,
    Repeated,
)
from fleetsight.apps.cooler.session.codec import to_json
from fleetsight.apps.cooler.session.effects import NOTIFY
from fleetsight.apps.cooler.session.machine import events
from fleetsight.apps.cooler.session.machine.evidence import NEVER_RECORDS
from fleetsight.apps.cooler.session.machine.session import Segment, Session
from fleetsight.apps.cooler.session.machine.states import EvidenceState, State
from fleetsight.apps.cooler.session.machine.transition import Refusal, Refused
from fleetsight.apps.cooler.session.tables import DEVICE_EVENTS, SESSIONS
from fleetsight.store.canonical import JsonObject, digest_of
from fleetsight.store.outbox import post
from fleetsight.store.rows import insert_if_absent

if TYPE_CHECKING:
    from fleetsight.apps.cooler.session.shell import Sessions

DOOR_MOVES = frozenset({DeviceEventKind.DOOR_OPENED, DeviceEventKind.FORCED})
CAMERAS = frozenset({DeviceEventKind.CAMERA_DEAD, DeviceEventKind.CAMERA_BACK})
_EVENTS: Mapping[DeviceEventKind, Callable[[str, int], events.Event]] = {
    DeviceEventKind.DOOR_OPENED: events.DoorOpened,
    DeviceEventKind.DOOR_CLOSED: events.DoorClosed,
    DeviceEventKind.LOCKED: events.DoorLocked,
    DeviceEventKind.FORCED: events.DoorForced,
    DeviceEventKind.CAMERA_DEAD: lambda boot_id, at_ns: events.CameraChanged(boot_id, alive=False, at_ns=at_ns),
    DeviceEventKind.CAMERA_BACK: lambda boot_id, at_ns: events.CameraChanged(boot_id, alive=True, at_ns=at_ns),
}


def device_event(sessions: "Sessions", event: DeviceEvent, *, connection: sa.Connection) -> DeviceResult:
    """Take one event of a device; see `Sessions.device_event`."""
    session = _own(connection, event.tenant_id, device_id=event.device_id, session_id=event.session_id)
    if event.session_id is None and event.kind in (*DOOR_MOVES, *CAMERAS):
        session = _inside(connection, event)
    if _seen(connection, event):
        return DeviceResult.REPEATED
    key = f"device:{event.boot_id}:{event.seq}"
    if session is not None and event.session_id is None and event.kind in DOOR_MOVES:
        intrusion = events.IntrusionSeen(event.boot_id, event.at_ns)
        sessions.apply(session.id, intrusion, key=f"{key}:intrusion", connection=connection)
        session = None
    if session is None:
        return _belongs_to_none(sessions, event, connection=connection, reason="no session")
    outcome = sessions.apply(
        session.id, _EVENTS[event.kind](event.boot_id, event.at_ns), key=key, connection=connection
    )
    if isinstance(outcome, Refused):
        return _belongs_to_none(sessions, event, connection=connection, reason=outcome.reason)
    _keep(sessions, event, connection=connection, session_id=session.id, reason="")
    return DeviceResult.APPLIED


def acknowledge(sessions: "Sessions", told: Acknowledgement, *, connection: sa.Connection) -> DeviceResult:
    """Take an acknowledgement; see `Sessions.acknowledge`."""
    session = _own(connection, told.tenant_id, device_id=told.device_id, session_id=told.session_id)
    if session is None:
        return DeviceResult.NOTED
    event = events.UnlockAcknowledged(told.boot_id, told.unlocked, told.at_ns, told.reason)
    outcome = sessions.apply(session.id, event, key=f"acknowledged:{told.seq}", connection=connection)
    if isinstance(outcome, Repeated):
        return DeviceResult.REPEATED
    return DeviceResult.APPLIED if isinstance(outcome, Applied) else DeviceResult.NOTED


def manifest(
    sessions: "Sessions", upload: Manifest, *, connection: sa.Connection
) -> tuple[Segment, ...] | Refused | Missing:
    """Take a manifest; see `Sessions.manifest`."""
    session = _own(connection, upload.tenant_id, device_id=upload.device_id, session_id=upload.session_id)
    if session is None:
        return Missing()
    segments = tuple(sorted(upload.segments))
    if len({(segment.camera, segment.index) for segment in segments}) != len(segments):
        return Refused(Refusal.CONFLICT, "a segment is listed twice")
    names = ("camera", "index", "sha256", "length")
    digest = digest_of([[getattr(segment, name) for name in names] for segment in segments])
    event = events.ManifestReceived(digest, segments)
    outcome = sessions.apply(session.id, event, key=f"manifest:{digest}", connection=connection)
    if isinstance(outcome, Refused) and outcome.code is not Refusal.DUPLICATE:
        return outcome
    after = outcome.session if isinstance(outcome, Applied | Repeated) else session
    if after.evidence.manifest != digest:
        return Refused(Refusal.CONFLICT, "another manifest came before, or a segment has other bytes")
    return after.evidence.missing


def offer(sessions: "Sessions", offered: Offered, *, connection: sa.Connection) -> Offer | Missing:
    """Answer an offer; see `Sessions.offer`."""
    session = _own(connection, offered.tenant_id, device_id=offered.device_id, session_id=offered.session_id)
    if session is None:
        return Missing()
    piece = offered.segment
    there = next(
        (s for s in session.evidence.segments if (s.camera, s.index) == (piece.camera, piece.index)),
        None,
    )
    if there is not None and there.sha256 != piece.sha256:
        key = f"conflict:{piece.camera}:{piece.index}:{piece.sha256}"
        sessions.apply(session.id, events.SegmentConflicted(piece), key=key, connection=connection)
        return Offer("conflict", f"segment {piece.camera}/{piece.index} has other bytes")
    if there is not None and there.stored:
        return Offer("stored")
    fault = _unwanted(sessions, session, piece)
    return Offer("refused", fault) if fault else Offer("wanted")


def stored(
    sessions: "Sessions", offered: Offered, *, connection: sa.Connection
) -> Applied | Repeated | Refused | Missing:
    """Take a stored segment; see `Sessions.stored`."""
    session = _own(connection, offered.tenant_id, device_id=offered.device_id, session_id=offered.session_id)
    if session is None:
        return Missing()
    piece = offered.segment
    key = f"segment:{piece.camera}:{piece.index}:{piece.sha256}"
    return sessions.apply(session.id, events.SegmentStored(piece), key=key, connection=connection)


def _unwanted(sessions: "Sessions", session: Session, piece: Segment) -> str:
    """Why a segment is not taken; empty when it is."""
    if session.state in NEVER_RECORDS:
        return f"no video is expected of a session that is {session.state}"
    if session.evidence.state is EvidenceState.EXPIRED_DELETED:
        return "the video of this session was deleted"
    if piece.length > sessions.limits.segment_bytes:
        return f"at most {sessions.limits.segment_bytes} bytes"
    if len(session.evidence.segments) > sessions.limits.segments:
        return f"at most {sessions.limits.segments} segments"
    return ""


def _own(connection: sa.Connection, tenant_id: str, *, device_id: str, session_id: str | None) -> Session | None:
    """The session, locked, when it is this device's."""
    session = records.load(connection, session_id, lock=True) if session_id is not None else None
    return session if session is not None and (session.tenant_id, session.device_id) == (tenant_id, device_id) else None


def _inside(connection: sa.Connection, event: DeviceEvent) -> Session | None:
    """The session that has the device's door now, locked."""
    question = sa.select(SESSIONS.c.id).where(
        SESSIONS.c.tenant_id == event.tenant_id,
        SESSIONS.c.device_id == event.device_id,
        SESSIONS.c.state.in_([State.UNLOCKING.value, State.OPEN.value]),
    )
    session_id = connection.execute(question).scalars().first()
    return None if session_id is None else records.load(connection, session_id, lock=True)


def _seen(connection: sa.Connection, event: DeviceEvent) -> bool:
    question = sa.select(DEVICE_EVENTS.c.seq).where(
        DEVICE_EVENTS.c.tenant_id == event.tenant_id,
        DEVICE_EVENTS.c.device_id == event.device_id,
        DEVICE_EVENTS.c.boot_id == event.boot_id,
        DEVICE_EVENTS.c.seq == event.seq,
    )
    return connection.execute(question).first() is not None


def _belongs_to_none(
    sessions: "Sessions", event: DeviceEvent, *, connection: sa.Connection, reason: str
) -> DeviceResult:
    if not _keep(sessions, event, connection=connection, session_id=None, reason=reason):
        return DeviceResult.REPEATED
    if event.kind not in DOOR_MOVES:
        return DeviceResult.NOTED
    now_ns = sessions.clock.now_ns()
    facts: JsonObject = {
        "tenant_id": event.tenant_id,
        "device_id": event.device_id,
        "session_id": event.session_id,
        "kind": event.kind.value,
        "audience": "operator",
    }
    key = f"notify:{event.device_id}:{event.boot_id}:{event.seq}"
    body: JsonObject = {"kind": "device.intrusion", "at_ns": now_ns, "facts": facts}
    post(connection, topic=NOTIFY, key=key, body=body, due_ns=now_ns)
    return DeviceResult.INCIDENT


def _keep(
    sessions: "Sessions", event: DeviceEvent, *, connection: sa.Connection, session_id: str | None, reason: str
) -> bool:
    row = to_json(event)
    assert isinstance(row, dict)
    row["device_at_ns"], row["claimed_session_id"] = row.pop("at_ns"), row.pop("session_id")
    values = {**row, "session_id": session_id, "reason": reason, "at_ns": sessions.clock.now_ns()}
    keys = ["tenant_id", "device_id", "boot_id", "seq"]
    return insert_if_absent(connection, DEVICE_EVENTS, values=values, keys=keys)
