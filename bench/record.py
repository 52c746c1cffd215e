"""What every benchmark writes: one JSON file under bench/results and one line on stdout."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "openvino", "onnxruntime", "opencv-python-headless", "av")


def hardware() -> str:
    """Processor model and cores, as the kernel names them."""
    model = platform.processor() or platform.machine()
    cores = 0
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model, cores = line.split(":", 1)[1].strip(), cores + 1
    return f"{cores} cores of {model}"


def record(name: str, result: dict[str, Any]) -> None:
    """Write a result with what it stands on, and print it as one line.

    Args:
        name: of the file under bench/results, without suffix.
        result: `table`, `n`, `command` and whatever else was measured.
    """
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    stood_on = {
        "commit": head.stdout.strip() or "unknown",
        "hardware": hardware(),
        "python": platform.python_version(),
        "versions": {library: version(library) for library in LIBRARIES},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(result | stood_on, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(json.dumps({"bench": name} | result | stood_on))


def percent(share: float, interval: list[float] | tuple[float, float] | None = None) -> str:
    """A share for a table, with its interval if it has one."""
    text = f"{100 * share:.1f} %"
    return f"{text} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else text
