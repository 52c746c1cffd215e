"""Devices and their keys: made by an operator, claimed once by a machine, and revoked for good.

An operator makes a device and gets a claim code. The machine makes its own Ed25519 key and shows the code with the public half; the
private half never leaves it. A key may be followed by another; the older one stays valid for a while so that nothing is cut off.
"""

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from fleetsight.clock import SECOND_NS
from fleetsight.fleet.tables import DEVICE_CLAIMS, DEVICE_KEYS, DEVICES, SITES
from fleetsight.store.ids import new_id
from fleetsight.store.rows import insert_if_absent

CLAIM_LIFETIME_S = 600
KEY_OVERLAP_S = 30 * 24 * 3600
"""How long a key stays valid after the next one came."""
KEYS_MAX = 2
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # no 0 O 1 I L U: people type it from a screen; 30 letters
_CLAIM_LETTERS = 12  # 30^12 is 59 bits: nobody guesses it in ten minutes


@dataclass(frozen=True)
class Device:
    """One cooler.

    Attributes:
        tenant_id: whose it is.
        device_id: UUID.
        site_id: where it stands.
        name: what the operator calls it.
        enrolled_ns: when a machine claimed it; None before.
        revoked_ns: when it was shut out; None while it is welcome.
        maintenance: why nobody may open it; None when shoppers may.
        too_warm_ns: since when it is locked because its food may have spoilt; None when it is not.
    """

    tenant_id: str
    device_id: str
    site_id: str
    name: str
    enrolled_ns: int | None = None
    revoked_ns: int | None = None
    maintenance: str | None = None
    too_warm_ns: int | None = None


@dataclass(frozen=True)
class DeviceKey:
    """A public key that may speak for a device now.

    Attributes:
        kid: its name, made from the key.
        device: the device.
        public_key: the key.
    """

    kid: str
    device: Device
    public_key: Ed25519PublicKey


def add_device(
    connection: sa.Connection, tenant_id: str, *, site_id: str, name: str, now_ns: int
) -> tuple[Device, str] | None:
    """Make a device that waits for its machine.

    Args:
        connection: of a write transaction.
        tenant_id: the tenant.
        site_id: where it will stand.
        name: at most 200 characters.
        now_ns: now.
    Returns:
        the device and its claim code, valid once for `CLAIM_LIFETIME_S`; None when the site is not one of the tenant.
    """
    at_site = (SITES.c.tenant_id == tenant_id, SITES.c.site_id == site_id)
    if connection.execute(sa.select(SITES.c.site_id).where(*at_site)).first() is None:
        return None
    device = Device(tenant_id, new_id(), site_id, name)
    connection.execute(
        sa.insert(DEVICES).values(
            tenant_id=tenant_id, device_id=device.device_id, site_id=site_id, name=name, created_ns=now_ns
        )
    )
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_CLAIM_LETTERS))
    code = "-".join(letters[start : start + 4] for start in range(0, _CLAIM_LETTERS, 4))
    connection.execute(
        sa.insert(DEVICE_CLAIMS).values(
            code_sha256=_digest_of_code(code),
            tenant_id=tenant_id,
            device_id=device.device_id,
            expires_ns=now_ns + CLAIM_LIFETIME_S * SECOND_NS,
        )
    )
    return device, code


def enrol(
    connection: sa.Connection, claim_code: str, *, public_key_b64: str, hardware: str | None, now_ns: int
) -> DeviceKey | None:
    """Let a machine take its place with a claim code.

    Args:
        connection: of a write transaction.
        claim_code: as the operator got it; case and dashes do not matter.
        public_key_b64: 32 bytes of Ed25519 in standard base64.
        hardware: what the machine calls itself.
        now_ns: now.
    Returns:
        the key; the same again when the machine repeats itself because the answer was lost. None when the code is unknown,
        expired or used by another key, or the key is no key or known already: the caller is not told which.
    """
    public_key = read_public_key(public_key_b64)
    if public_key is None:
        return None
    code = _digest_of_code(claim_code)
    claim = connection.execute(
        sa.select(DEVICE_CLAIMS)
        .where(DEVICE_CLAIMS.c.code_sha256 == code, DEVICE_CLAIMS.c.expires_ns > now_ns)
        .with_for_update()
    ).first()
    if claim is None:
        return None
    kid = kid_of(public_key)
    device = find_device(connection, claim.tenant_id, device_id=claim.device_id)
    if device is None or device.revoked_ns is not None:
        return None
    if claim.used_ns is not None:
        known = key_named(connection, kid, now_ns=now_ns)
        return known if known is not None and known.device.device_id == claim.device_id else None
    if not _insert_key(connection, device, kid=kid, public_key_b64=public_key_b64, now_ns=now_ns):
        return None
    connection.execute(sa.update(DEVICE_CLAIMS).where(DEVICE_CLAIMS.c.code_sha256 == code).values(used_ns=now_ns))
    connection.execute(sa.update(DEVICES).where(*_here(device)).values(enrolled_ns=now_ns, hardware=hardware))
    return DeviceKey(kid, device, public_key)


