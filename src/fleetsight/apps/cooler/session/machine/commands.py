"""What a transition wants done. Each command has a key that follows from the session alone: doing it twice is doing it once."""

from dataclasses import dataclass

from fleetsight.apps.cooler.session.machine.session import Decided
from fleetsight.apps.cooler.session.machine.states import Operation


@dataclass(frozen=True, slots=True)
class Pay:
    """Plan and perform a payment call.

    Attributes:
        key: ``{sid}:auth:{n}``, ``{sid}:capture:{v}``, ``{sid}:void[:{n}]``, ``{sid}:extra``, ``{sid}:retry:{n}``,
            ``{sid}:refund:{id}[:{n}]``.
        kind: of call.
        amount_minor: 0 for a void.
        of: key of the call that made the hold or charge it is about; empty for an authorisation and for a purchase.
        reason: of a refund.
    """

    key: str
    kind: Operation
    amount_minor: int
    of: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AskProvider:
    """Read what became of a payment call; `key` is ``{operation}:query:{n}``."""

    key: str
    operation_key: str


@dataclass(frozen=True, slots=True)
class Owe:
    """Book a debt; `key` is ``{sid}:owed:{v}``."""

    key: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class WriteOff:
    """Give up what is open of a debt; `key` is ``{debt}:writeoff``."""

    key: str
    debt_key: str


@dataclass(frozen=True, slots=True)
class Unlock:
    """Sign an unlock command for the device; `key` is ``{sid}:unlock``."""

    key: str


@dataclass(frozen=True, slots=True)
class Analyse:
    """Run the analysis; `key` is ``{run_id}:{n}``."""

    key: str
    run_id: str


@dataclass(frozen=True, slots=True)
class FreezeDecision:
    """Keep the decision as a row for ever; `key` is ``{sid}:decision:{v}``."""

    key: str
    decision: Decided


@dataclass(frozen=True, slots=True)
class StartSettlement:
    """Carry the decision out; `key` is ``{sid}:settle:{v}``."""

    key: str
    version: int


@dataclass(frozen=True, slots=True)
class MoveStock:
    """Book what left the shelf: the difference to the version before; `key` is ``{sid}:stock:{v}``.

    Attributes:
        key: see above.
        version: of the decision.
        deltas: pairs of SKU and change of stock, negative for units that left.
    """

    key: str
    version: int
    deltas: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class WriteReceipt:
    """Issue the receipt; `key` is ``{sid}:receipt:{session version}``."""

    key: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell a person.

    Attributes:
        key: ``{sid}:tell:{subject}[:{n}]``.
        audience: `shopper` or `operator`.
        subject: one word: close_door, held_open, review, review_late, hold_ending, payment_unknown, frozen, tamper, stock_take, intrusion, …
    """

    key: str
    audience: str
    subject: str


@dataclass(frozen=True, slots=True)
class DeleteVideo:
    """Give up the raw video; digests and versions stay. `key` is ``{sid}:delete``."""

    key: str


Command = (
    Pay
    | AskProvider
    | Owe
    | WriteOff
    | Unlock
    | Analyse
    | FreezeDecision
    | StartSettlement
    | MoveStock
    | WriteReceipt
    | Tell
    | DeleteVideo
)
