"""Tenants: the companies whose coolers, people, shoppers and money never meet."""

from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.fleet.tables import TENANTS
from fleetsight.store.ids import new_id


@dataclass(frozen=True)
class Tenant:
    """One company.

    Attributes:
        tenant_id: UUID.
        name: for people.
    """

    tenant_id: str
    name: str


def add_tenant(connection: sa.Connection, name: str, *, now_ns: int) -> Tenant:
    """Add a company.

    Args:
        connection: of a write transaction.
        name: at most 200 characters.
        now_ns: now.
    Returns:
        the new tenant.
    """
    tenant = Tenant(new_id(), name)
    connection.execute(sa.insert(TENANTS).values(tenant_id=tenant.tenant_id, name=name, created_ns=now_ns))
    return tenant


def tenants(connection: sa.Connection) -> list[Tenant]:
    """Every company, the oldest first.

    Args:
        connection: reads.
    Returns:
        the tenants; the first is the one of an installation that serves a single company.
    """
    rows = connection.execute(sa.select(TENANTS).order_by(TENANTS.c.created_ns, TENANTS.c.tenant_id))
    return [Tenant(row.tenant_id, row.name) for row in rows]
