"""From sessions as the machine keeps them to sessions as the desk shows them: ids get names, SKUs get pictures."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

import sqlalchemy as sa

from fleetsight.apps.cooler.session import detail, queries
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.billing.operations import Operation
from fleetsight.billing.prices import price_list
from fleetsight.fleet.devices.registry import devices_of
from fleetsight.fleet.people import people_names
from fleetsight.fleet.shoppers import shopper_names
from fleetsight.fleet.sites import sites_of
from fleetsight.money import Money
from fleetsight.store.canonical import JsonObject
from fleetsight.web.pages.contexts import Contest, Receipt, ReceiptLine, Refund, TaxLine
from fleetsight.web.pages.desk_contexts import (
    Alternative,
    BasketLine,
    Clip,
    ClipEvent,
    DecisionRow,
    HistoryRow,
    MoneyRow,
    ReviewRow,
    SessionFacts,
    SessionRow,
    SkuChoice,
    Verdict,
)
from fleetsight.web.pages.product_pictures import catalog_of, pictured
from fleetsight.web.services import Services

EVIDENCE = "/v1/operator/sessions"
NOT_IN_CATALOG = "Not in the catalog"
CONTESTED = "contest"
FACTS_MAX = 8
FACT_LONGEST = 120
_HIDDEN = frozenset({"kind", "boot_id", "key", "ref", "run_id", "digest", "contest_id", "dispute_id", "seq"})
"""Facts that only programs read; the API has them."""
_SETTLED = frozenset({State.SETTLED, State.RELEASED, State.REFUNDED})
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True)
class Names:
    """Names of what sessions only know by id."""

    devices: Mapping[str, str]
    sites: Mapping[str, str]
    shoppers: Mapping[str, str]
    people: Mapping[str, str]

    @classmethod
    def read(cls, connection: sa.Connection, tenant_id: str, *, shopper_ids: Iterable[str]) -> "Names":
        """Read the names of a tenant.

        Args:
            connection: reads.
            tenant_id: whose.
            shopper_ids: the shoppers that will be named.
        Returns:
            the names.
        """
        return cls(
            {device.device_id: device.name for device in devices_of(connection, tenant_id)},
            {site_id: site.name for site_id, site in sites_of(connection, tenant_id).items()},
            shopper_names(connection, tenant_id, shopper_ids=shopper_ids),
            people_names(connection, tenant_id),
        )


def session_row(row: queries.SessionRow, names: Names) -> SessionRow:
    """A line of a list.

    Args:
        row: as it was read.
        names: of everything in it.
    Returns:
        the line.
    """
    done = row.state in _SETTLED
    return SessionRow(
        session_id=row.session_id,
        state=row.state,
        door=row.door,
        payment=row.payment,
        cooler=names.devices.get(row.device_id, row.device_id),
        site=names.sites.get(row.site_id, row.site_id),
        shopper=names.shoppers.get(row.shopper_id, row.shopper_id),
        created_ns=row.created_ns,
        closed_ns=row.closed_ns,
        settled_ns=row.ended_ns if done else None,
        decision=row.decision,
        confidence=row.confidence,
        total=row.total,
        reason=(row.review_reason or CONTESTED) if row.wants_person else "",
    )


def session_facts(found: detail.SessionDetail, names: Names, *, services: Services) -> SessionFacts:
    """Everything that the desk shows about one session.

    Args:
        found: everything about it.
        names: of everything in it.
        services: with the assortments.
    Returns:
        the facts.
    """
    session, money = found.session, found.session.payment
    titles = {sku: entry.name for sku, entry in catalog_of(services, session).skus.items()}
    picture = pictured(services, session, base=f"/operator/sessions/{session.id}")
    files = f"{EVIDENCE}/{session.id}/evidence"

    def line(seen: detail.BasketLine) -> BasketLine:
        title = titles.get(seen.sku, seen.sku)
        return BasketLine(
            seen.sku, title, seen.count, seen.each, seen.amount, picture(seen.sku), seen.events, seen.contested
        )

    def event(seen: detail.ClipEvent) -> ClipEvent:
        others = tuple(
            Alternative(
                other.sku,
                titles.get(other.sku, other.sku) if other.sku else NOT_IN_CATALOG,
                other.score,
                picture(other.sku) if other.sku else None,
            )
            for other in seen.alternatives
        )
        return ClipEvent(
            kind=seen.kind,
            sku=seen.sku,
            name=titles.get(seen.sku, seen.sku) if seen.sku else NOT_IN_CATALOG,
            count=seen.count,
            at_s=seen.at_s,
            window_s=seen.window_s,
            confidence=seen.confidence,
            rule=seen.rule,
            alternatives=others,
            strip_url=f"{files}/{quote(seen.strip)}" if seen.strip else None,
        )

    return SessionFacts(
        row=_row_of(found, names),
        evidence=session.evidence.state,
        opened_ns=session.door.opened_ns,
        version=session.version,
        hold=Money(money.authorized_minor, session.currency) if money.authorized_minor else None,
        captured=Money(money.charged_minor, session.currency) if money.charged_minor else None,
        refundable=found.refundable,
        clip=Clip(f"{files}/{quote(found.clip)}", found.duration_s) if found.clip and found.duration_s > 0 else None,
        events=tuple(event(seen) for seen in found.events),
        basket=tuple(line(seen) for seen in found.basket),
        verdict=Verdict(p.verdict, p.reason, p.confidence) if (p := session.proposal) else None,
        contest=Contest(c.at_ns, c.skus, c.reason, c.text, c.answered_ns, c.answer) if (c := found.contest) else None,
        receipt=_receipt(found.receipt) if found.receipt else None,
        degraded=found.degraded,
        flags=tuple(session.flags),
        versions=(
            ("pipeline", session.pipeline),
            ("assortment", session.assortment.removeprefix("sha256:")[:12]),
            ("prices", session.price_list_id[-12:]),
        ),
    )


def history_row(seen: detail.HistoryRow, *, currency: str) -> HistoryRow:
    """One transition; of what it carried, the plain values.

    Args:
        seen: as the log has it.
        currency: of amounts in it.
    Returns:
        the row.
    """
    return HistoryRow(
        at_ns=seen.at_ns,
        event=_WORD.sub(" ", seen.kind).lower(),
        before=seen.before,
        after=seen.path[-1] if seen.path else seen.after,
        facts=_facts(seen.facts, currency)[:FACTS_MAX],
    )


def decision_row(seen: detail.DecisionRow, names: Names) -> DecisionRow:
    """One decision that counted, with the name of who made it."""
    return DecisionRow(
        seen.at_ns, names.people.get(seen.decided_by, seen.decided_by), seen.action, seen.total, seen.reason
    )


def review_row(seen: detail.ReviewRow, names: Names) -> ReviewRow:
    """One decision by a person, with the person's name."""
    who = names.people.get(seen.reviewer_id, seen.reviewer_id)
    return ReviewRow(seen.at_ns, who, seen.action, seen.reason_code, seen.seconds, seen.after)


