"""A payment provider that exists only in memory, knows the truth, and misbehaves on demand."""

from dataclasses import dataclass, field
from random import Random

from fleetsight.apps.cooler.session.machine.events import PaymentAnswered
from fleetsight.apps.cooler.session.machine.states import Answer, Operation

SECOND_NS = 1_000_000_000
HOLDS_S = (20.0, 4000.0, 4000.0, 90_000.0, *[432_000.0] * 17)


@dataclass
class Hold:
    amount: int
    until_ns: int
    state: str = "held"  # held, captured, voided


@dataclass
class Call:
    """What a caller remembers of one operation, as an operation row would."""

    kind: Operation
    amount: int
    of: str
    begun: bool = False
    answer: PaymentAnswered | None = None


@dataclass
class Bank:
    """One shopper's money, and how badly the line to it behaves.

    `trouble` is the probability that a call or its answer is lost; `refuses` that the bank says no.
    """

    rng: Random
    trouble: float
    refuses: float
    mismatch: float
    lives_ns: int
    holds: dict[str, Hold] = field(default_factory=dict)
    taken: dict[str, int] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)
    returned_of: dict[str, int] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    down_until_ns: int = 0
    late: list[tuple[str, int]] = field(default_factory=list)

    def plan(self, key: str, kind: Operation, *, amount: int, of: str) -> None:
        """What the transaction of the state change writes; a void of a hold whose call never began ends both at once."""
        known = self.calls.setdefault(key, Call(kind, amount, of))
        assert (known.kind, known.amount, known.of) == (kind, amount, of), f"{key} was used for something else"
        hold = self.calls.get(of)
        if kind is Operation.VOID and hold is not None and not hold.begun:
            hold.answer = PaymentAnswered(of, Answer.DECLINED, reason="given up")
            known.answer = PaymentAnswered(key, Answer.VOIDED)

    def perform(self, key: str, now_ns: int) -> PaymentAnswered:
        """Call, or first read what an earlier call did."""
        call = self.calls[key]
        if call.answer is not None:
            return call.answer
        unknown = PaymentAnswered(key, Answer.UNKNOWN)
        if now_ns < self.down_until_ns:
            return unknown
        if call.begun and (answer := self._read(key, call, now_ns)) is not None:
            call.answer = answer
            return answer
        call.begun = True
        dice = self.rng.random()
        if dice < self.trouble / 3:
            return unknown  # lost on the way there
        if dice < self.trouble * 0.4 and call.kind is Operation.AUTHORIZE:
            self.late.append((key, call.amount))  # takes effect when nobody expects it any more
            return unknown
        answer = self._do(key, call, now_ns)
        if dice < self.trouble:
            return unknown  # lost on the way back
        call.answer = answer
        return answer

    def late_effects(self, now_ns: int) -> None:
        for key, amount in self.late:
            if key not in self.refused:  # a refused key stays refused: the answer is saved
                self.holds.setdefault(key, Hold(amount, now_ns + self.lives_ns))
        self.late.clear()

    def held(self, now_ns: int) -> bool:
        return any(hold.state == "held" and hold.until_ns > now_ns for hold in self.holds.values())

    def granted(self, key: str) -> PaymentAnswered:
        hold = self.holds[key]
        return PaymentAnswered(key, Answer.AUTHORIZED, hold.amount, f"hold-{key}", hold.until_ns)

    def _read(self, key: str, call: Call, now_ns: int) -> PaymentAnswered | None:
        if key in self.refused:
            return self._no(key, call.kind)
        if call.kind is Operation.AUTHORIZE and key in self.holds:
            return self.granted(key)
        if key in self.taken:
            return PaymentAnswered(key, Answer.CAPTURED, self.taken[key], f"charge-{key}")
        if key in self.returned:
            return PaymentAnswered(key, Answer.REFUNDED, self.returned[key])
        return None

    def _do(self, key: str, call: Call, now_ns: int) -> PaymentAnswered:
        if call.kind is not Operation.VOID and self.rng.random() < self.refuses:
            self.refused.add(key)
            return self._no(key, call.kind)
        if call.kind is not Operation.VOID and self.rng.random() < self.mismatch:
            return PaymentAnswered(key, Answer.MISMATCH, call.amount + 1, reason="amount")
        hold = self.holds.get(call.of)
        match call.kind:
            case Operation.AUTHORIZE:
                self.holds.setdefault(key, Hold(call.amount, now_ns + self.lives_ns))
                return self.granted(key)
            case Operation.CAPTURE:
                assert hold is not None
                return self._capture(key, call.amount, hold=hold, now_ns=now_ns)
            case Operation.EXTRA | Operation.COLLECT:
                return self._take(key, call.amount)
            case Operation.VOID:
                return self._void(key, hold)
            case Operation.REFUND:
                assert key not in self.returned
                back = self.returned_of.get(call.of, 0) + call.amount
                assert back <= self.taken[call.of], "refunded more than was taken"
                self.returned_of[call.of] = back
                self.returned[key] = call.amount
                return PaymentAnswered(key, Answer.REFUNDED, call.amount)

    def _capture(self, key: str, amount: int, *, hold: Hold, now_ns: int) -> PaymentAnswered:
        if hold.state != "held" or hold.until_ns <= now_ns:
            return PaymentAnswered(key, Answer.EXPIRED, reason="hold_expired")
        assert amount <= hold.amount
        hold.state = "captured"
        return self._take(key, amount)

    def _void(self, key: str, hold: Hold | None) -> PaymentAnswered:
        if hold is not None and hold.state == "captured":
            return PaymentAnswered(key, Answer.REFUSED, reason="already_captured")
        if hold is not None:
            hold.state = "voided"
        return PaymentAnswered(key, Answer.VOIDED)

    def _take(self, key: str, amount: int) -> PaymentAnswered:
        assert key not in self.taken, f"{key} took money twice"
        self.taken[key] = amount
        return PaymentAnswered(key, Answer.CAPTURED, amount, f"charge-{key}")

    def _no(self, key: str, kind: Operation) -> PaymentAnswered:
        declined = kind in (Operation.AUTHORIZE, Operation.EXTRA, Operation.COLLECT)
        return PaymentAnswered(key, Answer.DECLINED if declined else Answer.REFUSED, reason="no")
