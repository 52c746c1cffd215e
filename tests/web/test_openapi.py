"""The description is true: whatever it allows is answered as it says, and whatever it forbids is refused (Schemathesis)."""

import asyncio
import contextlib
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fleetsight.apps.cooler.session.machine.states import Verdict
from fleetsight.fleet.people import Role
from fleetsight.store.lease import Executors
from tests.web.world import Company, make_world

EXAMPLES = 15
KEY = re.compile(rb"[!-~]{1,255}")  # a valid one becomes a new one: two requests are two payments


class SignedIn:
    """The app, as seen by callers who have credentials for whatever they call."""

    def __init__(self, app: ASGIApp, company: Company) -> None:
        self._app = app
        self._company = company

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "/v1/" not in scope["path"]:
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            if waiting:
                return waiting.pop()
            await asyncio.sleep(3600)
            return {"type": "http.disconnect"}

        replaced = (b"authorization", b"cookie")
        headers = [
            (name, uuid.uuid4().hex.encode() if name == b"idempotency-key" and KEY.fullmatch(value) else value)
            for name, value in scope["headers"]
            if name not in replaced
        ]
        headers.append((b"authorization", f"Bearer {self._token(scope['path'], body)}".encode()))
        await self._app({**scope, "headers": headers}, again, send)

    def _token(self, path: str, body: bytes) -> str:
        if path.startswith("/v1/device"):
            return self._company.machine.token(body)
        return self._company.shopper_token if path.startswith("/v1/shopper") else self._company.tokens[Role.ADMIN]


@schemathesis.serializer("application/x-tar")
def as_tar(_context: schemathesis.SerializationContext, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def description(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    world = make_world(tmp_path_factory.mktemp("openapi"))
    company = world.company()
    world.seen_session(company, verdict=Verdict.REVIEW)
    assert Executors(world.rows, world.clock).acquire("worker-0") is not None
    asyncio.run(world.app.state.listening.close())  # no poll waits
    config = schemathesis.Config()
    config.projects.default.generation.update(allow_x00=False, with_security_parameters=False)
    rejection = config.projects.default.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]  # too large is a refusal of its own
    yield schemathesis.openapi.from_asgi("/openapi.json", SignedIn(world.app, company), config=config)
    world.rows.close()


@pytest.mark.slow
def test_every_answer_is_described_and_every_mistake_refused(description: Any) -> None:
    for found in description.get_all_operations():
        operation = found.ok()
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=EXAMPLES,
                derandomize=True,
                deadline=None,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def obey(case: Any) -> None:
                case.call_and_validate(excluded_checks=[ignored_auth], timeout=120)

            with contextlib.suppress(Unsatisfiable):  # nothing about this operation can be wrong
                obey()
