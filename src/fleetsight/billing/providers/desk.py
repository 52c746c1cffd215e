"""The front of the made-up bank: remembers answers by key, and fails on demand.

What it does follows Stripe's documented idempotency: the first answer to a key is kept once its execution began, a 500 too; an error
of validation is not kept; another question under the same key is refused; two at once are a conflict; after a day the key is
forgotten.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from fleetsight.billing.providers.bank import Bank
from fleetsight.clock import SECOND_NS

KEY_KEPT_S = 24 * 3600
"""Stripe prunes keys when they are at least this old."""
SLOW_S = 5.0

OK, DECLINED, REFUSED, CONFLICT, BROKEN = 200, 402, 400, 409, 500


class Fault(StrEnum):
    """What goes wrong with one request."""

    LOST_BEFORE = "lost_before"
    """The line is cut before the request arrives: no effect, no answer."""
    LOST_AFTER = "lost_after"
    """It has its effect and the answer is lost."""
    ERROR_BEFORE = "error_before"
    """A 500 without effect; kept under the key."""
    ERROR_AFTER = "error_after"
    """A 500 with effect; kept under the key."""
    CONFLICT = "conflict"
    """A 409: another request with the key is at work. No effect, not kept."""
    SLOW = "slow"
    """It takes `SLOW_S` and then goes well."""
    DOWN = "down"
    """Nothing can be read either."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request.

    Attributes:
        kind: authorize, capture, void, refund, or read.
        key: its idempotency key; of a read, the intent's name or key.
        count: how often this question came, from 1.
    """

    kind: str
    key: str
    count: int


class Faults(Protocol):
    """Decides what goes wrong."""

    def __call__(self, visit: Visit) -> Fault | None:
        """Choose.

        Args:
            visit: the request.
        Returns:
            the fault; None when all goes well.
        """
        ...


def no_faults(visit: Visit) -> Fault | None:  # noqa: ARG001
    """Nothing goes wrong.

    Args:
        visit: any.
    Returns:
        None.
    """
    return None


@dataclass(frozen=True, slots=True)
class Scripted:
    """Faults by kind of request, one for each visit of a key.

    Attributes:
        script: for each kind what happens at the first, second, … visit; later visits go well.
    """

    script: Mapping[str, tuple[Fault | None, ...]]

    def __call__(self, visit: Visit) -> Fault | None:
        steps = self.script.get(visit.kind, ())
        return steps[visit.count - 1] if visit.count <= len(steps) else None


@dataclass(frozen=True, slots=True)
class Seeded:
    """Faults by chance that follow from a seed and the request alone, so that every process and every replay agrees.

    Attributes:
        seed: chooses the world.
        rates: probability of each fault; their sum is below 1.
        visits: later visits of one key go well, so that everything ends.
    """

    seed: int
    rates: Mapping[Fault, float]
    visits: int = 3

    def __call__(self, visit: Visit) -> Fault | None:
        if visit.count > self.visits:
            return None
        text = f"{self.seed}/{visit.kind}/{visit.key}/{visit.count}"
        left = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
        for fault, rate in self.rates.items():
            left -= rate
            if left < 0:
                return fault
        return None


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes back.

    Attributes:
        status: like HTTP.
        body: JSON.
    """

    status: int
    body: dict[str, Any]


class Desk:
    """Takes requests for a bank.

    Args:
        bank: the money.
        faults: what goes wrong.
        wait: lets time pass, given seconds.
        key_kept_s: a key is forgotten after this.
    """

    def __init__(
        self,
        bank: Bank,
        *,
        faults: Faults = no_faults,
        wait: Callable[[float], None],
        key_kept_s: int = KEY_KEPT_S,
    ) -> None:
        self.bank = bank
        self.key_kept_s = key_kept_s
        self._faults = faults
        self._wait = wait

    def write(self, kind: str, key: str, *, question: Mapping[str, Any], effect: Callable[[], Reply]) -> Reply | None:
        """Take a request that has an effect.

        Args:
            kind: authorize, capture, void or refund.
            key: its idempotency key.
            question: all parameters, to tell another question under the same key.
            effect: does it; its answer is kept unless it is a refusal of validation.
        Returns:
            the answer; None when the line was cut.
        """
        fault = self._visit(kind, key)
        if fault is Fault.SLOW:
            self._wait(SLOW_S)
        if fault in (Fault.LOST_BEFORE, Fault.DOWN):
            return None
        if fault is Fault.CONFLICT:
            return Reply(CONFLICT, {"code": "idempotency_key_in_use"})
        reply = self._answer(key, json.dumps([kind, question], sort_keys=True), fault, effect)
        return None if fault is Fault.LOST_AFTER else reply

    def reads(self, name: str) -> bool:
        """Take a request that only reads.

        Args:
            name: what is read.
        Returns:
            False when the line was cut.
        """
        fault = self._visit("read", name)
        if fault is Fault.SLOW:
            self._wait(SLOW_S)
        return fault in (None, Fault.SLOW)

    def _visit(self, kind: str, key: str) -> Fault | None:
        with self.bank.transaction() as connection:
            connection.execute(
                "INSERT INTO visits VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1", (kind, key)
            )
            row = connection.execute("SELECT count FROM visits WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return self._faults(Visit(kind, key, row[0]))

    def _answer(self, key: str, question: str, fault: Fault | None, effect: Callable[[], Reply]) -> Reply:
        now_ns = self.bank.clock.now_ns()
        with self.bank.transaction() as connection:
            connection.execute("DELETE FROM answers WHERE at_ns <= ?", (now_ns - self.key_kept_s * SECOND_NS,))
            known = connection.execute("SELECT * FROM answers WHERE key = ?", (key,)).fetchone()
            if known is not None:
                if known["question"] != question:
                    return Reply(REFUSED, {"code": "key_reused"})
                return Reply(known["status"], json.loads(known["body"]))
            reply = Reply(BROKEN, {"code": "api_error"}) if fault is Fault.ERROR_BEFORE else effect()
            if fault is Fault.ERROR_AFTER and reply.status == OK:
                reply = Reply(BROKEN, {"code": "api_error"})
            if reply.status != REFUSED:
                connection.execute(
                    "INSERT INTO answers VALUES (?, ?, ?, ?, ?)",
                    (key, question, reply.status, json.dumps(reply.body), now_ns),
                )
            return reply
