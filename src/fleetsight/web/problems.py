"""Refusals as every caller gets them: `application/problem+json` (RFC 9457) with a stable code and a way out.

An endpoint raises `Problem`; everything else that goes wrong becomes one here, so that no caller ever sees another shape.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from fleetsight.catalog.sku import CatalogError
from fleetsight.errors import Error
from fleetsight.fleet.assortment import AssortmentError
from fleetsight.store.blobs import BlobStorageError, StorageFullError
from fleetsight.store.rows import RowsUnavailableError
from fleetsight.web.gate.rates import whole_seconds
from fleetsight.web.gate.strict_json import NotStrictJsonError

MEDIA_TYPE = "application/problem+json"
RETRY_S = 2.0
FAULTS_MAX = 20
LOG = logging.getLogger(__name__)


class Fault(BaseModel):
    """One field of a request that is wrong."""

    model_config = ConfigDict(extra="forbid")

    where: str = Field(description="path to the field, such as body.events.0.seq")
    what: str = Field(description="what is wrong with it")


class ProblemBody(BaseModel):
    """A refusal."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="urn:fleetsight:problem: and the code")
    title: str
    status: int = Field(ge=400, le=599)
    code: str = Field(description="stable; programs may rely on it")
    detail: str = Field(description="what happened, with the value and what was expected")
    hint: str = Field(description="the way out")
    faults: list[Fault] | None = Field(default=None, description="fields that are wrong; at most 20")
    limit: str | None = Field(default=None, description="the limit that was passed")
    offset: int | None = Field(default=None, description="where an upload goes on")


@dataclass(frozen=True)
class Kind:
    """A kind of refusal.

    Attributes:
        status: HTTP status.
        code: stable, for programs.
        detail: what happened.
        hint: the way out.
    """

    status: int
    code: str
    detail: str
    hint: str


NOT_FOUND = Kind(
    404,
    "not_found",
    "there is no such thing for you here",
    "check the address and the ids, and that your role may see them",
)
UNAUTHORIZED = Kind(401, "unauthorized", "no valid credentials", "send a valid Authorization header, or sign in again")
CROSS_SITE = Kind(
    403, "cross_site", "a page of another site sent this with your cookie", "use this site's pages, or a bearer token"
)
NO_METHOD = Kind(
    405, "method_not_allowed", "this address does not know that method", "see /openapi.json, or the Allow header"
)
TOO_SLOW = Kind(408, "too_slow", "the body did not arrive in time", "send it again, in smaller pieces")
TOO_LARGE = Kind(413, "too_large", "the body is too large", "send less, or in pieces")
WRONG_MEDIA = Kind(
    415, "wrong_media_type", "the body is of another media type", "see /openapi.json for the one expected"
)
INVALID = Kind(422, "invalid", "the request does not have the form it must have", "correct the fields that are named")
TOO_MANY = Kind(429, "too_many_requests", "too many requests", "wait as long as Retry-After says")
INTERNAL = Kind(500, "internal", "a fault of ours", "try again; tell the operator when it stays")
UNAVAILABLE = Kind(503, "unavailable", "the storage does not answer now", "try again in a moment; nothing was kept")
FULL = Kind(507, "storage_full", "there is no room left", "try again later; nothing was kept")


class Problem(Exception):  # noqa: N818 a refusal is an answer and no error of the program
    """A refusal.

    Args:
        kind: which one.
        detail: what happened in this case; that of the kind when empty.
        extra: further fields of the body: faults, limit, offset.
        headers: of the answer.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or kind.detail)
        self.kind = kind
        self.detail = detail or kind.detail
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The refusal as it is sent."""
        return JSONResponse(problem_body(self), self.kind.status, headers=self.headers, media_type=MEDIA_TYPE)


def conflict(code: str, detail: str, *, hint: str) -> Problem:
    """A refusal because of how things are now.

    Args:
        code: stable.
        detail: what is in the way.
        hint: the way out.
    Returns:
        the problem, status 409.
    """
    return Problem(Kind(409, code, detail, hint))


def too_many(limit: str, wait_s: float) -> Problem:
    """A refusal because of a rate.

    Args:
        limit: name of the limit.
        wait_s: until it may be tried again.
    Returns:
        the problem, status 429.
    """
    detail = f"too many requests for the limit {limit!r}"
    return Problem(TOO_MANY, detail, extra={"limit": limit}, headers={"Retry-After": str(whole_seconds(wait_s))})


