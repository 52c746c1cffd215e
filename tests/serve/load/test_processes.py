import socket

import numpy as np
import pytest

from fleetsight.serve.load.line import Payload, Target
from fleetsight.serve.load.processes import Generators
from fleetsight.serve.load.shots import LoadError, Outcome
from tests.serve.load.stand_in import StandIn, served


def target_at(url: str) -> Target:
    return Target.at(url, "/v1/models/pets/infer", headers=("X-Deadline-Ms: 100",))


def test_both_loops_send_whole_bodies_from_processes_of_their_own_and_count_every_request() -> None:
    app = StandIn(service_ms=2.0)
    bodies = [Payload(bytes([number]) * 60_000) for number in range(5)]
    with served(app) as url, Generators(bodies, processes=2) as generators:
        open_loop = generators.open_loop(target_at(url), 60.0, duration_s=1.0, seed=1)
        closed = generators.closed_loop(target_at(url), 3, duration_s=0.5)
    assert (open_loop.outcome == Outcome.ANSWERED).all()
    assert (np.diff(open_loop.scheduled_s) >= 0).all()
    assert len(open_loop) > 30
    assert (open_loop.latency_ms >= 2.0).all()
    assert (open_loop.batch == 1).all()
    assert (open_loop.service_ms == 2.0).all()
    assert open_loop.cpu_s > 0
    assert len(closed) >= 3
    assert len(app.bodies) == len(open_loop) + len(closed)
    assert set(app.bodies) == {payload.body for payload in bodies}
    assert app.paths == {"/v1/models/pets/infer"}
    assert {(b"x-deadline-ms", b"100"), (b"content-type", b"image/jpeg")} <= app.headers


def test_waiting_behind_a_stalled_server_counts_from_the_scheduled_send() -> None:
    """Forty requests of 20 ms each are offered within 0.2 s: the last waits for all the others, whenever it was written."""
    with served(StandIn(service_ms=20.0)) as url, Generators([Payload(b"x")]) as generators:
        seen = generators.open_loop(target_at(url), 200.0, duration_s=0.2, seed=2)
    assert len(seen) > 20
    assert seen.latency_ms.max() >= (len(seen) - 1) * 20 - 200


def test_refusals_and_a_dead_server_are_counted_apart() -> None:
    with served(StandIn(service_ms=30.0, waiting_max=1)) as url, Generators([Payload(b"x")]) as generators:
        seen = generators.closed_loop(target_at(url), 4, duration_s=0.3)
    assert {Outcome.ANSWERED, Outcome.REJECTED} == set(seen.outcome.tolist())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with Generators([Payload(b"x")]) as generators:
        dead = generators.open_loop(target_at(f"http://127.0.0.1:{port}"), 100.0, duration_s=0.1, seed=3)
    assert len(dead) > 0
    assert (dead.outcome == Outcome.FAILED).all()


def test_generators_without_bodies_or_callers_are_refused() -> None:
    with pytest.raises(LoadError, match="no bodies"):
        Generators([])
    with pytest.raises(LoadError, match="0 generator processes"):
        Generators([Payload(b"x")], processes=0)
    with Generators([Payload(b"x")]) as generators, pytest.raises(LoadError, match="0 callers"):
        generators.closed_loop(target_at("http://127.0.0.1:1"), 0, duration_s=0.1)
