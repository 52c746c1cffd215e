"""The retailer publishes what the shelf shows."""

import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetsight.apps.cooler.device.identity import Identity
from fleetsight.apps.cooler.device.simulated_films import Film, Turn, film_of
from fleetsight.apps.cooler.device.simulated_retailer import Retailer, RetailerError, assortment_of
from fleetsight.catalog.planogram import Planogram
from fleetsight.catalog.sku import Catalog
from fleetsight.clock import SECOND_NS
from tests.apps.cooler.device.fake_server import CLAIM, OPERATOR, FakeService, running

TINY = Turn("look_and_return", 20_000, (160, 90))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="module")
def film(folder: Path) -> Film:
    return film_of(TINY, folder)


@pytest.fixture
def fake() -> Iterator[FakeService]:
    with running(FakeService()) as service:
        yield service


def identity(fake: FakeService) -> Identity:
    return Identity(fake.url, fake.device_id, "k", "t", "s1", "p")


def test_an_assortment_is_a_catalog_and_a_planogram_and_always_the_same_bytes(
    folder: Path, film: Film, tmp_path: Path
) -> None:
    packed = assortment_of(film.turn, folder).read_bytes()
    assert assortment_of(film.turn, tmp_path).read_bytes() == packed
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    catalog = Catalog.load(tmp_path / "out" / "catalog")
    assert {name: sku.price_minor for name, sku in catalog.skus.items()} == film.prices
    assert Planogram.load(tmp_path / "out" / "planogram.json").width_px == 160
    assert not (tmp_path / "out" / "truth.json").exists()


def test_shelf_and_prices_are_published(fake: FakeService, folder: Path, film: Film) -> None:
    retailer = Retailer(fake.url, OPERATOR)
    before_ns = time.time_ns()
    retailer.publish(identity(fake), film, folder=folder)
    retailer.close()
    assert fake.shelves == [assortment_of(film.turn, folder).read_bytes()]
    (prices,) = fake.prices
    assert prices["currency"] == "EUR"
    # Already holds: the server tells its time in whole seconds and may tell it a second late.
    assert before_ns - 2 * SECOND_NS <= prices["valid_from_ns"] <= time.time_ns()
    assert {row["sku"]: row["gross_minor"] for row in prices["entries"]} == film.prices
    assert json.dumps(prices)


def test_a_refusal_says_what_the_service_said(fake: FakeService, folder: Path, film: Film) -> None:
    stranger = Retailer(fake.url, "wrong")
    with pytest.raises(RetailerError, match="401"):
        stranger.publish(identity(fake), film, folder=folder)
    stranger.close()
    nobody = Retailer("http://127.0.0.1:9", OPERATOR)
    with pytest.raises(RetailerError, match="no answer"):
        nobody.add_site("nowhere")
    nobody.close()


def test_sites_and_devices_are_made(fake: FakeService) -> None:
    retailer = Retailer(fake.url, OPERATOR)
    site_id = retailer.add_site("Main street")
    assert retailer.add_device("Cooler", site_id=site_id) == (fake.device_id, CLAIM)
    retailer.close()
