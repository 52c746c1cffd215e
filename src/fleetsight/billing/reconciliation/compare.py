"""Our books against the provider's: every difference is found, explained, and given a way out. Pure.

A pair that changed within the last minute is left for the next run: the two sides were not read at one moment. A proposal is a
value; it names its effect by a key, so carrying it out twice is once.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from fleetsight.billing.exactly_once.judge import QUIET_NS
from fleetsight.billing.ledger import ENDS_HOLD, TAKES, Kind, Ledger
from fleetsight.billing.operations import Operation, OperationState
from fleetsight.billing.provider import DisputeState, Intent, IntentState
from fleetsight.clock import SECOND_NS
from fleetsight.money import Money

STALE_HOLD_NS = 24 * 3600 * SECOND_NS
"""Card networks ask that a hold which will not be captured is given back within a day."""


class DifferenceKind(StrEnum):
    """What does not agree."""

    MISSING_HERE = "missing_here"
    """The provider has money of ours that we know nothing about."""
    MISSING_THERE = "missing_there"
    """We booked what the provider does not know."""
    AMOUNTS_DIFFER = "amounts_differ"
    STATES_DIFFER = "states_differ"
    UNSETTLED = "unsettled"
    """An operation of ours has no end yet."""
    FROZEN = "frozen"
    """An operation of ours waits for a person."""
    STALE_HOLD = "stale_hold"


@dataclass(frozen=True, slots=True)
class Perform:
    """Perform an open operation again, and conclude it with its session.

    Attributes:
        key: of the operation.
    """

    key: str


@dataclass(frozen=True, slots=True)
class Observe:
    """Read the intent and book what it shows.

    Attributes:
        key: the provider's name of the intent.
    """

    key: str


@dataclass(frozen=True, slots=True)
class Release:
    """Give a hold back that nothing of ours stands behind.

    Attributes:
        key: idempotency key of the void.
        ref: the provider's name of the intent.
    """

    key: str
    ref: str


@dataclass(frozen=True, slots=True)
class AskPerson:
    """Nothing is safe to do without a person.

    Attributes:
        key: names the question.
        question: in words.
    """

    key: str
    question: str


Proposal: TypeAlias = Perform | Observe | Release | AskPerson


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that does not agree.

    Attributes:
        kind: what.
        tenant_id: whose money; empty when the provider does not say.
        session_id: what it is about; empty when unknown.
        ours: what we have, in words.
        theirs: what the provider shows, in words.
        explanation: how it may have come about.
        proposal: the way out.
    """

    kind: DifferenceKind
    tenant_id: str
    session_id: str
    ours: str
    theirs: str
    explanation: str
    proposal: Proposal

    def as_json(self) -> dict[str, Any]:
        """Plain JSON for a page.

        Returns:
            all attributes; the proposal as its kind and key.
        """
        told = {name: str(getattr(self, name)) for name in self.__slots__ if name != "proposal"}
        proposal = {"kind": type(self.proposal).__name__.lower(), "key": self.proposal.key}
        if isinstance(self.proposal, AskPerson):
            proposal["question"] = self.proposal.question
        return {**told, "proposal": proposal}


