"""Fixtures of real services; each skips with its reason only where the service cannot be had on this machine."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.services import postgres, s3

HOW = "tools/install_test_services.sh installs it"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Postgres]:
    """A running PostgreSQL of this test process.

    Its folder is not one of pytest's: those are made private whenever another session starts, and the server, which may not be root, dies.
    """
    with (
        tempfile.TemporaryDirectory(prefix="fleetsight-postgres-") as folder,
        postgres.running(Path(folder) / "cluster") as server,
    ):
        if isinstance(server, str):
            pytest.skip(server)
        yield server


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """1, 2, 3, …: names for what one test alone uses."""
    return itertools.count(1)


@pytest.fixture
def postgres_url(postgres_server: postgres.Postgres, numbers: Iterator[int]) -> Iterator[str]:
    """``postgresql://…`` of an empty database that this test alone uses."""
    name = f"test_{next(numbers)}"
    postgres_server.run(f"create database {name}")
    yield postgres_server.url(name)
    postgres_server.run(f"drop database if exists {name} with (force)")


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """Where an S3 API listens."""
    with s3.running() as address:
        yield address


@pytest.fixture
def s3_url(s3_address: str, numbers: Iterator[int]) -> str:
    """``s3://bucket/prefix`` of an empty bucket that this test alone uses."""
    bucket = f"bucket-{next(numbers)}"
    s3.make_bucket(s3_address, bucket)
    return f"s3://{bucket}/blobs"


@pytest.fixture(scope="session")
def s3_options(s3_address: str) -> Mapping[str, str]:
    """Endpoint, keys and region that go with `s3_url`."""
    return s3.options(s3_address)


def program(*names: str) -> Path:
    """The first of these programs that is installed."""
    for name in names:
        if found := shutil.which(name):
            return Path(found)
    pytest.skip(f"{names[0]} is not installed ({HOW})")


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """The browser that tests of pages drive."""
    return program("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def prometheus_binary() -> Path:
    """The Prometheus server; `promtool` lies beside it."""
    return program("prometheus")
