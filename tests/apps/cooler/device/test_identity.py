"""A key of its own, and what the server said."""

import base64
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from fleetsight.apps.cooler.device.durable import DeviceDataError
from fleetsight.apps.cooler.device.identity import (
    IDENTITY_FILE,
    KEY_FILE,
    Identity,
    find_identity,
    keep_identity,
    load_or_make_key,
    public_key_b64,
)

SERVER_KEY = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
IDENTITY = Identity("http://127.0.0.1:1", "device-1", "kid1", "t1", "s1", SERVER_KEY)


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "device"
    first = load_or_make_key(folder)
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert public_key_b64(load_or_make_key(folder)) == public_key_b64(first)
    assert len(base64.b64decode(public_key_b64(first), validate=True)) == 32
    assert public_key_b64(load_or_make_key(tmp_path / "other")) != public_key_b64(first)


def test_a_file_that_is_no_ed25519_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_text("nonsense")
    with pytest.raises(DeviceDataError, match="no key"):
        load_or_make_key(tmp_path)
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / KEY_FILE).write_bytes(other)
    with pytest.raises(DeviceDataError, match="Ed25519"):
        load_or_make_key(tmp_path)


def test_an_identity_is_kept(tmp_path: Path) -> None:
    assert find_identity(tmp_path) is None
    keep_identity(tmp_path, IDENTITY)
    assert find_identity(tmp_path) == IDENTITY
    assert IDENTITY.server_public_key.public_bytes_raw() == base64.b64decode(SERVER_KEY)


def test_an_identity_that_was_edited_is_refused(tmp_path: Path) -> None:
    (tmp_path / IDENTITY_FILE).write_text('{"device_id": "x", "more": 1}')
    with pytest.raises(DeviceDataError, match="identity"):
        find_identity(tmp_path)
    with pytest.raises(DeviceDataError, match="no Ed25519 key"):
        _ = Identity("u", "d", "k", "t", "s", "short").server_public_key
