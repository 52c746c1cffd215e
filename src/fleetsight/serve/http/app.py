"""Which door a request goes through."""

import asyncio
import logging

from fleetsight.serve.http.control import Control
from fleetsight.serve.http.exchange import Exchange, Gone, Memory, Receive, Scope, Send
from fleetsight.serve.http.frames import Frames
from fleetsight.serve.http.oip import Oip
from fleetsight.serve.http.status import Status
from fleetsight.serve.http.stream import Streams
from fleetsight.serve.tier.meter import CONTENT_TYPE
from fleetsight.serve.tier.router import Router

LOG = logging.getLogger(__name__)


class App:
    """The ASGI application.

    Args:
        router: what answers.
        control_token: that operators show; empty: only this machine may control.
    """

    def __init__(self, router: Router, *, control_token: str = "") -> None:
        memory = Memory()
        self._router = router
        self._frames = Frames(router, memory)
        self._streams = Streams(router, memory)
        self._oip = Oip(router, memory)
        self.control = Control(router, control_token)
        self._status = Status(router, self.control)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send)
        try:
            await self._route(exchange)
        except Gone:
            LOG.debug("a caller hung up path=%s", exchange.path)
        except asyncio.CancelledError:
            raise
        except Exception:
            LOG.exception("a request failed path=%s", exchange.path)
            raise

    async def _route(self, exchange: Exchange) -> None:
        parts = exchange.path.split("/")
        if len(parts) == 5 and parts[1] == "v1" and parts[2] == "models" and exchange.method == "POST":
            if parts[4] == "infer":
                await self._frames.infer(exchange, parts[3])
                return
            if parts[4] == "stream":
                await self._streams.infer(exchange, parts[3])
                return
        if parts[1:3] == ["v1", "models"] and len(parts) <= 5:
            model, verb = (*parts[3:], "", "")[:2]
            await self.control.handle(exchange, model, verb=verb)
        elif parts[1] == "v2":
            await self._open_inference(exchange, parts[2:])
        elif exchange.path == "/metrics" and exchange.method == "GET":
            await exchange.reply(200, self._router.meter.exposition(), kind=CONTENT_TYPE.encode())
        elif exchange.path.startswith("/status") and exchange.method == "GET":
            if not await self._status.show(exchange, exchange.path.removeprefix("/status")):
                await self._nowhere(exchange)
        else:
            await self._nowhere(exchange)

    async def _open_inference(self, exchange: Exchange, parts: list[str]) -> None:
        if parts[:1] == ["models"] and len(parts) >= 4 and parts[2] == "versions":
            parts = [*parts[:2], *parts[4:]]
        if exchange.method == "POST" and len(parts) == 3 and parts[0] == "models" and parts[2] == "infer":
            await self._oip.infer(exchange, parts[1])
            return
        if exchange.method != "GET":
            await self._nowhere(exchange)
        elif parts in ([], [""]):
            await exchange.tell(self._oip.server())
        elif parts == ["health", "live"]:
            await exchange.tell({"live": True})
        elif parts == ["health", "ready"]:
            is_ready = all(map(self._is_ready, self._router.deployments))
            await exchange.tell({"ready": is_ready}, status=200 if is_ready else 503)
        elif parts[0] == "models" and len(parts) == 3 and parts[2] == "ready":
            is_ready = self._is_ready(parts[1])
            await exchange.tell({"name": parts[1], "ready": is_ready}, status=200 if is_ready else 503)
        elif parts[0] == "models" and len(parts) == 2 and (told := self._oip.model(parts[1])) is not None:
            await exchange.tell(told)
        else:
            await self._nowhere(exchange)

    def _is_ready(self, model: str) -> bool:
        deployment = self._router.deployments.get(model)
        return deployment is not None and any(
            seat.is_up for lane in deployment.lanes.values() for seat in lane.seats.values()
        )

    async def _nowhere(self, exchange: Exchange) -> None:
        await exchange.reply(404, b'{"error":{"code":"not_found","message":"there is nothing here"}}')
