"""Bodies of requests and answers of devices."""

from typing import Annotated, Literal

from pydantic import Field

from fleetsight.web.api.fields import WHOLE_MAX, Asks, AtNs, Count, Id, Name, Reason, Says, Seq, Sha256
from fleetsight.web.uploads.desk import SEGMENT_BYTES_MAX

EVENTS_MAX = 200
CAMERAS_MAX = 8
SEGMENTS_MAX = 2700  # of one session: half an hour of three cameras in pieces of two seconds
CameraName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9A-Za-z_-]+$")]
SegmentIndex = Annotated[int, Field(ge=0, lt=SEGMENTS_MAX)]
AnnouncedBytes = Annotated[int, Field(ge=1, le=WHOLE_MAX, json_schema_extra={"maximum": SEGMENT_BYTES_MAX})]
"""More is refused with 413, and not as a mistake of form."""
PublicKey = Annotated[str, Field(min_length=44, max_length=44, description="32 bytes of Ed25519 in standard base64")]


class Enrolment(Asks):
    """A machine takes its place."""

    claim_code: Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[ -~]+$")]
    public_key_b64: PublicKey
    name: Name | None = Field(default=None, description="what the machine calls itself")


class Enrolled(Says):
    """The device that the machine is now."""

    device_id: str
    kid: str = Field(description="names the key in the header of every JWT")
    tenant_id: str
    site_id: str
    server_public_key_b64: str = Field(description="Ed25519; commands are signed with it")
    server_ns: int


class NextKey(Asks):
    """The key that a device will sign with from now on."""

    public_key_b64: PublicKey


class KeyAdded(Says):
    """The key is known; the one before stays valid for 30 days."""

    kid: str


class Beat(Asks):
    """A heartbeat."""

    boot_id: Id = Field(description="names this start of the device")
    seq: Seq = Field(description="rises by one within a boot")
    at_ns: AtNs
    door: Literal["locked", "unlocked", "open", "closed"]
    camera_ok: bool
    temperature_c: Annotated[float, Field(ge=-100, le=200, allow_inf_nan=False)] | None
    spool_sessions: Count
    spool_bytes: Count


class DeviceConfig(Says):
    """How a device shall record."""

    blur_faces: bool
    clip_height_px: int
    segment_s: float


class BeatTaken(Says):
    """The heartbeat was taken."""

    server_ns: int
    config: DeviceConfig


class SignedCommand(Says):
    """A command."""

    seq: int
    token: str = Field(description="JWT EdDSA by the server's key; aud is the device; expires in 10 s")


class Commands(Says):
    """Commands that the device has not answered."""

    commands: list[SignedCommand]


class Acknowledgement(Asks):
    """What the device made of a command."""

    boot_id: Id
    at_ns: AtNs
    result: Literal["unlocked", "refused"]
    reason: Reason | None = None


class Acknowledged(Says):
    """The answer that is kept: the first one."""

    seq: int
    result: Literal["unlocked", "refused"]


class Happening(Asks):
    """One event of the door or a camera."""

    seq: Annotated[int, Field(ge=1, le=WHOLE_MAX, description="from 1, rises by one within a boot")]
    kind: Literal["door_opened", "door_closed", "locked", "forced", "camera_dead", "camera_back"]
    at_ns: AtNs
    session_id: Id | None


class Happenings(Asks):
    """Events of one boot, in any order, with repetitions."""

    boot_id: Id
    events: Annotated[list[Happening], Field(min_length=1, max_length=EVENTS_MAX)]


class HappeningsTaken(Says):
    """How far the boot is known."""

    accepted_to: int = Field(description="every event up to this number took effect and may be forgotten")
    missing: list[int] = Field(description="numbers that must come before later ones take effect")


class ManifestSegment(Asks):
    """One segment that was recorded."""

    index: SegmentIndex
    sha256: Sha256
    length: Annotated[int, Field(ge=1, le=SEGMENT_BYTES_MAX)]
    pts_start_ns: Count
    pts_end_ns: Count


class ManifestCamera(Asks):
    """The segments of one camera."""

    camera: CameraName
    segments: Annotated[list[ManifestSegment], Field(max_length=SEGMENTS_MAX)]


class ManifestBody(Asks):
    """Everything that was recorded of a session."""

    boot_id: Id
    opened_ns: AtNs
    closed_ns: AtNs
    cameras: Annotated[list[ManifestCamera], Field(min_length=1, max_length=CAMERAS_MAX)]


class MissingSegment(Says):
    """A segment that has not been stored."""

    camera: str
    index: int


class ManifestTaken(Says):
    """The manifest was taken."""

    missing: list[MissingSegment]


class Announcement(Asks):
    """A segment that the device wants to upload."""

    session_id: Id
    camera: CameraName
    index: SegmentIndex
    sha256: Sha256
    length: AnnouncedBytes


class UploadOpened(Says):
    """An upload."""

    upload_id: str
    offset: int = Field(description="bytes that are on disk; go on there")
    complete: bool = Field(description="stored and verified; the device may forget the segment")


class UploadProgress(Says):
    """How far an upload is."""

    offset: int
    complete: bool = Field(description="every byte has come, and they are the announced ones")
    verified: bool = Field(
        description="stored under its digest, and the session knows; the device may forget the segment"
    )
