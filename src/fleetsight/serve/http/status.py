"""``GET /status``, ``GET /status.json`` and what the page loads: for the eyes that the control API is for, behind the same token.

Templates are read when somebody first looks, in a thread: a service that nobody looks at does not carry them (reference N11).
"""

import asyncio
import time
from typing import TYPE_CHECKING

from fleetsight.serve.http.control import Control
from fleetsight.serve.http.exchange import JSON_TYPE, Exchange
from fleetsight.serve.page.contexts import status_page
from fleetsight.serve.tier.router import Router

if TYPE_CHECKING:
    from fleetsight.serve.page.faces import Faces

HTML_TYPE = b"text/html; charset=utf-8"
POLICY = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page loads its own two files and asks its own service, nothing else; nobody may frame the slider."""
SAFE = [
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
FRESH = [*SAFE, (b"cache-control", b"no-store")]
KEPT = [*SAFE, (b"cache-control", b"public, max-age=31536000, immutable")]
"""Their addresses carry the digest of their bytes."""
ASK = [*FRESH, (b"www-authenticate", b'Basic realm="fleetsight inference", charset="UTF-8"')]
"""A browser asks for the token itself: any name, and the token as the password."""


class Status:
    """Shows the service to people.

    Args:
        router: what is shown.
        control: says who may look.
    """

    def __init__(self, router: Router, control: Control) -> None:
        self._router = router
        self._control = control
        self._faces: Faces | None = None

    async def show(self, exchange: Exchange, name: str) -> bool:
        """Answer one request.

        Args:
            exchange: the request.
            name: what follows ``/status``: nothing, ``.json``, or a slash and a file.
        Returns:
            False when there is no such page; nothing was answered then.
        """
        faces = self._faces
        if faces is None:
            faces = self._faces = await asyncio.to_thread(_open_faces)
        if name.removeprefix("/") in faces.files:  # the same for everybody, and nobody's secret
            kind, data = faces.files[name.removeprefix("/")]
            await exchange.reply(200, data, kind=kind, extra=KEPT)
            return True
        if name not in ("", ".json"):
            return False
        if not self._control.may(exchange):
            told = b'{"error":{"code":"control_denied","message":"this page needs the control token as password"}}'
            await exchange.reply(401, told, kind=JSON_TYPE, extra=ASK)
            return True
        page = status_page(self._router, now_ns=time.monotonic_ns())
        if name:
            await exchange.tell(faces.json(page), extra=FRESH)
        else:
            await exchange.reply(200, faces.html(page), kind=HTML_TYPE, extra=FRESH)
        return True


def _open_faces() -> "Faces":
    from fleetsight.serve.page.faces import Faces

    return Faces()
