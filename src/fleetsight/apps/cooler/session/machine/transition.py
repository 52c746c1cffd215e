"""What a step of the machine answers, and the draft in which the rules write it down.

A `Draft` lives within one call of `apply`: rules change it, `apply` hands out the frozen result. It is the only place that
knows how a state is entered.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from fleetsight.apps.cooler.session.machine.commands import Command, Tell
from fleetsight.apps.cooler.session.machine.limits import Limits, span_ns
from fleetsight.apps.cooler.session.machine.session import Session
from fleetsight.apps.cooler.session.machine.states import ENDED, EvidenceState, Flag, State


class Refusal(StrEnum):
    """Why an event changes nothing."""

    NOT_NOW = "not_now"
    DUPLICATE = "duplicate"
    STALE = "stale"
    CONFLICT = "conflict"
    LIMIT = "limit"
    NOTHING_DUE = "nothing_due"


@dataclass(frozen=True, slots=True)
class Transition:
    """A step that is taken.

    Attributes:
        session: afterwards; its version is one higher.
        commands: what is wanted, in order.
        path: states entered, in order; empty when the state stays.
        at_ns: when.
    """

    session: Session
    commands: tuple[Command, ...]
    path: tuple[State, ...]
    at_ns: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A step that is not taken; the session stays as it is.

    Attributes:
        code: for programs.
        reason: for people.
    """

    code: Refusal
    reason: str


class Draft:
    """A session on its way through one step.

    Args:
        session: before.
        now_ns: server time.
        limits: timeouts and sizes.
    """

    __slots__ = ("commands", "limits", "now_ns", "path", "session")

    def __init__(self, session: Session, now_ns: int, limits: Limits) -> None:
        self.session = session
        self.now_ns = now_ns
        self.limits = limits
        self.commands: list[Command] = []
        self.path: list[State] = []

    def change(self, **values: Any) -> None:
        """Give fields of the session new values."""
        self.session = replace(self.session, **values)

    def door(self, **values: Any) -> None:
        """Give fields of the door new values."""
        self.session = replace(self.session, door=replace(self.session.door, **values))

    def evidence(self, **values: Any) -> None:
        """Give fields of the evidence new values."""
        self.session = replace(self.session, evidence=replace(self.session.evidence, **values))

    def payment(self, **values: Any) -> None:
        """Give fields of the payment new values."""
        self.session = replace(self.session, payment=replace(self.session.payment, **values))

    def after(self, seconds: float) -> int:
        """The moment so many seconds from now, UTC nanoseconds."""
        return self.now_ns + span_ns(seconds)

    def enter(self, state: State, *, due_ns: int | None, outcome: str = "") -> None:
        """Enter a state.

        Args:
            state: which.
            due_ns: when it must be left or looked at; an end keeps video only for the retention time, whatever is given.
            outcome: why an end was reached; kept when empty.
        """
        ended_ns = self.session.ended_ns
        if state in ENDED:
            ended_ns = self.now_ns
            kept = self.session.evidence.segments and self.session.evidence.state is not EvidenceState.EXPIRED_DELETED
            if due_ns is None and kept:
                due_ns = self.after(self.limits.retention_s)
        self.path.append(state)
        self.change(
            state=state,
            entered_ns=self.now_ns,
            due_ns=due_ns,
            ended_ns=ended_ns,
            outcome=outcome or self.session.outcome,
        )

    def flag(self, flag: Flag) -> None:
        """Note what speaks against deciding alone."""
        if flag not in self.session.flags:
            self.change(flags=tuple(sorted((*self.session.flags, flag))))

    def unflag(self, flag: Flag) -> None:
        """A person took note."""
        self.change(flags=tuple(other for other in self.session.flags if other is not flag))

    def tell(self, audience: str, subject: str) -> None:
        """Tell a person, once in a session."""
        if subject in self.session.alerts:
            return
        self.change(alerts=tuple(sorted((*self.session.alerts, subject))))
        self.commands.append(Tell(f"{self.session.id}:tell:{subject}", audience, subject))

    def result(self) -> Transition:
        """The frozen step."""
        session = replace(self.session, version=self.session.version + 1)
        return Transition(session, tuple(self.commands), tuple(self.path), self.now_ns)
