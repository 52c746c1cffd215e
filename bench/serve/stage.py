"""What the measures of our own service share: a service in a process of its own, JPEGs, the time of a process, and a file for the figures.

Run as a program it is that service: ``python stage.py JSON``, where the JSON has `variants`, `isolate` and `counts`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from record import RESULTS, record

from fleetsight.serve.tier.plan import Variant

if TYPE_CHECKING:  # numpy would count as memory of the service
    from fleetsight.serve.load.line import Payload, Target

TICKS_HZ = os.sysconf("SC_CLK_TCK")
FRAMES = 16
READY_S = 120.0


@dataclass(frozen=True)
class Stage:
    """A service that runs.

    Attributes:
        pid: of its process.
        port: on loopback.
    """

    pid: int
    port: int

    @property
    def url(self) -> str:
        """Its base address."""
        return f"http://127.0.0.1:{self.port}"

    def target(self, *, model: str = "m", deadline_ms: float = 10_000.0) -> "Target":
        """Where frames go."""
        from fleetsight.serve.load.line import Target

        headers = ("Content-Type: image/jpeg", f"X-Deadline-Ms: {deadline_ms:g}")
        return Target("127.0.0.1", self.port, f"/v1/models/{model}/infer", headers=headers)

    def children(self) -> list[int]:
        """Processes of its replicas."""
        listed = [path.read_text(encoding="ascii") for path in Path(f"/proc/{self.pid}/task").glob("*/children")]
        found = [int(word) for words in listed for word in words.split()]
        return [pid for pid in found if b"replica.child" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def cpu_s(self) -> float:
        """Processor time of the service so far, without its replicas' processes."""
        after_name = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / TICKS_HZ

    def rss_mb(self) -> float:
        """Memory it holds now."""
        rows = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines()
        return int(next(row for row in rows if row.startswith("VmRSS")).split()[1]) / 1024


@contextmanager
def staged(variants: Sequence[Variant], *, isolate: bool = False, counts: bool = True) -> Iterator[Stage]:
    """Run a service until the block ends.

    Args:
        variants: what it serves.
        isolate: each replica in a process of its own.
        counts: whether metrics are kept.
    Yields:
        the service, warm.
    """
    order = json.dumps({"variants": [asdict(one) for one in variants], "isolate": isolate, "counts": counts})
    with subprocess.Popen([sys.executable, __file__, order], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            stage = Stage(process.pid, port)
            _await_ready(stage)
            yield stage
        finally:
            process.send_signal(signal.SIGTERM)


def payloads() -> "list[Payload]":
    """JPEGs of a rendered session, 640 x 480."""
    from fleetsight.cli.serving.load import rendered_bodies

    return rendered_bodies(FRAMES)


def publish(name: str, figures: dict[str, Any], *, detail: dict[str, Any]) -> None:
    """Write the figures for `summary.py`, and what they stand on beside them.

    Args:
        name: of the measure.
        figures: `{"N1": {"value", "unit", "goal"}}`.
        detail: everything else.
    """
    folder = RESULTS / "serve" / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    record(f"serve/{name}", {"figures": figures, **detail})


def figure(value: float, unit: str, *, goal: str) -> dict[str, Any]:
    """One figure of the summary."""
    return {"value": round(value, 4), "unit": unit, "goal": goal}


def _await_ready(stage: Stage) -> None:
    from fleetsight.serve.client import Client, ClientError

    until = time.monotonic() + READY_S
    while True:
        try:
            with Client(stage.url) as client:
                client.call("GET", "/v2/health/ready")
        except ClientError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _be_stage(order: dict[str, Any]) -> None:
    from fleetsight.serve.http.server import Server, serve
    from fleetsight.serve.replica.address import Address, listen
    from fleetsight.serve.replica.child import SWITCH_S
    from fleetsight.serve.tier.service import Service, Shape

    sys.setswitchinterval(SWITCH_S)
    listening = listen(Address(host="127.0.0.1"))
    variants = [Variant(**row) for row in order["variants"]]
    service = Service(variants, Shape(isolate=order["isolate"], counts=order["counts"]))
    print(listening.getsockname()[1], flush=True)
    serve(Server(service, listening))


if __name__ == "__main__":
    _be_stage(json.loads(sys.argv[1]))
