"""Events are in order, once, and kept until they are acknowledged."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetsight.apps.cooler.device.journal import Event, EventKind, Journal


def filled(folder: Path, count: int, boot: int = 1) -> Journal:
    journal = Journal(folder, boot, boot_id=f"boot-{boot}")
    for index in range(count):
        journal.append(EventKind.DOOR_OPENED, index, session_id=None)
    return journal


def waiting(journal: Journal) -> list[tuple[str, int]]:
    found = []
    while (batch := journal.next_batch(3)) is not None:
        found += [(batch.boot_id, event.seq) for event in batch.events]
        journal.acknowledge(batch.boot_id, batch.events[-1].seq, missing=())
    return found


def test_numbers_rise_from_one_within_a_start(tmp_path: Path) -> None:
    batch = filled(tmp_path, 4).next_batch(3)
    assert batch is not None
    assert [event.seq for event in batch.events] == [1, 2, 3]


def test_what_waits_is_sent_after_a_restart_oldest_start_first(tmp_path: Path) -> None:
    filled(tmp_path, 2, boot=1)
    filled(tmp_path, 0, boot=2)
    journal = filled(tmp_path, 1, boot=10)
    assert journal.waiting == 3
    assert waiting(journal) == [("boot-1", 1), ("boot-1", 2), ("boot-10", 1)]


def test_files_of_earlier_starts_go_when_all_of_theirs_is_acknowledged(tmp_path: Path) -> None:
    filled(tmp_path, 2, boot=1)
    journal = filled(tmp_path, 1, boot=2)
    assert len(list(tmp_path.iterdir())) == 2
    journal.acknowledge("boot-1", 1, missing=())
    assert len(list(tmp_path.iterdir())) == 2
    journal.acknowledge("boot-1", 2, missing=())
    journal.acknowledge("boot-2", 1, missing=())
    assert [path.name for path in tmp_path.iterdir()] == ["00000002.boot-2.jsonl"]


def test_missing_numbers_are_sent_again(tmp_path: Path) -> None:
    journal = filled(tmp_path, 5)
    journal.acknowledge("boot-1", 4, missing=[2])
    assert waiting(journal) == [("boot-1", 2), ("boot-1", 5)]


def test_an_acknowledgement_of_another_start_changes_nothing(tmp_path: Path) -> None:
    journal = filled(tmp_path, 2)
    journal.acknowledge("boot-9", 100, missing=())
    assert journal.waiting == 2


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400))
def test_a_line_torn_by_a_power_cut_costs_that_line_only(tmp_path: Path, cut: int) -> None:
    folder = tmp_path / str(cut)
    filled(folder, 5)
    (path,) = folder.iterdir()
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    journal = Journal(folder, 2, boot_id="boot-2")
    whole = data.count(b"\n") + (data.count(b"}") > data.count(b"\n"))  # a line whose newline alone is gone is whole
    assert waiting(journal) == [("boot-1", seq) for seq in range(1, whole + 1)]


def test_a_full_disk_keeps_no_event_from_being_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = filled(tmp_path, 1)

    def full(_number: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        journal.append(EventKind.LOCKED, 5, session_id="s")
    journal.append(EventKind.FORCED, 6, session_id=None)
    batch = journal.next_batch(10)
    assert batch is not None
    assert batch.events[1:] == (Event(2, EventKind.LOCKED, 5, "s"), Event(3, EventKind.FORCED, 6, None))
    again = Journal(tmp_path, 2, boot_id="boot-2")
    assert waiting(again) == [("boot-1", 1), ("boot-1", 3)]  # the file has no torn line
