"""Who a device is: a key that is made on it and never leaves it, and what the server said when the device was enrolled."""

import base64
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from fleetsight.apps.cooler.device.durable import DeviceDataError, make_folder, read_json, write_durably, write_json
from fleetsight.errors import Error

KEY_FILE = "device.pem"
IDENTITY_FILE = "identity.json"


class NotEnrolledError(Error):
    """The device does not know a server yet."""

    code = "device_not_enrolled"


@dataclass(frozen=True, slots=True)
class Identity:
    """What the server said when the device was enrolled.

    Attributes:
        server_url: where the server is, without a slash at the end.
        device_id: the device's name there.
        kid: the name of the device's key.
        tenant_id: to whom it belongs.
        site_id: where it stands.
        server_public_key_b64: the Ed25519 key that signs commands, 32 bytes in base 64.
    """

    server_url: str
    device_id: str
    kid: str
    tenant_id: str
    site_id: str
    server_public_key_b64: str

    @property
    def server_public_key(self) -> Ed25519PublicKey:
        """The key that signs commands."""
        try:
            return Ed25519PublicKey.from_public_bytes(base64.b64decode(self.server_public_key_b64, validate=True))
        except ValueError as error:
            raise DeviceDataError(
                f"{self.server_public_key_b64!r} is no Ed25519 key", hint="enrol the device anew"
            ) from error


def load_or_make_key(folder: Path) -> Ed25519PrivateKey:
    """The device's key; made on the first call, readable by its owner only.

    Args:
        folder: the device's data folder; made when it is missing.
    Returns:
        the private key.
    Raises:
        DeviceDataError: the file holds no Ed25519 key.
    """
    path = folder / KEY_FILE
    if not path.is_file():
        make_folder(folder)
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_durably(path, pem, mode=0o600)
        return key
    try:
        found = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise DeviceDataError(f"{path} holds no key: {error}", hint="delete it and enrol the device anew") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise DeviceDataError(f"{path} holds no Ed25519 key", hint="delete it and enrol the device anew")
    return found


def public_key_b64(key: Ed25519PrivateKey) -> str:
    """The public half, as the server wants it.

    Args:
        key: the device's key.
    Returns:
        32 bytes in base 64, 44 characters.
    """
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def keep_identity(folder: Path, identity: Identity) -> None:
    """Write down what the server said.

    Args:
        folder: the device's data folder.
        identity: what it said.
    """
    write_json(folder / IDENTITY_FILE, asdict(identity))


def find_identity(folder: Path) -> Identity | None:
    """Read what the server said.

    Args:
        folder: the device's data folder.
    Returns:
        the identity, or None when the device was never enrolled.
    Raises:
        DeviceDataError: the file holds something else.
    """
    kept = read_json(folder / IDENTITY_FILE)
    if kept is None:
        return None
    try:
        return Identity(**kept)
    except TypeError as error:
        raise DeviceDataError(f"{folder / IDENTITY_FILE}: {error}", hint="enrol the device anew") from error
