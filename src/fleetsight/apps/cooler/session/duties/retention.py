"""Gives up the raw video of a session whose time is over. Digests, reports, strips and the log stay."""

import sqlalchemy as sa

from fleetsight.apps.cooler.session.machine.states import EvidenceState
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.apps.cooler.session.tables import EVIDENCE, SEGMENTS, SESSIONS
from fleetsight.store.blobs import Blobs, Digest
from fleetsight.store.crashpoint import crashpoint


def delete_video(sessions: Sessions, blobs: Blobs, *, session_id: str) -> int:
    """Delete the segments and the annotated clip of a session that gave its video up; safe to do again after a crash.

    Args:
        sessions: the machine on rows.
        blobs: where the bytes are.
        session_id: whose.
    Returns:
        how many blobs were deleted; bytes that another session needs stay.
    """
    with sessions.rows.reading() as connection:
        session = sessions.load(session_id, connection=connection)
        if session is None or session.evidence.state is not EvidenceState.EXPIRED_DELETED:
            return 0
        clips = sa.select(EVIDENCE.c.digest).where(EVIDENCE.c.session_id == session_id, EVIDENCE.c.event.is_(None))
        digests = {f"sha256:{segment.sha256}" for segment in session.evidence.segments if segment.stored}
        digests |= set(connection.execute(clips).scalars())
        needed = {digest for digest in digests if _needed_elsewhere(connection, session_id, digest)}
    for digest in sorted(digests - needed):
        blobs.delete(Digest(digest))
        crashpoint("retention.deleted")
    with sessions.turn(None) as connection:
        mine = (EVIDENCE.c.session_id == session_id, EVIDENCE.c.event.is_(None), EVIDENCE.c.deleted_ns.is_(None))
        connection.execute(sa.update(EVIDENCE).where(*mine).values(deleted_ns=sessions.clock.now_ns()))
    return len(digests - needed)


def _needed_elsewhere(connection: sa.Connection, session_id: str, digest: str) -> bool:
    gone = EvidenceState.EXPIRED_DELETED.value
    video = (
        sa.select(SEGMENTS.c.session_id)
        .join(SESSIONS, SESSIONS.c.id == SEGMENTS.c.session_id)
        .where(SEGMENTS.c.sha256 == digest.removeprefix("sha256:"), SEGMENTS.c.session_id != session_id)
        .where(SESSIONS.c.evidence != gone, SEGMENTS.c.stored == 1)
    )
    files = sa.select(EVIDENCE.c.session_id).where(
        EVIDENCE.c.digest == digest,
        EVIDENCE.c.deleted_ns.is_(None),
        sa.or_(EVIDENCE.c.session_id != session_id, EVIDENCE.c.event.is_not(None)),
    )
    return any(connection.execute(question.limit(1)).first() is not None for question in (video, files))
