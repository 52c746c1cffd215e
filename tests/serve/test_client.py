"""The client keeps its connection, its deadline and its budget."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from fleetsight.serve.client import Client, ClientError, RefusedError
from fleetsight.serve.queueing.budget import RetryBudget

ANSWER = {"result": 1, "variant": "cpu", "backend": "b", "version": "1", "times_ms": {}}


class Service(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: list[tuple[int, dict[str, Any], dict[str, str]]] = []
        self.heard: list[dict[str, str]] = []
        self.callers: set[int] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service
    disable_nagle_algorithm: ClassVar[bool] = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append({name.lower(): value for name, value in self.headers.items()})
        self.server.callers.add(self.client_address[1])
        status, told, headers = self.server.plan.pop(0) if self.server.plan else (200, ANSWER, {})
        if status == 0:
            self.close_connection = True
            return
        body = json.dumps(told).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def service() -> Iterator[Service]:
    found = Service()
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def refusal(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": "because"}}


def test_many_frames_go_over_one_connection(service: Service) -> None:
    with Client(service.url, camera="door-3") as client:
        assert [client.infer("m", b"jpeg").result for _ in range(5)] == [1] * 5
    assert len(service.callers) == 1
    assert {heard["x-camera"] for heard in service.heard} == {"door-3"}
    assert len({heard["idempotency-key"] for heard in service.heard}) == 5


def test_a_busy_service_is_asked_again_when_it_says_so_with_the_same_key_and_less_time(service: Service) -> None:
    service.plan = [(429, refusal("would_be_late"), {"Retry-After-Ms": "30"})]
    with Client(service.url) as client:
        assert client.infer("m", b"jpeg", deadline_ms=5000).tries == 2
    first, second = service.heard
    assert first["idempotency-key"] == second["idempotency-key"]
    assert float(second["x-deadline-ms"]) <= float(first["x-deadline-ms"]) - 30


def test_a_connection_that_breaks_is_made_again(service: Service) -> None:
    service.plan = [(0, {}, {})]
    with Client(service.url) as client:
        assert client.infer("m", b"jpeg", deadline_ms=5000).tries == 2


@pytest.mark.parametrize(("status", "code"), [(404, "unknown_model"), (422, "not_an_image"), (504, "expired")])
def test_what_another_try_cannot_mend_is_not_tried_again(service: Service, status: int, code: str) -> None:
    service.plan = [(status, refusal(code), {})]
    with Client(service.url) as client, pytest.raises(RefusedError) as refused:
        client.infer("m", b"jpeg")
    assert (refused.value.reason, refused.value.status, len(service.heard)) == (code, status, 1)


def test_without_budget_there_is_no_second_try(service: Service) -> None:
    service.plan = [(503, refusal("no_backend"), {})] * 2
    with Client(service.url, budget=RetryBudget(saved=0.0)) as client, pytest.raises(RefusedError):
        client.infer("m", b"jpeg")
    assert len(service.heard) == 1


def test_a_try_that_would_begin_after_the_deadline_is_not_made(service: Service) -> None:
    service.plan = [(429, refusal("would_be_late"), {"Retry-After-Ms": "9000"})]
    with Client(service.url) as client, pytest.raises(RefusedError):
        client.infer("m", b"jpeg", deadline_ms=1000)
    assert len(service.heard) == 1


def test_a_service_that_is_not_there_is_an_error_with_its_address() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ClientError, match=r"127\.0\.0\.1:9"):
        client.infer("m", b"jpeg", deadline_ms=200)


@pytest.mark.parametrize("url", ["127.0.0.1:80", "https://x", "ftp://x", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ClientError):
        Client(url)
