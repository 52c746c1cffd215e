"""A line that fails on demand, the same way for the same seed."""

import httpx
import pytest

from fleetsight.apps.cooler.device.link.faults import FaultyLine, LineFaults, LineSpecError


class Server(httpx.BaseTransport):
    """Counts what reaches it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        try:
            body = b"".join(request.stream)  # type: ignore[arg-type]
        except httpx.WriteError:
            self.bodies.append(b"torn")
            raise
        self.bodies.append(body)
        return httpx.Response(200, content=b"done")


def outcomes(faults: str, *, seed: int = 1, count: int = 400) -> tuple[list[str], Server]:
    server = Server()
    line = FaultyLine(server, LineFaults.parse(faults), seed=seed, sleep=lambda _s: None, elapsed_s=lambda: 0.0)
    found = []
    with httpx.Client(base_url="http://server", transport=line) as client:
        for number in range(count):
            try:
                found.append(client.put("/", content=str(number).rjust(20).encode()).text)
            except httpx.TransportError as error:
                found.append(type(error).__name__)
    return found, server


def test_a_good_line_changes_nothing() -> None:
    found, server = outcomes("")
    assert found == ["done"] * 400
    assert len(server.bodies) == 400


def test_half_of_the_lost_requests_took_effect() -> None:
    found, server = outcomes("loss=0.2")
    before, after = found.count("ConnectError"), found.count("ReadError")
    assert 15 <= before <= 65
    assert 15 <= after <= 65
    assert found.count("done") == 400 - before - after
    assert len(server.bodies) == 400 - before


def test_cut_requests_break_in_the_middle_of_the_body() -> None:
    found, server = outcomes("cut=0.2")
    assert 50 <= found.count("WriteError") == server.bodies.count(b"torn") <= 110


def test_doubled_requests_arrive_twice_and_answer_once() -> None:
    found, server = outcomes("dup=0.5")
    assert found == ["done"] * 400
    assert 540 <= len(server.bodies) <= 660
    assert len(set(server.bodies)) == 400


def test_the_same_seed_fails_the_same_requests() -> None:
    spec = "loss=0.2,cut=0.1,dup=0.1"
    assert outcomes(spec, seed=7)[0] == outcomes(spec, seed=7)[0]
    assert outcomes(spec, seed=7)[0] != outcomes(spec, seed=8)[0]


def test_offline_spans_and_delay() -> None:
    now = [0.0]
    slept: list[float] = []
    server = Server()
    faults = LineFaults.parse("offline=10-20, offline=30-31, latency_ms=50")
    line = FaultyLine(server, faults, elapsed_s=lambda: now[0], sleep=slept.append)
    with httpx.Client(base_url="http://server", transport=line) as client:
        for at_s, reached in ((9.9, True), (10.0, False), (19.9, False), (20.0, True), (30.5, False), (31.0, True)):
            now[0] = at_s
            if reached:
                assert client.get("/").text == "done"
            else:
                with pytest.raises(httpx.ConnectError, match="offline"):
                    client.get("/")
    assert slept == [0.05] * 3


@pytest.mark.parametrize("text", ["loss", "loss=2", "loss=-0.1", "loss=nan", "speed=3", "offline=5", "dup=x", "=1"])
def test_a_description_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(LineSpecError, match="describes no line"):
        LineFaults.parse(text)
