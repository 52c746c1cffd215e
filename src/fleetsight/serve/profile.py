"""The profile of a variant: what one model does on one kind of hardware, measured once and used everywhere.

A load test (`fleetsight load`) writes it. Batching asks what a batch takes, admission whether a request would be answered in time,
routing what a frame costs, autoscaling and plans how much one deployment carries (`knee_hz`). A file is read strictly: an unknown
field, a missing one or a wrong value is an error that names the field.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from datetime import date
from typing import Any, Literal, Self

from fleetsight.errors import Error
from fleetsight.store.fields import check_names

FORMAT = 1
"""Version of the file's schema."""

BATCH_MAX = 4096
"""Largest batch a profile may speak of."""

POINTS_MAX = 64
"""Most points of a service curve."""

REPLICAS_MAX = 10_000
"""Most replicas of one deployment."""

Quantile = Literal["p50", "p99"]

_COMMIT = re.compile(r"[0-9a-f]{7,40}|unknown")


class ProfileError(Error):
    """A profile is missing a field, has an unknown one, or a value that makes no sense."""

    code = "serve_profile"


@dataclass(frozen=True)
class BatchPoint:
    """What one batch takes on one replica, engine and decode together.

    Attributes:
        batch: frames in the batch.
        p50_ms: time of the median batch.
        p99_ms: time that 99 of 100 batches stay within.
    """

    batch: int
    p50_ms: float
    p99_ms: float

    def __post_init__(self) -> None:
        if not _is_count(self.batch, BATCH_MAX):
            raise ProfileError(f"profile field 'batch' is {self.batch!r}, expected a whole number, 1 to {BATCH_MAX}")
        for name in ("p50_ms", "p99_ms"):
            if not _is_positive(getattr(self, name)):
                raise ProfileError(f"profile field {name!r} is {getattr(self, name)!r}, expected a number above 0")
        if self.p99_ms < self.p50_ms:
            raise ProfileError(f"batch {self.batch}: p99 {self.p99_ms:g} ms lies below p50 {self.p50_ms:g} ms")


@dataclass(frozen=True)
class Profile:
    """What a model does on one kind of hardware.

    Attributes:
        model: name of the model, as callers know it.
        variant: name of the variant, unique within the model.
        hardware: the processor or accelerator it was measured on, in words.
        instance: instance type that is paid for, such as "c7i.xlarge"; the key of the price file.
        usd_per_hour: price of one instance when the profile was written.
        replicas: replicas that shared the instance.
        slo_ms: the deadline that `knee_hz` was found for.
        service: what a batch takes, by rising batch.
        knee_hz: the highest rate (Poisson) of one instance, all replicas together, at which at least 99 % of what was offered was
            answered within `slo_ms`.
        measured: day of the measurement, ISO 8601.
        commit: of the code that was measured, hexadecimal, or "unknown".
    """

    model: str
    variant: str
    hardware: str
    instance: str
    usd_per_hour: float
    replicas: int
    slo_ms: float
    service: tuple[BatchPoint, ...]
    knee_hz: float
    measured: str
    commit: str

    def __post_init__(self) -> None:
        for name, (is_good, wanted) in _RULES.items():
            value = getattr(self, name)
            if not is_good(value):
                raise ProfileError(f"profile field {name!r} is {value!r}, expected {wanted}")

    def service_ms(self, batch: int, *, quantile: Quantile = "p50") -> float:
        """Predict what a batch takes on one replica.

        Between two measured batches the time lies on a line. Beyond the largest it follows the line of the last two, never falling;
        below the smallest the line of the first two, never under a proportional share. A single point scales proportionally.

        Args:
            batch: frames in the batch, at least 1.
            quantile: which quantile of the time.

        Returns:
            milliseconds.

        Raises:
            ProfileError: batch is below 1.
        """
        if batch < 1:
            raise ProfileError(f"a batch of {batch} frames, expected at least 1")
        points = [(point.batch, point.p50_ms if quantile == "p50" else point.p99_ms) for point in self.service]
        (first, first_ms), (last, last_ms) = points[0], points[-1]
        if len(points) == 1:
            return first_ms * batch / first
        if batch > last:
            before, before_ms = points[-2]
            return last_ms + max(0.0, (last_ms - before_ms) / (last - before)) * (batch - last)
        after = next((at for at, point in enumerate(points) if point[0] >= batch and at > 0), 1)
        (low, low_ms), (high, high_ms) = points[after - 1], points[after]
        on_line = low_ms + (high_ms - low_ms) * (batch - low) / (high - low)
        return on_line if batch >= first else max(on_line, first_ms * batch / first)

    def to_json(self) -> str:
        """Write the profile.

        Returns:
            an indented JSON object with `format` first.
        """
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read a profile.

        Args:
            text: content of a profile file.

        Returns:
            the profile, every field checked.

        Raises:
            ProfileError: the text is not JSON, or a field is unknown, missing or wrong.
        """
        try:
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ProfileError(f"the profile is not valid JSON: {error}", hint=_WRITE_AGAIN) from error
        if not isinstance(raw, dict):
            raise ProfileError(f"a profile is a JSON object, got {type(raw).__name__}", hint=_WRITE_AGAIN)
        if raw.pop("format", None) != FORMAT:
            raise ProfileError(f"profile field 'format' must be {FORMAT}", hint=_WRITE_AGAIN)
        check_names(raw, [entry.name for entry in fields(cls)], error=ProfileError, what="profile", hint=_WRITE_AGAIN)
        rows = raw.pop("service")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ProfileError(f"profile field 'service' is {rows!r}, expected a list of objects", hint=_WRITE_AGAIN)
        for row in rows:
            check_names(row, _POINT_FIELDS, error=ProfileError, what="service point", hint=_WRITE_AGAIN)
        return cls(service=tuple(BatchPoint(**row) for row in rows), **raw)


_POINT_FIELDS = [entry.name for entry in fields(BatchPoint)]

_WRITE_AGAIN = "write it again with: fleetsight load --profile FILE ..."


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_count(value: Any, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= high


def _is_day(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def _is_curve(value: Any) -> bool:
    if not isinstance(value, tuple) or not 1 <= len(value) <= POINTS_MAX:
        return False
    if not all(isinstance(point, BatchPoint) for point in value):
        return False
    batches = [point.batch for point in value]
    return batches == sorted(set(batches))


_TEXT = (_is_text, "a text that is not empty")

_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "model": _TEXT,
    "variant": _TEXT,
    "hardware": _TEXT,
    "instance": _TEXT,
    "usd_per_hour": (lambda value: _is_number(value) and value >= 0, "dollars an hour, at least 0"),
    "replicas": (lambda value: _is_count(value, REPLICAS_MAX), f"a whole number, 1 to {REPLICAS_MAX}"),
    "slo_ms": (_is_positive, "milliseconds above 0"),
    "service": (_is_curve, f"1 to {POINTS_MAX} points by rising batch"),
    "knee_hz": (lambda value: _is_number(value) and value >= 0, "frames a second, at least 0"),
    "measured": (_is_day, "a day such as 2026-11-30"),
    "commit": (
        lambda value: isinstance(value, str) and _COMMIT.fullmatch(value) is not None,
        "7 to 40 hexadecimal digits, or 'unknown'",
    ),
}
