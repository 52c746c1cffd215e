"""What happens to an upload: announced, filled piece by piece, checked, stored, and told to the session.

Every step is written so that dying after it loses nothing and doing it again changes nothing. A segment is `verified` when its bytes
have the announced digest, lie in the blobs, and the session knows; only then may the device forget it.
"""

from dataclasses import dataclass, replace

from fleetsight.apps.cooler.session.answers import Missing, Offered
from fleetsight.apps.cooler.session.machine.events import SegmentConflicted
from fleetsight.apps.cooler.session.machine.session import Segment
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.clock import SECOND_NS, Clock
from fleetsight.fleet.devices.registry import Device
from fleetsight.store.blobs import Blobs
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.rows import Rows
from fleetsight.web.problems import NOT_FOUND, TOO_LARGE, Kind, Problem, conflict, too_many
from fleetsight.web.uploads.parts import Parts
from fleetsight.web.uploads.rows import (
    Announced,
    Upload,
    UploadState,
    count_open,
    delete_stale,
    find_upload,
    is_known,
    keep_quarantine,
    move,
    open_upload,
    without_open_row,
)

SEGMENT_BYTES_MAX = 64 << 20
PIECE_BYTES_MAX = 4 << 20
PIECES_MAX = 4096
"""Each piece costs an fsync: a segment of 64 MiB comes in 16 pieces, one in single bytes is stopped here."""
OPEN_MAX = 64
"""Open uploads of one device: it uploads one segment after the other."""
STALE_S = 72 * 3600
"""Devices keep what they recorded for 72 hours."""


@dataclass(frozen=True)
class Storage:
    """Where bytes go.

    Attributes:
        blobs: segments that are whole.
        parts: segments that are not.
    """

    blobs: Blobs
    parts: Parts


