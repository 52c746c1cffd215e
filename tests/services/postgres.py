"""A real PostgreSQL for tests: a cluster of its own in a temporary folder, on a free port of the loopback."""

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

READY_S = 60.0
ACCOUNTS = ("postgres", "nobody")
# A test never pulls the plug of the machine, so flushing to the disk would only cost time.
SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=100", "listen_addresses=127.0.0.1")


@dataclass(frozen=True)
class Postgres:
    """A running cluster.

    Attributes:
        port: on 127.0.0.1; every local connection is trusted.
        process: the server.
    """

    port: int
    process: "subprocess.Popen[bytes]"

    def url(self, database: str) -> str:
        return f"postgresql://tester@127.0.0.1:{self.port}/{database}"

    def run(self, statement: str) -> None:
        """Run one statement outside of a transaction."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`; None when PostgreSQL is not installed."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: float(folder.parent.name))
    on_path = [Path(found).resolve().parent for found in (shutil.which("initdb"),) if found]
    for folder in [*on_path, *reversed(packaged)]:
        if all((folder / name).is_file() for name in ("initdb", "postgres")):
            return folder
    return None


def as_other_account(folder: Path) -> Sequence[str] | None:
    """What stands before a command so that it does not run as root, which PostgreSQL refuses; None when there is no way."""
    if os.geteuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    accounts = [entry for entry in pwd.getpwall() if entry.pw_name in ACCOUNTS]
    if setpriv is None or not accounts:
        return None
    account = min(accounts, key=lambda entry: ACCOUNTS.index(entry.pw_name))
    os.chown(folder, account.pw_uid, account.pw_gid)
    for parent in folder.parents:  # temporary folders are private
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o001)
    return (setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")


@contextmanager
def running(folder: Path) -> Iterator[Postgres | str]:
    """Run a cluster in a new folder; yields the reason instead where that cannot be done."""
    found = binaries()
    folder.mkdir()
    prefix = as_other_account(folder)
    if found is None:
        yield "PostgreSQL is not installed (tools/install_test_services.sh installs it)"
        return
    if prefix is None:
        yield "PostgreSQL refuses to run as root, and there is no setpriv with an account postgres or nobody"
        return
    data = folder / "data"
    command = [*prefix, str(found / "initdb"), "--auth=trust", "--username=tester", "--encoding=UTF8", "--no-locale"]
    subprocess.run(
        [*command, "--no-sync", f"--pgdata={data}"], check=True, capture_output=True, cwd=folder, timeout=READY_S
    )
    port = free_port()
    options = [part for setting in (*SETTINGS, f"unix_socket_directories={folder}") for part in ("-c", setting)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*prefix, str(found / "postgres"), "-D", str(data), "-p", str(port), *options],
            stdout=log,
            stderr=log,
            cwd=folder,
        )
    server = Postgres(port, process)
    try:
        wait_ready(server, folder / "log")
        yield server
    finally:
        process.terminate()  # a smart shutdown would wait for connections; SIGINT closes them
        process.send_signal(2)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_ready(server: Postgres, log: Path) -> None:
    """Return when the cluster answers.

    Raises:
        RuntimeError: it ended, or did not answer in time; holds the end of its log.
    """
    limit = time.monotonic() + READY_S
    while time.monotonic() < limit and server.process.poll() is None:
        try:
            server.run("select 1")
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()[-2000:]}")


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