def money_row(seen: Operation) -> MoneyRow:
    """One payment call."""
    return MoneyRow(
        seen.created_ns,
        seen.kind,
        seen.amount,
        seen.state,
        seen.key,
        ref=seen.provider_ref,
        session_id=seen.session_id,
        note=seen.note,
    )


def choices_of(connection: sa.Connection, session: Session, *, services: Services) -> tuple[SkuChoice, ...]:
    """What may be added to a basket: SKUs of the session's assortment, with the prices that it froze.

    Args:
        connection: reads prices.
        session: whose basket.
        services: with the assortments.
    Returns:
        by name; without those that have no price.
    """
    prices = price_list(connection, session.tenant_id, list_id=session.price_list_id)
    picture = pictured(services, session, base=f"/operator/sessions/{session.id}")
    entries = sorted(catalog_of(services, session).skus.values(), key=lambda entry: entry.name)
    return tuple(
        SkuChoice(entry.sku, entry.name, prices.entries[entry.sku].gross, picture(entry.sku))
        for entry in entries
        if prices is not None and entry.sku in prices.entries
    )


def _row_of(found: detail.SessionDetail, names: Names) -> SessionRow:
    session = found.session
    wanted = session.review_reason or (CONTESTED if session.contest else "")
    counts = session.decision or session.proposal
    total = None if counts is None or counts.total_minor is None else Money(counts.total_minor, session.currency)
    return SessionRow(
        session_id=session.id,
        state=session.state,
        door=session.door.state,
        payment=session.payment.state,
        cooler=names.devices.get(session.device_id, session.device_id),
        site=names.sites.get(session.site_id, session.site_id),
        shopper=names.shoppers.get(session.shopper_id, session.shopper_id),
        created_ns=session.created_ns,
        closed_ns=session.door.closed_ns,
        settled_ns=session.ended_ns if session.state in _SETTLED else None,
        decision=session.decision.action if session.decision else None,
        confidence=session.proposal.confidence if session.proposal else None,
        total=total,
        reason=wanted,
    )


def _receipt(seen: queries.ReceiptView) -> Receipt:
    return Receipt(
        number=seen.number,
        settled_ns=seen.issued_ns,
        lines=tuple(ReceiptLine(line.sku, line.name, line.count, line.each, line.amount) for line in seen.lines),
        total=seen.total,
        taxes=tuple(TaxLine(tax.rate_bp, tax.amount) for tax in seen.taxes),
        paid_by=seen.paid_by,
        refunds=tuple(Refund(made.at_ns, made.amount, made.reason) for made in seen.refunds),
        paid=seen.paid,
        owed=seen.owed,
        waived=seen.waived,
    )


def _facts(facts: JsonObject, currency: str) -> tuple[tuple[str, str], ...]:
    shown = []
    for name, value in facts.items():
        if value in ("", None) or isinstance(value, dict | list) or name.endswith("_ns") or name in _HIDDEN:
            continue
        if name.endswith("_minor") and isinstance(value, int):
            shown.append((name.removesuffix("_minor"), str(Money(value, currency))))
        elif isinstance(value, float):
            shown.append((name, f"{value:.3g}"))
        else:
            shown.append((name, ("yes" if value else "no") if isinstance(value, bool) else str(value)[:FACT_LONGEST]))
    return tuple(shown)
