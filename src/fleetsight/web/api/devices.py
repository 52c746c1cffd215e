"""What devices call: enrolment, heartbeats, commands, events, manifests. Uploads have their own module.

Every request but the enrolment is signed by the device (`Access.DEVICE`): the signature covers the body and counts once.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from fleetsight.apps.cooler.session import answers
from fleetsight.apps.cooler.session.machine.session import Segment
from fleetsight.apps.cooler.session.machine.transition import Refused
from fleetsight.fleet.devices import heartbeats, registry, unlocks
from fleetsight.fleet.devices.events import DeviceEvent
from fleetsight.web.api import device_bodies as body
from fleetsight.web.api.fields import WHOLE_MAX
from fleetsight.web.gate.guarded import GuardedRoute, allow, device, services_here
from fleetsight.web.gate.principal import Access, DeviceCaller
from fleetsight.web.listening import Listening
from fleetsight.web.problems import NOT_FOUND, Kind, Problem, conflict, problem_responses
from fleetsight.web.services import Services

POLL_S_MAX = 25.0
CLIP_HEIGHT_PX = 360
"""What the detector was trained on and the sandbox decodes fastest; devices scale before they upload."""
SEGMENT_S = 2.0
EVENTS_BYTES_MAX = 128 << 10
MANIFEST_BYTES_MAX = 4 << 20
Here = Annotated[Services, Depends(services_here)]
Who = Annotated[DeviceCaller, Depends(device)]
BAD_CLAIM = Kind(
    404,
    "claim_refused",
    "the claim code is unknown, expired or used, or the key is no new Ed25519 key",
    "make the device anew in the fleet page and type its code within ten minutes",
)
router = APIRouter(route_class=GuardedRoute, tags=["devices"])


@router.post("/v1/enrolments", status_code=201, responses=problem_responses(404))
@allow(Access.PUBLIC, rate="guesses")
def enrol(sent: body.Enrolment, services: Here) -> body.Enrolled:
    """Take a device's place with a claim code; once, but repeatable with the same key while the code lasts."""
    now_ns = services.clock.now_ns()
    with services.rows.transaction() as connection:
        key = registry.enrol(
            connection, sent.claim_code, public_key_b64=sent.public_key_b64, hardware=sent.name, now_ns=now_ns
        )
    if key is None:
        raise Problem(BAD_CLAIM)
    return body.Enrolled(
        device_id=key.device.device_id,
        kid=key.kid,
        tenant_id=key.device.tenant_id,
        site_id=key.device.site_id,
        server_public_key_b64=services.server_key.public_key_b64,
        server_ns=now_ns,
    )


@router.post("/v1/device/keys", status_code=201, responses=problem_responses(409))
@allow(Access.DEVICE)
def add_key(sent: body.NextKey, who: Who, *, services: Here) -> body.KeyAdded:
    """Add the key that the device will sign with from now on."""
    with services.rows.transaction() as connection:
        kid = registry.add_key(
            connection, who.key.device, public_key_b64=sent.public_key_b64, now_ns=services.clock.now_ns()
        )
    if kid is None:
        raise conflict("key_refused", "this is no Ed25519 key, or was one before", hint="make a new key")
    return body.KeyAdded(kid=kid)


@router.post("/v1/device/heartbeat")
@allow(Access.DEVICE)
def beat(sent: body.Beat, who: Who, *, services: Here) -> body.BeatTaken:
    """Say how the device is; the answer says what time it is and how to record."""
    now_ns = services.clock.now_ns()
    heartbeat = heartbeats.Heartbeat(**sent.model_dump())
    with services.rows.transaction() as connection:
        heartbeats.beat(connection, who.key, heartbeat=heartbeat, signed_ns=who.claims.issued_ns, now_ns=now_ns)
    config = body.DeviceConfig(blur_faces=services.blur_faces, clip_height_px=CLIP_HEIGHT_PX, segment_s=SEGMENT_S)
    return body.BeatTaken(server_ns=now_ns, config=config)


