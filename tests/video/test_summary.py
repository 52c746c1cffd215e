"""What a run was worth."""

from fractions import Fraction
from typing import Any

import pytest

from fleetsight.video.container import Kind, Structure
from fleetsight.video.summary import ClipInfo, Tally, parse_duration_tag, summarise
from fleetsight.video.timeline import Timeline


def judge(
    delivered: int,
    *,
    structure: Structure | None = None,
    declared_s: float | None = None,
    declared: int | None = None,
    **tally: Any,
) -> tuple[float, tuple[str, ...]]:
    info = ClipInfo(64, 48, Fraction(10), "h264", "mov", declared_s, declared)
    timeline = Timeline(Fraction(1, 10), Fraction(10))
    for index in range(delivered):
        timeline.place(index)
    summary = summarise(
        info, structure or Structure(Kind.MP4, 1000), timeline=timeline, tally=Tally(delivered, **tally)
    )
    return summary.decoded_fraction, summary.degraded


def test_a_whole_clip_is_worth_one() -> None:
    assert judge(50, declared=50, declared_s=5.0) == (1.0, ())


def test_missing_pictures_count_against_the_index() -> None:
    assert judge(40, declared=50, declared_s=5.0) == (0.8, ("truncated",))


def test_pictures_cut_off_by_an_edit_list_are_not_missed() -> None:
    assert judge(40, declared=50, declared_s=4.0, counters={"discarded": 10}) == (1.0, ())


def test_time_counts_where_there_is_no_index() -> None:
    assert judge(25, declared_s=5.0) == (0.5, ("truncated",))
    assert judge(49, declared_s=5.0) == (1.0, ())


def test_bytes_count_where_the_header_knows_nothing() -> None:
    structure = Structure(Kind.MP4, 900, missing_bytes=100, truncated=True, declares_length=False)
    assert judge(10, structure=structure) == (0.9, ("truncated",))


def test_nothing_delivered_is_worth_nothing() -> None:
    assert judge(0, stopped="limit_memory") == (0.0, ("limit_memory",))


@pytest.mark.parametrize("counter", ["failed_packets", "corrupt_packets", "complaints"])
def test_every_sign_of_damage_is_named(counter: str) -> None:
    assert judge(50, declared=50, counters={counter: 1}) == (1.0, ("corrupt_packets",))


def test_a_limit_is_named_instead_of_a_cut() -> None:
    assert judge(10, declared=50, stopped="limit_frames") == (0.2, ("limit_frames",))


@pytest.mark.parametrize(
    ("tag", "seconds"),
    [("00:01:02.500000000", 62.5), ("01:00:00", 3600.0), ("soon", None), (None, None), ("1:2", None)],
)
def test_a_duration_tag_is_read_or_ignored(tag: str | None, seconds: float | None) -> None:
    assert parse_duration_tag(tag) == seconds
