"""Behind the walls nothing can be opened, reached or started."""

import json
import subprocess
import sys

import pytest

PROBE = """
import json, os, resource, socket, sys
sys.path[:] = json.loads(sys.argv[1])
from fleetsight.video.sandbox.walls import forbid_system_calls, limit_resources
done = {}
def attempt(name, action):
    try:
        action()
        done[name] = "done"
    except OSError as error:
        done[name] = error.strerror
    except MemoryError:
        done[name] = "no memory"
pipe = os.pipe()
limit_resources(ram_bytes=400 * 2**20, cpu_s=5, open_files=64)
walled = forbid_system_calls()
attempt("read", lambda: open("/etc/passwd"))
attempt("write", lambda: open("/tmp/left_behind", "w"))
attempt("connect", lambda: socket.socket())
attempt("fork", lambda: os.fork())
attempt("spawn", lambda: os.posix_spawn("/bin/true", ["true"], {}))
attempt("execute", lambda: os.execv("/bin/true", ["true"]))
attempt("kill", lambda: os.kill(os.getppid(), 0))
attempt("unlink", lambda: os.unlink("/tmp/left_behind"))
attempt("rename", lambda: os.rename("/tmp/a", "/tmp/b"))
attempt("limit the parent", lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1)))
attempt("allocate", lambda: bytearray(2**30))
attempt("pipe", lambda: os.write(pipe[1], b"x"))
print(json.dumps([walled, done]))
"""


@pytest.fixture(scope="module")
def report() -> tuple[bool, dict[str, str]]:
    run = subprocess.run(
        [sys.executable, "-c", PROBE, json.dumps(sys.path)], capture_output=True, text=True, check=True, timeout=60
    )
    walled, done = json.loads(run.stdout)
    return walled, done


@pytest.mark.parametrize(
    "action", ["read", "write", "connect", "fork", "spawn", "execute", "kill", "unlink", "rename", "limit the parent"]
)
def test_a_walled_process_is_refused(report: tuple[bool, dict[str, str]], action: str) -> None:
    walled, done = report
    if not walled:
        pytest.skip("this kernel or architecture offers no system call filter")
    assert done[action] == "Operation not permitted"


def test_memory_is_bounded_and_pipes_work(report: tuple[bool, dict[str, str]]) -> None:
    assert report[1]["allocate"] == "no memory"
    assert report[1]["pipe"] == "done"
