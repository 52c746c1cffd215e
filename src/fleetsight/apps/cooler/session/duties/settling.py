"""From complete evidence to a decision: the steps of the durable job, each of which may run twice.

fetch segments -> child process -> evidence into blobs -> rows and Analysed in one transaction
"""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from fleetsight.apps.cooler.session import analysis
from fleetsight.apps.cooler.session.analysis import Analyst, Assortments, Found, Task, Unusable
from fleetsight.apps.cooler.session.answers import Applied
from fleetsight.apps.cooler.session.duties.receipts import quote_of
from fleetsight.apps.cooler.session.machine.deciding import basket_fault
from fleetsight.apps.cooler.session.machine.events import Analysed, AnalysisFailed, AnalysisStarted
from fleetsight.apps.cooler.session.machine.limits import Limits
from fleetsight.apps.cooler.session.machine.session import Basket, Segment, Session
from fleetsight.apps.cooler.session.shell import Sessions
from fleetsight.apps.cooler.session.tables import EVIDENCE, RUNS
from fleetsight.catalog.sku import Catalog
from fleetsight.clock import SECOND_NS
from fleetsight.errors import Error
from fleetsight.store.blobs import Blobs, Digest
from fleetsight.store.canonical import JsonObject, NotJsonError, canonical
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.lease import LeaseLostError
from fleetsight.store.rows import insert_if_absent

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Kept:
    """An evidence file in the blobs."""

    name: str
    event: int | None
    digest: Digest
    size_bytes: int


@dataclass(frozen=True)
class Settler:
    """Turns the evidence of a session into a proposal.

    Attributes:
        sessions: the machine on rows.
        blobs: segments and evidence.
        analyst: looks at clips.
        assortments: what is sold.
    """

    sessions: Sessions
    blobs: Blobs
    analyst: Analyst
    assortments: Assortments

    def analyse(self, session_id: str, run_id: str) -> JsonObject:
        """Do one run, and let the session go on with what it brought.

        Args:
            session_id: whose.
            run_id: which run is wanted.
        Returns:
            `state` of the session afterwards, for the job's record.
        """
        before = self.sessions.load(session_id)
        begun = self.sessions.apply(session_id, AnalysisStarted(run_id))
        if before is None or not isinstance(begun, Applied) or begun.session.analysis_runs == before.analysis_runs:
            return {"state": before.state.value if before is not None else "missing", "ran": False}
        crashpoint("settle.started")
        session = begun.session
        with tempfile.TemporaryDirectory(prefix="settle-") as folder:
            try:
                outcome = self._look(session, Path(folder))
            except LeaseLostError:
                raise
            except Error as error:  # blobs or assortment cannot be read now; another run may
                LOG.warning("analysis could not begin session=%s", session_id, exc_info=True)
                outcome = analysis.Died(f"{error.code}: {error}")
            crashpoint("settle.analysed")
            if isinstance(outcome, Found):
                failure: Unusable | analysis.Died | None = self._found(
                    session, run_id, outcome, folder=Path(folder) / "evidence"
                )
            else:
                failure = outcome
        if failure is not None:
            unusable = isinstance(failure, Unusable)
            self.sessions.apply(session_id, AnalysisFailed(run_id, unusable=unusable, reason=failure.reason))
        after = self.sessions.load(session_id)
        return {"state": after.state.value if after is not None else "missing", "ran": True}

    def _look(self, session: Session, folder: Path) -> Found | Unusable | analysis.Died:
        files = self.assortments.folder(session.tenant_id, session.assortment)
        clip = folder / "clip.ts"
        fetch_clip(self.blobs, session.evidence.segments, clip=clip)
        crashpoint("settle.fetched")
        return self.analyst.analyse(Task(clip, files, folder / "evidence"))

    def _found(self, session: Session, run_id: str, found: Found, *, folder: Path) -> analysis.Died | None:
        """Keep what was found, and tell the session, at once; or say why it cannot be kept."""
        fault = fault_of(found, self.sessions.limits)
        if fault:
            LOG.error("analysis sent nonsense session=%s run=%s fault=%s", session.id, run_id, fault)
            return analysis.Died(f"the analysis sent nonsense: {fault}")
        try:
            kept = [self._put(folder / name, shows) for shows, name in found.evidence.items()]
            crashpoint("settle.evidence-put")
            catalog = Catalog.load(self.assortments.folder(session.tenant_id, session.assortment).catalog)
            with self.sessions.turn(None) as connection:
                now_ns = self.sessions.clock.now_ns()
                outcome = self.sessions.apply(
                    session.id, analysed(connection, session, found=found, catalog=catalog), connection=connection
                )
                if isinstance(outcome, Applied):
                    _keep_run(connection, outcome.session, run_id, found=found, now_ns=now_ns)
                    for file in kept:
                        _keep_file(connection, outcome.session, run_id, file=file)
                crashpoint("settle.before-commit")
        except LeaseLostError:
            raise
        except Error as error:  # no room, no price list, the database is away: another run may find it mended
            LOG.warning("analysis could not be kept session=%s", session.id, exc_info=True)
            return analysis.Died(f"{error.code}: {error}")
        crashpoint("settle.committed")
        return None

    def _put(self, path: Path, shows: str) -> _Kept:
        digest = self.blobs.put_file(path)
        event = int(shows.removeprefix("event_")) if shows.startswith("event_") else None
        return _Kept(path.name, event, digest, path.stat().st_size)


