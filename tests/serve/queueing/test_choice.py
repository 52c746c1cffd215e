"""The cheapest variant that is in time, and what happens when none is."""

from hypothesis import given
from hypothesis import strategies as st

from fleetsight.serve.queueing.choice import Offer, choose
from fleetsight.serve.queueing.request import MS_NS, Reason, Refusal

FINISHES = st.one_of(st.none(), st.integers(0, 300))
OFFERS = st.lists(st.tuples(st.integers(0, 5), FINISHES), min_size=1, max_size=5)


def offers_of(rows: list[tuple[int, int | None]]) -> list[Offer]:
    return [
        Offer(f"v{number}", float(usd), None if ms is None else ms * MS_NS) for number, (usd, ms) in enumerate(rows)
    ]


@given(rows=OFFERS)
def test_the_cheapest_in_time_wins(rows: list[tuple[int, int | None]]) -> None:
    offers = offers_of(rows)
    in_time = [offer for offer in offers if offer.finish_ns is not None and offer.finish_ns <= 100 * MS_NS]
    found = choose(offers, set(), now_ns=0, deadline_ns=100 * MS_NS)
    if in_time:
        assert isinstance(found, Offer)
        assert found in in_time
        assert found.usd_per_frame == min(offer.usd_per_frame for offer in in_time)
    else:
        assert isinstance(found, Refusal)
        assert found.reason in (Reason.NO_BACKEND, Reason.WOULD_BE_LATE)


@given(rows=OFFERS, passed=st.sets(st.sampled_from(["v0", "v1", "v2"])))
def test_hysteresis_never_refuses_what_would_be_in_time(rows: list[tuple[int, int | None]], passed: set[str]) -> None:
    offers = offers_of(rows)
    found = choose(offers, passed, now_ns=0, deadline_ns=100 * MS_NS)
    assert isinstance(found, Offer) == any(o.finish_ns is not None and o.finish_ns <= 100 * MS_NS for o in offers)


def test_a_variant_that_was_too_slow_comes_back_with_time_to_spare() -> None:
    passed: set[str] = set()

    def chosen(cheap_ms: int) -> str:
        found = choose(offers_of([(1, cheap_ms), (2, 10)]), passed, now_ns=0, deadline_ns=100 * MS_NS)
        assert isinstance(found, Offer)
        return found.variant

    assert [chosen(ms) for ms in (100, 101, 100, 95, 90, 100)] == ["v0", "v1", "v1", "v1", "v0", "v0"]


def test_a_preferred_variant_goes_first_whatever_it_costs_and_others_help_out() -> None:
    offers = offers_of([(1, 10), (9, 50)])
    first = choose(offers, set(), now_ns=0, deadline_ns=100 * MS_NS, preferred="v1")
    assert isinstance(first, Offer)
    assert first.variant == "v1"
    late = choose(offers_of([(1, 10), (9, 500)]), set(), now_ns=0, deadline_ns=100 * MS_NS, preferred="v1")
    assert isinstance(late, Offer)
    assert late.variant == "v0"


def test_a_refusal_says_when_to_come_again() -> None:
    found = choose(offers_of([(1, 250), (2, 180)]), set(), now_ns=0, deadline_ns=100 * MS_NS)
    assert isinstance(found, Refusal)
    assert (found.reason, found.retry_after_ms) == (Reason.WOULD_BE_LATE, 80.0)
