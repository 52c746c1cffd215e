"""A key, a cache and something to make, shared by the tests of artifacts."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel.artifacts.cache import ArtifactCache


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def cache(tmp_path: Path, key: Ed25519PrivateKey) -> ArtifactCache:
    return ArtifactCache(tmp_path / "cache", key)