@router.get("/v1/device/commands")
@allow(Access.DEVICE)
async def commands(
    request: Request,
    who: Who,
    *,
    after: Annotated[int, Query(ge=0, le=WHOLE_MAX, description="the last number the device has seen")],
    wait_s: Annotated[float, Query(ge=0, le=POLL_S_MAX, allow_inf_nan=False, description="long poll")] = 0.0,
) -> body.Commands:
    """Wait for commands with higher numbers; one poll per device waits, the next one releases it."""
    listening: Listening = request.app.state.listening
    found = await listening.commands(who.key.device.device_id, after=after, wait_s=wait_s)
    return body.Commands(commands=[body.SignedCommand(seq=command.seq, token=command.token) for command in found])


@router.post("/v1/device/commands/{seq}/ack")
@allow(Access.DEVICE)
def acknowledge(seq: int, sent: body.Acknowledgement, *, who: Who, services: Here) -> body.Acknowledged:
    """Say what the device made of a command; the first answer stays."""
    if not 0 <= seq <= WHOLE_MAX:
        raise Problem(NOT_FOUND)
    here = who.key.device
    with services.rows.transaction() as connection:
        kept = unlocks.acknowledge(
            connection,
            here.device_id,
            seq=seq,
            told=unlocks.Told(sent.result, sent.reason),
            now_ns=services.clock.now_ns(),
        )
    if kept is None:
        raise Problem(NOT_FOUND)
    services.sessions.acknowledge(
        answers.Acknowledgement(
            tenant_id=here.tenant_id,
            device_id=here.device_id,
            session_id=kept.session_id,
            seq=seq,
            boot_id=sent.boot_id,
            unlocked=kept.result == "unlocked",
            at_ns=sent.at_ns,
            reason=kept.reason or "",
        )
    )
    return body.Acknowledged(seq=seq, result="unlocked" if kept.result == "unlocked" else "refused")


@router.post("/v1/device/events")
@allow(Access.DEVICE, body_bytes_max=EVENTS_BYTES_MAX)
def events(sent: body.Happenings, who: Who, *, services: Here) -> body.HappeningsTaken:
    """Report what the door and the cameras did; every event takes effect once, in the order of its boot."""
    received = services.event_log.receive(
        who.key,
        sent.boot_id,
        events=[DeviceEvent(event.seq, event.kind, event.at_ns, event.session_id) for event in sent.events],
    )
    return body.HappeningsTaken(accepted_to=received.accepted_to, missing=list(received.missing))


@router.put("/v1/device/sessions/{session_id}/manifest", responses=problem_responses(409))
@allow(Access.DEVICE, body_bytes_max=MANIFEST_BYTES_MAX)
def manifest(session_id: str, sent: body.ManifestBody, *, who: Who, services: Here) -> body.ManifestTaken:
    """List every segment of a session; the answer lists those that are not stored yet."""
    here = who.key.device
    segments = tuple(
        Segment(
            camera=camera.camera,
            index=segment.index,
            sha256=segment.sha256,
            length=segment.length,
            pts_start_ns=segment.pts_start_ns,
            pts_end_ns=segment.pts_end_ns,
        )
        for camera in sent.cameras
        for segment in camera.segments
    )
    if len({(segment.camera, segment.index) for segment in segments}) != len(segments):
        raise conflict("segment_twice", "the manifest lists a segment twice", hint="list each once")
    missing = services.sessions.manifest(answers.Manifest(here.tenant_id, here.device_id, session_id, segments))
    if isinstance(missing, answers.Missing):
        raise Problem(NOT_FOUND)
    if isinstance(missing, Refused):
        raise conflict(missing.code.value, missing.reason, hint="the session takes no manifest now")
    return body.ManifestTaken(missing=[body.MissingSegment(camera=part.camera, index=part.index) for part in missing])
