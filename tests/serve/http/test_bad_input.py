"""Whatever a stranger sends: a clear status, nothing stuck, and the next caller is served."""

import asyncio
import contextlib
import json
import resource
import socket
import struct
import threading
import time
from collections.abc import Iterator, MutableMapping
from typing import Any

import cv2
import numpy as np
import pytest

from fleetsight.serve.engine.picture import sample_jpeg
from fleetsight.serve.http import exchange as exchange_module
from fleetsight.serve.http import head_limit
from fleetsight.serve.http.exchange import BODY_BYTES_MAX, Exchange, Memory
from fleetsight.serve.http.frames import Frames
from fleetsight.serve.http.head import DEADLINE_MS_MAX
from fleetsight.serve.tier.plan import Variant
from tests.serve.http.serving import GATE, HERE, SEEN, Running, read_answer, request_bytes, running, wait_until

JPEG = sample_jpeg((64, 48))
PATH = "/v1/models/m/infer"


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(Variant("m", "cpu", f"{HERE}:size"), Variant("odd", "cpu", f"{HERE}:nonsense", replicas=2)) as found:
        yield found


@pytest.fixture(autouse=True)
def serves_on(service: Running) -> Iterator[None]:
    yield
    assert service.infer(JPEG)[::2][0] == 200


def bomb() -> bytes:
    """A few hundred bytes that say they are 65,500 x 65,500 px."""
    ok, small = cv2.imencode(".jpg", np.zeros((16, 16, 3), dtype=np.uint8))
    assert ok
    data = bytearray(small.tobytes())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    return bytes(data)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"GIF89a" + bytes(100), "no JPEG"),
        (JPEG[: len(JPEG) // 2], "cut off"),
        (JPEG[:10], "ends before"),
        (bomb(), "65500 x 65500"),
        (b"\xff\xd8" + bytes(50), "damaged"),
        (b"\xff\xd8\xff\xe0\x00\x00" + bytes(50), "damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "no JPEG"),
    ],
)
def test_what_is_no_picture_is_422(service: Running, body: bytes, word: str) -> None:
    status, _, told = service.infer(body)
    assert (status, told["error"]["code"]) == (422, "not_an_image")
    assert word in told["error"]["message"]


def test_an_empty_body_is_400(service: Running) -> None:
    assert service.infer(b"")[0] == 400


def test_an_oversized_body_is_refused_before_it_is_sent(service: Running) -> None:
    with service.connect() as connection:
        connection.sendall(request_bytes(PATH, b"", Content_Length=str(BODY_BYTES_MAX + 1)))
        assert read_answer(connection)[0] == 413


def test_an_oversized_body_without_a_length_is_cut_off(service: Running) -> None:
    head = request_bytes(PATH, b"", Transfer_Encoding="chunked").replace(b"Content-Length: 0\r\n", b"")
    chunk = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    with service.connect() as connection:
        connection.sendall(head)
        with contextlib.suppress(OSError):  # a broken pipe is the service's right
            for _ in range(BODY_BYTES_MAX // 0x100000 + 2):
                connection.sendall(chunk)
        assert read_answer(connection)[0] in (413, 0)
    assert service.metric('fleetsight_serve_refused_total{model="m",reason="too_large"}') >= 1


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "10, 20", "99999999999999999999999"])
def test_a_length_that_is_no_number_is_refused(service: Running, length: str) -> None:
    status, _, _ = service.talk(request_bytes(PATH, JPEG, Content_Length=length))
    assert status in (400, 413, 0)


def test_two_lengths_are_refused(service: Running) -> None:
    data = request_bytes(PATH, JPEG).replace(b"Connection:", b"Content-Length: 5\r\nConnection:")
    assert service.talk(data)[0] in (400, 0)


def test_length_and_chunks_together_are_refused(service: Running) -> None:
    """Two proxies that believe different ones are how requests are smuggled."""
    assert service.talk(request_bytes(PATH, JPEG, Transfer_Encoding="chunked"))[0] in (400, 0)


def test_a_length_that_is_too_short_cuts_the_picture_and_the_rest_is_no_request(service: Running) -> None:
    with service.connect() as connection:
        connection.sendall(request_bytes(PATH, JPEG, Content_Length="100", Connection="keep-alive"))
        assert read_answer(connection)[0] in (400, 422)
        assert read_answer(connection)[0] in (400, 0)


