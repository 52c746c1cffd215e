"""Refusals as pages, for people who came with a browser; programs get the problem body."""

from starlette.requests import Request
from starlette.responses import Response

from fleetsight.web.pages.answers import page_answer
from fleetsight.web.pages.contexts import ProblemPage
from fleetsight.web.pages.faces import Chrome
from fleetsight.web.pages.routing import templates
from fleetsight.web.problems import Problem

_WORDS = {
    401: "Please sign in again",
    403: "This did not come from our own page",
    404: "There is nothing here",
    413: "That was too much at once",
    429: "That was a bit fast",
    500: "Something went wrong on our side",
    503: "We are busy for a moment",
    507: "We are out of room for a moment",
}
_HINTS = {
    401: "Your sign-in has ended.",
    403: "Open the page again and try once more.",
    404: "The address may be old, or it belongs to somebody else.",
    429: "Wait a moment and try again.",
    500: "Nothing was charged by this. Please try again.",
    503: "Nothing was charged by this. Please try again in a moment.",
}


def problem_page(request: Request, problem: Problem) -> Response | None:
    """Show a refusal to a person.

    Args:
        request: that was refused.
        problem: why.
    Returns:
        a page; None for programs: paths of the API, twins, parts that a page asks for by itself, and whoever does not take HTML.
    """
    path = request.url.path
    programs = path.startswith(("/v1/", "/static/", "/metrics", "/healthz", "/readyz", "/openapi")) or path.endswith(
        ".json"
    )
    if programs or "text/html" not in request.headers.get("accept", "") or "hx-request" in request.headers:
        return None
    status = problem.kind.status
    context = ProblemPage(
        code=problem.kind.code,
        http_status=status,
        message=_WORDS.get(status, problem.detail),
        hint=_HINTS.get(status, problem.kind.hint),
    )
    answer = page_answer(request, context, faces=templates(), chrome=Chrome(path))
    answer.status_code = status
    answer.headers.update(problem.headers)
    return answer
