"""People who run the coolers of a tenant, and what their roles allow."""

import enum
from dataclasses import dataclass

import sqlalchemy as sa

from fleetsight.fleet.tables import PEOPLE
from fleetsight.fleet.tokens import Holder, HolderKind, holder_of, issue_token
from fleetsight.store.ids import new_id

PAGE_SIGN_IN_S = 12 * 3600
"""A sign-in of the pages lasts a working day."""


class Role(enum.IntEnum):
    """What a person may do; each role may do all that the one before may."""

    VIEWER = 1
    """Look."""
    REVIEWER = 2
    """Decide sessions in review."""
    OPERATOR = 3
    """Refund, and run sites and devices."""
    ADMIN = 4
    """Set prices, revoke devices."""

    @property
    def label(self) -> str:
        """The role's name in rows and answers."""
        return self.name.lower()


@dataclass(frozen=True)
class Person:
    """A person who works for a tenant.

    Attributes:
        tenant_id: the tenant.
        person_id: UUID.
        name: for other people.
        role: what the person may do.
    """

    tenant_id: str
    person_id: str
    name: str
    role: Role


def add_person(connection: sa.Connection, tenant_id: str, *, name: str, role: Role, now_ns: int) -> Person:
    """Add a person to a tenant.

    Args:
        connection: of a write transaction.
        tenant_id: the tenant.
        name: at most 200 characters.
        role: what the person may do.
        now_ns: now.
    Returns:
        the person, who still needs a token to sign in with.
    """
    person = Person(tenant_id, new_id(), name, role)
    connection.execute(
        sa.insert(PEOPLE).values(
            tenant_id=tenant_id, person_id=person.person_id, name=name, role=role.label, created_ns=now_ns
        )
    )
    return person


def person_token(connection: sa.Connection, person: Person, *, now_ns: int, lifetime_s: int | None = None) -> str:
    """Make a token that speaks for a person.

    Args:
        connection: of a write transaction.
        person: whom for.
        now_ns: now.
        lifetime_s: seconds; None for a token that lasts until it is revoked.
    Returns:
        the token, shown once.
    """
    holder = Holder(person.tenant_id, HolderKind.PERSON, person.person_id)
    return issue_token(connection, holder, now_ns=now_ns, lifetime_s=lifetime_s)


def person_of(connection: sa.Connection, token: str, *, now_ns: int) -> Person | None:
    """The person a token speaks for.

    Args:
        connection: reads.
        token: as it was sent; anything.
        now_ns: now.
    Returns:
        the person; None when the token is not a valid one of a person who still works there.
    """
    holder = holder_of(connection, token, now_ns=now_ns)
    if holder is None or holder.kind is not HolderKind.PERSON:
        return None
    row = connection.execute(
        sa.select(PEOPLE).where(
            PEOPLE.c.tenant_id == holder.tenant_id, PEOPLE.c.person_id == holder.holder_id, PEOPLE.c.left_ns.is_(None)
        )
    ).first()
    return None if row is None else Person(row.tenant_id, row.person_id, row.name, Role[row.role.upper()])


def remove_person(connection: sa.Connection, person: Person, *, now_ns: int) -> None:
    """End what a person may do; the row stays, because decisions name it.

    Args:
        connection: of a write transaction.
        person: who leaves.
        now_ns: now.
    """
    here = (PEOPLE.c.tenant_id == person.tenant_id, PEOPLE.c.person_id == person.person_id)
    connection.execute(sa.update(PEOPLE).where(*here, PEOPLE.c.left_ns.is_(None)).values(left_ns=now_ns))


def people_names(connection: sa.Connection, tenant_id: str) -> dict[str, str]:
    """Names of everyone who works or worked for a tenant.

    Args:
        connection: reads.
        tenant_id: the tenant.
    Returns:
        name by id.
    """
    question = sa.select(PEOPLE.c.person_id, PEOPLE.c.name).where(PEOPLE.c.tenant_id == tenant_id)
    return {row.person_id: row.name for row in connection.execute(question)}
