"""An Ed25519 private key in a file that only its owner may read: made once, whoever asks first."""

import os
import secrets
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.errors import Error


class KeyFileError(Error):
    """A key file that cannot be trusted."""

    code = "key_file"


def open_key(path: Path) -> Ed25519PrivateKey:
    """Read the key, or make one when there is none; two processes may call this at once.

    Args:
        path: a PEM file (PKCS#8); its folder exists.
    Returns:
        the key.
    Raises:
        KeyFileError: others may read the file, or it holds no Ed25519 key.
    """
    if not path.exists():
        _write_new(path)
    if path.stat().st_mode & 0o077:
        raise KeyFileError(f"others may read {path}", hint=f"chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileError(f"{path} holds no private key: {error}", hint="restore it from a backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError(f"{path} holds a {type(key).__name__}, expected Ed25519", hint="restore it from a backup")
    return key


def _write_new(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # fails where another process was first, and then that one's key is the key
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        draft.unlink()
