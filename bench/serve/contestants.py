"""Who is compared: how each server is started in its own virtual environment, and in which form it takes a JPEG."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fleetsight.serve.load.line import Payload, Target

HERE = Path(__file__).resolve().parent
BUILD = HERE.parents[1] / "build" / "rivals"
OURS = "fleetsight"
READY_S = 180.0
END_S = 15.0
MARK = "BENCH_SERVER_RUN"  # processes of a server are found by it, wherever they were reparented to
TICKS_HZ = os.sysconf("SC_CLK_TCK")


def _raw(jpeg: bytes) -> Payload:
    return Payload(jpeg)


def _json_picture(jpeg: bytes) -> Payload:
    return Payload(json.dumps({"image_data": base64.b64encode(jpeg).decode()}).encode())


def _oip_binary(jpeg: bytes) -> Payload:
    """Open Inference Protocol, binary extension: a BYTES element is its length (4 bytes, little-endian) and its bytes."""
    element = len(jpeg).to_bytes(4, "little") + jpeg
    image = {
        "name": "image",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": len(element)},
    }
    head = json.dumps({"inputs": [image]}).encode()
    return Payload(head + element, (f"Inference-Header-Content-Length: {len(head)}",))


def _oip_json(jpeg: bytes) -> Payload:
    image = {
        "name": "image",
        "shape": [1, 1],
        "datatype": "BYTES",
        "parameters": {"content_type": "base64"},
        "data": [base64.b64encode(jpeg).decode()],
    }
    return Payload(json.dumps({"inputs": [image]}).encode())


@dataclass(frozen=True)
class Contestant:
    """A server.

    Attributes:
        name: of the server, its virtual environment and its requirements file.
        command: after the environment's Python; "{port}" stands for the port.
        path: of the request.
        content_type: of the request.
        payload: makes the body of a JPEG.
        prepare: writes files into the working folder first, told the port and whether it is tuned.
        takes_deadline: tuned, its requests say X-Deadline-Ms.
    """

    name: str
    command: Sequence[str]
    path: str
    content_type: str = "image/jpeg"
    payload: Callable[[bytes], Payload] = _raw
    prepare: Callable[[Path, int, bool], None] = field(default=lambda _folder, _port, _tuned: None)
    takes_deadline: bool = False

    @property
    def python(self) -> Path:
        """The interpreter of its virtual environment; ours is the one that runs this."""
        return BUILD / self.name / "bin" / "python" if self.name != OURS else Path(sys.executable)

    def target(self, port: int) -> Target:
        """Where its requests go."""
        return Target("127.0.0.1", port, self.path, headers=(f"Content-Type: {self.content_type}",))


def _mlserver_files(folder: Path, port: int, tuned: bool) -> None:  # noqa: FBT001 - a field of Contestant calls it
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2, "debug": False}
    model = {"name": "frames", "implementation": "mlserver_model.Frames"}
    if tuned:
        settings["parallel_workers"] = int(os.environ.get("WORKERS", "2"))
        model |= {"max_batch_size": 8, "max_batch_time": 0.001}  # type: ignore[dict-item]
    shutil.copy(HERE / "rivals" / "mlserver_model.py", folder)
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model), encoding="utf-8")


def _variants_file(folder: Path, _port: int, tuned: bool) -> None:  # noqa: FBT001 - a field of Contestant calls it
    lines = ["[[variant]]", 'model = "frames"', 'variant = "cpu"', 'source = "fleetsight_engine:Frames"']
    if tuned:
        lines += [f"replicas = {os.environ.get('WORKERS', '2')}", "batch_max = 8"]
    (folder / "variants.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _script(name: str) -> tuple[str, ...]:
    return (str(HERE / "rivals" / name),)


CONTESTANTS = {
    one.name: one
    for one in (
        Contestant("mosec", _script("mosec_server.py"), "/inference"),
        Contestant("litserve", _script("litserve_server.py"), "/predict", "application/json", _json_picture),
        Contestant(
            "pytriton",
            _script("pytriton_server.py"),
            "/v2/models/frames/infer",
            "application/octet-stream",
            _oip_binary,
        ),
        Contestant(
            "bentoml",
            (
                "-m",
                "bentoml",
                "serve",
                "bentoml_service:Frames",
                "--host",
                "127.0.0.1",
                "--port",
                "{port}",
                "--working-dir",
                str(HERE / "rivals"),
            ),
            "/infer",
        ),
        Contestant(
            "mlserver",
            ("-c", "from mlserver.cli import main; main()", "start", "."),
            "/v2/models/frames/infer",
            "application/json",
            _oip_json,
            _mlserver_files,
        ),
        Contestant(
            OURS,
            ("-m", "fleetsight", "serve", "models", "--models", "variants.toml", "--isolate", "--port", "{port}"),
            "/v1/models/frames/infer",
            prepare=_variants_file,
            takes_deadline=True,
        ),
        Contestant("ray", _script("ray_server.py"), "/infer"),
    )
}


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        target: where its requests go.
        mark: finds its processes.
    """

    target: Target
    mark: str

    def cpu_s(self) -> float:
        """Processor time of its processes until now."""
        return sum(_cpu_s(pid) for pid in _pids(self.mark))

    def rss_mb(self) -> float:
        """Memory of its processes now."""
        return sum(_rss_mb(pid) for pid in _pids(self.mark))


@contextmanager
def running(one: Contestant, *, mode: str, engine: str, workers: int, folder: Path) -> Iterator[Running]:
    """Run a server until the block ends.

    Args:
        one: the server.
        mode: "default" or "tuned".
        engine: "20ms" or "5ms".
        workers: processes of a tuned server.
        folder: working folder; its log goes there.

    Yields:
        the server, as soon as its port accepts connections.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder.mkdir(parents=True, exist_ok=True)
    mark = uuid.uuid4().hex
    chosen = {"PORT": str(port), "MODE": mode, "ENGINE": engine, "WORKERS": str(workers), MARK: mark}
    quiet = {"DO_NOT_TRACK": "1", "BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0"}
    sources = [str(HERE.parents[1] / "src")] if one.name == OURS else []
    paths = os.pathsep.join((str(HERE), str(HERE / "rivals"), str(folder), *sources))
    bin_first = os.pathsep.join((str(one.python.parent), os.environ["PATH"]))
    libraries = str(
        sysconfig.get_config_var("LIBDIR")
    )  # Triton's stub has to find the library of this Python, not another 3.11
    found = {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "PATH": bin_first, "LD_LIBRARY_PATH": libraries}
    environ = os.environ | chosen | quiet | found
    one.prepare(folder, port, mode == "tuned")
    command = [str(one.python), *(part.replace("{port}", str(port)) for part in one.command)]
    with (folder / f"{mode}.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(port, process)
            yield Running(one.target(port), mark)
        finally:
            _end(process, mark)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"the server did not listen on port {port}; see its log")


def _end(process: "subprocess.Popen[bytes]", mark: str) -> None:
    """End the server, then whatever else carries its mark."""
    process.terminate()
    try:
        process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
    for pid in _pids(mark):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def _pids(mark: str) -> list[int]:
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                environ = (folder / "environ").read_bytes()
            except OSError:
                continue
            if wanted in environ.split(b"\0"):
                found.append(int(folder.name))
    return found


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_HZ  # user and system time of the process alone


def _rss_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