def add_key(connection: sa.Connection, device: Device, *, public_key_b64: str, now_ns: int) -> str | None:
    """Give a device its next key; the one before stays valid for `KEY_OVERLAP_S`, older ones end at once.

    Args:
        connection: of a write transaction.
        device: the device, which proved that it has a valid key.
        public_key_b64: the new key.
        now_ns: now.
    Returns:
        the new key's kid, also when it was added before; None when it is no key, or was ever the key of any device.
    """
    public_key = read_public_key(public_key_b64)
    if public_key is None:
        return None
    kid = kid_of(public_key)
    known = key_named(connection, kid, now_ns=now_ns)
    if known is not None and known.device.device_id == device.device_id:
        return kid
    if not _insert_key(connection, device, kid=kid, public_key_b64=public_key_b64, now_ns=now_ns):
        return None
    newest_first = (DEVICE_KEYS.c.expires_ns.is_(None).desc(), DEVICE_KEYS.c.created_ns.desc())
    valid = connection.execute(
        sa.select(DEVICE_KEYS.c.kid)
        .where(*_keys_of(device), DEVICE_KEYS.c.kid != kid, DEVICE_KEYS.c.revoked_ns.is_(None))
        .order_by(*newest_first)
    ).scalars()
    for place, older in enumerate(valid.all()):
        here = DEVICE_KEYS.c.kid == older
        if place < KEYS_MAX - 1:
            until_ns = now_ns + KEY_OVERLAP_S * SECOND_NS
            unlimited = sa.or_(DEVICE_KEYS.c.expires_ns.is_(None), DEVICE_KEYS.c.expires_ns > until_ns)
            connection.execute(sa.update(DEVICE_KEYS).where(here, unlimited).values(expires_ns=until_ns))
        else:
            connection.execute(sa.update(DEVICE_KEYS).where(here).values(revoked_ns=now_ns))
    return kid


def revoke_device(connection: sa.Connection, tenant_id: str, *, device_id: str, now_ns: int) -> bool:
    """Shut a device out, with all its keys and claim codes; it never comes back.

    Args:
        connection: of a write transaction.
        tenant_id: the tenant that asks.
        device_id: the device.
        now_ns: now.
    Returns:
        False when the tenant has no such device. True again when it was revoked before.
    """
    device = find_device(connection, tenant_id, device_id=device_id)
    if device is None:
        return False
    valid = (*_here(device), DEVICES.c.revoked_ns.is_(None))
    connection.execute(sa.update(DEVICES).where(*valid).values(revoked_ns=now_ns))
    keys = (*_keys_of(device), DEVICE_KEYS.c.revoked_ns.is_(None))
    connection.execute(sa.update(DEVICE_KEYS).where(*keys).values(revoked_ns=now_ns))
    claims = (DEVICE_CLAIMS.c.tenant_id == tenant_id, DEVICE_CLAIMS.c.device_id == device_id)
    connection.execute(sa.delete(DEVICE_CLAIMS).where(*claims))
    return True


def set_maintenance(connection: sa.Connection, device: Device, *, reason: str | None) -> None:
    """Lock a device for shoppers, or open it again; opening also clears the lock that warmth set.

    Args:
        connection: of a write transaction.
        device: the device.
        reason: why it is locked; None opens it.
    """
    values: dict[str, Any] = {"maintenance": reason}
    if reason is None:
        values |= {"too_warm_ns": None, "warm_since_ns": None}
    connection.execute(sa.update(DEVICES).where(*_here(device)).values(**values))