@dataclass(frozen=True, slots=True)
class Report:
    """What a comparison found.

    Attributes:
        matched: pairs that agree.
        moving: pairs that changed too recently to be judged.
        differences: everything else.
    """

    matched: int
    moving: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Ours:
    """What we know about one intent.

    Attributes:
        root: the hold or charge that asked for it.
        follow_ups: the operations about it, root left out.
        ledger: the entries about its session.
    """

    root: Operation
    follow_ups: tuple[Operation, ...]
    ledger: Ledger

    @property
    def is_held(self) -> bool:
        """Whether our book shows the hold as open."""
        entry = self.ledger.entries.get(self.root.key)
        ended = any(e.of == self.root.key for e in self.ledger.entries.values() if e.kind in ENDS_HOLD)
        return entry is not None and entry.kind is Kind.HOLD and not ended

    @property
    def captured(self) -> Money:
        """What our book shows as taken."""
        return Money(sum(self.ledger.entries[key].amount.minor for key in self._takes()), self.root.amount.currency)

    @property
    def dispute(self) -> DisputeState | None:
        """Where our book shows a dispute."""
        states = (self.ledger.standings[key].dispute for key in self._takes() if key in self.ledger.standings)
        return next((state for state in states if state is not None), None)

    def refunds(self) -> dict[str, Money]:
        """What our book shows as given back, by the refund's key."""
        takes = set(self._takes())
        entries = self.ledger.entries.values()
        return {e.key: e.amount for e in entries if e.kind is Kind.REFUND and e.of in takes}

    def _takes(self) -> list[str]:
        mine = {self.root.key, *(operation.key for operation in self.follow_ups)}
        return [key for key, entry in self.ledger.entries.items() if key in mine and entry.kind in TAKES]


def reconcile(ours: Sequence[Ours], theirs: Sequence[Intent], *, now_ns: int) -> Report:
    """Compare.

    Args:
        ours: what we know, of one provider and period.
        theirs: what the provider shows of the same.
        now_ns: now.
    Returns:
        every difference, with an explanation and a proposal.
    """
    left = {intent.ref: intent for intent in theirs}
    named: defaultdict[str, list[Intent]] = defaultdict(list)
    for intent in theirs:
        named[intent.key].append(intent)
    matched, moving = 0, 0
    found: list[Difference] = []
    for mine in ours:
        shown = left.get(mine.root.provider_ref) or next(iter(named.get(mine.root.key, [])), None)
        if shown is not None:
            left.pop(shown.ref, None)
        newest_ns = max(operation.touched_ns for operation in (mine.root, *mine.follow_ups))
        if now_ns - newest_ns < QUIET_NS:
            moving += 1
            continue
        differences = list(_compared(mine, shown, now_ns=now_ns))
        matched += not differences
        found += differences
    for intent in left.values():
        found += _foreign(intent)
    return Report(matched, moving, tuple(found))


def _compared(mine: Ours, intent: Intent | None, *, now_ns: int) -> Iterator[Difference]:
    operations = (mine.root, *mine.follow_ups)
    for operation in operations:
        if operation.state is OperationState.FROZEN:
            question = f"{operation.kind} {operation.key} is frozen: what did the provider do?"
            yield _difference(
                mine, intent, DifferenceKind.FROZEN, str(operation.outcome), AskPerson(operation.key, question)
            )
    still_open = [operation for operation in operations if operation.is_open]
    for operation in still_open:
        why = f"{operation.kind} {operation.key} was begun {operation.attempts} times and nobody heard its end"
        yield _difference(mine, intent, DifferenceKind.UNSETTLED, why, Perform(operation.key))
    if still_open or any(operation.state is OperationState.FROZEN for operation in operations):
        return  # whatever differs follows from these
    if intent is None:
        if mine.is_held or mine.captured.minor:
            question = f"does the provider have another account with {mine.root.provider_ref}?"
            why = "the provider lost it, or our rows come from another account"
            yield _difference(mine, intent, DifferenceKind.MISSING_THERE, why, AskPerson(mine.root.key, question))
        return
    yield from _amounts(mine, intent)
    yield from _states(mine, intent, now_ns=now_ns)


