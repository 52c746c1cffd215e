"""What devices call to upload segments: announce, send pieces, ask how far it is."""

from functools import partial
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Header, Request, Response

from fleetsight.web.api import device_bodies as body
from fleetsight.web.api.fields import WHOLE_MAX, IdInPath
from fleetsight.web.gate.guarded import GuardedRoute, allow, device, services_here
from fleetsight.web.gate.principal import Access, DeviceCaller
from fleetsight.web.problems import INVALID, Problem, problem_responses, too_many
from fleetsight.web.services import Services
from fleetsight.web.uploads.desk import PIECE_BYTES_MAX
from fleetsight.web.uploads.rows import Announced, Upload, UploadState

BYTES = "application/octet-stream"
Here = Annotated[Services, Depends(services_here)]
Who = Annotated[DeviceCaller, Depends(device)]
UploadOffset = Annotated[
    int, Header(alias="Upload-Offset", ge=0, le=WHOLE_MAX, description="how many bytes came before this piece")
]
router = APIRouter(route_class=GuardedRoute, tags=["devices"])


@router.post(
    "/v1/device/uploads",
    status_code=201,
    responses={200: {"model": body.UploadOpened, "description": "known already"}, **problem_responses(404, 409, 507)},
)
@allow(Access.DEVICE)
def announce(sent: body.Announcement, who: Who, *, services: Here, response: Response) -> body.UploadOpened:
    """Open an upload, or find out how far the one for the same bytes is."""
    desk = services.upload_desk
    upload, fresh = desk.announce(who.key.device, Announced(**sent.model_dump()))
    if upload.complete and upload.state is UploadState.OPEN:
        upload = desk.state(who.key.device, upload.upload_id)
    if not fresh:
        response.status_code = 200
    return body.UploadOpened(
        upload_id=upload.upload_id, offset=upload.received, complete=upload.state is UploadState.STORED
    )


@router.patch(
    "/v1/device/uploads/{upload_id}",
    responses=problem_responses(409, 507),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {BYTES: {"schema": {"type": "string", "format": "binary", "minLength": 1}}},
        }
    },
)
@allow(Access.DEVICE, media=BYTES, body_bytes_max=PIECE_BYTES_MAX)
async def append(
    request: Request, upload_id: IdInPath, *, who: Who, services: Here, upload_offset: UploadOffset
) -> body.UploadProgress:
    """Send the next piece, at most 4 MiB; it is on disk when the answer comes."""
    chunk = await request.body()
    if not chunk:
        raise Problem(INVALID, "an empty piece")
    wait_s = request.app.state.limiter.take(services.rates.upload_bytes, who.name, cost=float(len(chunk)))
    if wait_s > 0:
        raise too_many(services.rates.upload_bytes.name, wait_s)
    work = partial(services.upload_desk.append, who.key.device, upload_id, offset=upload_offset, chunk=chunk)
    return _progress(await to_thread.run_sync(work, limiter=request.app.state.upload_threads))


@router.get("/v1/device/uploads/{upload_id}", responses=problem_responses(409, 507))
@allow(Access.DEVICE)
def progress(upload_id: IdInPath, who: Who, *, services: Here) -> body.UploadProgress:
    """Ask how far an upload is."""
    return _progress(services.upload_desk.state(who.key.device, upload_id))


def _progress(upload: Upload) -> body.UploadProgress:
    stored = upload.state is UploadState.STORED
    return body.UploadProgress(offset=upload.received, complete=stored, verified=stored)
