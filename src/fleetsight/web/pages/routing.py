"""One view function, two faces: each page is a route and its twin, each form a route that answers with the next page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from fleetsight.fleet.people import Role
from fleetsight.fleet.tenants import tenants
from fleetsight.web.gate.cookies import same_site
from fleetsight.web.gate.guarded import FORM, GuardedRoute, allow, maybe_operator, maybe_shopper, services_of
from fleetsight.web.gate.principal import Access, Caller, OperatorCaller, ShopperCaller
from fleetsight.web.pages.answers import page_answer, twin_answer
from fleetsight.web.pages.contexts import PageContext
from fleetsight.web.pages.faces import Chrome, Faces
from fleetsight.web.problems import CROSS_SITE, INVALID, NOT_FOUND, Problem
from fleetsight.web.services import Services

DESK = "/operator"
_TABS = (
    (Role.VIEWER, f"{DESK}/sessions", "Sessions", "list"),
    (Role.REVIEWER, f"{DESK}/reviews", "Reviews", "inbox"),
    (Role.VIEWER, f"{DESK}/fleet", "Fleet", "fleet"),
    (Role.OPERATOR, f"{DESK}/money", "Money", "coins"),
)
FIELDS_MAX = 400
"""A basket is two fields a SKU; nobody takes two hundred."""


@dataclass(frozen=True)
class Asked:
    """A request for a page.

    Attributes:
        request: as it came.
        services: what the app was made with.
        caller: who is signed in; None on public pages when nobody is.
        now_ns: server time.
    """

    request: Request
    services: Services
    caller: Caller | None
    now_ns: int

    @property
    def operator(self) -> OperatorCaller:
        """The person, on pages of the desk."""
        assert isinstance(self.caller, OperatorCaller), "the route lets in people only"
        return self.caller

    @property
    def shopper(self) -> ShopperCaller:
        """The shopper, on pages that need one."""
        assert isinstance(self.caller, ShopperCaller), "the route lets in shoppers only"
        return self.caller

    @property
    def path(self) -> str:
        """Path and query, without the ending of a twin."""
        url = self.request.url
        return url.path.removesuffix(".json") + (f"?{url.query}" if url.query else "")

    def part(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])


@dataclass(frozen=True)
class Fields:
    """The fields of a form."""

    form: FormData

    def one(self, name: str, *, longest: int = 200) -> str:
        """One field; empty when it is missing.

        Args:
            name: of the field.
            longest: characters it may have.
        Returns:
            its text without space around it.
        Raises:
            Problem: too long, or a NUL in it.
        """
        text = str(self.form.get(name) or "").strip()
        if len(text) > longest or "\0" in text:
            raise Problem(INVALID, f"the field {name} has {len(text)} characters or a NUL, at most {longest} are read")
        return text

    def all(self, name: str) -> tuple[str, ...]:
        """Every field of one name, in order."""
        texts = tuple(str(value) for value in self.form.getlist(name))
        if any("\0" in text or len(text) > 500 for text in texts):
            raise Problem(INVALID, f"a field {name} is too long or holds NUL")
        return texts


View: TypeAlias = Callable[[Asked], PageContext | Response]
Act: TypeAlias = Callable[[Asked, Fields], PageContext | Response]


class Pages:
    """Collects routes. `waiting` counts the reviews that wait in a tenant, for the badge of the desk."""

    def __init__(self, waiting: Callable[[Asked], int]) -> None:
        self.router = APIRouter(route_class=GuardedRoute, include_in_schema=False)
        self._waiting = waiting

    def page(self, path: str, view: View, *, access: Access, sign_in: str | None = None) -> None:
        """Add a page and its twin.

        Args:
            path: of the page; the twin is at the path with `.json`.
            view: makes the context, or another answer.
            access: who may see it.
            sign_in: where who is not signed in is sent; None answers 401.
        """

        def show(request: Request) -> Response:
            asked = _asked(request)
            return self._answer(asked, view(asked))

        def twin(request: Request) -> Response:
            context = view(_asked(request))
            return context if isinstance(context, Response) else twin_answer(context)

        for at, endpoint in ((f"{path}.json", twin), (path, show)):  # the twin first: an id could end in .json
            marked = allow(access, sign_in=sign_in)(endpoint)
            self.router.add_api_route(at, marked, methods=["GET"], response_model=None)

    def form(self, path: str, act: Act, *, access: Access, rate: str | None = None, sign_in: str | None = None) -> None:
        """Add what a form posts to.

        Args:
            path: of the form's action.
            act: does it and says what to show next.
            access: who may send it.
            rate: name of one more limit.
            sign_in: where who is not signed in is sent.
        """

        async def take(request: Request) -> Response:
            if not same_site(request.method, request.headers, host=request.headers.get("host", "")):
                raise Problem(CROSS_SITE)
            fields = Fields(await request.form(max_fields=FIELDS_MAX))

            def answer() -> Response:
                asked = _asked(request)
                return self._answer(asked, act(asked, fields))

            return await run_in_threadpool(answer)

        marked = allow(access, media=FORM, rate=rate, sign_in=sign_in)(take)
        self.router.add_api_route(path, marked, methods=["POST"], response_model=None)

    def file(self, path: str, view: Callable[[Asked], Response], *, access: Access) -> None:
        """Add a picture or a clip, which has no twin.

        Args:
            path: of the file.
            view: answers with it.
            access: who may see it.
        """

        def show(request: Request) -> Response:
            return view(_asked(request))

        self.router.add_api_route(path, allow(access)(show), methods=["GET"], response_model=None)

    def _answer(self, asked: Asked, context: PageContext | Response) -> Response:
        if isinstance(context, Response):
            return context
        return page_answer(asked.request, context, faces=templates(), chrome=self._chrome(asked))

    def _chrome(self, asked: Asked) -> Chrome:
        tenant = tenant_name(asked.services, asked.caller)
        if isinstance(asked.caller, OperatorCaller):
            person = asked.caller.person
            tabs = tuple((path, name, icon) for role, path, name, icon in _TABS if person.role >= role)
            return Chrome(asked.path, person.name, person.role.label, tenant, self._waiting(asked), tabs)
        return Chrome(asked.path, tenant=tenant)


@cache
def templates() -> Faces:
    """The templates, loaded once in a process."""
    return Faces()


def tenant_name(services: Services, caller: Caller | None) -> str:
    """The name in the corner of every page.

    Args:
        services: where tenants are.
        caller: who looks.
    Returns:
        name of the caller's tenant; of the first one for strangers.
    """
    with services.rows.reading() as connection:
        known = tenants(connection)
    mine = [tenant.name for tenant in known if caller is None or tenant.tenant_id == caller.tenant_id]
    return mine[0] if mine else "fleetsight"


def see(path: str) -> Response:
    """Send the browser to a page of ours after a form.

    Args:
        path: begins with one slash.
    Returns:
        the answer.
    """
    return RedirectResponse(path, 303)


def absent() -> Problem:
    """What foreign, forbidden and unknown things all answer."""
    return Problem(NOT_FOUND)


def _asked(request: Request) -> Asked:
    services = services_of(request)
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:  # a public page
        caller = maybe_operator(request) if request.url.path.startswith(DESK) else maybe_shopper(request)
    return Asked(request, services, caller, services.clock.now_ns())
