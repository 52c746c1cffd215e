"""Requests that move money, once: the same key gets the same answer, however often and however many at a time it is sent.

The effects behind these requests have keys of their own, made from the caller's key by `effect_id`. So a request that died between its
effect and its answer can be done again: the effect is found, not repeated.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import sqlalchemy as sa
from fastapi import Header, Request

from fleetsight.store import idempotency
from fleetsight.store.crashpoint import crashpoint
from fleetsight.store.idempotency import Answer, Conflict, InProgress
from fleetsight.web.gate.principal import OperatorCaller, ShopperCaller
from fleetsight.web.problems import Kind, Problem, conflict
from fleetsight.web.services import Services

OTHER_BODY = Kind(
    422, "idempotency_conflict", "this Idempotency-Key was used for another request", "use a new key for a new request"
)

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="names this request for 7 days; sent again, it gets the same answer and has no second effect",
    ),
]


@dataclass(frozen=True)
class Asked:
    """A request with a key.

    Attributes:
        caller: who asks.
        key: the caller's key.
        body_sha256: of method, path and body, 64 hexadecimal digits.
    """

    caller: ShopperCaller | OperatorCaller
    key: str
    body_sha256: str

    @property
    def effect_id(self) -> str:
        """Names the effect: the same for the same caller and key, 32 hexadecimal digits."""
        return hashlib.sha256(f"{self.caller.tenant_id}\n{self.caller.name}\n{self.key}".encode()).hexdigest()[:32]


def asked(request: Request, caller: ShopperCaller | OperatorCaller, *, key: str) -> Asked:
    """Make the value of a request.

    Args:
        request: one that passed the gate.
        caller: who asks.
        key: the caller's key.
    Returns:
        the value.
    """
    head = f"{request.method} {request.url.path}\n{request.state.body_sha256}"
    return Asked(caller, key, hashlib.sha256(head.encode()).hexdigest())


def once(services: Services, request: Asked, *, act: Callable[[], Answer]) -> Answer:
    """Do a request whose effect has a transaction of its own, or give the answer that it got before.

    Args:
        services: where answers are kept.
        request: the request.
        act: does it; done again, it must find the effect that it had before.
    Returns:
        the answer.
    Raises:
        Problem: the key was used for another request, or the first one is still at work, or whatever `act` raises.
    """
    stored = _stored(request)
    with services.rows.transaction() as connection:
        known = _begin(connection, stored, now_ns=services.clock.now_ns())
    if known is not None:
        return known
    crashpoint("answers.begun")
    try:
        answer = act()
        crashpoint("answers.acted")
        with services.rows.transaction() as connection:
            idempotency.finish(connection, stored, answer=answer)
    except Exception:
        # Also after a fault of the disk in the middle: whoever asks again need not wait until the request counts as abandoned,
        # because an effect that was kept is found by its own key.
        with services.rows.transaction() as connection:
            idempotency.abandon(connection, stored)
        raise
    return answer


def once_within(services: Services, request: Asked, *, act: Callable[[sa.Connection], Answer]) -> Answer:
    """Do a request in one transaction with its answer, or give the answer that it got before.

    Args:
        services: where answers are kept.
        request: the request.
        act: does it with the connection it gets; a `Problem` from it rolls everything back.
    Returns:
        the answer.
    Raises:
        Problem: the key was used for another request, or whatever `act` raises.
    """
    stored = _stored(request)
    with services.rows.transaction() as connection:
        known = _begin(connection, stored, now_ns=services.clock.now_ns())
        if known is not None:
            return known
        answer = act(connection)
        idempotency.finish(connection, stored, answer=answer)
        crashpoint("answers.before-commit")
    return answer


def _stored(request: Asked) -> idempotency.Request:
    return idempotency.Request(
        tenant_id=request.caller.tenant_id,
        principal=request.caller.name,
        key=request.key,
        body_sha256=request.body_sha256,
    )


def _begin(connection: sa.Connection, stored: idempotency.Request, *, now_ns: int) -> Answer | None:
    """The answer that was given before; None when the request is to be done."""
    match idempotency.begin(connection, stored, now_ns=now_ns):
        case Answer() as answer:
            return answer
        case Conflict():
            raise Problem(OTHER_BODY)
        case InProgress(retry_after_s=wait_s):
            problem = conflict(
                "in_progress", "the first request with this key is at work", hint="ask again in a moment"
            )
            problem.headers["Retry-After"] = str(wait_s)
            raise problem
    return None
