"""The only place where doubt becomes money: charge, review or release.

Charging too much is worse than too little, and what is unknown is never charged. A session's confidence is the calibrated
probability that its basket is exact; a person looks at everything below the threshold and at everything degraded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files

import numpy as np

from fleetsight.apps.cooler.events import Event, Kind, Role

CHARGE_MIN = 0.92
"""Charge on our own when the basket is exact with at least this probability: one event in three minds goes to a person."""
RELEASE_MIN = 0.92
"""An empty basket from which something was missed is wrong too, though it costs the retailer and not the shopper."""

LOSS_MAX = 4.0
"""Minus the log of the least probability that is told apart: all below goes to a person anyway."""


class Decision(StrEnum):
    """What becomes of a session."""

    CHARGE = "charge"
    REVIEW = "review"
    RELEASE = "release"


@dataclass(frozen=True)
class Doubt:
    """What speaks against a basket, measured on the session; all >= 0, 0 = no doubt.

    Attributes:
        weakest: 1 - confidence of the least sure event.
        total: sum over events of minus the log of their confidence.
        unresolved: places that were never seen calm again.
        unexplained: share of the picture that changed for good without an event.
        blind_s: seconds without a usable picture.
        events: number of events.
        unsure: probability of the likeliest change among the rows that are taken as unchanged.
    """

    weakest: float = 0.0
    total: float = 0.0
    unresolved: float = 0.0
    unexplained: float = 0.0
    blind_s: float = 0.0
    events: float = 0.0
    unsure: float = 0.0

    def vector(self) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """The features of the calibration, (7,) float64: probabilities as minus the log of their complement."""
        return np.array(
            [
                _loss(self.weakest),
                min(self.total, LOSS_MAX),
                min(self.unresolved, 4.0),
                min(100 * self.unexplained, 4.0),
                min(self.blind_s, 4.0),
                min(self.events, 8.0),
                _loss(self.unsure),
            ]
        )


def doubt_of(
    events: Sequence[Event], *, unresolved: int, unexplained: float, blind_s: float, unsure: float = 0.0
) -> Doubt:
    """Collect the doubt about a session.

    Args:
        events: of the session.
        unresolved: places never seen calm again.
        unexplained: share of the picture that changed without an event.
        blind_s: seconds without a usable picture.
        unsure: see `Doubt`.
    Returns:
        The doubt.
    """
    return Doubt(
        weakest=max((1.0 - event.confidence for event in events), default=0.0),
        total=sum(_loss(1.0 - event.confidence) for event in events),
        unresolved=float(unresolved),
        unexplained=unexplained,
        blind_s=blind_s,
        events=float(len(events)),
        unsure=unsure,
    )


def _loss(doubt: float) -> float:
    """Minus the log of the probability that is left, at most LOSS_MAX."""
    return float(min(LOSS_MAX, -np.log(max(1e-9, 1.0 - doubt))))


def load_calibration() -> Mapping[str, Sequence[float]]:
    """The shipped calibration: logistic weights fitted on rendered sessions that are never scored (seeds stand in the file).

    `fleetsight cooler calibrate` fits another.

    Returns:
        `weights` (7 numbers) and `bias` (1 number).
    """
    text = files("fleetsight.apps.cooler").joinpath("calibration.json").read_text(encoding="utf-8")
    value: Mapping[str, Sequence[float]] = json.loads(text)
    return value


def confidence_of(doubt: Doubt, calibration: Mapping[str, Sequence[float]]) -> float:
    """Probability that the basket is exact.

    Args:
        doubt: about the session.
        calibration: `weights` and `bias`.
    Returns:
        0 to 1.
    """
    score = float(np.dot(doubt.vector(), calibration["weights"]) + calibration["bias"][0])
    return float(1.0 / (1.0 + np.exp(-np.clip(score, -30.0, 30.0))))


def decide(
    events: Sequence[Event], *, basket: Mapping[str, int], confidence: float, degraded: Sequence[str], role: Role
) -> tuple[Decision, str]:
    """Charge, review or release.

    Args:
        events: of the session.
        basket: the fold of the events.
        confidence: probability that the basket is exact.
        degraded: reasons why the evidence is incomplete; any of them means review.
        role: who opened the door.
    Returns:
        The decision and its reason in words.
    """
    if degraded:
        return Decision.REVIEW, f"degraded evidence: {', '.join(degraded)}"
    for event in events:
        if event.kind is Kind.FOREIGN_ITEM:
            return Decision.REVIEW, f"something was put in that this session did not take (at {event.at_s:.1f} s)"
        if event.kind is Kind.UNKNOWN:
            return Decision.REVIEW, f"a product that is not in the catalog was moved (at {event.at_s:.1f} s)"
    least = CHARGE_MIN if basket else RELEASE_MIN
    if confidence < least:
        return Decision.REVIEW, f"confidence {confidence:.3f} is below {least}"
    if role is Role.RESTOCK:
        return Decision.RELEASE, "restock: counted up, nothing charged"
    if not basket:
        return Decision.RELEASE, "nothing was taken"
    return Decision.CHARGE, f"confidence {confidence:.3f} reaches {least}"