def _amounts(mine: Ours, intent: Intent) -> Iterator[Difference]:
    kind = DifferenceKind.AMOUNTS_DIFFER
    if mine.root.state is OperationState.DONE and intent.authorized != mine.root.amount:
        question = f"who changed {intent.ref} from {mine.root.amount} to {intent.authorized}?"
        yield _difference(mine, intent, kind, "another amount was authorised", AskPerson(mine.root.key, question))
    elif mine.captured != intent.captured:
        question = f"book {intent.captured} instead of {mine.captured} for {intent.ref}?"
        yield _difference(
            mine, intent, kind, _why_captured(mine, intent), AskPerson(f"{intent.ref}:captured", question)
        )
    here = mine.refunds()
    there = {refund.key or refund.ref: refund.amount for refund in intent.refunds if not refund.failed}
    for key in sorted({*here, *there}):
        if here.get(key) != there.get(key):
            why = (
                "a refund was made outside of this house" if key not in here else "a refund failed after it was booked"
            )
            question = f"refund {key}: {here.get(key)} here, {there.get(key)} there; which one shall stand?"
            yield _difference(mine, intent, kind, why, AskPerson(key, question))


def _why_captured(mine: Ours, intent: Intent) -> str:
    if not mine.captured.minor:
        return "it was captured outside of this house, or our rows were restored from before"
    return "the capture we booked is not there" if not intent.captured.minor else "another amount was captured"


def _states(mine: Ours, intent: Intent, *, now_ns: int) -> Iterator[Difference]:
    kind = DifferenceKind.STATES_DIFFER
    if mine.is_held and intent.state in (IntentState.EXPIRED, IntentState.VOIDED):
        why = "the hold ended without us"
        yield _difference(mine, intent, kind, why, Observe(intent.ref))
    elif intent.state is IntentState.HELD and not mine.is_held:
        why = f"we ended {mine.root.key} ({mine.root.outcome}) and the hold came to be, or stayed"
        yield _difference(mine, intent, kind, why, Release(f"release:{intent.ref}", intent.ref))
    elif mine.is_held and intent.state is IntentState.HELD and now_ns - mine.root.created_ns > STALE_HOLD_NS:
        hours = (now_ns - mine.root.created_ns) // (3600 * SECOND_NS)
        question = f"session {mine.root.session_id} holds {mine.root.amount} for {hours} h: decide it, or void"
        why = "its session has not ended"
        yield _difference(mine, intent, DifferenceKind.STALE_HOLD, why, AskPerson(mine.root.key, question))
    if intent.dispute is not mine.dispute:
        why = f"the dispute is {intent.dispute} there and {mine.dispute} here: its webhook was lost"
        yield _difference(mine, intent, kind, why, Observe(intent.ref))


def _foreign(intent: Intent) -> Iterator[Difference]:
    """An intent that no operation of ours asked for; without money it is no difference."""
    proposal: Proposal
    if intent.state is IntentState.HELD:
        proposal = Release(f"release:{intent.ref}", intent.ref)
    elif intent.state is IntentState.CAPTURED and intent.refunded != intent.captured:
        proposal = AskPerson(intent.ref, f"{intent.ref} took {intent.captured}: refund it, or book it?")
    else:
        return
    yield Difference(
        kind=DifferenceKind.MISSING_HERE,
        tenant_id=intent.tenant_id,
        session_id=intent.session_id,
        ours="nothing",
        theirs=_shown(intent),
        explanation="made outside of this house, or twice, or our rows were restored from before",
        proposal=proposal,
    )


def _difference(
    mine: Ours, intent: Intent | None, kind: DifferenceKind, explanation: str, proposal: Proposal
) -> Difference:
    held = f"holds {mine.root.amount}" if mine.is_held else f"took {mine.captured}"
    return Difference(
        kind=kind,
        tenant_id=mine.root.tenant_id,
        session_id=mine.root.session_id,
        ours=f"{mine.root.kind} {mine.root.key} is {mine.root.state}, {held}",
        theirs="nothing" if intent is None else _shown(intent),
        explanation=explanation,
        proposal=proposal,
    )


def _shown(intent: Intent) -> str:
    parts = [f"{intent.ref} is {intent.state} of {intent.authorized}", f"took {intent.captured}"]
    parts += [f"gave back {intent.refunded}"] * bool(intent.refunds)
    parts += [f"dispute {intent.dispute}"] * (intent.dispute is not None)
    return ", ".join(parts)
