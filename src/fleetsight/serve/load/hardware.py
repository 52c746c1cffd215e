"""The machine a profile is measured on, in words."""

import os
import platform
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def hardware_in_words(cpuinfo: Path = CPUINFO) -> str:
    """Name the processor and its cores.

    Args:
        cpuinfo: where Linux describes processors; another system is described by its architecture.

    Returns:
        such as "2 cores of Intel(R) Xeon(R) Processor".
    """
    cores, model = os.cpu_count() or 1, platform.processor() or platform.machine()
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(models) or cores} cores of {models[0] if models else model}"
