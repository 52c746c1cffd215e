"""The table of timeouts."""

from dataclasses import fields

from fleetsight.apps.cooler.session.machine.limits import DEFAULT_LIMITS, SECOND_NS, Limits, span_ns


def test_a_scaled_table_shortens_every_time_and_nothing_else() -> None:
    short = Limits().scaled(0.01)
    for field in fields(Limits):
        before, after = getattr(DEFAULT_LIMITS, field.name), getattr(short, field.name)
        if not field.name.endswith("_s"):
            assert before == after
        elif isinstance(before, tuple):
            assert after == tuple(part * 0.01 for part in before)
        else:
            assert after == before * 0.01


def test_a_span_is_whole_nanoseconds() -> None:
    assert span_ns(0.5) == SECOND_NS // 2
    assert span_ns(180 * 86_400) == 180 * 86_400 * SECOND_NS