def problem_body(problem: Problem) -> dict[str, Any]:
    """A refusal as JSON.

    Args:
        problem: the refusal.
    Returns:
        what `ProblemBody` describes.
    """
    kind = problem.kind
    return {
        "type": f"urn:fleetsight:problem:{kind.code}",
        "title": HTTPStatus(kind.status).phrase,
        "status": kind.status,
        "code": kind.code,
        "detail": problem.detail,
        "hint": kind.hint,
        **problem.extra,
    }


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says about refusals.

    Args:
        *statuses: that an operation may answer with.
    Returns:
        for `responses` of a route.
    """
    return {status: _described(status) for status in statuses}


def _described(status: int) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}}
    found: dict[str, Any] = {"description": HTTPStatus(status).phrase, "content": content}
    if status in (429, 503, 507):
        found["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return found


ProblemPage = Callable[[Request, Problem], Response | None]
"""Shows a refusal to a person with a browser; None where a program asks."""


class Refusals:
    """Turns whatever goes wrong in a request into a problem.

    Args:
        page: shows it to people.
    """

    def __init__(self, page: ProblemPage) -> None:
        self._page = page

    def add_to(self, app: FastAPI) -> None:
        """Let an app answer with problems and nothing else.

        Args:
            app: the app.
        """
        for kind, handler in (
            (Problem, self.known),
            (HTTPException, self.from_framework),
            (RequestValidationError, self.invalid),
            (Error, self.ours),
            (ClientDisconnect, self.gone),
            (Exception, self.unexpected),
        ):
            app.add_exception_handler(kind, handler)

    async def known(self, request: Request, error: Exception) -> Response:
        """A refusal that an endpoint or the gate raised."""
        assert isinstance(error, Problem)
        return self._answer(request, error)

    async def from_framework(self, request: Request, error: Exception) -> Response:
        """An address or a method that does not exist, and what else the framework refuses."""
        assert isinstance(error, HTTPException)
        kinds = {kind.status: kind for kind in (NOT_FOUND, NO_METHOD, TOO_LARGE, WRONG_MEDIA, UNAUTHORIZED)}
        kind = kinds.get(error.status_code) or Kind(
            error.status_code, "refused", str(error.detail), "see /openapi.json"
        )
        return self._answer(request, Problem(kind, headers=error.headers))

    async def invalid(self, request: Request, error: Exception) -> Response:
        """A request that does not have its form."""
        assert isinstance(error, RequestValidationError)
        faults = error.errors()
        if any(fault["loc"][:1] == ("path",) for fault in faults):
            return self._answer(request, Problem(NOT_FOUND))  # an id that cannot be one names nothing
        listed = [
            {"where": ".".join(str(part) for part in fault["loc"])[:200], "what": str(fault["msg"])[:200]}
            for fault in faults[:FAULTS_MAX]
        ]
        return self._answer(request, Problem(INVALID, extra={"faults": listed}))

    async def ours(self, request: Request, error: Exception) -> Response:
        """An error of this project that reached the request's boundary."""
        assert isinstance(error, Error)
        again = {"Retry-After": str(whole_seconds(RETRY_S))}
        if isinstance(error, NotStrictJsonError | AssortmentError | CatalogError):
            kind = Kind(422, error.code, error.message, error.hint or INVALID.hint)
            return self._answer(request, Problem(kind))
        if isinstance(error, StorageFullError):
            return self._answer(request, Problem(FULL, headers=again))
        if isinstance(error, BlobStorageError | RowsUnavailableError):
            LOG.warning("storage failed method=%s path=%s error=%s", request.method, request.url.path, error)
            return self._answer(request, Problem(UNAVAILABLE, headers=again))
        return await self.unexpected(request, error)

    async def gone(self, request: Request, _error: Exception) -> Response:
        """The caller left; nobody reads the answer."""
        return self._answer(request, Problem(TOO_SLOW))

    async def unexpected(self, request: Request, error: Exception) -> Response:
        """The boundary of a request: what nobody foresaw is logged and hidden."""
        LOG.error("request failed method=%s path=%s", request.method, request.url.path, exc_info=error)
        return self._answer(request, Problem(INTERNAL))

    def _answer(self, request: Request, problem: Problem) -> Response:
        return self._page(request, problem) or problem.response()
