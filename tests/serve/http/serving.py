"""A running inference service for tests, engines that misbehave, and a caller that speaks bytes."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fleetsight.serve.engine.picture import decode_jpeg
from fleetsight.serve.engine.protocol import Frame, FrameFault
from fleetsight.serve.http.server import Server
from fleetsight.serve.replica.address import Address, listen
from fleetsight.serve.tier.plan import Variant
from fleetsight.serve.tier.service import Service, Shape

HERE = "tests.serve.http.serving"
SEEN: list[bytes] = []
GATE = threading.Event()


def size(frames: Sequence[Frame]) -> list[Any]:
    """Says how large the pictures are."""
    answers: list[Any] = []
    for frame in frames:
        image = decode_jpeg(frame.jpeg)
        answers.append(image if isinstance(image, FrameFault) else {"size_wh": [image.shape[1], image.shape[0]]})
    return answers


def nonsense(frames: Sequence[Frame]) -> list[Any]:
    """Does what the frame says: no number, too few results, an exception, or a hang."""
    word = bytes(frames[0].jpeg)
    if word == b"nan":
        return [float("nan")]
    if word == b"none":
        return []
    if word == b"raise":
        raise RuntimeError("the chip is on fire")
    if word == b"object":
        return [object()]
    if word == b"hang":
        time.sleep(3)
    return [{"ok": True}] * len(frames)


def gated(frames: Sequence[Frame]) -> list[Any]:
    """Notes what it was asked, and answers when the gate is open."""
    if not bytes(frames[0].jpeg).startswith(b"\xff\xd8"):
        SEEN.extend(bytes(frame.jpeg) for frame in frames)
        GATE.wait(10)
    return [{"ok": True}] * len(frames)


@dataclass
class Running:
    """A service that answers."""

    service: Service
    port: int
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def talk(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes on a fresh connection and read one answer."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_answer(connection)

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, str], Any]:
        status, told, answer = self.talk(request_bytes(path, body, **headers))
        return status, told, json.loads(answer)

    def infer(self, body: bytes, *, model: str = "m", **headers: str) -> tuple[int, dict[str, str], Any]:
        return self.post(f"/v1/models/{model}/infer", body, **headers)

    def metric(self, line: str) -> float:
        """The value of one series; 0 when it is not there."""
        text = self.service.meter.exposition().decode()
        return next((float(row.rsplit(" ", 1)[1]) for row in text.splitlines() if row.startswith(line)), 0.0)


def request_bytes(path: str, body: bytes, *, method: str = "POST", **headers: str) -> bytes:
    named = {"Host": "x", "Content-Type": "image/jpeg", "Content-Length": str(len(body)), "Connection": "close"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def read_answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer; status 0 when the connection ended without one."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            got = connection.recv(65536)
            if not got:
                return 0, {}, data
            data += got
        head, _, body = data.partition(b"\r\n\r\n")
        rows = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows[1:])}
        while len(body) < int(headers.get("content-length", "0")):
            got = connection.recv(65536)
            if not got:
                break
            body += got
    except ConnectionResetError:
        return 0, {}, data
    return int(rows[0].split(" ")[1]), headers, body


@contextmanager
def running(*variants: Variant, isolate: bool = False, token: str = "") -> Iterator[Running]:
    """Run a service in a thread until the block ends."""
    listening = listen(Address(host="127.0.0.1", port=0))
    port = listening.getsockname()[1]
    service = Service(variants, Shape(isolate=isolate))
    server = Server(service, listening, control_token=token)
    started: list[asyncio.AbstractEventLoop] = []
    ready = threading.Event()
    failed: list[BaseException] = []

    async def run() -> None:
        started.append(asyncio.get_running_loop())
        ready.set()
        await server.run()

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        ready.wait(10)
        until_s = time.monotonic() + 60
        while not failed and time.monotonic() < until_s:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(request_bytes("/v2/health/ready", b"", method="GET"))
                if read_answer(connection)[0] == 200:
                    break
        if failed:
            raise failed[0]
        yield Running(service, port, started[0])
    finally:
        GATE.set()
        server.stop()
        thread.join(30)
        listening.close()
        GATE.clear()
        SEEN.clear()


def wait_until(said: Any, *, seconds: float = 10.0) -> None:
    """Wait until something is true."""
    until_s = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < until_s, "it never came true"
        time.sleep(0.01)
