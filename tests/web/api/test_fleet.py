"""Sites, prices, devices and assortments are set by those who may, in the form they must have."""

from typing import Any

import httpx
import pytest

from fleetsight.fleet.people import Role
from fleetsight.web.api import fleet
from tests.web.world import CATALOG, PLANOGRAM, Company, World, tar_of

TAR = {"Content-Type": "application/x-tar"}


def refusal(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def put_prices(world: World, company: Company, **changed: Any) -> httpx.Response:
    here = company.machine.device
    body = {
        "currency": "EUR",
        "valid_from_ns": world.clock.now_ns(),
        "entries": [{"sku": "cola", "gross_minor": 300, "tax_rate_bp": 1900}],
    }
    path = f"/v1/operator/sites/{here.site_id}/prices"
    return world.as_holder(company.tokens[Role.ADMIN], "PUT", path, json=body | changed)


def test_prices_are_published(world: World, company: Company) -> None:
    answer = put_prices(world, company)
    assert answer.status_code == 200
    assert answer.json()["entries"] == 1
    assert answer.json()["valid_from_ns"] == world.clock.now_ns()


def test_the_past_is_not_priced_again(world: World, company: Company) -> None:
    assert put_prices(world, company, valid_from_ns=0).json()["valid_from_ns"] == world.clock.now_ns()


@pytest.mark.parametrize(
    "changed",
    [
        {"entries": []},
        {"entries": [{"sku": "cola", "gross_minor": -1, "tax_rate_bp": 0}]},
        {"entries": [{"sku": "cola", "gross_minor": 1.5, "tax_rate_bp": 0}]},
        {"entries": [{"sku": "cola", "gross_minor": True, "tax_rate_bp": 0}]},
        {"entries": [{"sku": "cola", "gross_minor": 1, "tax_rate_bp": 10_001}]},
        {"entries": [{"sku": "", "gross_minor": 1, "tax_rate_bp": 0}]},
        {"currency": "eur"},
        {"currency": "EURO"},
        {"site_id": "another"},
    ],
)
def test_prices_have_their_form_or_are_refused(world: World, company: Company, changed: dict[str, Any]) -> None:
    assert refusal(put_prices(world, company, **changed)) == (422, "invalid")


def test_two_prices_of_one_sku_are_refused(world: World, company: Company) -> None:
    entries = [{"sku": "cola", "gross_minor": 1, "tax_rate_bp": 0}] * 2
    assert refusal(put_prices(world, company, entries=entries)) == (409, "sku_twice")


def put_assortment(
    world: World, company: Company, data: bytes, headers: dict[str, str] | None = None
) -> httpx.Response:
    path = f"/v1/operator/devices/{company.machine.device.device_id}/assortment"
    return world.as_holder(company.tokens[Role.OPERATOR], "PUT", path, content=data, headers=headers or TAR)


def test_an_assortment_is_numbered(world: World, company: Company) -> None:
    data = tar_of({"catalog/catalog.json": CATALOG, "planogram.json": PLANOGRAM, "catalog/a.png": b"x"})
    first, again = put_assortment(world, company, data), put_assortment(world, company, data)
    assert first.status_code == 200, first.text
    assert first.json() == again.json()
    assert (first.json()["version"], first.json()["sku_count"]) == (2, 2)


def test_a_tar_that_is_none_or_leads_elsewhere_is_refused(world: World, company: Company) -> None:
    for data in (b"", b"nonsense", tar_of({"../../x.json": {}}), tar_of({"planogram.json": PLANOGRAM})):
        answer = put_assortment(world, company, data)
        assert answer.status_code == 422
        assert answer.json()["code"] in {"assortment", "catalog"}
        assert answer.json()["hint"]
    assert refusal(put_assortment(world, company, b"{}", {"Content-Type": "application/json"})) == (
        415,
        "wrong_media_type",
    )


def test_a_tar_that_is_too_large_is_refused(world: World, company: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "TAR_BYTES_MAX", 1000)
    assert refusal(put_assortment(world, company, bytes(1001))) == (413, "too_large")


def test_a_revoked_device_gets_no_assortment(world: World, company: Company) -> None:
    path = f"/v1/operator/devices/{company.machine.device.device_id}/revoke"
    for _ in range(2):
        assert world.as_holder(company.tokens[Role.ADMIN], "POST", path).json()["revoked"] is True
    assert refusal(put_assortment(world, company, b"")) == (409, "device_revoked")
