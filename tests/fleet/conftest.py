"""A database with the tables of every package, a clock that stands, and a tenant with a site and a device."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetsight.clock import VirtualClock
from fleetsight.fleet import tables
from fleetsight.store.rows import METADATA, Rows
from tests.fleet.machine import START_NS, Machine, enrolled

assert tables.DEVICES.metadata is METADATA


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START_NS)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    opened = Rows.open(f"sqlite:///{tmp_path / 'fleet.db'}")
    METADATA.create_all(opened.engine)
    yield opened
    opened.close()


@pytest.fixture
def machine(rows: Rows, clock: VirtualClock) -> Machine:
    """An enrolled device of a tenant of its own."""
    return enrolled(rows, clock)
