"""Shoppers: who opens doors and pays."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from fleetsight.fleet.tables import SHOPPERS
from fleetsight.fleet.tokens import Holder, HolderKind, holder_of, issue_token
from fleetsight.store.ids import new_id


@dataclass(frozen=True)
class Shopper:
    """A shopper of one tenant.

    Attributes:
        tenant_id: the tenant.
        shopper_id: UUID.
        name: for the shopper and the operator.
        method_kind: name of the payment provider: wallet, stripe.
        method_id: the means of payment, as the provider names it.
    """

    tenant_id: str
    shopper_id: str
    name: str
    method_kind: str
    method_id: str


@dataclass(frozen=True)
class Method:
    """A means of payment.

    Attributes:
        kind: name of the payment provider.
        method_id: as the provider names it; empty for the wallet, which is named by its shopper.
    """

    kind: str = "wallet"
    method_id: str = ""


def add_shopper(
    connection: sa.Connection, tenant_id: str, *, name: str, now_ns: int, method: Method | None = None
) -> tuple[Shopper, str]:
    """Register a shopper.

    Args:
        connection: of a write transaction.
        tenant_id: the tenant.
        name: at most 200 characters.
        now_ns: now.
        method: how they pay; by wallet when None.
    Returns:
        shopper: the shopper.
        token: what the shopper signs in with, shown once.
    """
    method = method or Method()
    shopper_id = new_id()
    shopper = Shopper(tenant_id, shopper_id, name, method.kind, method.method_id or shopper_id)
    connection.execute(
        sa.insert(SHOPPERS).values(
            tenant_id=tenant_id,
            shopper_id=shopper_id,
            name=name,
            method_kind=shopper.method_kind,
            method_id=shopper.method_id,
            created_ns=now_ns,
        )
    )
    return shopper, shopper_token(connection, shopper, now_ns=now_ns)


def shopper_token(connection: sa.Connection, shopper: Shopper, *, now_ns: int, lifetime_s: int | None = None) -> str:
    """Make a token that speaks for a shopper.

    Args:
        connection: of a write transaction.
        shopper: whom for.
        now_ns: now.
        lifetime_s: seconds; None for a token that lasts until it is revoked.
    Returns:
        the token, shown once.
    """
    holder = Holder(shopper.tenant_id, HolderKind.SHOPPER, shopper.shopper_id)
    return issue_token(connection, holder, now_ns=now_ns, lifetime_s=lifetime_s)


def shopper_of(connection: sa.Connection, token: str, *, now_ns: int) -> Shopper | None:
    """The shopper a token speaks for.

    Args:
        connection: reads.
        token: as it was sent; anything.
        now_ns: now.
    Returns:
        the shopper; None when the token is not a valid one of a shopper.
    """
    holder = holder_of(connection, token, now_ns=now_ns)
    if holder is None or holder.kind is not HolderKind.SHOPPER:
        return None
    row = connection.execute(
        sa.select(SHOPPERS).where(SHOPPERS.c.tenant_id == holder.tenant_id, SHOPPERS.c.shopper_id == holder.holder_id)
    ).first()
    return None if row is None else _shopper(row)


def shopper_names(connection: sa.Connection, tenant_id: str, *, shopper_ids: Iterable[str]) -> dict[str, str]:
    """Names of shoppers, for lists.

    Args:
        connection: reads.
        tenant_id: the tenant.
        shopper_ids: whose; a few hundred at most.
    Returns:
        name by id; ids that are not of the tenant are left out.
    """
    here = (SHOPPERS.c.tenant_id == tenant_id, SHOPPERS.c.shopper_id.in_(sorted(set(shopper_ids))))
    return {row.shopper_id: row.name for row in connection.execute(sa.select(SHOPPERS).where(*here))}


def who_pay_alike(connection: sa.Connection, shopper: Shopper) -> list[str]:
    """Everybody who pays with the same means: a second account does not pay the debts of the first.

    Args:
        connection: reads.
        shopper: one of them.
    Returns:
        their ids, this shopper's among them.
    """
    if shopper.method_id == shopper.shopper_id:  # a wallet is its owner's alone
        return [shopper.shopper_id]
    alike = (
        SHOPPERS.c.tenant_id == shopper.tenant_id,
        SHOPPERS.c.method_kind == shopper.method_kind,
        SHOPPERS.c.method_id == shopper.method_id,
    )
    return list(connection.execute(sa.select(SHOPPERS.c.shopper_id).where(*alike)).scalars())


def _shopper(row: Any) -> Shopper:
    return Shopper(row.tenant_id, row.shopper_id, row.name, row.method_kind, row.method_id)
