"""Settles a session again, with another model, planogram or threshold, and shows the difference. Nothing is written or charged.

What an analysis finds follows from the clip, the models, the assortment and the code; all of them can be had again, so that a dispute
or a new model is looked at on the sessions that were.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from fleetsight.apps.cooler.decide import RELEASE_MIN
from fleetsight.apps.cooler.session import analysis
from fleetsight.apps.cooler.session.analysis import Analyst, AssortmentFiles, Assortments, Found, Task
from fleetsight.apps.cooler.session.duties.receipts import quote_of
from fleetsight.apps.cooler.session.duties.settling import fetch_clip
from fleetsight.apps.cooler.session.machine.session import Basket, Proposal, Session
from fleetsight.apps.cooler.session.machine.states import EvidenceState, Verdict
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.errors import Error
from fleetsight.money import Money
from fleetsight.store.blobs import Blobs
from fleetsight.store.canonical import JsonObject

_NEVER_ALONE = frozenset({"foreign_item", "unknown"})
"""Events that a person looks at, however sure (as `decide` says)."""


class ReplayError(Error):
    """A session that cannot be settled again."""

    code = "replay"


@dataclass(frozen=True)
class Overrides:
    """What is to be another than it was; empty or None: as it was.

    Attributes:
        model: folder of another detector.
        planogram: another planogram file.
        charge_min: charge on our own from this confidence on, 0 to 1.
        trusted: public keys whose compiled models are opened.
    """

    model: str = ""
    planogram: Path | None = None
    charge_min: float | None = None
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Side:
    """One of the two answers.

    Attributes:
        verdict: charge, review or release.
        basket: units by SKU.
        total: at the frozen prices; None when a SKU has none.
        confidence: that the basket is exact, 0 to 1.
        reason: in words.
    """

    verdict: str
    basket: dict[str, int]
    total: Money | None
    confidence: float
    reason: str


@dataclass(frozen=True)
class Difference:
    """What changes.

    Attributes:
        session_id: which.
        before: what was proposed; None when nothing was.
        after: what is proposed now.
        charged: what the newest decision asked for; None before one.
        lines: SKUs whose count changes: (SKU, before, after).
        same: whether verdict and basket are what they were.
    """

    session_id: str
    before: Side | None
    after: Side
    charged: Money | None
    lines: tuple[tuple[str, int, int], ...]
    same: bool


@dataclass(frozen=True)
class Replayer:
    """Settles sessions again.

    Attributes:
        sessions: where they are.
        blobs: their video.
        analyst: looks at clips.
        assortments: what was sold.
    """

    sessions: Sessions
    blobs: Blobs
    analyst: Analyst
    assortments: Assortments

    def replay(self, session_id: str, overrides: Overrides) -> Difference:
        """Settle a session again.

        Args:
            session_id: anything.
            overrides: what is to be another.
        Returns:
            the difference.
        Raises:
            ReplayError: no such session, its video is not here or was deleted, or the analysis brought nothing.
        """
        session = self.sessions.load(session_id)
        if session is None:
            raise ReplayError(f"there is no session {session_id}", hint="see the live list for ids")
        if session.evidence.state is EvidenceState.EXPIRED_DELETED or not session.evidence.segments:
            raise ReplayError(
                f"the video of session {session_id} is not here ({session.evidence.state})",
                hint="raw video is kept for a few days after the end, longer while somebody argues about it",
            )
        files = self.assortments.folder(session.tenant_id, session.assortment)
        if overrides.planogram is not None:
            files = AssortmentFiles(files.catalog, overrides.planogram)
        with tempfile.TemporaryDirectory(prefix="replay-") as folder:
            clip = Path(folder) / "clip.ts"
            fetch_clip(self.blobs, session.evidence.segments, clip=clip)
            found = self.analyst.analyse(
                Task(clip, files, Path(folder) / "evidence", overrides.model, overrides.trusted)
            )
        if not isinstance(found, Found):
            raise ReplayError(f"the analysis of session {session_id} brought nothing: {found.reason}")
        return self._difference(session, found.report, overrides)

    def _difference(self, session: Session, report: JsonObject, overrides: Overrides) -> Difference:
        basket = analysis.basket_of(report)
        verdict = verdict_at(report, overrides.charge_min)
        reason = str(report["reason"]) if overrides.charge_min is None else f"threshold {overrides.charge_min:g}"
        after = Side(verdict.value, dict(basket), self._total(session, basket), float(report["confidence"]), reason)
        before = self._before(session, session.proposal) if session.proposal else None
        old, new = before.basket if before else {}, after.basket
        lines = tuple(
            (sku, old.get(sku, 0), new.get(sku, 0))
            for sku in sorted({*old, *new})
            if old.get(sku, 0) != new.get(sku, 0)
        )
        return Difference(
            session_id=session.id,
            before=before,
            after=after,
            charged=Money(session.total_minor, session.currency) if session.decision else None,
            lines=lines,
            same=before is not None and not lines and before.verdict == after.verdict,
        )

    def _before(self, session: Session, proposal: Proposal) -> Side:
        total = self._total(session, proposal.basket)
        return Side(proposal.verdict.value, dict(proposal.basket), total, proposal.confidence, proposal.reason)

    def _total(self, session: Session, basket: Basket) -> Money | None:
        with self.sessions.rows.reading() as connection:
            quoted = quote_of(connection, session, basket=dict(basket))
        return None if quoted.missing else quoted.total


def verdict_at(report: JsonObject, charge_min: float | None) -> Verdict:
    """What a report would propose at another threshold.

    Args:
        report: of an analysis.
        charge_min: charge from this confidence on; None: as the report says.
    Returns:
        charge, review or release.
    """
    if charge_min is None:
        return analysis.verdict_of(report)
    alone = not report["degraded"] and not any(event["kind"] in _NEVER_ALONE for event in report["events"])
    least = charge_min if report["basket"] else RELEASE_MIN
    if not alone or report["confidence"] < least:
        return Verdict.REVIEW
    return Verdict.CHARGE if report["basket"] else Verdict.RELEASE
