"""One row for each upload: what was announced, and how many of its bytes are on disk."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from fleetsight.store.blobs import Digest
from fleetsight.store.ids import new_id
from fleetsight.store.rows import METADATA, TimeNs, insert_if_absent

UPLOADS = sa.Table(
    "uploads",
    METADATA,
    sa.Column("tenant_id", sa.String(36), primary_key=True),
    sa.Column("upload_id", sa.String(36), primary_key=True),
    sa.Column("device_id", sa.String(36), nullable=False),
    sa.Column("session_id", sa.String(36), nullable=False),
    sa.Column("camera", sa.String(64), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("length", sa.BigInteger, nullable=False),
    sa.Column("received", sa.BigInteger, nullable=False),
    sa.Column("pieces", sa.Integer, nullable=False),
    sa.Column("restarts", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("quarantine", sa.String(71)),
    sa.Column("touched_ns", TimeNs, nullable=False),
    sa.ForeignKeyConstraint(["tenant_id", "device_id"], ["devices.tenant_id", "devices.device_id"]),
    sa.CheckConstraint("state IN ('open', 'stored', 'quarantined')", name="state"),
    sa.CheckConstraint("received >= 0 AND received <= length", name="received"),
    sa.UniqueConstraint("tenant_id", "session_id", "camera", "position", "sha256", "length"),
    sa.Index(None, "state", "touched_ns"),
    sa.Index(None, "tenant_id", "device_id", "state"),
)


IN_MAX = 500


class UploadState(enum.StrEnum):
    """What became of an upload."""

    OPEN = "open"
    STORED = "stored"
    QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Announced:
    """A segment that a device wants to upload.

    Attributes:
        session_id: of which session.
        camera: of which camera.
        index: position among the camera's segments, from 0.
        sha256: of its bytes, 64 hexadecimal digits.
        length: bytes, > 0.
    """

    session_id: str
    camera: str
    index: int
    sha256: str
    length: int


@dataclass(frozen=True)
class Upload:
    """An upload.

    Attributes:
        tenant_id: whose.
        upload_id: UUID; the name of its file.
        device_id: who uploads.
        announced: what it is to become.
        received: bytes on disk.
        pieces: in how many requests they came.
        restarts: how often the bytes turned out to be others.
        state: what became of it.
    """

    tenant_id: str
    upload_id: str
    device_id: str
    announced: Announced
    received: int = 0
    pieces: int = 0
    restarts: int = 0
    state: UploadState = UploadState.OPEN

    @property
    def complete(self) -> bool:
        """Whether every byte has come."""
        return self.received == self.announced.length


def open_upload(connection: sa.Connection, upload: Upload, *, now_ns: int) -> tuple[Upload, bool]:
    """Open an upload, or find the one that was opened for the same segment and bytes.

    Args:
        connection: of a write transaction.
        upload: the upload to open; its id is given here.
        now_ns: now.
    Returns:
        upload: as it is.
        fresh: whether it was opened now.
    """
    new = replace(upload, upload_id=new_id())
    said = new.announced
    same = {
        "tenant_id": new.tenant_id,
        "session_id": said.session_id,
        "camera": said.camera,
        "position": said.index,
        "sha256": said.sha256,
        "length": said.length,
    }
    values = same | {
        "upload_id": new.upload_id,
        "device_id": new.device_id,
        "received": new.received,
        "pieces": 0,
        "restarts": 0,
        "state": new.state.value,
        "touched_ns": now_ns,
    }
    if insert_if_absent(connection, UPLOADS, values=values, keys=list(same)):
        return new, True
    here = [UPLOADS.c[name] == value for name, value in same.items()]
    return _upload(connection.execute(sa.select(UPLOADS).where(*here)).one()), False


def find_upload(connection: sa.Connection, tenant_id: str, *, device_id: str, upload_id: str) -> Upload | None:
    """An upload of a device.

    Args:
        connection: reads.
        tenant_id: the tenant.
        device_id: the device.
        upload_id: anything.
    Returns:
        the upload; None when the device has none of this id.
    """
    here = (UPLOADS.c.tenant_id == tenant_id, UPLOADS.c.device_id == device_id, UPLOADS.c.upload_id == upload_id)
    row = connection.execute(sa.select(UPLOADS).where(*here)).first()
    return None if row is None else _upload(row)


def is_known(connection: sa.Connection, upload: Upload) -> bool:
    """Whether an upload of the same segment and bytes was opened before.

    Args:
        connection: reads.
        upload: the upload; its id does not matter.
    Returns:
        whether it was.
    """
    said = upload.announced
    here = (
        UPLOADS.c.tenant_id == upload.tenant_id,
        UPLOADS.c.session_id == said.session_id,
        UPLOADS.c.camera == said.camera,
        UPLOADS.c.position == said.index,
        UPLOADS.c.sha256 == said.sha256,
    )
    return connection.execute(sa.select(UPLOADS.c.upload_id).where(*here)).first() is not None


def without_open_row(connection: sa.Connection, upload_ids: Sequence[str]) -> list[str]:
    """Which of some uploads are not open, or not known.

    Args:
        connection: reads.
        upload_ids: ids, at most `IN_MAX` of which are looked at.
    Returns:
        those that nobody will go on with.
    """
    asked = list(upload_ids[:IN_MAX])
    here = (UPLOADS.c.upload_id.in_(asked), UPLOADS.c.state == UploadState.OPEN.value)
    still = set(connection.execute(sa.select(UPLOADS.c.upload_id).where(*here)).scalars())
    return [upload_id for upload_id in asked if upload_id not in still]


def count_open(connection: sa.Connection, tenant_id: str, *, device_id: str) -> int:
    """How many uploads of a device are open.

    Args:
        connection: reads.
        tenant_id: the tenant.
        device_id: the device.
    Returns:
        the number.
    """
    here = (
        UPLOADS.c.tenant_id == tenant_id,
        UPLOADS.c.device_id == device_id,
        UPLOADS.c.state == UploadState.OPEN.value,
    )
    return int(connection.execute(sa.select(sa.func.count()).select_from(UPLOADS).where(*here)).scalar_one())


def move(connection: sa.Connection, before: Upload, *, after: Upload, now_ns: int) -> bool:
    """Keep what became of an upload, unless something else did meanwhile.

    Args:
        connection: of a write transaction.
        before: the upload as it was read.
        after: as it shall be.
        now_ns: now.
    Returns:
        False when it is no more as it was read; then nothing changed.
    """
    changed = connection.execute(
        sa.update(UPLOADS)
        .where(
            UPLOADS.c.tenant_id == before.tenant_id,
            UPLOADS.c.upload_id == before.upload_id,
            UPLOADS.c.received == before.received,
            UPLOADS.c.pieces == before.pieces,
            UPLOADS.c.restarts == before.restarts,
            UPLOADS.c.state == before.state.value,
        )
        .values(
            received=after.received,
            pieces=after.pieces,
            restarts=after.restarts,
            state=after.state.value,
            touched_ns=now_ns,
        )
    )
    return changed.rowcount == 1


def keep_quarantine(connection: sa.Connection, upload: Upload, *, digest: Digest) -> None:
    """Note where the wrong bytes of an upload were put aside.

    Args:
        connection: of a write transaction.
        upload: the upload.
        digest: the blob with the bytes that came.
    """
    here = (UPLOADS.c.tenant_id == upload.tenant_id, UPLOADS.c.upload_id == upload.upload_id)
    connection.execute(sa.update(UPLOADS).where(*here).values(quarantine=digest))


def delete_stale(connection: sa.Connection, *, touched_before_ns: int, limit: int = 1000) -> list[str]:
    """Forget uploads that nobody went on with.

    Args:
        connection: of a write transaction.
        touched_before_ns: those open and not touched since.
        limit: at most so many.
    Returns:
        their ids.
    """
    stale = sa.select(UPLOADS.c.upload_id).where(
        UPLOADS.c.state == UploadState.OPEN.value, UPLOADS.c.touched_ns < touched_before_ns
    )
    ids = list(connection.execute(stale.limit(limit)).scalars())
    connection.execute(
        sa.delete(UPLOADS).where(UPLOADS.c.upload_id.in_(ids), UPLOADS.c.state == UploadState.OPEN.value)
    )
    return ids


def _upload(row: Any) -> Upload:
    return Upload(
        tenant_id=row.tenant_id,
        upload_id=row.upload_id,
        device_id=row.device_id,
        announced=Announced(row.session_id, row.camera, row.position, row.sha256, row.length),
        received=row.received,
        pieces=row.pieces,
        restarts=row.restarts,
        state=UploadState(row.state),
    )
