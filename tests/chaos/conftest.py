"""The forge and the template that every case starts from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.forge import Forge
from tests.chaos.shop import Shop, Template


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    with Forge() as forge:
        yield forge


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template.make(tmp_path_factory.mktemp("template"))


@pytest.fixture
def shop(template: Template, forge: Forge, tmp_path: Path) -> Iterator[Shop]:
    """A shop of its own, whose service is ended afterwards."""
    shop = Shop.copy(template, tmp_path / "shop", forge)
    yield shop
    shop.end()
