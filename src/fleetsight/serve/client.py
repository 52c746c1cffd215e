"""A client in Python: keeps its connection, says how long it waits, and tries again only within a budget.

    with Client("http://127.0.0.1:8000") as client:
        answer = client.infer("cooler-detector", jpeg, deadline_ms=200)

One client belongs to one thread. The deadline covers all tries together: what is left travels with each.
"""

import http.client
import json
import socket
import time
import uuid
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

from fleetsight.errors import Error
from fleetsight.serve.queueing.budget import RetryBudget

MARGIN_S = 0.25
"""How long beyond the deadline the service's own refusal is waited for: it says why, a broken connection does not."""
REST_FIRST_S = 0.01
TRIES_MAX = 3
AGAIN_STATUS = frozenset({429, 502, 503})
"""What another try may mend; 504 is the end of the deadline, other 4xx are the caller's."""


class ClientError(Error):
    """The service cannot be reached or does not speak like one."""

    code = "serve_client"


class RefusedError(ClientError):
    """The service gave no answer, and says why.

    Args:
        reason: as the service names it, such as "would_be_late".
        status: of HTTP.
        detail: what happened.
    """

    code = "serve_refused"

    def __init__(self, reason: str, status: int, *, detail: str = "") -> None:
        super().__init__(f"{reason} ({status}): {detail}")
        self.reason = reason
        self.status = status


@dataclass(frozen=True)
class Inference:
    """An answer.

    Attributes:
        result: JSON value of the engine.
        variant: that answered.
        backend: that answered.
        version: of the model.
        times_ms: "queue", "service" and "total".
        tries: how often was asked.
    """

    result: Any
    variant: str
    backend: str
    version: str
    times_ms: dict[str, float]
    tries: int


class Client:
    """Asks one service.

    Args:
        url: such as http://127.0.0.1:8000.
        camera: who asks; for the service's logs.
        budget: retries that may still be made; None: a budget of its own, 10 % of requests.
    """

    def __init__(self, url: str, *, camera: str = "", budget: RetryBudget | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ClientError(f"{url!r} is no address of a service", hint="write http://HOST:PORT")
        self._host, self._port = parts.hostname, parts.port or 80
        self._camera = camera
        self._budget = budget if budget is not None else RetryBudget(saved=10.0)
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; a second call does nothing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def infer(
        self, model: str, jpeg: bytes, *, deadline_ms: float = 1000.0, priority: str = "question", key: str = ""
    ) -> Inference:
        """Get one frame answered.

        Args:
            model: its name.
            jpeg: the frame.
            deadline_ms: from now; for all tries together.
            priority: charge, alert, question or bulk.
            key: idempotency key; empty: one is made, so that a try that was cut short is not executed twice.
        Returns:
            the answer.

        Raises:
            RefusedError: there is none, and why.
            ClientError: the service cannot be reached within the deadline.
        """
        until_s = time.monotonic() + deadline_ms / 1000
        headers = {"Content-Type": "image/jpeg", "X-Priority": priority, "Idempotency-Key": key or uuid.uuid4().hex}
        if self._camera:
            headers["X-Camera"] = self._camera
        path = f"/v1/models/{quote(model, safe='')}/infer"
        self._budget.asked()
        failure: ClientError = ClientError("the deadline had passed before the first try")
        rest_s = REST_FIRST_S
        for tries in range(1, TRIES_MAX + 1):
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                break
            headers["X-Deadline-Ms"] = f"{left_s * 1000:.3f}"
            try:
                status, told, again_s = self._ask("POST", path, body=jpeg, headers=headers, left_s=left_s)
            except OSError as error:
                failure, again_s = ClientError(f"{self._host}:{self._port} cannot be reached: {error}"), 0.0
            else:
                if status == 200:
                    named = {name: told[name] for name in ("result", "variant", "backend", "version", "times_ms")}
                    return Inference(**named, tries=tries)
                fault = told.get("error", {}) if isinstance(told, dict) else {}
                failure = RefusedError(str(fault.get("code", "")), status, detail=str(fault.get("message", "")))
                if status not in AGAIN_STATUS:
                    break
            rest_s, waited_s = 2 * rest_s, max(rest_s, again_s)
            if time.monotonic() + waited_s >= until_s or tries == TRIES_MAX or not self._budget.spend():
                break
            time.sleep(waited_s)
        raise failure

    def call(self, method: str, path: str, *, told: Any = None, token: str = "") -> Any:
        """Make one call of the control API.

        Args:
            method: of HTTP.
            path: such as /v1/models.
            told: JSON value to send; None: nothing.
            token: control token; empty for none.
        Returns:
            the JSON answer.

        Raises:
            RefusedError: the service refused it.
            ClientError: it cannot be reached.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = b"" if told is None else json.dumps(told).encode()
        try:
            status, answer, _ = self._ask(method, path, body=body, headers=headers, left_s=600.0)
        except OSError as error:
            hint = "is `fleetsight serve models` running there?"
            raise ClientError(f"{self._host}:{self._port} cannot be reached: {error}", hint=hint) from error
        if status >= 400:
            fault = answer.get("error", {}) if isinstance(answer, dict) else {}
            raise RefusedError(str(fault.get("code", "")), status, detail=str(fault.get("message", "")))
        return answer

    def _ask(
        self, method: str, path: str, *, body: bytes, headers: dict[str, str], left_s: float
    ) -> tuple[int, Any, float]:
        """One exchange: status, JSON, and after how many seconds to come again."""
        connection = self._connection
        try:
            if connection is None:
                connection = http.client.HTTPConnection(self._host, self._port, timeout=left_s + MARGIN_S)
                connection.connect()
                connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connection = connection
            elif connection.sock is not None:
                connection.sock.settimeout(left_s + MARGIN_S)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            data = answer.read()
            again_ms = float(answer.headers.get("Retry-After-Ms") or 0)
            return answer.status, json.loads(data) if data else None, again_ms / 1000
        except (http.client.HTTPException, ValueError) as error:
            self.close()
            raise ConnectionError(f"the connection broke: {error!r}") from error
        except OSError:
            self.close()
            raise