class UploadDesk:
    """Takes the uploads of devices.

    Args:
        rows: where uploads are kept.
        clock: server time.
        storage: where bytes go.
        sessions: are told.
    """

    def __init__(self, rows: Rows, clock: Clock, *, storage: Storage, sessions: Sessions) -> None:
        self._rows = rows
        self._clock = clock
        self._blobs = storage.blobs
        self._parts = storage.parts
        self._sessions = sessions

    def announce(self, device: Device, announced: Announced) -> tuple[Upload, bool]:
        """Open an upload, or find the one that is open for the same bytes.

        Args:
            device: who uploads.
            announced: what.
        Returns:
            upload: as it is; stored when the session has these bytes already.
            fresh: whether it was opened now.
        Raises:
            Problem: too large, not a session of this device, other bytes than a known segment has, or too many open.
        """
        if announced.length > SEGMENT_BYTES_MAX:
            raise Problem(TOO_LARGE, f"a segment of {announced.length} bytes, at most {SEGMENT_BYTES_MAX}")
        wanted = Upload(device.tenant_id, "", device.device_id, announced)
        offer = self._sessions.offer(_offered(wanted))
        if isinstance(offer, Missing):
            raise Problem(NOT_FOUND)
        match offer.answer:
            case "conflict":
                raise _segment_conflict()
            case "refused":
                raise conflict(
                    "not_wanted", offer.reason or "the session takes no segments", hint="forget this segment"
                )
            case "stored":
                wanted = replace(wanted, received=announced.length, state=UploadState.STORED)
        with self._rows.transaction() as connection:
            if wanted.state is UploadState.OPEN:
                count = count_open(connection, device.tenant_id, device_id=device.device_id)
                if count >= OPEN_MAX and not is_known(connection, wanted):
                    raise too_many("open_uploads", 60)
            return open_upload(connection, wanted, now_ns=self._clock.now_ns())

    def append(self, device: Device, upload_id: str, *, offset: int, chunk: bytes) -> Upload:
        """Take the next piece.

        Args:
            device: who uploads.
            upload_id: as it was given; anything.
            offset: where the piece belongs.
            chunk: its bytes, at least one.
        Returns:
            the upload after it, its bytes on disk.
        Raises:
            Problem: no such upload of this device, another offset, more bytes than announced, too many pieces, or wrong bytes.
            BlobStorageError: no room; nothing of the piece counts.
        """
        self._find(device, upload_id)  # before a file of that name exists
        with self._parts.alone(upload_id):
            upload = self._find(device, upload_id)
            if upload.state is UploadState.QUARANTINED:
                raise _segment_conflict()
            if offset != upload.received or upload.complete:
                raise self._elsewhere(upload)
            if offset + len(chunk) > upload.announced.length:
                detail = f"{offset + len(chunk)} bytes, {upload.announced.length} were announced"
                raise Problem(TOO_LARGE, detail, extra={"offset": offset})
            if self._parts.size(upload_id) < offset:
                raise self._again(upload, "lost", "the bytes that came so far are gone")
            if upload.pieces >= PIECES_MAX:
                raise self._again(upload, "too_many_chunks", f"more than {PIECES_MAX} pieces")
            self._parts.append(upload_id, chunk, offset=offset)
            crashpoint("upload.appended")
            longer = replace(upload, received=offset + len(chunk), pieces=upload.pieces + 1)
            self._move(upload, longer)
            crashpoint("upload.counted")
            return self._finish(longer) if longer.complete else longer

    def state(self, device: Device, upload_id: str) -> Upload:
        """What became of an upload; one whose last piece came before a crash is finished now.

        Args:
            device: who uploads.
            upload_id: as it was given; anything.
        Returns:
            the upload.
        Raises:
            Problem: no such upload of this device, or wrong bytes.
            BlobStorageError: no room to store it.
        """
        upload = self._find(device, upload_id)
        if upload.state is UploadState.OPEN and upload.complete:
            with self._parts.alone(upload_id):
                upload = self._find(device, upload_id)
                if upload.state is UploadState.OPEN and upload.complete:
                    return self._finish(upload)
        return upload

    def sweep(self) -> int:
        """Forget uploads that nobody went on with for `STALE_S`, and files that belong to no open upload.

        Returns:
            how many uploads were forgotten.
        """
        with self._rows.transaction() as connection:
            before_ns = self._clock.now_ns() - STALE_S * SECOND_NS
            stale = delete_stale(connection, touched_before_ns=before_ns)
        for upload_id in stale:
            self._parts.remove(upload_id)
        with self._rows.reading() as connection:
            orphans = without_open_row(connection, self._parts.old(STALE_S))
        for upload_id in orphans:
            self._parts.remove(upload_id)
        return len(stale)

    def _finish(self, upload: Upload) -> Upload:
        """Check and store what came; within `Parts.alone`."""
        if self._parts.size(upload.upload_id) < upload.received:
            raise self._again(upload, "lost", "the bytes that came so far are gone")
        digest = self._parts.sha256(upload.upload_id, length=upload.received)
        if digest != upload.announced.sha256:
            raise self._wrong_bytes(upload, digest)
        self._blobs.put_file(self._parts.path(upload.upload_id))
        crashpoint("upload.stored")
        stored = replace(upload, state=UploadState.STORED)
        with self._rows.transaction() as connection:
            told = self._sessions.stored(_offered(upload), connection=connection)
            if isinstance(told, Missing):
                raise Problem(NOT_FOUND)
            move(connection, upload, after=stored, now_ns=self._clock.now_ns())
        crashpoint("upload.told")
        self._parts.remove(upload.upload_id)
        return stored

    def _wrong_bytes(self, upload: Upload, digest: str) -> Problem:
        """Bytes that are not the announced ones: once may be the line, twice is put aside for a person."""
        if upload.restarts == 0:
            self._move(upload, replace(upload, received=0, pieces=0, restarts=1))
            detail = f"the bytes have the digest {digest}, {upload.announced.sha256} was announced"
            return Problem(_WRONG_SHA256, detail, extra={"offset": 0})
        aside = self._blobs.put_file(self._parts.path(upload.upload_id))
        said = upload.announced
        came = Segment(said.camera, said.index, digest, said.length)
        with self._rows.transaction() as connection:
            key = f"conflict:{said.camera}:{said.index}:{digest}"
            self._sessions.apply(said.session_id, SegmentConflicted(came), key=key, connection=connection)
            move(connection, upload, after=replace(upload, state=UploadState.QUARANTINED), now_ns=self._clock.now_ns())
            keep_quarantine(connection, upload, digest=aside)
        self._parts.remove(upload.upload_id)
        return _segment_conflict()

    def _again(self, upload: Upload, code: str, detail: str) -> Problem:
        self._move(upload, replace(upload, received=0, pieces=0))
        return Problem(Kind(409, code, detail, "begin again at offset 0, in larger pieces"), extra={"offset": 0})

    def _elsewhere(self, upload: Upload) -> Problem:
        detail = f"{upload.received} bytes have come so far"
        kind = Kind(409, "offset_differs", detail, "go on at the offset that is named")
        return Problem(kind, extra={"offset": upload.received}, headers={"Upload-Offset": str(upload.received)})

    def _move(self, before: Upload, after: Upload) -> None:
        with self._rows.transaction() as connection:
            if not move(connection, before, after=after, now_ns=self._clock.now_ns()):
                raise self._elsewhere(before)

    def _find(self, device: Device, upload_id: str) -> Upload:
        with self._rows.reading() as connection:
            upload = find_upload(connection, device.tenant_id, device_id=device.device_id, upload_id=upload_id)
        if upload is None:
            raise Problem(NOT_FOUND)
        return upload


_WRONG_SHA256 = Kind(
    409, "wrong_sha256", "the bytes have another digest than was announced", "send them again from offset 0"
)


def _offered(upload: Upload) -> Offered:
    said = upload.announced
    segment = Segment(said.camera, said.index, said.sha256, said.length)
    return Offered(upload.tenant_id, upload.device_id, said.session_id, segment)


def _segment_conflict() -> Problem:
    return conflict(
        "segment_conflict",
        "other bytes are known for this segment; a person looks at the session",
        hint="do not send this segment again",
    )
