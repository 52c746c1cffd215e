"""Every timeout and limit of a session, in one table.

Source: the state table of the reliability reference, section 4; where it names none, the reason stands beside the value.
A test or a demo passes a shorter table; nothing reads these numbers from elsewhere.
"""

from dataclasses import dataclass, fields, replace
from typing import Any, Self

SECOND_NS = 1_000_000_000
MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds unless the name says otherwise.

    Attributes:
        created_s: a session whose hold was never asked for ends.
        authorize_s: without an answer the provider is asked what it did.
        authorize_query_s: without an answer to that, the shopper is denied and the hold voided.
        hold_min_s: a hold that ends sooner does not outlast the visit and its analysis, and is refused.
        unlock_s: a hold without an unlock command is voided.
        acknowledge_s: the device must say that it unlocked; the command expires no later.
        never_opened_s: the device locks again by itself after this time.
        door_check_s: an aborted door keeps its device this long unless `locked` arrives: an event under way may still open it.
        nag_s: the shopper is reminded to close the door.
        held_open_s: an operator is told; nothing is charged without a person from here on.
        open_max_s: the session goes to review with the door open.
        manifest_s: the device lists its segments after the lock.
        evidence_online_s: without a new segment although the device is online, a person decides.
        evidence_offline_s: the longest wait for a device that is offline.
        offline_look_s: so often it is looked whether a device that is offline came back.
        evidence_margin_s: evidence is awaited no later than this before the hold ends.
        queue_s: an analysis that no worker began is asked for again.
        analysis_s: one run of the analysis.
        analysis_grace_s: a run that ended by its own limit has this long to say so.
        analysis_runs: runs before a person decides.
        review_sla_s: an operator is alerted.
        hold_alarm_s: an operator is alerted this long before a hold ends.
        hold_policy_s: this long before a hold ends the sure lines are charged without a person.
        review_max_s: the same when there is no hold to lose; a week is the validity of most holds.
        decided_s: settling begins by itself if nobody began it.
        query_first_s: an unknown payment is asked for again, first after this time, then after twice as long each time.
        query_max_s: the longest pause between two such questions.
        payment_alert_s: an operator learns of a payment that stays unknown.
        retries_s: pauses between attempts to collect what is owed; after the last one it is written off.
        refund_window_s: providers refuse refunds of older charges.
        retention_s: raw video is kept this long after the end.
        segments: of one session: 30 minutes of three cameras in pieces of two seconds.
        segment_bytes: of one segment.
        usable_share: of the video that must decode; below, a person looks.
        skus: lines of one basket.
        units: of one line.
    """

    created_s: float = 30.0
    authorize_s: float = 20.0
    authorize_query_s: float = 10.0
    hold_min_s: float = HOUR_S
    unlock_s: float = 5.0
    acknowledge_s: float = 10.0
    never_opened_s: float = 14.0
    door_check_s: float = 20.0
    nag_s: float = 3 * MINUTE_S
    held_open_s: float = 10 * MINUTE_S
    open_max_s: float = 30 * MINUTE_S
    manifest_s: float = 60.0
    evidence_online_s: float = 15 * MINUTE_S
    evidence_offline_s: float = 72 * HOUR_S
    offline_look_s: float = 5 * MINUTE_S
    evidence_margin_s: float = 24 * HOUR_S
    queue_s: float = HOUR_S
    analysis_s: float = 5 * MINUTE_S
    analysis_grace_s: float = 30.0
    analysis_runs: int = 3
    review_sla_s: float = 30 * MINUTE_S
    hold_alarm_s: float = 24 * HOUR_S
    hold_policy_s: float = 12 * HOUR_S
    review_max_s: float = 7 * DAY_S
    decided_s: float = 30.0
    query_first_s: float = 5.0
    query_max_s: float = 5 * MINUTE_S
    payment_alert_s: float = 5 * MINUTE_S
    retries_s: tuple[float, ...] = (HOUR_S, DAY_S, 3 * DAY_S, 7 * DAY_S)
    refund_window_s: float = 180 * DAY_S
    retention_s: float = 72 * HOUR_S
    segments: int = 2700
    segment_bytes: int = 64 << 20
    usable_share: float = 0.95
    skus: int = 100
    units: int = 99

    def scaled(self, factor: float) -> Self:
        """The same table with every time multiplied.

        Args:
            factor: > 0; below one for tests.
        Returns:
            A new table; counts and sizes stay.
        """
        values: dict[str, Any] = {}
        for name in (field.name for field in fields(self) if field.name.endswith("_s")):
            value = getattr(self, name)
            values[name] = tuple(part * factor for part in value) if isinstance(value, tuple) else value * factor
        return replace(self, **values)


DEFAULT_LIMITS = Limits()


def span_ns(seconds: float) -> int:
    """Seconds of the table as a span of the clock.

    Args:
        seconds: >= 0.
    Returns:
        Nanoseconds.
    """
    return round(seconds * SECOND_NS)
