import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fleetsight.serve.load.grid import parse_sides, run_grid, server_running
from fleetsight.serve.load.line import Target
from fleetsight.serve.load.shots import LoadError
from fleetsight.serve.load.trial import LoadPlan
from fleetsight.serve.load.virtual import VirtualServer
from tests.serve.load.stand_in import VirtualGun
from tests.serve.load.test_virtual import STEADY

PLAN = LoadPlan(slo_ms=100.0, duration_s=5.0, warm_up_s=1.0)
LISTENER = """
import socket, sys
assert sys.argv[1] == "3"
server = socket.create_server(("127.0.0.1", int(sys.argv[2])))
while True:
    server.accept()
"""


@pytest.mark.parametrize(
    ("text", "sides"), [("1,2x1,4", ((1, 2), (1, 4))), ("8", ((0,), (8,))), ("1,2,4", ((0,), (1, 2, 4)))]
)
def test_sides_are_read(text: str, sides: object) -> None:
    assert parse_sides(text) == sides


@pytest.mark.parametrize("text", ["", "x", "1x", "0", "1,,2", "1x2x3", "a", "-1", "2000", ",".join(["1"] * 33)])
def test_what_is_no_grid_is_refused(text: str) -> None:
    with pytest.raises(LoadError, match="grid"):
        parse_sides(text)


def test_each_row_starts_the_server_with_its_threads_and_each_cell_is_named_server_client() -> None:
    running: list[str] = []

    @contextmanager
    def started(threads: int) -> Iterator[None]:
        running.append(f"up {threads}")
        yield
        running.append(f"down {threads}")

    gun = VirtualGun(VirtualServer(STEADY))
    cells = run_grid(gun, PLAN, sides=((1, 2), (1, 4)), started=started)
    assert [cell.label for cell in cells] == ["1-1", "1-4", "2-1", "2-4"]
    assert running == ["up 1", "down 1", "up 2", "down 2"]
    assert cells[0].as_row()["p50_ms"] == pytest.approx(10.0)
    assert cells[3].as_row() | {"label": "2-4", "server": 2, "client": 4} == cells[3].as_row()


def test_a_server_as_it_is_has_one_row() -> None:
    cells = run_grid(VirtualGun(VirtualServer(STEADY)), PLAN, sides=((0,), (2,)))
    assert [cell.label for cell in cells] == ["as is-2"]


def free_target() -> Target:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return Target("127.0.0.1", taken.getsockname()[1], "/")


def test_a_command_is_started_with_its_threads_and_ended() -> None:
    target = free_target()
    command = f"{sys.executable} -c '{LISTENER}' {{threads}} {target.port}"
    with server_running(command, 3, target=target):
        socket.create_connection((target.host, target.port), timeout=5).close()
        with pytest.raises(LoadError, match="already listens"), server_running(command, 3, target=target):
            pass
    with pytest.raises(OSError, match=r"refused|reset"):
        socket.create_connection((target.host, target.port), timeout=5)


def test_a_command_that_ends_at_once_or_names_no_threads_is_an_error() -> None:
    target = free_target()
    with (
        pytest.raises(LoadError, match="does not listen"),
        server_running(f"{sys.executable} -c {{threads}}", 1, target=target),
    ):
        pass
    with pytest.raises(LoadError, match="threads"), server_running("sleep 1", 1, target=target):
        pass