def find_device(connection: sa.Connection, tenant_id: str, *, device_id: str) -> Device | None:
    """A device of a tenant.

    Args:
        connection: reads.
        tenant_id: the tenant.
        device_id: anything.
    Returns:
        the device; None when the tenant has none of this id.
    """
    question = sa.select(DEVICES).where(DEVICES.c.tenant_id == tenant_id, DEVICES.c.device_id == device_id)
    row = connection.execute(question).first()
    return None if row is None else _device(row)


def devices_of(connection: sa.Connection, tenant_id: str) -> list[Device]:
    """Every device of a tenant, by name.

    Args:
        connection: reads.
        tenant_id: the tenant.
    Returns:
        the devices, the revoked ones too.
    """
    question = sa.select(DEVICES).where(DEVICES.c.tenant_id == tenant_id).order_by(DEVICES.c.name, DEVICES.c.device_id)
    return [_device(row) for row in connection.execute(question)]


def key_named(connection: sa.Connection, kid: str, *, now_ns: int) -> DeviceKey | None:
    """The key of a name, with its device, when it may speak now.

    Args:
        connection: reads.
        kid: as a token's header names it; anything.
        now_ns: now.
    Returns:
        the key; None when it is unknown, expired or revoked, or its device is.
    """
    question = (
        sa.select(DEVICE_KEYS.c.kid, DEVICE_KEYS.c.public_key_b64, DEVICES)
        .join(
            DEVICES,
            sa.and_(DEVICES.c.tenant_id == DEVICE_KEYS.c.tenant_id, DEVICES.c.device_id == DEVICE_KEYS.c.device_id),
        )
        .where(
            DEVICE_KEYS.c.kid == kid,
            DEVICE_KEYS.c.revoked_ns.is_(None),
            sa.or_(DEVICE_KEYS.c.expires_ns.is_(None), DEVICE_KEYS.c.expires_ns > now_ns),
            DEVICES.c.revoked_ns.is_(None),
        )
    )
    row = connection.execute(question).first()
    public_key = None if row is None else read_public_key(row.public_key_b64)
    return None if row is None or public_key is None else DeviceKey(row.kid, _device(row), public_key)


def read_public_key(text: str) -> Ed25519PublicKey | None:
    """Read a public key.

    Args:
        text: standard base64, anything.
    Returns:
        the key; None when the text is not 32 bytes in base64.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return Ed25519PublicKey.from_public_bytes(raw) if len(raw) == 32 else None


def kid_of(public_key: Ed25519PublicKey) -> str:
    """Name a key.

    Args:
        public_key: the key.
    Returns:
        the first 32 hexadecimal digits of the SHA-256 of its 32 bytes.
    """
    return hashlib.sha256(public_key.public_bytes_raw()).hexdigest()[:32]


def _insert_key(connection: sa.Connection, device: Device, *, kid: str, public_key_b64: str, now_ns: int) -> bool:
    values = {
        "kid": kid,
        "tenant_id": device.tenant_id,
        "device_id": device.device_id,
        "public_key_b64": public_key_b64,
        "created_ns": now_ns,
    }
    return insert_if_absent(connection, DEVICE_KEYS, values=values, keys=["kid"])


def _digest_of_code(code: str) -> str:
    plain = code.upper().replace("-", "").replace(" ", "")
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _here(device: Device) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return DEVICES.c.tenant_id == device.tenant_id, DEVICES.c.device_id == device.device_id


def _keys_of(device: Device) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return DEVICE_KEYS.c.tenant_id == device.tenant_id, DEVICE_KEYS.c.device_id == device.device_id


def _device(row: Any) -> Device:
    return Device(
        tenant_id=row.tenant_id,
        device_id=row.device_id,
        site_id=row.site_id,
        name=row.name,
        enrolled_ns=row.enrolled_ns,
        revoked_ns=row.revoked_ns,
        maintenance=row.maintenance,
        too_warm_ns=row.too_warm_ns,
    )
