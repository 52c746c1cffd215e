"""Sites: where coolers stand, and what things cost there."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.fleet.tables import SITES, TENANTS
from fleetsight.store.ids import new_id


@dataclass(frozen=True)
class Site:
    """A place with coolers and one price list at a time.

    Attributes:
        tenant_id: whose it is.
        site_id: UUID.
        name: for people.
    """

    tenant_id: str
    site_id: str
    name: str


def add_site(connection: sa.Connection, tenant_id: str, *, name: str, now_ns: int) -> Site:
    """Add a site.

    Args:
        connection: of a write transaction.
        tenant_id: the tenant.
        name: at most 200 characters.
        now_ns: now.
    Returns:
        the site, which sells nothing until it has prices.
    """
    site = Site(tenant_id, new_id(), name)
    values = {"tenant_id": tenant_id, "site_id": site.site_id, "name": name, "created_ns": now_ns}
    connection.execute(sa.insert(SITES).values(values))
    return site


def find_site(connection: sa.Connection, tenant_id: str, *, site_id: str) -> Site | None:
    """A site of a tenant.

    Args:
        connection: reads.
        tenant_id: the tenant.
        site_id: anything.
    Returns:
        the site; None when the tenant has none of this id.
    """
    here = (SITES.c.tenant_id == tenant_id, SITES.c.site_id == site_id)
    row = connection.execute(sa.select(SITES).where(*here)).first()
    return None if row is None else Site(row.tenant_id, row.site_id, row.name)


def sites_of(connection: sa.Connection, tenant_id: str) -> Mapping[str, Site]:
    """Every site of a tenant.

    Args:
        connection: reads.
        tenant_id: the tenant.
    Returns:
        by id, in order of their names.
    """
    question = sa.select(SITES).where(SITES.c.tenant_id == tenant_id).order_by(SITES.c.name, SITES.c.site_id)
    return {row.site_id: Site(row.tenant_id, row.site_id, row.name) for row in connection.execute(question)}


def wording(connection: sa.Connection, session: Session) -> tuple[str, str]:
    """Names for a receipt.

    Args:
        connection: reads.
        session: whose receipt.
    Returns:
        seller: name of the tenant.
        place: name of the site; both are ids where no name is known.
    """
    question = (
        sa.select(TENANTS.c.name.label("seller"), SITES.c.name.label("place"))
        .join(SITES, SITES.c.tenant_id == TENANTS.c.tenant_id)
        .where(TENANTS.c.tenant_id == session.tenant_id, SITES.c.site_id == session.site_id)
    )
    row = connection.execute(question).first()
    return (session.tenant_id, session.site_id) if row is None else (row.seller, row.place)
