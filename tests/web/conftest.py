"""A whole service in a folder of its own, and what the tests of fleet have."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.conftest import clock, machine, rows
from tests.web.world import Company, World, make_world

__all__ = ["clock", "machine", "rows"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = make_world(tmp_path)
    yield made
    made.rows.close()


@pytest.fixture
def company(world: World) -> Company:
    """A tenant that can trade at once."""
    return world.company()
