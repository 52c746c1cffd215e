"""Which variant answers: the cheapest that would be in time; when it would not, the next dearer one."""

from collections.abc import MutableSet, Sequence
from dataclasses import dataclass

from fleetsight.serve.queueing.request import MS_NS, Reason, Refusal

SLACK = 0.1
"""A variant that was passed over is taken again when it would finish with a tenth of the time to spare; without that a queue that hovers at
its limit sends every second request elsewhere, and two kinds of hardware are kept awake for the load of one."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a variant promises a newcomer.

    Attributes:
        variant: its name.
        usd_per_frame: what the answer would cost.
        finish_ns: when it would be there, monotonic; None when no backend can be asked.
    """

    variant: str
    usd_per_frame: float
    finish_ns: int | None


def choose(
    offers: Sequence[Offer], passed_over: MutableSet[str], *, now_ns: int, deadline_ns: int, preferred: str = ""
) -> Offer | Refusal:
    """Choose a variant.

    Args:
        offers: of every variant in the running, any order.
        passed_over: variants that were too slow for the last request that asked; changed here.
        now_ns: monotonic.
        deadline_ns: of the newcomer, monotonic.
        preferred: variant that a split or a switch names; it goes first whatever it costs.
    Returns:
        the offer, or why none will do and when to come again.
    """
    slack_ns = int(SLACK * (deadline_ns - now_ns))
    soonest_ns = None
    for offer in sorted(offers, key=lambda one: (one.variant != preferred, one.usd_per_frame, one.finish_ns or 0)):
        if offer.finish_ns is None:
            continue
        soonest_ns = offer.finish_ns if soonest_ns is None else min(soonest_ns, offer.finish_ns)
        limit_ns = deadline_ns - (slack_ns if offer.variant in passed_over else 0)
        if offer.finish_ns <= limit_ns:
            passed_over.discard(offer.variant)
            return offer
        passed_over.add(offer.variant)
    if soonest_ns is None:
        return Refusal(Reason.NO_BACKEND, "no backend of this model can be asked now", retry_after_ms=1000.0)
    if soonest_ns <= deadline_ns:  # only the slack was missing, everywhere: take the soonest rather than refuse
        return min((o for o in offers if o.finish_ns is not None), key=lambda o: o.finish_ns or 0)
    late_ms = (soonest_ns - deadline_ns) / MS_NS
    detail = f"the answer would be {late_ms:.0f} ms late: {(deadline_ns - now_ns) / MS_NS:.0f} ms were given"
    return Refusal(Reason.WOULD_BE_LATE, detail, retry_after_ms=late_ms)
