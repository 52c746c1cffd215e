"""Faults follow from a script, or from a seed and the request alone."""

from collections import Counter

from fleetsight.billing.providers.desk import Fault, Scripted, Seeded, Visit, no_faults

RATES = {Fault.LOST_AFTER: 0.2, Fault.ERROR_BEFORE: 0.1}


def test_a_script_fails_at_the_visits_it_names() -> None:
    script = Scripted({"capture": (None, Fault.LOST_AFTER)})
    assert [script(Visit("capture", "k", count)) for count in (1, 2, 3)] == [None, Fault.LOST_AFTER, None]
    assert script(Visit("void", "k", 1)) is None


def test_a_seed_fails_alike_in_every_process() -> None:
    visits = [Visit("capture", f"s{n}:capture:1", 1) for n in range(2_000)]
    drawn = [Seeded(7, RATES)(visit) for visit in visits]
    assert drawn == [Seeded(7, RATES)(visit) for visit in visits]
    assert drawn != [Seeded(8, RATES)(visit) for visit in visits]
    counts = Counter(drawn)
    assert 300 < counts[Fault.LOST_AFTER] < 500
    assert 130 < counts[Fault.ERROR_BEFORE] < 270


def test_a_seed_leaves_late_visits_alone() -> None:
    always = Seeded(7, {Fault.DOWN: 1.0}, visits=2)
    assert [always(Visit("read", "k", count)) for count in (1, 2, 3)] == [Fault.DOWN, Fault.DOWN, None]


def test_nothing_fails_by_default() -> None:
    assert no_faults(Visit("capture", "k", 1)) is None
