"""The server's clock, learnt over a line with delay, by a device whose own clock is wrong."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from fleetsight.apps.cooler.device.link.server_time import ServerTime
from fleetsight.clock import SECOND_NS, VirtualClock

TRUE_NS = 1_800_000_000 * SECOND_NS


@pytest.mark.parametrize("ahead_s", [0, 86_400, -86_400, -1_800_000_000])
def test_an_answer_corrects_a_wrong_clock_to_half_the_round_trip(ahead_s: int) -> None:
    clock = VirtualClock(TRUE_NS + ahead_s * SECOND_NS)
    server_time = ServerTime(clock)
    assert server_time.now_ns() == clock.now_ns()
    sent_ns = clock.now_ns()
    clock.advance(SECOND_NS)
    server_time.learn(TRUE_NS + SECOND_NS // 4, sent_ns=sent_ns, received_ns=clock.now_ns())
    assert server_time.known
    assert abs(server_time.now_ns() - (TRUE_NS + SECOND_NS)) <= SECOND_NS // 2
    clock.advance(7 * SECOND_NS)
    assert abs(server_time.now_ns() - (TRUE_NS + 8 * SECOND_NS)) <= SECOND_NS // 2


def test_a_date_header_is_believed_where_it_contradicts_by_much() -> None:
    clock = VirtualClock(TRUE_NS - 86_400 * SECOND_NS)
    server_time = ServerTime(clock)
    header = format_datetime(datetime.fromtimestamp(TRUE_NS // SECOND_NS, UTC), usegmt=True)
    assert server_time.learn_date(header)
    assert abs(server_time.now_ns() - TRUE_NS) <= SECOND_NS
    assert not server_time.learn_date(header)


@pytest.mark.parametrize("header", [None, "", "yesterday", "Fri, 99 Foo 2026 10:00:00 GMT"])
def test_a_date_that_is_none_changes_nothing(header: str | None) -> None:
    server_time = ServerTime(VirtualClock(TRUE_NS))
    assert not server_time.learn_date(header)
    assert not server_time.known