def test_a_body_that_does_not_come_is_408(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_module, "BODY_S_MAX", 0.2)
    with service.connect() as connection:
        connection.sendall(request_bytes(PATH, JPEG, Content_Length=str(len(JPEG) + 10)))
        assert read_answer(connection)[0] == 408


def test_a_head_that_does_not_come_ends_the_connection(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_limit, "HEAD_S", 0.2)
    with service.connect() as connection:
        connection.sendall(b"POST /v1/models/m/infer HTTP/1.1\r\nX-A: ")
        assert read_answer(connection)[0] == 0


def test_the_rest_of_a_refused_body_is_let_in_and_the_connection_is_kept(service: Running) -> None:
    body = bytes(300_000)
    refused = request_bytes("/v1/models/stranger/infer", body, Connection="keep-alive")
    with service.connect() as connection:
        connection.sendall(refused[: -len(body)])
        assert read_answer(connection)[0] == 404  # by its head
        for at in range(0, len(body), 20_000):
            connection.sendall(body[at : at + 20_000])
            time.sleep(0.002)
        connection.sendall(request_bytes(PATH, JPEG, Connection="keep-alive"))
        assert read_answer(connection)[0] == 200


def test_the_rest_of_a_refused_body_that_does_not_come_ends_the_connection(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_limit, "HEAD_S", 0.3)
    refused = request_bytes("/v1/models/stranger/infer", bytes(100_000), Connection="keep-alive")
    with service.connect() as connection:
        connection.sendall(refused[:-100_000])
        assert read_answer(connection)[0] == 404
        with contextlib.suppress(OSError):
            for _ in range(100):
                connection.sendall(b"drip")
                time.sleep(0.02)
            pytest.fail("a body was dripped in for two seconds")


def test_the_head_after_a_refused_body_has_its_own_time(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head_limit, "HEAD_S", 0.2)
    body = bytes(100_000)
    refused = request_bytes("/v1/models/stranger/infer", body, Connection="keep-alive")
    with service.connect() as connection:
        connection.sendall(refused[: -len(body)])
        assert read_answer(connection)[0] == 404
        connection.sendall(body)
        time.sleep(0.4)  # idle, which is allowed
        connection.sendall(request_bytes(PATH, JPEG, Connection="keep-alive"))
        assert read_answer(connection)[0] == 200
        connection.sendall(b"POST /v1/mod")
        assert read_answer(connection)[0] == 0


def test_a_head_without_end_ends_the_connection(service: Running) -> None:
    with service.connect() as connection, contextlib.suppress(OSError):
        connection.sendall(b"POST /v1/models/m/infer HTTP/1.1\r\n")
        for number in range(100_000):
            connection.sendall(b"X-%d: %s\r\n" % (number, b"a" * 1000))
        pytest.fail("100 MB of headers were taken")


def test_five_hundred_idle_connections_are_no_load(service: Running) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4096, hard)), hard))
    idle: list[socket.socket] = []
    try:
        idle.extend(service.connect() for _ in range(500))
        for connection in idle[::50]:
            connection.sendall(request_bytes(PATH, JPEG, Connection="keep-alive"))
            assert read_answer(connection)[0] == 200
        assert service.infer(JPEG)[0] == 200
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("model", ["nothing", "..", "m%0d%0aX-Evil:1", "%00", "x" * 500])
def test_unknown_models_are_404_and_make_no_series(service: Running, model: str) -> None:
    status, headers, told = service.infer(JPEG, model=model)
    assert status == 404
    assert "x-evil" not in headers
    assert told["error"]["code"] == "unknown_model"
    assert 'model="nothing"' not in service.service.meter.exposition().decode()


@pytest.mark.parametrize("value", ["0", "-5", "nan", "inf", "1e999", "soon", str(DEADLINE_MS_MAX + 1)])
def test_absurd_deadlines_are_400(service: Running, value: str) -> None:
    status, _, told = service.infer(JPEG, X_Deadline_Ms=value)
    assert (status, told["error"]["code"]) == (400, "bad_request")


def test_a_deadline_that_nobody_can_meet_is_429_at_once(service: Running) -> None:
    status, headers, told = service.infer(JPEG, X_Deadline_Ms="0.0001")
    assert (status, told["error"]["code"]) == (429, "would_be_late")
    assert int(headers["retry-after"]) >= 1


