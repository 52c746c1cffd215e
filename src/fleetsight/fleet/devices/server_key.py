"""The key with which the service signs what it tells devices."""

import base64
from pathlib import Path
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.store.key_file import open_key


class ServerKey:
    """An Ed25519 key of the service.

    Args:
        private_key: the key.
    """

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the key, or make one when there is none; two processes may call this at once.

        Args:
            path: a PEM file (PKCS#8); its folder exists.
        Returns:
            the key.
        Raises:
            KeyFileError: others may read the file, or it holds no Ed25519 key.
        """
        return cls(open_key(path))

    @property
    def public_key_b64(self) -> str:
        """The public half, 32 bytes in standard base64, which devices keep from their enrolment."""
        return base64.b64encode(self._private_key.public_key().public_bytes_raw()).decode()

    def sign(self, claims: dict[str, Any]) -> str:
        """Sign claims.

        Args:
            claims: plain JSON.
        Returns:
            a JWT with EdDSA.
        """
        return jwt.encode(claims, self._private_key, algorithm="EdDSA")
