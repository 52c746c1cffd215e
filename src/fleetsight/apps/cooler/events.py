"""The event ledger of a session: one schema for rules today and for a learned stage tomorrow."""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What happened to a product."""

    TAKE = "take"
    PUT_BACK = "put_back"
    MOVE = "move"
    FOREIGN_ITEM = "foreign_item"
    UNKNOWN = "unknown"


class Role(StrEnum):
    """Who opened the door. A restocker's put-backs are stock and not returns."""

    SHOPPER = "shopper"
    RESTOCK = "restock"


@dataclass(frozen=True)
class Alternative:
    """Another reading of the same event, with its probability."""

    sku: str | None
    score: float


@dataclass(frozen=True)
class Event:
    """One physical act, appended once and never changed.

    Attributes:
        kind: what happened.
        sku: the product; None when it is not in the catalog.
        count: units moved by the act, >= 1.
        at_s: when it happened, in the clip's own presentation time: the lift of a take, the rest of a put-back.
        window_s: the interval in which it must have happened.
        confidence: probability that kind, SKU and count are all right, 0 to 1.
        rule: name of the rule that fired.
        alternatives: SKUs by probability, the chosen one first.
        camera: which camera saw it, so that several can be fused later.
        place_id: place on the shelf, -1 when none.
        box_xyxy_px: the place in pixels of the clip.
    """

    kind: Kind
    sku: str | None
    count: int
    at_s: float
    window_s: tuple[float, float]
    confidence: float
    rule: str
    alternatives: tuple[Alternative, ...] = ()
    camera: str = "0"
    place_id: int = -1
    box_xyxy_px: tuple[float, float, float, float] = field(default=(0.0, 0.0, 0.0, 0.0))
