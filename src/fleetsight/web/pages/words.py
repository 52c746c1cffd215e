"""How states and reasons read to people, and the colour that goes with them: the only place of wording shared by templates."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Word:
    """A state in words.

    Attributes:
        text: as it reads.
        tone: `calm`, `busy`, `good`, `wait`, `bad`: chooses the colour, never the only sign.
    """

    text: str
    tone: str = "calm"


SESSION_STATES = {
    "created": Word("starting", "busy"),
    "authorizing": Word("asking for the hold", "busy"),
    "denied": Word("declined", "calm"),
    "authorized": Word("hold in place", "busy"),
    "unlocking": Word("unlocking", "busy"),
    "open": Word("shopping", "busy"),
    "closed": Word("door closed", "busy"),
    "waiting_evidence": Word("waiting for video", "busy"),
    "analyzing": Word("working it out", "busy"),
    "review": Word("needs review", "wait"),
    "decided": Word("decided", "busy"),
    "settling": Word("charging", "busy"),
    "settled": Word("settled", "good"),
    "released": Word("nothing taken", "calm"),
    "owed": Word("owed", "bad"),
    "written_off": Word("written off", "calm"),
    "refunding": Word("refunding", "busy"),
    "refunded": Word("refunded", "calm"),
    "partially_refunded": Word("partly refunded", "calm"),
    "disputed": Word("disputed", "bad"),
    "aborted": Word("not opened", "calm"),
}
SUB_STATES = {
    "none": Word("none yet", "calm"),
    # door
    "locked": Word("locked"),
    "unlock_sent": Word("unlock sent", "busy"),
    "unlocked": Word("unlocked", "busy"),
    "open": Word("open", "busy"),
    "closed_locked": Word("closed and locked", "good"),
    "never_opened": Word("never opened"),
    "held_open": Word("held open", "bad"),
    "forced": Word("forced", "bad"),
    "unknown": Word("unknown", "wait"),
    # evidence
    "partial": Word("arriving", "busy"),
    "complete": Word("complete", "busy"),
    "verified": Word("verified", "good"),
    "unusable": Word("unusable", "bad"),
    "expired_deleted": Word("deleted after retention"),
    # payment
    "auth_pending": Word("hold asked for", "busy"),
    "capture_pending": Word("charging", "busy"),
    "captured": Word("paid", "good"),
    "auth_declined": Word("declined"),
    "void_pending": Word("giving the hold back", "busy"),
    "voided": Word("hold given back", "good"),
    "expired": Word("hold expired", "bad"),
    "capture_failed": Word("charge failed", "bad"),
    "paid_later": Word("paid later", "good"),
    "refund_pending": Word("refunding", "busy"),
    "won": Word("dispute won", "good"),
    "lost": Word("dispute lost", "bad"),
    # operations
    "requested": Word("under way", "busy"),
    "done": Word("done", "good"),
    "failed": Word("failed", "bad"),
    "frozen": Word("frozen", "bad"),
    # devices
    "online": Word("online", "good"),
    "offline": Word("offline", "bad"),
    "never_seen": Word("never seen"),
    "revoked": Word("revoked"),
}
DECISIONS = {
    "charge": Word("charge", "good"),
    "review": Word("review", "wait"),
    "release": Word("release"),
    "accept": Word("accepted", "good"),
    "correct": Word("corrected", "busy"),
    "waive": Word("waived"),
}
EVENT_KINDS = {
    "take": "Take",
    "put_back": "Put back",
    "move": "Moved",
    "foreign_item": "Foreign item put in",
    "unknown": "Product not in catalog",
}
OPERATIONS = {
    "hold": "Hold",
    "charge": "Charge without a hold",
    "capture": "Charge",
    "void": "Give hold back",
    "refund": "Refund",
}
REASONS = {
    "not_taken": "I did not take this",
    "wrong_product": "It was another product",
    "wrong_count": "The number is wrong",
    "wrong_price": "The price is wrong",
    "put_back": "I put it back",
    "other": "Something else",
}
CODES = {
    "as_proposed": "As proposed",
    "not_taken": "Not taken",
    "wrong_product": "Wrong product",
    "wrong_count": "Wrong count",
    "missed_take": "Missed a take",
    "missed_put_back": "Missed a put-back",
    "hidden": "Hidden from view",
    "not_in_catalog": "Not in catalog",
    "no_evidence": "Evidence unusable",
    "device_fault": "Device fault",
    "quality": "Product quality",
    "goodwill": "Goodwill",
    "test": "Test session",
    "other": "Other",
}
RULES = {
    "place_emptied": "a place became empty",
    "place_filled": "a place became full",
    "row_step": "the row moved up",
    "revealed_another": "another product showed behind",
    "put_before_another": "put in front of another",
    "moved_sideways": "moved sideways",
    "put_back_of_nothing_held": "put in, but not held before",
}
WHY = {
    "doubt": "not sure enough",
    "over_cap": "more than the cap",
    "no_price": "a product without a price",
    "no_evidence": "no video came",
    "unusable": "the video cannot be used",
    "pipeline": "the analysis failed",
    "held_open": "the door was held open",
    "sensors": "the sensors disagree",
    "tamper": "the video was tampered with",
    "late": "the door opened late",
    "contest": "the shopper says that it is wrong",
}
FLAGS = {
    "held_open": "door held open",
    "forced": "door forced",
    "reopened": "door opened again",
    "sensors_disagree": "sensors disagree",
    "rebooted": "device restarted meanwhile",
    "camera_dead": "camera fell silent",
    "tamper": "video tampered with",
    "salvaged": "part of the video is missing",
    "late_evidence": "video came late",
    "stock_take": "stock-take wanted",
}
METHODS = {"wallet": "Wallet", "stripe": "Card"}
FILTERS = {
    "all": "All",
    "live": "Live",
    "review": "In review",
    "settled": "Settled",
    "released": "Nothing taken",
    "owed": "Owed",
    "ended": "Ended",
}
STAGES = {
    "unlocking": "Unlocking",
    "unlocked": "Unlocked. Open the door",
    "open": "Take what you like",
    "uploading": "Thank you",
    "working": "Working out your receipt",
    "review": "A person is having a look",
    "receipt": "Thank you",
    "nothing_taken": "Nothing taken, nothing paid",
    "never_opened": "The door stayed closed",
    "not_unlocked": "The door could not be unlocked",
    "declined": "Your payment was declined",
    "owed": "The payment did not go through",
}
PURCHASES = {
    "unlocking": "unlocking",
    "unlocked": "unlocked",
    "open": "door open",
    "uploading": "being worked out",
    "working": "being worked out",
    "review": "a person checks",
    "receipt": "paid",
    "nothing_taken": "nothing taken",
    "never_opened": "not opened",
    "not_unlocked": "not opened",
    "declined": "declined",
    "owed": "to be paid",
}
_TABLES = {
    "session": SESSION_STATES,
    "sub": SUB_STATES | {name: word for name, word in SESSION_STATES.items() if name not in SUB_STATES},
    "decision": DECISIONS,
}
_TEXTS = {
    "event": EVENT_KINDS,
    "operation": OPERATIONS,
    "reason": REASONS,
    "code": CODES,
    "rule": RULES,
    "why": WHY,
    "flag": FLAGS,
    "method": METHODS,
    "filter": FILTERS,
    "stage": STAGES,
    "purchase": PURCHASES,
}


def word(table: str, name: str) -> Word:
    """A state in words with its tone.

    Args:
        table: `session`, `sub` (door, evidence, payment, operation, device) or `decision`.
        name: of the state, any case.
    Returns:
        Its words; a name that nobody wrote words for reads as it is.
    """
    return _TABLES[table].get(name.lower()) or Word(plain(name))


def text(table: str, name: str) -> str:
    """A kind or a code in words.

    Args:
        table: any of `_TEXTS`.
        name: the kind.
    Returns:
        Its words; a name that nobody wrote words for reads as it is.
    """
    return _TEXTS[table].get(name) or plain(name)


def plain(name: str) -> str:
    """Words from a name of the code: `held_open` reads `held open`.

    Args:
        name: a name with underscores.
    Returns:
        The words.
    """
    return name.replace("_", " ").lower()
