"""What leaves the house: a context as a page, as the part of it that refreshes, as its twin, and the files beside them.

The policy of the pages allows scripts, styles, pictures and connections of this origin and nothing else: no inline script, no
inline style, no frame around us, no form to elsewhere.
"""

import gzip
from collections.abc import MutableMapping
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from fleetsight.web.pages.contexts import PageContext
from fleetsight.web.pages.faces import STATIC, Chrome, Faces, as_json

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # a scanned code's token stands in its address; without any, forms would lose their Origin
    "X-Content-Type-Options": "nosniff",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "Cache-Control": "no-store",  # after signing out, the back button shows nothing
    "Vary": "HX-Request, Cookie",
}
_PACKED = (".css", ".js", ".svg")
"""Texts, which gzip makes four times smaller; fonts are packed already."""
_KEPT_HEADERS = ("Cache-Control", "Content-Type", "ETag", "Vary", "X-Content-Type-Options")
FOREVER = "public, max-age=31536000, immutable"


def page_answer(request: Request, context: PageContext, *, faces: Faces, chrome: Chrome) -> Response:
    """Answer with a page, or with its live part when htmx asks.

    Args:
        request: as it came.
        context: what the page shows.
        faces: the templates.
        chrome: what stands around the page.
    Returns:
        HTML.
    """
    fragment = request.headers.get("hx-request") == "true"
    if fragment and not faces.refreshes(context):  # a part asked for itself and was sent here, to sign in perhaps
        return Response(headers={"HX-Redirect": chrome.path, "Cache-Control": "no-store"})
    text = faces.html(context, chrome=chrome, fragment=fragment)
    return HTMLResponse(text, context.status, headers=HEADERS)


def twin_answer(context: PageContext) -> Response:
    """Answer with the facts of a page.

    Args:
        context: what the page shows.
    Returns:
        JSON.
    """
    return JSONResponse(as_json(context), context.status, headers={"Cache-Control": "no-store"})


def static_files() -> StaticFiles:
    """The files of the pages, to be mounted at `/static`.

    Returns:
        an app; whoever asks with the digest of the bytes may keep them for ever.
    """
    return _Files(directory=STATIC)


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        answer = await super().get_response(path, scope)
        kept = b"v=" in scope["query_string"] or path.endswith(".woff2")  # a font has its version in its name
        answer.headers["Cache-Control"] = FOREVER if kept else "no-cache"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        if answer.status_code != HTTPStatus.OK or not path.endswith(_PACKED):
            return answer
        answer.headers["Vary"] = "Accept-Encoding"
        if "gzip" not in Headers(scope=scope).get("accept-encoding", ""):
            return answer
        kept_headers = {name: answer.headers[name] for name in _KEPT_HEADERS}
        file = STATIC / path
        return Response(_packed(file, file.stat().st_mtime_ns), headers=kept_headers | {"Content-Encoding": "gzip"})


@lru_cache(32)
def _packed(path: Path, _changed_ns: int) -> bytes:
    return gzip.compress(path.read_bytes(), mtime=0)
