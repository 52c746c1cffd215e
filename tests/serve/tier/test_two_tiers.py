"""Replicas in processes of their own: killed, hung and restarted, and nobody's frame is lost."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fleetsight.serve.engine.source import Source
from fleetsight.serve.queueing.request import MS_NS, Answer, Outcome, Reason, Refusal, Request
from fleetsight.serve.replica.address import Address, AddressError, read_address
from fleetsight.serve.replica.child import Order
from fleetsight.serve.replica.replica import ReplicaError
from fleetsight.serve.tier.plan import Variant
from fleetsight.serve.tier.remote import RemoteBackend
from fleetsight.serve.tier.service import Service, Shape

HERE = "tests.serve.http.serving"


def within(ms: float, body: bytes = b"\xff\xd8 frame") -> Request:
    return Request("m", body, time.monotonic_ns() + int(ms * MS_NS))


def serve(variants: list[Variant], act: Callable[[Service], Awaitable[None]], *, isolate: bool = True) -> None:
    async def run() -> None:
        service = Service(variants, Shape(isolate=isolate))
        await service.start()
        try:
            await act(service)
        finally:
            await service.stop()

    asyncio.run(run())


def remotes(service: Service) -> list[RemoteBackend]:
    return [backend for backend in service.router.backends().values() if isinstance(backend, RemoteBackend)]


async def until(said: Callable[[], bool], *, seconds: float = 20.0) -> None:
    end_s = time.monotonic() + seconds
    while not said():
        assert time.monotonic() < end_s, "it never came true"
        await asyncio.sleep(0.01)


def test_a_killed_replica_loses_nothing_and_comes_back() -> None:
    async def act(service: Service) -> None:
        asked = [asyncio.ensure_future(service.router.answer(within(20_000))) for _ in range(30)]
        await asyncio.sleep(0.05)
        victim = remotes(service)[0]
        pid = victim.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*asked)
        assert [type(outcome) for outcome in outcomes] == [Answer] * 30
        seats = service.router.deployments["m"].lanes["cpu"].seats
        await until(lambda: all(seat.is_up for seat in seats.values()))
        assert victim.pid not in (None, pid)
        assert isinstance(await service.router.answer(within(5000)), Answer)

    serve([Variant("m", "cpu", "sleep:10", replicas=2)], act)


def test_a_replica_that_was_reloaded_comes_back_as_what_it_was_last() -> None:
    async def act(service: Service) -> None:
        [victim] = remotes(service)
        assert await victim.reload("sleep:2", "2") == "2"
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        seat = service.router.deployments["m"].lanes["cpu"].seats["m-cpu-0"]
        await until(lambda: not seat.is_up)
        await until(lambda: seat.is_up)
        outcome = await service.router.answer(within(5000))
        assert isinstance(outcome, Answer)
        assert outcome.version == "2"

    serve([Variant("m", "cpu", "sleep:1")], act)


def test_when_all_of_one_kind_die_the_other_kind_answers() -> None:
    async def act(service: Service) -> None:
        asked = [asyncio.ensure_future(service.router.answer(within(20_000))) for _ in range(10)]
        await asyncio.sleep(0.05)
        pid = remotes(service)[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        outcomes = await asyncio.gather(*asked)
        assert all(isinstance(outcome, Answer) for outcome in outcomes)
        assert "gpu" in {outcome.variant for outcome in outcomes if isinstance(outcome, Answer)}

    cheap_and_dear = [
        Variant("m", "cpu", "sleep:10", usd_per_hour=0.0),
        Variant("m", "gpu", "sleep:10", usd_per_hour=1.0),
    ]
    serve(cheap_and_dear, act)


def test_a_frame_that_kills_what_touches_it_is_tried_twice_and_no_more() -> None:
    async def act(service: Service) -> None:
        outcome = await service.router.answer(within(10_000, b"die"))
        assert isinstance(outcome, Refusal)
        assert outcome.reason is Reason.BACKEND_LOST
        seats = service.router.deployments["m"].lanes["cpu"].seats
        await until(lambda: all(seat.is_up for seat in seats.values()))
        assert isinstance(await service.router.answer(within(5000)), Answer)

    serve([Variant("m", "cpu", "tests.serve.tier.test_two_tiers:fragile", replicas=2)], act)


def fragile(frames: list[object]) -> list[object]:
    if any(bytes(frame.jpeg) == b"die" for frame in frames):  # type: ignore[attr-defined]
        os.kill(os.getpid(), signal.SIGKILL)
    return [1] * len(frames)


def test_a_hung_replica_is_ended_and_its_frames_answered_elsewhere() -> None:
    async def act(service: Service) -> None:
        victim = remotes(service)[0]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGSTOP)
        asked = [service.router.answer(within(20_000)) for _ in range(8)]
        outcomes: list[Outcome] = await asyncio.gather(*asked)
        assert all(isinstance(outcome, Answer) for outcome in outcomes)
        assert service.meter.exposition().decode().count('backend_deaths_total{model="m",variant="cpu"} 1.0') == 1

    serve([Variant("m", "cpu", "sleep:10", replicas=2)], act)


def test_a_replica_that_cannot_load_says_so() -> None:
    with pytest.raises(ReplicaError, match="before it was warm"):
        serve([Variant("m", "cpu", "no.such:thing")], _nothing)


async def _nothing(_service: Service) -> None:
    raise AssertionError("it started")


@contextmanager
def a_replica(address: Address) -> Iterator[subprocess.Popen[bytes]]:
    """A replica that somebody else runs."""
    order = Order(Source("sleep:5"), address, version="7")
    command = [sys.executable, "-m", "fleetsight.serve.replica.child", order.to_json()]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def test_a_replica_of_somebody_else_is_dialled_again_after_it_died() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = Address(host="127.0.0.1", port=free.getsockname()[1])

    async def act(service: Service) -> None:
        outcome = await service.router.answer(within(5000))
        assert isinstance(outcome, Answer)
        assert outcome.version == "7"
        process.kill()
        seat = service.router.deployments["m"].lanes["far"].seats["m-far-0"]
        await until(lambda: not seat.is_up)
        refused = await service.router.answer(within(5000))
        assert isinstance(refused, Refusal)
        assert refused.reason is Reason.NO_BACKEND
        with a_replica(address):
            await until(lambda: seat.is_up)
            assert isinstance(await service.router.answer(within(5000)), Answer)

    with a_replica(address) as process:
        serve([Variant("m", "far", "sleep:5", address=str(address))], act, isolate=False)


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    code = f"""
import asyncio, os, signal
from fleetsight.serve.tier.plan import Variant
from fleetsight.serve.tier.service import Service, Shape
async def run():
    service = Service([Variant("m", "cpu", "sleep:1")], Shape(isolate=True))
    await service.start()
    open({str(tmp_path / "pid")!r}, "w").write(str(next(iter(service.router.backends().values())).pid))
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(run())
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    child = int((tmp_path / "pid").read_text())
    end_s = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split(")")[1][:3]:
        assert time.monotonic() < end_s, "the child lives on"
        time.sleep(0.02)


@pytest.mark.parametrize("text", ["", "unix:", "tcp:host", "tcp::80", "tcp:host:99999", "http://x"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(AddressError):
        read_address(text)


@pytest.mark.parametrize("text", ["unix:/run/x.sock", "tcp:10.0.0.1:80", "tcp:replica.local:9000"])
def test_addresses_read_as_they_were_written(text: str) -> None:
    assert str(read_address(text)) == text
