"""What waits is brought over, as often as it takes, and forgotten only when it is confirmed."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from fleetsight.apps.cooler.device.courier import CHUNK_BYTES, Courier, Refusal, manifest_of
from fleetsight.apps.cooler.device.journal import Batch, EventKind
from fleetsight.apps.cooler.device.link.uplink import LinkDownError, RefusedError, Upload
from fleetsight.apps.cooler.device.recording.segments import Segment
from fleetsight.apps.cooler.device.spool import Spooled, Stage
from fleetsight.apps.cooler.device.station import Station
from fleetsight.clock import SECOND_NS
from tests.apps.cooler.device.stand import START_NS, Stand, put_segment, spooled

DAY_NS = 24 * 3600 * SECOND_NS


class Server:
    """The other side, without a wire: keeps bytes, and fails on the calls that a test names."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failures: dict[str, list[Exception]] = {}
        self.data: dict[str, bytes] = {}
        self.lengths: dict[str, int] = {}
        self.acks: dict[int, str | None] = {}
        self.events_seen: list[int] = []
        self.missing: list[tuple[str, int]] = []
        self.verifies = True

    def note(self, call: str) -> None:
        self.calls.append(call)
        if self.failures.get(call):
            raise self.failures[call].pop(0)

    def acknowledge(self, seq: int, boot_id: str, *, at_ns: int, refused: str | None = None) -> None:
        self.note("ack")
        self.acks[seq] = refused

    def events(self, batch: Batch) -> tuple[int, list[int]]:
        self.note("events")
        self.events_seen += [event.seq for event in batch.events]
        return max(self.events_seen), []

    def manifest(self, session_id: str, manifest: dict[str, Any]) -> list[tuple[str, int]]:
        self.note("manifest")
        missing, self.missing = self.missing, []
        return missing

    def begin_upload(self, session_id: str, camera: str, *, segment: Segment) -> Upload:
        self.note("begin")
        self.lengths.setdefault(name := f"{camera}-{segment.index}", segment.length)
        return self.upload(name)

    def send_chunk(self, upload_id: str, offset: int, *, chunk: bytes) -> Upload:
        self.note("chunk")
        if offset == len(self.data.get(upload_id, b"")):
            self.data[upload_id] = self.data.get(upload_id, b"") + chunk
        return self.upload(upload_id)

    def upload(self, upload_id: str) -> Upload:
        have = len(self.data.get(upload_id, b""))
        complete = have == self.lengths[upload_id]
        return Upload(upload_id, have, complete, verified=complete and self.verifies)


class Round:
    """A courier between a stand and a server."""

    def __init__(self, folder: Path) -> None:
        self.stand = Stand(folder)
        self.station: Station = self.stand.station()
        self.server = Server()
        self.courier = Courier(self.station, self.server)  # type: ignore[arg-type]

    def closed(self, *sizes: int, seq: int = 1, **values: Any) -> Spooled:
        session = spooled(self.station, seq, opened_ns=START_NS, unlock_acked=True)
        for index, size in enumerate(sizes):
            put_segment(self.station, session.session_id, index, bytes((index,)) * size)
        return self.station.spool.change(session.session_id, stage=Stage.CLOSED, closed_ns=START_NS, **values)

    def deliver(self, rounds: int = 20) -> None:
        for _ in range(rounds):
            rest_s = self.courier.deliver_evidence()
            self.stand.pass_s(rest_s)

    def told(self, happening: str) -> list[dict[str, Any]]:
        return [facts for name, facts in self.stand.told if name == happening]


@pytest.fixture
def delivery(tmp_path: Path) -> Round:
    return Round(tmp_path)


def test_a_closed_session_is_delivered_and_forgotten(delivery: Round) -> None:
    session = delivery.closed(CHUNK_BYTES + 10, 5)
    delivery.deliver()
    assert delivery.server.data["front-0"] == bytes(CHUNK_BYTES + 10)
    assert delivery.server.data["front-1"] == b"\1" * 5
    assert delivery.server.calls == ["manifest", "begin", "chunk", "chunk", "begin", "chunk", "manifest"]
    assert delivery.station.spool.sessions() == []
    assert delivery.told("evidence_delivered") == [{"session_id": session.session_id, "bytes": CHUNK_BYTES + 15}]


