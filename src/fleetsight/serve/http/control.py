"""The control API: see pools; switch, split, try out, drain and reload them. One call, in force with the next request.

``GET  /v1/models`` · ``GET /v1/models/{m}`` · ``PUT /v1/models/{m}/split`` ``{"shares": {"cpu": 90, "gpu": 10}}`` or ``{"shares": null}`` ·
``PUT …/switch`` ``{"variant"}`` · ``PUT …/trial`` ``{"candidate", "mode", "percent", "agreement_min", "pairs_min"}`` · ``DELETE …/trial`` ·
``PUT …/drain`` ``{"variant", "drain"}`` · ``POST …/reload`` ``{"variant", "source", "version"}``.

Whoever may call it decides who answers cameras, so it asks for a token; without one it listens to this machine only. A browser shows the token
as a password, and then sends it for whoever asks: a change that another site's page asked for is refused.
"""

import base64
import binascii
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from fleetsight.errors import Error
from fleetsight.serve.http.exchange import Exchange
from fleetsight.serve.queueing.deployment import Deployment
from fleetsight.serve.queueing.lane import Lane
from fleetsight.serve.queueing.request import Reason, Refusal
from fleetsight.serve.queueing.trial import Gate, Mode, Trial
from fleetsight.serve.tier.router import Router

BODY_BYTES_MAX = 64 * 1024
NEAR = ("127.0.0.1", "::1", "")
NEAR_NAMES = ("127.0.0.1", "::1", "localhost")


class ControlError(Error):
    """A control call that makes no sense."""

    code = "serve_control"


class Control:
    """Answers operators.

    Args:
        router: what is controlled.
        token: that callers show; empty: callers on this machine need none, others are refused.
    """

    def __init__(self, router: Router, token: str = "") -> None:
        self._router = router
        self._token = token

    def may(self, exchange: Exchange) -> bool:
        """Whether the caller may control."""
        if self._token:
            return hmac.compare_digest(_shown(exchange.header(b"authorization")).encode(), self._token.encode())
        client = exchange.scope.get("client")
        return (client[0] if client else "") in NEAR

    def is_own(self, exchange: Exchange) -> bool:
        """Whether a change was asked for by a program or by our own page, not by a page of somebody else in an operator's browser."""
        origin = exchange.header(b"origin")
        if not origin:  # browsers name it with every request that is no GET
            return True
        try:
            parts = urlsplit(origin)
            is_near = parts.hostname in NEAR_NAMES
        except ValueError:
            return False
        # Without a token the name has to be this machine's: a stranger's name may resolve to it.
        return parts.netloc == exchange.header(b"host") and bool(self._token or is_near)

    async def handle(self, exchange: Exchange, model: str, *, verb: str) -> None:
        """Answer one call.

        Args:
            exchange: the request.
            model: that its path names; empty for the list of all.
            verb: what should happen to it; empty: say how it is.
        """
        if not self.may(exchange):
            await _fault(exchange, 401, "control_denied", "this call needs the control token")
            return
        deployment = self._router.deployments.get(model)
        if model and deployment is None:
            await exchange.refuse(Refusal(Reason.UNKNOWN_MODEL, f"there is no model {model[:80]!r}"))
            return
        if exchange.method == "GET" and not verb:
            found = self.seen() if deployment is None else describe(deployment, time.monotonic_ns())
            await exchange.tell(found)
            return
        if not self.is_own(exchange):
            await _fault(exchange, 403, "control_denied", "a page of another site asked for this")
            return
        if deployment is None:
            await _fault(exchange, 405, "serve_control", "only GET is possible here")
            return
        try:
            told = await self._change(exchange, deployment, verb)
        except Error as error:
            await _fault(exchange, 409, error.code, str(error))
            return
        await exchange.tell(told)

    def seen(self) -> dict[str, Any]:
        """Every pool, and what was changed lately."""
        now_ns = time.monotonic_ns()
        models = [describe(deployment, now_ns) for deployment in self._router.deployments.values()]
        changed = {"history": self._router.history.entries(), "scalings": self._router.scalings.entries()}
        return {"models": models, **changed}

    async def _change(self, exchange: Exchange, deployment: Deployment, verb: str) -> dict[str, Any]:
        body = await exchange.body(bytes_max=BODY_BYTES_MAX)
        if isinstance(body, Refusal):
            raise ControlError(body.detail)
        asked = _asked(body)
        begin_ns = time.monotonic_ns()
        if verb == "reload" and exchange.method == "POST":
            await self._reload(deployment, asked)
        elif (exchange.method, verb) in CHANGES:
            CHANGES[exchange.method, verb](deployment, asked)
        else:
            raise ControlError(f"{exchange.method} {verb!r} is no change", hint="PUT split, switch, trial or drain")
        took_ms = (time.monotonic_ns() - begin_ns) / 1e6
        self._router.history.note(deployment.model, verb, asked=asked)
        return describe(deployment, time.monotonic_ns()) | {"took_ms": round(took_ms, 3)}

    async def _reload(self, deployment: Deployment, asked: Mapping[str, Any]) -> None:
        variant, version = _text(asked, "variant"), _text(asked, "version")
        source = asked.get("source", "")
        if not isinstance(source, str):
            raise ControlError("source must be a text")
        await self._router.reload(deployment, variant, source=source, version=version)


