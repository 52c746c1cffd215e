"""The server's key is made once, read by its owner alone, and signs what devices can verify."""

import base64
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, x25519

from fleetsight.fleet.devices.server_key import ServerKey, ServerKeyError


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: ServerKey.open(path).public_key_b64, range(16)))
    assert len(set(keys)) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["key.pem"]


def test_devices_can_verify_what_it_signs(tmp_path: Path) -> None:
    key = ServerKey.open(tmp_path / "key.pem")
    public = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key_b64))
    assert jwt.decode(key.sign({"seq": 7}), public, algorithms=["EdDSA"]) == {"seq": 7}


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    ServerKey.open(path)
    path.chmod(0o640)
    with pytest.raises(ServerKeyError, match="others may read") as caught:
        ServerKey.open(path)
    assert "chmod 600" in caught.value.hint


def test_a_file_that_is_no_such_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.touch(0o600)
    path.write_bytes(b"nonsense")
    with pytest.raises(ServerKeyError, match="no private key"):
        ServerKey.open(path)
    other = x25519.X25519PrivateKey.generate()
    path.write_bytes(
        other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with pytest.raises(ServerKeyError, match="expected Ed25519"):
        ServerKey.open(path)
