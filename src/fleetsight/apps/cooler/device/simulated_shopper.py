"""A shopper who registers, pays money in, redeems a device's code and waits for the receipt.

For demonstrations and chaos: `buy` is what a phone does, in one call, with the times that people feel.
"""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from fleetsight.errors import Error
from fleetsight.money import Money
from fleetsight.store.ids import new_id

TIMEOUT = httpx.Timeout(10.0)
POLL_FAST_S = 0.15  # while the bolt is awaited
POLL_S = 0.5  # a phone may ask five times a second
TRIES = 5
TRY_AGAIN_S = 0.3
WAIT_S = 180.0
ENDS = frozenset({"receipt", "ended", "review"})


class ShopperError(Error):
    """The service refused what a shopper wanted, or did not answer.

    Args:
        message: what happened.
        status: of the answer; 0 without one.
        problem: the service's word for the reason.
    """

    code = "simulated_shopper"

    def __init__(self, message: str, *, status: int = 0, problem: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Shopper:
    """A registered shopper.

    Attributes:
        shopper_id: the service's name for them.
        token: says who they are.
    """

    shopper_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Purchase:
    """What became of a visit.

    Attributes:
        session_id: the service's name for it.
        stage: "receipt", "review" or "ended"; the last one seen when the wait was too short.
        state: the session's state then.
        hold: what was reserved before the door opened.
        charged: what was paid and not refunded; nothing for an end without a receipt; None while that is open.
        expected: what the goods cost that were really taken; None when the caller did not say.
        redeem_s: from asking to the answer.
        unlock_s: from asking to the word that the door is unlocked; None when it never came.
        receipt_s: from the moment the shopper was told that the door is shut to the receipt; None without one.
        ended_ns: when the end was seen, UTC.
        receipt: as the service wrote it.
    """

    session_id: str
    stage: str
    state: str
    hold: Money
    charged: Money | None
    expected: Money | None
    redeem_s: float
    unlock_s: float | None
    receipt_s: float | None
    ended_ns: int
    receipt: dict[str, Any] | None

    @property
    def wrong(self) -> bool:
        """Whether something else was charged than was taken; False while nothing is charged yet."""
        return self.charged is not None and self.expected is not None and self.charged != self.expected


def register(server_url: str, name: str) -> Shopper:
    """Become a shopper with a prepaid wallet.

    Args:
        server_url: where the service is.
        name: of the shopper.
    Returns:
        the shopper.
    Raises:
        ShopperError: the service refused, for example because it does not allow open sign-up.
    """
    with _Phone(server_url) as phone:
        said = phone.call("POST", "/v1/shoppers", body={"name": name, "method": {"kind": "wallet"}})
        return Shopper(str(said["shopper_id"]), str(said["token"]))


def top_up(server_url: str, token: str, *, amount: Money) -> None:
    """Pay money into the wallet.

    Args:
        server_url: where the service is.
        token: the shopper's.
        amount: > 0.
    Raises:
        ShopperError: the service refused.
    """
    with _Phone(server_url, token) as phone:
        body = {"amount_minor": amount.minor, "currency": amount.currency}
        phone.call("POST", "/v1/shopper/top-ups", body=body, key=new_id())


def buy(
    server_url: str, qr_token: str, *, shopper_token: str, expected: Money | None = None, wait_s: float = WAIT_S
) -> Purchase:
    """Redeem a device's code and wait until the visit is over.

    Args:
        server_url: where the service is.
        qr_token: as the device shows it.
        shopper_token: who buys.
        expected: what the goods cost that will really be taken.
        wait_s: how long to wait for an end.
    Returns:
        what became of it.
    Raises:
        ShopperError: the code was not accepted, or the service does not answer any more.
    """
    with _Phone(server_url, shopper_token) as phone:
        start_s = time.monotonic()
        said = phone.call("POST", "/v1/shopper/sessions", body={"qr_token": qr_token}, key=new_id())
        redeem_s = time.monotonic() - start_s
        session_id, hold = str(said["session_id"]), _money(said["hold"])
        path = f"/v1/shopper/sessions/{quote(session_id)}"
        unlocked_s = shut_s = None
        stage = "unlocking"
        while stage not in ENDS and time.monotonic() - start_s < wait_s:
            time.sleep(POLL_FAST_S if stage == "unlocking" else POLL_S)
            said = phone.call("GET", path)
            stage = str(said["stage"])
            now_s = time.monotonic()
            if unlocked_s is None and stage in ("open", "working"):
                unlocked_s = now_s
            if shut_s is None and stage == "working":
                shut_s = now_s
        end_s = time.monotonic()
        receipt = phone.call("GET", f"{path}/receipt") if stage == "receipt" else None
    nothing = Money(0, hold.currency) if stage == "ended" else None
    return Purchase(
        session_id=session_id,
        stage=stage,
        state=str(said["state"]),
        hold=hold,
        charged=_money(receipt["paid"]) if receipt is not None else nothing,
        expected=expected,
        redeem_s=redeem_s,
        unlock_s=None if unlocked_s is None else unlocked_s - start_s,
        receipt_s=None if receipt is None or shut_s is None else end_s - shut_s,
        ended_ns=time.time_ns(),
        receipt=receipt,
    )


class _Phone:
    """A connection that tries again when the line fails; every request of it may be repeated."""

    def __init__(self, server_url: str, token: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(base_url=server_url, headers=headers, timeout=TIMEOUT, trust_env=False)

    def __enter__(self) -> "_Phone":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call(self, method: str, path: str, *, body: dict[str, Any] | None = None, key: str = "") -> dict[str, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        words = ""
        for attempt in range(TRIES):
            time.sleep(TRY_AGAIN_S * attempt)
            try:
                answer = self._http.request(method, path, json=body, headers=headers)
            except httpx.TransportError as error:
                words = f"{type(error).__name__} {error}"
                continue
            if answer.is_success:
                said = answer.json()
                if isinstance(said, dict):
                    return said
            words = f"{answer.status_code} {answer.text[:300]}"
            if not (answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS):
                raise ShopperError(f"{method} {path}: {words}", status=answer.status_code, problem=_problem(answer))
        raise ShopperError(f"{method} {path}: {words}, {TRIES} times")


def _problem(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["code"])
    except (ValueError, KeyError, TypeError):
        return ""


def _money(value: dict[str, Any]) -> Money:
    return Money(int(value["minor"]), str(value["currency"]))
