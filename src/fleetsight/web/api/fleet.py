"""What people call to run sites and devices: prices, claim codes, revocation, maintenance, assortments."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool

from fleetsight.billing.prices import PriceEntry, PriceError, PriceList, publish
from fleetsight.fleet.assortment import TAR_BYTES_MAX, publish_assortment
from fleetsight.fleet.devices import registry
from fleetsight.fleet.devices.registry import Device
from fleetsight.fleet.sites import add_site, find_site
from fleetsight.money import Money
from fleetsight.store.ids import new_id
from fleetsight.web.api import operator_bodies as body
from fleetsight.web.api.fields import IdInPath
from fleetsight.web.gate.guarded import GuardedRoute, allow, operator, services_here
from fleetsight.web.gate.intake import Patience, check_length, pieces
from fleetsight.web.gate.principal import Access, OperatorCaller
from fleetsight.web.problems import INVALID, NOT_FOUND, WRONG_MEDIA, Kind, Problem, conflict, problem_responses
from fleetsight.web.services import Services

TAR = "application/x-tar"
TAR_PATIENCE = Patience(pause_s=15.0, whole_s=600.0)
Here = Annotated[Services, Depends(services_here)]
Who = Annotated[OperatorCaller, Depends(operator)]
router = APIRouter(route_class=GuardedRoute, tags=["fleet"])


@router.post("/v1/operator/sites", status_code=201)
@allow(Access.OPERATOR)
def make_site(sent: body.NewSite, who: Who, *, services: Here) -> body.SiteMade:
    """Add a site."""
    with services.rows.transaction() as connection:
        site = add_site(connection, who.tenant_id, name=sent.name, now_ns=services.clock.now_ns())
    return body.SiteMade(site_id=site.site_id)


@router.put("/v1/operator/sites/{site_id}/prices", responses=problem_responses(409))
@allow(Access.ADMIN, body_bytes_max=1 << 20)
def set_prices(site_id: IdInPath, sent: body.Prices, *, who: Who, services: Here) -> body.PricesSet:
    """Publish a price list; it replaces the one before from its moment on, and never changes."""
    entries = {
        entry.sku: PriceEntry(Money(entry.gross_minor, sent.currency), entry.tax_rate_bp) for entry in sent.entries
    }
    if len(entries) != len(sent.entries):
        raise conflict("sku_twice", "a SKU has two prices", hint="send one price for each SKU")
    now_ns = services.clock.now_ns()
    with services.rows.transaction() as connection:
        if find_site(connection, who.tenant_id, site_id=site_id) is None:
            raise Problem(NOT_FOUND)
        draft = PriceList(
            id=new_id(),
            tenant_id=who.tenant_id,
            site_id=site_id,
            currency=sent.currency,
            valid_from_ns=sent.valid_from_ns,
            valid_to_ns=None,
            entries=entries,
        )
        try:
            kept = publish(connection, draft, now_ns=now_ns)
        except PriceError as error:
            raise Problem(Kind(422, error.code, error.message, error.hint or INVALID.hint)) from error
    return body.PricesSet(price_list_id=kept.id, valid_from_ns=kept.valid_from_ns, entries=len(kept.entries))


@router.post("/v1/operator/devices", status_code=201, responses=problem_responses(404))
@allow(Access.OPERATOR)
def make_device(sent: body.NewDevice, who: Who, *, services: Here) -> body.DeviceMade:
    """Make a device that a machine can claim within ten minutes."""
    with services.rows.transaction() as connection:
        made = registry.add_device(
            connection, who.tenant_id, site_id=sent.site_id, name=sent.name, now_ns=services.clock.now_ns()
        )
    if made is None:
        raise Problem(NOT_FOUND)
    device, claim_code = made
    return body.DeviceMade(device_id=device.device_id, claim_code=claim_code)


@router.post("/v1/operator/devices/{device_id}/revoke")
@allow(Access.ADMIN)
def revoke(device_id: IdInPath, who: Who, *, services: Here) -> body.DeviceRevoked:
    """Shut a device out for good, with all its keys."""
    with services.rows.transaction() as connection:
        known = registry.revoke_device(connection, who.tenant_id, device_id=device_id, now_ns=services.clock.now_ns())
    if not known:
        raise Problem(NOT_FOUND)
    return body.DeviceRevoked(device_id=device_id, revoked=True)


@router.put("/v1/operator/devices/{device_id}/maintenance")
@allow(Access.OPERATOR)
def maintain(device_id: IdInPath, sent: body.Maintenance, *, who: Who, services: Here) -> body.MaintenanceSet:
    """Lock a device for shoppers, or open it again."""
    with services.rows.transaction() as connection:
        device = registry.find_device(connection, who.tenant_id, device_id=device_id)
        if device is None:
            raise Problem(NOT_FOUND)
        registry.set_maintenance(connection, device, reason=sent.reason)
    return body.MaintenanceSet(device_id=device_id, reason=sent.reason)


@router.put(
    "/v1/operator/devices/{device_id}/assortment",
    responses=problem_responses(409, 507),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {TAR: {"schema": {"type": "string", "format": "binary", "minLength": 1}}},
        }
    },
)
@allow(Access.OPERATOR, media=TAR, streamed=True)
async def set_assortment(request: Request, device_id: IdInPath, *, who: Who, services: Here) -> body.AssortmentSet:
    """Say what a device sells and where it stands: a tar of `catalog/` and `planogram.json`, at most 64 MiB."""
    check_length(request, bytes_max=TAR_BYTES_MAX)
    if request.headers.get("content-type", "").strip().lower() != TAR:
        raise Problem(WRONG_MEDIA, f"expected {TAR}")
    device = await run_in_threadpool(_device, services, who, device_id)
    with tempfile.NamedTemporaryFile(prefix="assortment-", suffix=".tar") as file:
        async for piece in pieces(request, bytes_max=TAR_BYTES_MAX, patience=TAR_PATIENCE):
            await run_in_threadpool(file.write, piece)
        await run_in_threadpool(file.flush)
        work = partial(
            publish_assortment,
            services.rows,
            services.blobs,
            device=device,
            tar=Path(file.name),
            now_ns=services.clock.now_ns(),
        )
        kept = await run_in_threadpool(work)
    return body.AssortmentSet(version=kept.version, digest=kept.digest, sku_count=kept.sku_count)


def _device(services: Services, who: OperatorCaller, device_id: str) -> Device:
    with services.rows.reading() as connection:
        device = registry.find_device(connection, who.tenant_id, device_id=device_id)
    if device is None:
        raise Problem(NOT_FOUND)
    if device.revoked_ns is not None:
        raise conflict("device_revoked", "the device is shut out for good", hint="make a new device")
    return device
