"""The server's key is the one in its file, and signs what devices can verify."""

import base64
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ed25519

from fleetsight.fleet.devices.server_key import ServerKey


def test_the_key_is_the_one_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    assert ServerKey.open(path).public_key_b64 == ServerKey.open(path).public_key_b64


def test_devices_can_verify_what_it_signs(tmp_path: Path) -> None:
    key = ServerKey.open(tmp_path / "key.pem")
    public = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(key.public_key_b64))
    assert jwt.decode(key.sign({"seq": 7}), public, algorithms=["EdDSA"]) == {"seq": 7}
