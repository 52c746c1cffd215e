"""A real S3 API for tests: moto's server as a process of its own, on a free port of the loopback."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

SCRIPT = Path(__file__).with_name("s3_server.py")
REGION = "us-east-1"


@contextmanager
def running() -> Iterator[str]:
    """Run the server; yields its address, such as ``http://127.0.0.1:41234``."""
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().decode().strip()
        if not address:
            raise RuntimeError(f"moto's server ended with {process.wait(20)}")
        yield address
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


def make_bucket(address: str, name: str) -> None:
    """Make an empty bucket."""
    httpx.put(f"{address}/{name}", timeout=30).raise_for_status()


def options(address: str) -> Mapping[str, str]:
    """What a client needs beside the URL."""
    return {"endpoint": address, "access_key_id": "tester", "secret_access_key": "not-secret", "region": REGION}
