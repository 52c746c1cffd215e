import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetsight.serve.profile import BatchPoint, Profile, ProfileError

PROFILE = Profile(
    model="pets",
    variant="cpu",
    hardware="2 cores of a processor",
    instance="c7i.xlarge",
    usd_per_hour=0.1785,
    replicas=2,
    slo_ms=100.0,
    service=(BatchPoint(1, 10.0, 14.0), BatchPoint(4, 22.0, 30.0), BatchPoint(8, 42.0, 50.0)),
    knee_hz=150.0,
    measured="2026-11-30",
    commit="1005ffd",
)


def changed(**values: Any) -> str:
    return json.dumps(json.loads(PROFILE.to_json()) | values)


def test_a_profile_comes_back_from_its_file() -> None:
    assert Profile.from_json(PROFILE.to_json()) == PROFILE


@pytest.mark.parametrize(
    ("batch", "p50_ms", "p99_ms"), [(1, 10.0, 14.0), (2, 14.0, 14.0 + 16 / 3), (8, 42.0, 50.0), (10, 52.0, 60.0)]
)
def test_service_time_lies_on_the_lines_between_and_beyond_the_points(batch: int, p50_ms: float, p99_ms: float) -> None:
    assert PROFILE.service_ms(batch) == pytest.approx(p50_ms)
    assert PROFILE.service_ms(batch, quantile="p99") == pytest.approx(p99_ms)


def test_a_single_point_scales_with_the_batch() -> None:
    alone = replace(PROFILE, service=(BatchPoint(2, 10.0, 12.0),))
    assert [alone.service_ms(batch) for batch in (1, 2, 6)] == [5.0, 10.0, 30.0]


def test_a_curve_that_falls_at_its_end_does_not_fall_below_zero_beyond() -> None:
    noisy = replace(PROFILE, service=(BatchPoint(4, 20.0, 20.0), BatchPoint(8, 19.0, 20.0)))
    assert noisy.service_ms(1000) == 19.0
    steep = replace(PROFILE, service=(BatchPoint(4, 20.0, 20.0), BatchPoint(8, 100.0, 100.0)))
    assert steep.service_ms(1) == 5.0


@given(
    st.lists(st.integers(1, 64), min_size=1, max_size=8, unique=True).map(sorted),
    st.integers(1, 5000),
    st.data(),
)
def test_service_time_is_always_positive(batches: list[int], batch: int, data: st.DataObject) -> None:
    times = data.draw(st.lists(st.floats(0.1, 1e4), min_size=len(batches), max_size=len(batches)))
    points = tuple(BatchPoint(b, t, t) for b, t in zip(batches, times, strict=True))
    assert replace(PROFILE, service=points).service_ms(batch) > 0


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{", "not valid JSON"),
        ("[]", "JSON object"),
        (changed(format=2), "'format'"),
        (changed(knee_rate=1), "'knee_rate' is unknown"),
        (changed(service=7), "'service'"),
        (changed(service=[]), "'service'"),
        (changed(service=[{"batch": 1, "p50_ms": 1.0}]), "lacks 'p99_ms'"),
        (changed(service=[{"batch": 0, "p50_ms": 1.0, "p99_ms": 1.0}]), "'batch'"),
        (changed(service=[{"batch": 1, "p50_ms": 2.0, "p99_ms": 1.0}]), "below p50"),
        (changed(service=[{"batch": 1, "p50_ms": 2.0, "p99_ms": 3.0}] * 2), "rising batch"),
        (changed(usd_per_hour=-1), "'usd_per_hour'"),
        (changed(usd_per_hour=float("nan")), "'usd_per_hour'"),
        (changed(replicas=True), "'replicas'"),
        (changed(slo_ms=0), "'slo_ms'"),
        (changed(model=" "), "'model'"),
        (changed(measured="30.11.2026"), "'measured'"),
        (changed(commit="HEAD"), "'commit'"),
        (json.dumps({"format": 1, "model": "pets"}), "lacks 'variant'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_the_name_of_its_field(text: str, wanted: str) -> None:
    with pytest.raises(ProfileError, match=wanted):
        Profile.from_json(text)


def test_a_misspelt_field_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ProfileError) as caught:
        Profile.from_json(changed(knee_hertz=1.0))
    assert caught.value.hint == "did you mean 'knee_hz'?"


def test_a_batch_below_one_is_refused() -> None:
    with pytest.raises(ProfileError, match="at least 1"):
        PROFILE.service_ms(0)