@pytest.mark.parametrize(("name", "value"), [("X_Priority", "mirror"), ("X_Priority", "urgent"), ("X_Score_Min", "2")])
def test_values_that_do_not_exist_are_400(service: Running, name: str, value: str) -> None:
    assert service.infer(JPEG, **{name: value})[0] == 400


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "k" * 1000])
def test_what_callers_write_into_headers_never_comes_back_as_one(service: Running, value: str) -> None:
    _, headers, _ = service.infer(JPEG, Idempotency_Key=value)
    assert "x-evil" not in headers


@pytest.mark.parametrize("line", ["X-A\x00: 1", "X A: 1", ": 1", "X-A: a\x00b"])
def test_headers_that_are_none_are_refused(service: Running, line: str) -> None:
    data = request_bytes(PATH, JPEG).replace(b"Connection: close", line.encode() + b"\r\nConnection: close")
    assert service.talk(data)[0] in (400, 0)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_what_is_not_http_is_refused(service: Running, data: bytes) -> None:
    assert service.talk(data)[0] in (400, 0, 505)


@pytest.mark.parametrize(
    ("word", "code"),
    [("nan", "bad_result"), ("none", "bad_result"), ("object", "bad_result"), ("raise", "engine_failed")],
)
def test_an_engine_that_gives_nonsense_is_502(service: Running, word: str, code: str) -> None:
    service.infer(b"fine", model="odd")
    status, _, told = service.infer(word.encode(), model="odd", X_Priority="charge")
    assert (status, told["error"]["code"]) == (502, code)


def test_an_engine_that_hangs_costs_its_caller_the_deadline_and_nobody_else_anything() -> None:
    with running(Variant("odd", "cpu", f"{HERE}:nonsense")) as service:
        status, _, told = service.infer(b"hang", model="odd", X_Deadline_Ms="400")
        assert (status, told["error"]["code"]) == (504, "expired")
        wait_until(lambda: service.metric('fleetsight_serve_backend_deaths_total{model="odd"') == 1)
        wait_until(lambda: service.infer(b"fine", model="odd")[0] == 200)


def tensor(jpeg: bytes) -> tuple[bytes, str]:
    """A request of the Open Inference Protocol, and the length of its JSON."""
    size = {"binary_data_size": len(jpeg) + 4}
    told = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "parameters": size}]}
    head = json.dumps(told).encode()
    return head + struct.pack("<I", len(jpeg)) + jpeg, str(len(head))


@pytest.mark.parametrize("is_open_protocol", [False, True])
def test_a_caller_that_hangs_up_is_not_worked_for(*, is_open_protocol: bool) -> None:
    body, length = tensor(b"second")
    second = request_bytes(PATH, b"second", X_Deadline_Ms="30000")
    if is_open_protocol:
        headers = {"Inference_Header_Content_Length": length, "X_Deadline_Ms": "30000"}
        second = request_bytes("/v2/models/m/infer", body, **headers)
    with running(Variant("m", "cpu", f"{HERE}:gated")) as service:
        busy = threading.Thread(target=service.infer, args=(b"first",))
        busy.start()
        wait_until(lambda: SEEN == [b"first"])
        with service.connect() as connection:
            connection.sendall(second)
            lane = service.service.router.deployments["m"].lanes["cpu"]
            wait_until(lambda: sum(len(seat.running) for seat in lane.seats.values()) == 2)
        wait_until(lambda: service.metric('fleetsight_serve_refused_total{model="m",reason="abandoned"}') >= 1)
        GATE.set()
        busy.join()
        assert service.infer(b"third")[0] == 200
        assert SEEN == [b"first", b"third"]


def test_bodies_together_take_no_more_memory_than_allowed(service: Running) -> None:
    sent: list[dict[str, object]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(dict(message))

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("the body was read")

    async def ask() -> None:
        headers = [(b"content-length", b"100")]
        scope = {"type": "http", "method": "POST", "path": PATH, "headers": headers}
        await Frames(service.service.router, Memory(99)).infer(Exchange(scope, receive, send), "m")

    asyncio.run_coroutine_threadsafe(ask(), service.loop).result(10)
    assert sent[0]["status"] == 503
    assert b"memory_full" in sent[1]["body"]  # type: ignore[operator]


def test_memory_comes_back() -> None:
    memory = Memory(10)
    assert memory.take(10)
    assert not memory.take(1)
    memory.give(10)
    assert memory.take(1)
