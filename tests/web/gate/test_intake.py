"""Slow senders (bad input 26) hold a socket and nothing else: they are cut off, and everybody else is served meanwhile."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from fleetsight.serve.http import head_limit
from fleetsight.web.gate import patient_protocol
from fleetsight.web.gate.intake import Patience
from tests.web.world import World, heartbeat, make_world, serving

SLOW = 300
PATIENCE = Patience(pause_s=1.0, whole_s=3.0)
HEAD = b"POST /v1/enrolments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, int]]:
    """A real server with little patience."""
    monkeypatch.setattr(head_limit, "HEAD_S", PATIENCE.pause_s)
    world = make_world(tmp_path, patience=PATIENCE)
    with serving(world) as port:
        yield world, port
    world.rows.close()


def answer_of(connection: socket.socket) -> bytes:
    connection.settimeout(60)
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            answer += chunk
    return answer


@pytest.mark.bad_input(26)
def test_slow_senders_are_cut_off_and_others_are_served(served: tuple[World, int]) -> None:
    world, port = served
    company = world.company()
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(SLOW)]
    for connection in connections:
        connection.sendall(HEAD + b"{")
    body = json.dumps(heartbeat(company.machine)).encode()
    headers = {"Authorization": f"Bearer {company.machine.token(body)}", "Content-Type": "application/json"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        assert client.post("/v1/device/heartbeat", content=body, headers=headers).status_code == 200
    for number, connection in enumerate(connections):
        if number % 2:  # these drip on, a byte at a time, and are not waited for either
            with contextlib.suppress(OSError):
                connection.sendall(b" ")
    answers = [answer_of(connection) for connection in connections]
    for connection in connections:
        connection.close()
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers)
    assert all(b'"code":"too_slow"' in answer for answer in answers)


@pytest.mark.bad_input(26)
def test_a_sender_that_drips_in_time_for_each_byte_is_cut_off_by_the_whole(served: tuple[World, int]) -> None:
    _, port = served
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(HEAD)
        with contextlib.suppress(OSError):
            for _ in range(40):
                connection.sendall(b" ")
                time.sleep(0.2)
        assert answer_of(connection).startswith(b"HTTP/1.1 408")


def test_a_refusal_reaches_a_sender_who_still_sends(served: tuple[World, int]) -> None:
    _, port = served
    body = b"x" * 3_000_000
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        path = "/v1/device/uploads/some-upload"
        answer = client.patch(path, content=body, headers={"Content-Type": "application/octet-stream"})
    assert answer.status_code == 401
    assert answer.json()["code"] == "unauthorized"
    assert "date" in answer.headers  # devices set their clocks by it


@pytest.mark.parametrize("said", [b"", b"POST /v1/enrol", HEAD[:-2]], ids=["nothing", "half a line", "half a head"])
def test_a_head_that_does_not_come_is_not_waited_for(served: tuple[World, int], said: bytes) -> None:
    _, port = served
    connections = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    for connection in connections:
        connection.sendall(said)
    assert [answer_of(connection) for connection in connections] == [b""] * 50
    for connection in connections:
        connection.close()


def test_a_kept_connection_waits_for_the_head_of_the_next_request_no_longer(served: tuple[World, int]) -> None:
    _, port = served
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(2):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b'{"status":"ok"}'):
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET /healthz HT")
        assert answer_of(connection) == b""


def test_answers_do_not_wait_for_acknowledgements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nagle's algorithm and delayed acknowledgements together cost 40 ms an answer, of 300 ms that an unlock may take."""
    made, seen = patient_protocol.PatientProtocol.connection_made, []

    def noting(protocol: patient_protocol.PatientProtocol, transport: asyncio.Transport) -> None:
        made(protocol, transport)
        seen.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(patient_protocol.PatientProtocol, "connection_made", noting)
    world = make_world(tmp_path)
    with serving(world) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        assert client.get("/healthz").status_code == 200
    world.rows.close()
    assert seen == [1]
