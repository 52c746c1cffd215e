"""The processes of an installation share a socket and have names of their own."""

import os
import socket
from pathlib import Path

import pytest

from fleetsight.fleet.installation import InstallationError
from fleetsight.fleet.processes.tree import inherited, listen, service_plans


def test_the_socket_of_the_supervisor_is_the_one_that_the_api_answers_on() -> None:
    with listen("127.0.0.1", 0) as listening:
        again = inherited(os.dup(listening.fileno()))
        assert again.getsockname() == listening.getsockname()
        with socket.create_connection(listening.getsockname()):  # somebody calls before anyone answers
            again.accept()[0].close()
        again.close()


def test_an_address_that_is_taken_is_refused_with_the_way_out() -> None:
    with listen("127.0.0.1", 0) as listening, pytest.raises(InstallationError, match="cannot listen") as caught:
        listen("127.0.0.1", listening.getsockname()[1])
    assert "FLEETSIGHT_PORT" in caught.value.hint


def test_a_socket_that_is_not_there_is_refused() -> None:
    with pytest.raises(InstallationError, match="no open socket 987654"):
        inherited(987_654)


def test_whoever_holds_locks_of_the_database_is_equally_urgent_and_logs_into_its_own_file(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as listening:
        api, *workers = service_plans({"A": "b"}, listening, workers=2, logs=tmp_path)
        assert api.descriptors == (listening.fileno(),)
    assert [plan.name for plan in workers] == ["worker-0", "worker-1"]
    assert {plan.nice for plan in (api, *workers)} == {0}
    assert len({plan.log for plan in (api, *workers)}) == 3
    assert all(plan.environ == {"A": "b"} for plan in (api, *workers))
