"""A machine for tests: it has a key, claims a device, and signs."""

import base64
import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.clock import SECOND_NS, Clock
from fleetsight.fleet.devices.registry import Device, DeviceKey, add_device, enrol, key_named, kid_of
from fleetsight.fleet.sites import add_site
from fleetsight.fleet.tenants import add_tenant
from fleetsight.store.rows import Rows

START_NS = 1_790_000_000 * SECOND_NS  # 2026-09-21


def new_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def public_b64(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


@dataclass
class Machine:
    """An enrolled machine."""

    device: Device
    clock: Clock
    private_key: Ed25519PrivateKey = field(default_factory=new_key)

    @property
    def kid(self) -> str:
        return kid_of(self.private_key.public_key())

    def key(self, rows: Rows) -> DeviceKey:
        with rows.reading() as connection:
            found = key_named(connection, self.kid, now_ns=self.clock.now_ns())
        assert found is not None
        return found

    def claims(self, body: bytes = b"", **changed: Any) -> dict[str, Any]:
        """Claims of a request with this body; None takes a claim out."""
        now_s = self.clock.now_ns() / SECOND_NS
        said = {
            "iss": self.device.device_id,
            "aud": "fleetsight",
            "iat": now_s,
            "exp": now_s + 50,
            "jti": uuid.uuid4().hex,
            "body_sha256": hashlib.sha256(body).hexdigest(),
        } | changed
        return {name: value for name, value in said.items() if value is not None}

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        return jwt.encode(claims, self.private_key, algorithm="EdDSA", headers={"kid": self.kid} | header)

    def token(self, body: bytes = b"", **changed: Any) -> str:
        return self.sign(self.claims(body, **changed))

    def qr(self, **changed: Any) -> str:
        now_s = self.clock.now_ns() / SECOND_NS
        said = {
            "iss": self.device.device_id,
            "aud": "fleetsight-qr",
            "nonce": uuid.uuid4().hex,
            "iat": now_s,
            "exp": now_s + 60,
        }
        return self.sign({name: value for name, value in (said | changed).items() if value is not None})


def enrolled(rows: Rows, clock: Clock, *, tenant_id: str = "", name: str = "cooler") -> Machine:
    """Make a device and enrol a machine for it, in a tenant of its own unless one is named."""
    key = new_key()
    now_ns = clock.now_ns()
    with rows.transaction() as connection:
        tenant_id = tenant_id or add_tenant(connection, "tenant", now_ns=now_ns).tenant_id
        site = add_site(connection, tenant_id, name="site", now_ns=now_ns)
        made = add_device(connection, tenant_id, site_id=site.site_id, name=name, now_ns=now_ns)
        assert made is not None
        device, code = made
        found = enrol(connection, code, public_key_b64=public_b64(key), hardware=None, now_ns=now_ns)
    assert found is not None
    return Machine(device, clock, key)