def test_segments_go_while_the_door_is_open_and_the_manifest_afterwards(delivery: Round) -> None:
    session = spooled(delivery.station, opened_ns=START_NS, unlock_acked=True)
    put_segment(delivery.station, session.session_id, 0, b"first")
    delivery.deliver(3)
    assert delivery.server.calls == ["begin", "chunk"]
    put_segment(delivery.station, session.session_id, 1, b"second")
    delivery.deliver(3)
    delivery.station.spool.change(session.session_id, stage=Stage.CLOSED, closed_ns=START_NS)
    delivery.deliver(3)
    assert delivery.server.calls == ["begin", "chunk", "begin", "chunk", "manifest"]
    assert delivery.station.spool.sessions() == []


def test_an_upload_goes_on_where_the_server_stands(delivery: Round) -> None:
    data = bytes(range(256)) * 4000
    session = delivery.closed()
    put_segment(delivery.station, session.session_id, 0, data)
    delivery.server.failures["chunk"] = [LinkDownError("cut")]
    delivery.server.data["front-0"] = data[:70_000]  # the chunk before arrived, its answer did not
    with pytest.raises(LinkDownError):
        delivery.courier.deliver_evidence()
    delivery.deliver()
    assert delivery.server.data["front-0"] == data


def test_a_server_that_does_not_move_is_left_for_later(delivery: Round, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery.closed(100)
    monkeypatch.setattr(Server, "send_chunk", lambda self, upload_id, *_, **__: self.upload(upload_id))
    with pytest.raises(LinkDownError, match="stands still"):
        delivery.courier.deliver_evidence()


def test_segments_stay_until_the_server_has_verified_them(delivery: Round) -> None:
    session = delivery.closed(10)
    delivery.server.verifies = False
    delivery.deliver(5)
    assert delivery.station.spool.segment_path(session.session_id, "front", index=0).exists()
    delivery.server.verifies = True
    delivery.deliver(5)
    assert delivery.station.spool.sessions() == []


def test_segments_that_the_server_lost_are_sent_again(delivery: Round) -> None:
    delivery.closed(10, 20)
    delivery.server.failures["begin"] = [LinkDownError("cut")]
    with pytest.raises(LinkDownError):
        delivery.courier.deliver_evidence()
    delivery.server.missing = [("front", 1)]  # says the manifest that comes last
    delivery.deliver()
    assert delivery.server.calls.count("begin") == 4
    assert delivery.station.spool.sessions() == []


def test_a_refused_session_does_not_hold_up_the_others(delivery: Round) -> None:
    refused, fine = delivery.closed(10, seq=1), delivery.closed(20, seq=2)
    gone = RefusedError("gone", status=404, body={})
    delivery.server.failures["manifest"] = [gone]
    delivery.courier.deliver_evidence()
    assert delivery.told("evidence_refused") == [{"session_id": refused.session_id, "status": 404}]
    assert delivery.told("evidence_delivered")[0]["session_id"] == fine.session_id
    delivery.deliver()
    assert delivery.station.spool.sessions() == []


def test_refusals_are_repeated_ever_more_rarely(delivery: Round) -> None:
    delivery.closed(10)
    delivery.server.failures["manifest"] = [RefusedError("no", status=409, body={})] * 100
    started_ns = delivery.stand.clock.now_ns()
    delivery.deliver(60)
    minutes = (delivery.stand.clock.now_ns() - started_ns) / SECOND_NS / 60
    assert len(delivery.told("evidence_refused")) < 10 + minutes / 5
    assert minutes > 1


def test_what_was_refused_while_the_door_was_open_is_tried_when_it_is_shut(delivery: Round) -> None:
    session = spooled(delivery.station, opened_ns=START_NS, unlock_acked=True)
    put_segment(delivery.station, session.session_id, 0, b"early")
    delivery.server.failures["begin"] = [RefusedError("too early", status=409, body={})] * 7
    for _ in range(7):
        delivery.stand.pass_s(delivery.courier.deliver_evidence() + 60)
    delivery.station.spool.change(session.session_id, stage=Stage.CLOSED, closed_ns=START_NS)
    delivery.courier.deliver_evidence()
    assert delivery.server.calls[-3:] == ["begin", "chunk", "manifest"]


def test_other_bytes_under_a_known_name_are_kept_and_not_sent_again(delivery: Round) -> None:
    session = delivery.closed(10)
    conflict = RefusedError("other bytes", status=409, body={"code": "segment_conflict"})
    delivery.server.failures["begin"] = [conflict]
    delivery.deliver(30)
    assert delivery.server.calls.count("begin") == 1
    found = delivery.station.spool.find(session.session_id)
    assert found is not None
    assert found.stage is Stage.DISPUTED


def test_a_device_that_is_not_known_any_more_keeps_its_evidence(delivery: Round) -> None:
    delivery.closed(10)
    delivery.server.failures["manifest"] = [RefusedError("who?", status=401, body={})]
    with pytest.raises(RefusedError):
        delivery.courier.deliver_evidence()
    assert len(delivery.station.spool.sessions()) == 1


def test_a_session_without_evidence_says_so(delivery: Round) -> None:
    delivery.closed()
    delivery.deliver(3)
    assert delivery.server.calls == ["manifest"]


def test_a_session_that_was_never_opened_is_forgotten_when_its_unlocking_is_known(delivery: Round) -> None:
    session = spooled(delivery.station)
    delivery.station.spool.change(session.session_id, stage=Stage.CLOSED, closed_ns=START_NS)
    delivery.deliver(3)
    assert len(delivery.station.spool.sessions()) == 1
    delivery.courier.deliver_reports()
    delivery.deliver(3)
    assert delivery.station.spool.sessions() == []
    assert delivery.server.acks == {1: None}
    assert "manifest" not in delivery.server.calls


def test_evidence_waits_for_the_acknowledgement_of_its_unlocking(delivery: Round) -> None:
    delivery.closed(10, unlock_acked=False)
    delivery.deliver(5)
    assert len(delivery.station.spool.sessions()) == 1
    delivery.courier.deliver_reports()
    delivery.deliver(5)
    assert delivery.station.spool.sessions() == []


def test_evidence_that_nobody_waits_for_any_more_is_deleted_by_the_servers_clock(delivery: Round) -> None:
    session = delivery.closed(10)
    delivery.server.failures["manifest"] = [RefusedError("no", status=409, body={})] * 10_000
    delivery.deliver(2)
    assert delivery.station.spool.sessions()[0].closed_server_ns is None  # the server's time is not known: nothing ages
    now_ns = delivery.stand.clock.now_ns()
    delivery.station.server_time.learn(now_ns + 30 * DAY_NS, sent_ns=now_ns, received_ns=now_ns)
    delivery.deliver(2)
    assert len(delivery.station.spool.sessions()) == 1  # it counts from when the time became known
    delivery.stand.clock.advance(73 * 3600 * SECOND_NS)
    delivery.deliver(1)
    assert delivery.station.spool.sessions() == []
    assert delivery.told("evidence_expired") == [{"session_id": session.session_id}]


def test_reports_go_in_order_acknowledgements_first(delivery: Round) -> None:
    spooled(delivery.station, 4)
    for kind in (EventKind.DOOR_OPENED, EventKind.DOOR_CLOSED, EventKind.LOCKED):
        delivery.station.journal.append(kind, START_NS, session_id=None)
    delivery.courier.report_refusal(Refusal(5, START_NS, "busy"))
    delivery.courier.deliver_reports()
    assert delivery.server.calls == ["ack", "ack", "events"]
    assert delivery.server.acks == {5: "busy", 4: None}
    assert delivery.station.journal.waiting == 0
    delivery.courier.deliver_reports()
    assert delivery.server.calls == ["ack", "ack", "events"]


def test_reports_that_did_not_get_through_are_sent_again(delivery: Round) -> None:
    spooled(delivery.station, 4)
    delivery.courier.report_refusal(Refusal(5, START_NS, "busy"))
    delivery.server.failures["ack"] = [LinkDownError("cut")] * 2
    for _ in range(2):
        with pytest.raises(LinkDownError):
            delivery.courier.deliver_reports()
    delivery.server.failures["ack"] = [RefusedError("unknown", status=404, body={})]
    delivery.courier.deliver_reports()  # the server knows nothing of 5: nothing to say any more
    assert delivery.server.acks == {4: None}


def test_a_manifest_lists_every_segment_with_its_times(delivery: Round) -> None:
    session = delivery.closed(3, 4)
    manifest = manifest_of(session)
    assert manifest["boot_id"] == delivery.station.journal.boot_id
    (camera,) = manifest["cameras"]
    assert camera["camera"] == "front"
    assert camera["segments"][1] == {
        "index": 1,
        "sha256": hashlib.sha256(b"\1" * 4).hexdigest(),
        "length": 4,
        "pts_start_ns": SECOND_NS,
        "pts_end_ns": 2 * SECOND_NS,
    }
