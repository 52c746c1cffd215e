"""A rendered visit becomes a receipt: pieces in the blobs, the real child process, the real models."""

import dataclasses
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.bundled import bundled_model
from fleetsight.accel.compiling import compile_model
from fleetsight.accel.proving.parity import Gates
from fleetsight.accel.sources.portable_source import portable_source
from fleetsight.accel.targets.options import Options
from fleetsight.apps.cooler.device.recording.segments import Segment as RecordedSegment
from fleetsight.apps.cooler.device.recording.segments import SegmentWriter, segment_name
from fleetsight.apps.cooler.evaluate.score import CLIP_NAME, write_session
from fleetsight.apps.cooler.session.analysis import Analyst, AssortmentFiles
from fleetsight.apps.cooler.session.detail import detail
from fleetsight.apps.cooler.session.duties.settling import fault_of, fetch_clip, of_first_camera, recorded_s
from fleetsight.apps.cooler.session.machine.limits import Limits
from fleetsight.apps.cooler.session.machine.session import Segment
from fleetsight.apps.cooler.session.machine.states import State
from fleetsight.apps.cooler.session.replay import Overrides, Replayer, ReplayError
from fleetsight.billing.prices import PriceEntry, PriceList, publish
from fleetsight.clock import SECOND_NS
from fleetsight.money import Money
from fleetsight.sim.session import plan_session
from fleetsight.sim.truth import session_truth
from fleetsight.store.blobs import Blobs
from fleetsight.video.decode import ClipReader
from tests.apps.cooler.session.shop import SITE, START_NS, TENANT, Shop, store_film
from tests.apps.cooler.session.staff import deliver, seen, worker_of

SEGMENT_S = 2.0


class OneFolder:
    """The assortment of a rendered visit."""

    def __init__(self, folder: Path) -> None:
        self.files = AssortmentFiles(folder / "catalog", folder / "planogram.json")

    def folder(self, tenant_id: str, assortment: str) -> AssortmentFiles:
        return self.files


def record(folder: Path, blobs: Blobs) -> tuple[Segment, ...]:
    """What a device makes of the rendered clip: segments as its recorder writes them, their bytes in the blobs."""
    out = folder / "spool"
    out.mkdir()
    sealed: list[RecordedSegment] = []
    writer = SegmentWriter(out, SEGMENT_S, sealed=sealed.append)
    with ClipReader(folder / CLIP_NAME) as reader:
        for frame in reader:
            writer.write(frame.image, frame.pts_ns)
    writer.finish()
    for piece in sealed:
        assert blobs.put_file(out / segment_name(piece.index)) == f"sha256:{piece.sha256}"
    return tuple(
        Segment("top", piece.index, piece.sha256, piece.length, piece.pts_start_ns, piece.pts_end_ns)
        for piece in sealed
    )


@pytest.mark.slow
def test_a_rendered_visit_becomes_a_receipt_and_replays_to_the_same(shop: Shop, tmp_path: Path) -> None:
    plan = plan_session("basic", 71)
    folder = tmp_path / "rendered"
    write_session(plan, folder)
    rows = json.loads((folder / "catalog" / "catalog.json").read_text())["skus"]
    entries = {row["sku"]: PriceEntry(Money(row["price_minor"], "EUR"), 1900) for row in rows}
    with shop.rows.transaction() as connection:
        draft = PriceList("rendered", TENANT, SITE, "EUR", START_NS, None, entries)
        shop.price_list_id = publish(connection, draft, now_ns=START_NS).id
    with worker_of(shop, tmp_path, [seen({})]) as (worker, _), Analyst(threads=1) as analyst:
        worker.assortments = OneFolder(folder)
        worker._settler = dataclasses.replace(worker._settler, analyst=analyst, assortments=worker.assortments)
        film = record(folder, worker.blobs)
        assert len(film) > 2
        session = shop.upload(shop.visit(shop.redeem()), film)
        deliver(shop, worker)
        after = shop.now(session)
        assert after.proposal is not None, (after.state, after.review_reason)
        truth = session_truth(plan).basket
        assert dict(after.proposal.basket) == truth
        assert after.flags == ()  # nothing is missing where two segments meet
        assert after.state is State.SETTLED
        assert after.payment.kept_minor == sum(entries[sku].gross.minor * count for sku, count in truth.items())
        with shop.rows.reading() as connection:
            shown = detail(connection, TENANT, session_id=session.id, payments=shop.payments)
        assert shown is not None
        assert all(line.events and shown.events[line.events[0]].strip for line in shown.basket)
        assert (shown.clip, shown.log_broken_at) == ("annotated.mp4", None)
        replayer = Replayer(shop.sessions, worker.blobs, analyst, worker.assortments)
        assert replayer.replay(session.id, Overrides()).same
        strict = replayer.replay(session.id, Overrides(charge_min=0.9999))
        assert (strict.after.verdict, strict.same) == ("review", False)
        cache = ArtifactCache(tmp_path / "artifacts", Ed25519PrivateKey.generate())
        detector = portable_source(bundled_model("cooler-detector"))
        artifact = compile_model(detector, "onnxruntime", options=Options(), gates=Gates(), cache=cache).artifact
        with pytest.raises(ReplayError, match="not trusted"):
            replayer.replay(session.id, Overrides(str(artifact.folder)))
    shop.check()


def test_a_session_without_video_cannot_be_replayed(shop: Shop, tmp_path: Path) -> None:
    blobs = Blobs.open(f"file://{tmp_path}/blobs")
    with Analyst() as analyst:
        replayer = Replayer(shop.sessions, blobs, analyst, OneFolder(tmp_path))
        with pytest.raises(ReplayError, match="no session"):
            replayer.replay("none", Overrides())
        with pytest.raises(ReplayError, match="is not here"):
            replayer.replay(shop.redeem().id, Overrides())


def test_segments_are_put_together_in_order_and_by_the_first_camera(tmp_path: Path) -> None:
    blobs = Blobs.open(f"file://{tmp_path}/blobs")
    film = store_film(blobs, (b"one", b"two", b"three"))
    stored = tuple(dataclasses.replace(piece, stored=True) for piece in film)
    other = dataclasses.replace(stored[0], camera="underneath")
    late = dataclasses.replace(stored[0], index=3, stored=False)
    segments = (stored[2], other, late, stored[0], stored[1])
    fetch_clip(blobs, segments, clip=tmp_path / "clip.ts")
    assert (tmp_path / "clip.ts").read_bytes() == b"onetwothree"
    assert [piece.index for piece in of_first_camera(segments)] == [0, 1, 2]
    assert recorded_s(segments) == 3.0


def test_what_a_device_says_about_time_is_never_negative() -> None:
    backwards = Segment("top", 0, "a" * 64, 1, 5 * SECOND_NS, 1 * SECOND_NS, stored=True)
    assert recorded_s((backwards,)) == 0.0
    assert recorded_s(()) == 0.0


@pytest.mark.parametrize(
    "change",
    [
        {"basket": {"cola": -1}},
        {"basket": {"cola": 1.5}},
        {"basket": {"cola": True}},
        {"basket": ["cola"]},
        {"basket": None},
        {"confidence": 2.0},
        {"confidence": float("inf")},
        {"decision": "perhaps"},
        {"decoded_fraction": -1},
        {"events": None},
    ],
    ids=str,
)
def test_a_report_that_makes_no_sense_is_named(change: dict[str, object]) -> None:
    found = seen({"cola": 1})
    assert fault_of(found, Limits()) == ""
    assert fault_of(dataclasses.replace(found, report=found.report | change), Limits()) != ""
