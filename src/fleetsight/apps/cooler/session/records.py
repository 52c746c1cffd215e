"""A session to its rows and back: the only module that knows both the value and the columns."""

from typing import Any

import sqlalchemy as sa

from fleetsight.apps.cooler.session.codec import from_json, to_json
from fleetsight.apps.cooler.session.machine.events import Event
from fleetsight.apps.cooler.session.machine.session import Segment, Session
from fleetsight.apps.cooler.session.machine.states import AFTER_MONEY, EvidenceState, Flag, State
from fleetsight.apps.cooler.session.machine.transition import Transition
from fleetsight.apps.cooler.session.tables import EVENTS, SEGMENTS, SESSIONS
from fleetsight.errors import Error
from fleetsight.store import chain
from fleetsight.store.canonical import JsonObject
from fleetsight.store.rows import insert_if_absent, upsert


class StaleSessionError(Error):
    """Another transaction changed the session first; nothing of this one is kept."""

    code = "session_stale"


def load(connection: sa.Connection, session_id: str, *, lock: bool = False) -> Session | None:
    """Read a session.

    Args:
        connection: reads.
        session_id: anything.
        lock: keep others from changing it until the transaction ends.
    Returns:
        the session with its segments; None when there is none.
    """
    question = sa.select(SESSIONS.c.body).where(SESSIONS.c.id == session_id)
    body = connection.execute(question.with_for_update() if lock else question).scalar_one_or_none()
    if body is None:
        return None
    segments = sa.select(SEGMENTS).where(SEGMENTS.c.session_id == session_id).order_by("camera", "index")
    body["evidence"]["segments"] = [_segment(row) for row in connection.execute(segments)]
    return from_json(Session, body)


def insert(connection: sa.Connection, session: Session, *, jti: str) -> bool:
    """Write a new session, and the first record of its log.

    Args:
        connection: of the write transaction.
        session: version 0.
        jti: of the code that was redeemed.
    Returns:
        False when the code was redeemed before, or the device has another session.
    """
    values = {"jti": jti, "complete_ns": None, **_columns(session)}
    if not insert_if_absent(connection, SESSIONS, values=values):
        return False
    chain.append(connection, scope_of(session.id), record={"kind": "Created", "session": _body(session), "jti": jti})
    return True


def update(connection: sa.Connection, before: Session, *, step: Transition, event: Event, key: str) -> None:
    """Write one step: the row if nobody changed it, the segments that are new, the event, the log.

    Args:
        connection: of the write transaction.
        before: as it was read in this transaction.
        step: what the machine made of it.
        event: what happened.
        key: of the event; empty when it has none.
    Raises:
        StaleSessionError: somebody changed it meanwhile.
    """
    after = step.session
    guard = (SESSIONS.c.id == before.id, SESSIONS.c.state == before.state, SESSIONS.c.version == before.version)
    values = _columns(after)
    if after.evidence.state is EvidenceState.COMPLETE and before.evidence.state is not EvidenceState.COMPLETE:
        values["complete_ns"] = after.evidence.progress_ns or after.entered_ns
    if connection.execute(sa.update(SESSIONS).where(*guard).values(**values)).rowcount != 1:
        raise StaleSessionError(f"session {before.id} is no longer at version {before.version}")
    _write_segments(connection, before, after)
    row = {
        "session_id": after.id,
        "version": after.version,
        "tenant_id": after.tenant_id,
        "key": key or None,
        "kind": type(event).__name__,
        "before": before.state.value,
        "after": after.state.value,
        "at_ns": step.at_ns,
    }
    connection.execute(sa.insert(EVENTS).values(**row))
    facts = {"path": [state.value for state in step.path], "facts": to_json(event)}
    chain.append(connection, scope_of(after.id), record={**row, **facts})


def scope_of(session_id: str) -> str:
    """The log of a session in `store.chain`."""
    return f"session:{session_id}"


def _segment(row: Any) -> JsonObject:
    names = ("camera", "index", "sha256", "length", "pts_start_ns", "pts_end_ns")
    values: JsonObject = {name: row._mapping[name] for name in names}
    return values | {"stored": bool(row.stored), "declared": bool(row.declared)}


def _body(session: Session) -> JsonObject:
    body = to_json(session)
    assert isinstance(body, dict)
    body["evidence"]["segments"] = []
    return body


def _columns(session: Session) -> dict[str, Any]:
    payment, decision = session.payment, session.decision
    captured = [charge.amount_minor for charge in payment.charges if ":capture:" in charge.key]
    after_all = session.state in AFTER_MONEY and Flag.LATE_EVIDENCE in session.flags
    return {
        "id": session.id,
        "tenant_id": session.tenant_id,
        "site_id": session.site_id,
        "device_id": session.device_id,
        "shopper_id": session.shopper_id,
        "state": session.state.value,
        "version": session.version,
        "door": session.door.state.value,
        "evidence": session.evidence.state.value,
        "payment": payment.state.value,
        "review_reason": session.review_reason.value if session.review_reason else "",
        "decided_by": decision.decided_by if decision else "",
        "wants_person": int(session.state is State.REVIEW or bool(session.contest) or after_all),
        "occupies": int(session.occupies_device),
        "ajar": int(session.door.ajar),
        "created_ns": session.created_ns,
        "entered_ns": session.entered_ns,
        "opened_ns": session.door.opened_ns,
        "closed_ns": session.door.closed_ns,
        "ended_ns": session.ended_ns,
        "deadline_ns": session.deadline_ns,
        "currency": session.currency,
        "held_minor": payment.held_minor,
        "authorized_minor": payment.authorized_minor,
        "captured_minor": sum(captured),
        "charged_minor": payment.charged_minor,
        "refunded_minor": payment.refunded_minor,
        "owed_minor": payment.owed_minor,
        "waived_minor": payment.waived_minor,
        "decided_minor": session.total_minor,
        "body": _body(session),
    }


def _write_segments(connection: sa.Connection, before: Session, after: Session) -> None:
    known = {(segment.camera, segment.index): segment for segment in before.evidence.segments}
    for segment in after.evidence.segments:
        if known.get((segment.camera, segment.index)) != segment:
            values = {"session_id": after.id, "tenant_id": after.tenant_id, **_segment_columns(segment)}
            upsert(connection, SEGMENTS, values=values, keys=["session_id", "camera", "index"])


def _segment_columns(segment: Segment) -> dict[str, Any]:
    values = to_json(segment)
    assert isinstance(values, dict)
    return values | {"stored": int(segment.stored), "declared": int(segment.declared)}