def fault_of(found: Found, limits: Limits) -> str:
    """Why a result cannot be taken, whatever sent it.

    Args:
        found: what was sent.
        limits: sizes.
    Returns:
        words; empty when nothing is wrong.
    """
    try:
        canonical({**found.report, "end_s": found.end_s})
        baskets = (analysis.basket_of(found.report), analysis.sure_basket_of(found.report))
        confidence, share = float(found.report["confidence"]), float(found.report["decoded_fraction"])
        analysis.verdict_of(found.report)
    except NotJsonError as error:
        return str(error)
    except (KeyError, TypeError, ValueError) as error:
        return f"{type(error).__name__} {error}"
    if not (0 <= confidence <= 1 and share >= 0):
        return f"confidence {confidence}, decoded {share}"
    return next((fault for basket in baskets if (fault := basket_fault(basket, limits))), "")


def fetch_clip(blobs: Blobs, segments: tuple[Segment, ...], *, clip: Path) -> None:
    """Bring the video of a session to this machine: the segments of its first camera, one after the other.

    MPEG-TS is made of packets that stand alone, so that the bytes of its pieces in order are the whole. Further cameras are kept as
    evidence and not looked at yet.

    Args:
        blobs: where segments are.
        segments: of the session.
        clip: the file to write.
    Raises:
        BlobError: a segment is missing or damaged.
    """
    with clip.open("wb") as target:
        for segment in of_first_camera(segments):
            for part in blobs.stream(Digest(f"sha256:{segment.sha256}")):
                target.write(part)


def of_first_camera(segments: tuple[Segment, ...]) -> Iterator[Segment]:
    """The stored segments of the camera whose name comes first, in order.

    Args:
        segments: of a session, in any order.
    Yields:
        one after the other.
    """
    stored = sorted(segment for segment in segments if segment.stored)
    yield from (segment for segment in stored if segment.camera == stored[0].camera)


def recorded_s(segments: tuple[Segment, ...]) -> float:
    """How long the first camera recorded, as the device says.

    Args:
        segments: of a session.
    Returns:
        seconds; 0 when the device does not say.
    """
    of_camera = list(of_first_camera(segments))
    return sum(max(0, s.pts_end_ns - s.pts_start_ns) for s in of_camera) / SECOND_NS


def analysed(connection: sa.Connection, session: Session, *, found: Found, catalog: Catalog) -> Analysed:
    """What an analysis means for its session, priced at the list that the session froze.

    Args:
        connection: reads prices.
        session: whose.
        found: what was seen.
        catalog: what is sold; another SKU has no price.
    Returns:
        the event.
    """
    basket, sure = analysis.basket_of(found.report), analysis.sure_basket_of(found.report)
    share = analysis.usable_share(found.report, end_s=found.end_s, recorded_s=recorded_s(session.evidence.segments))
    total_minor, sure_total_minor = (
        _price(connection, session, basket, catalog),
        _price(connection, session, sure, catalog),
    )
    return Analysed(
        run_id=session.run_id,
        verdict=analysis.verdict_of(found.report),
        basket=basket,
        total_minor=total_minor,
        sure_basket=sure if sure_total_minor is not None else (),
        sure_total_minor=sure_total_minor or 0,
        confidence=float(found.report["confidence"]),
        reason=str(found.report["reason"]),
        usable_share=share,
    )


def _price(connection: sa.Connection, session: Session, basket: Basket, catalog: Catalog) -> int | None:
    """The price of a basket; None when it holds what has none."""
    if any(sku not in catalog.skus for sku, _ in basket):
        return None
    quoted = quote_of(connection, session, basket=dict(basket))
    return None if quoted.missing else quoted.total.minor


def _keep_run(connection: sa.Connection, session: Session, run_id: str, *, found: Found, now_ns: int) -> None:
    report = {**found.report, "end_s": found.end_s, "peak_ram_bytes": found.peak_ram_bytes}
    row = {
        "session_id": session.id,
        "run_id": run_id,
        "tenant_id": session.tenant_id,
        "report": report,
        "elapsed_s": found.elapsed_s,
        "at_ns": now_ns,
    }
    insert_if_absent(connection, RUNS, values=row, keys=["session_id", "run_id"])


def _keep_file(connection: sa.Connection, session: Session, run_id: str, *, file: _Kept) -> None:
    row = {
        "session_id": session.id,
        "name": file.name,
        "tenant_id": session.tenant_id,
        "run_id": run_id,
        "event": file.event,
        "digest": file.digest,
        "size_bytes": file.size_bytes,
        "deleted_ns": None,
    }
    insert_if_absent(connection, EVIDENCE, values=row, keys=["session_id", "name"])