def describe(deployment: Deployment, now_ns: int) -> dict[str, Any]:
    """A model and its pools as JSON."""
    trial = deployment.trial
    return {
        "model": deployment.model,
        "variants": [_variant(lane, now_ns) for lane in deployment.lanes.values()],
        "split": None if deployment.split is None else deployment.split.shares,
        "trial": None
        if trial is None
        else {
            "candidate": trial.candidate,
            "incumbent": trial.incumbent,
            "mode": trial.mode.value,
            **asdict(trial.gate),
            "verdict": trial.verdict.value,
            "pairs": trial.pairs,
            "agreement": round(trial.mean_agreement, 4),
            "why": trial.why,
        },
    }


def _variant(lane: Lane, now_ns: int) -> dict[str, Any]:
    return {
        "variant": lane.variant,
        "waiting": len(lane.line),
        "service_ms": round(lane.forecast.service_ms(1), 3),
        "usd_per_hour": lane.usd_per_hour,
        "usd_per_million": round(lane.usd_per_frame() * 1e6, 4),
        "backends": [
            {
                "backend": seat.name,
                "up": seat.is_up,
                "draining": seat.is_draining,
                "breaker": seat.breaker.state(now_ns).value,
                "held": len(seat.running),
                "batch": seat.batch,
                "streams": seat.streams,
            }
            for seat in lane.seats.values()
        ],
    }


def _switch(deployment: Deployment, asked: Mapping[str, Any]) -> None:
    deployment.switch(_text(asked, "variant"))


def _split(deployment: Deployment, asked: Mapping[str, Any]) -> None:
    shares = asked.get("shares")
    is_map = isinstance(shares, dict) and all(type(share) is int for share in shares.values())
    if shares is not None and not is_map:
        raise ControlError(
            "shares must be whole per cent by variant, or null", hint='{"shares": {"cpu": 90, "gpu": 10}}'
        )
    deployment.set_split(shares)


def _try_out(deployment: Deployment, asked: Mapping[str, Any]) -> None:
    candidate = _text(asked, "candidate")
    deployment.lane(candidate)
    others = [name for name in deployment.lanes if name != candidate]
    incumbent = asked.get("incumbent") or (others[0] if len(others) == 1 else "")
    if not incumbent:
        raise ControlError(f"which variant is {candidate!r} compared with?", hint=f"incumbent: {', '.join(others)}")
    try:
        mode = Mode(asked.get("mode", Mode.CANARY.value))
        gate = Gate(
            percent=int(asked.get("percent", Gate.percent)),
            agreement_min=float(asked.get("agreement_min", Gate.agreement_min)),
            pairs_min=int(asked.get("pairs_min", Gate.pairs_min)),
        )
    except (TypeError, ValueError) as error:
        raise ControlError(f"no trial can be made of this: {error}", hint="mode is shadow or canary") from error
    deployment.try_out(Trial(str(incumbent), candidate, mode=mode, gate=gate))


def _end_trial(deployment: Deployment, _asked: Mapping[str, Any]) -> None:
    deployment.trial = None


def _drain(deployment: Deployment, asked: Mapping[str, Any]) -> None:
    for seat in deployment.lane(_text(asked, "variant")).seats.values():
        seat.is_draining = bool(asked.get("drain", True))


CHANGES: Mapping[tuple[str, str], Callable[[Deployment, Mapping[str, Any]], None]] = {
    ("PUT", "switch"): _switch,
    ("PUT", "split"): _split,
    ("PUT", "trial"): _try_out,
    ("DELETE", "trial"): _end_trial,
    ("PUT", "drain"): _drain,
}


def _shown(authorization: str) -> str:
    """The token that a caller shows: a program as it is, a browser as a password."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return authorization.removeprefix("Bearer ")
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _asked(body: bytes | bytearray) -> Mapping[str, Any]:
    try:
        asked = json.loads(bytes(body)) if body else {}
    except (ValueError, RecursionError) as error:
        raise ControlError(f"the body is no JSON: {error}") from error
    if not isinstance(asked, dict):
        raise ControlError("the body must be a JSON object")
    return asked


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name)
    if not isinstance(value, str) or not value:
        raise ControlError(f"{name} is missing", hint=f'{{"{name}": "..."}}')
    return value


async def _fault(exchange: Exchange, status: int, code: str, message: str) -> None:
    await exchange.tell({"error": {"code": code, "message": message}}, status=status)
