"""What a measurement was made on, in words that say which arithmetic the chip has."""

import os
from dataclasses import dataclass
from pathlib import Path

FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx_vnni",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "amx_fp16",
    "asimddp",
    "bf16",
    "i8mm",
)
"""Words of /proc/cpuinfo (x86 `flags`, Arm `Features`) that decide how fast a network can be in which precision."""

BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16", "bf16"})


@dataclass(frozen=True)
class Hardware:
    """A machine.

    Attributes:
        processor: its name, as the kernel has it.
        cores: that this process may use.
        flags: those of `FLAGS` that it has.
        memory_gb: main memory, 10^9 bytes.
    """

    processor: str
    cores: int
    flags: tuple[str, ...]
    memory_gb: float

    @property
    def has_amx(self) -> bool:
        """Whether it multiplies matrices in tiles: the figures in the README are those of such processors."""
        return "amx_tile" in self.flags

    @property
    def has_bf16(self) -> bool:
        """Whether it computes bfloat16 natively."""
        return not BF16_FLAGS.isdisjoint(self.flags)

    def __str__(self) -> str:
        matrix = "AMX" if self.has_amx else "no AMX"
        return f"{self.cores} cores of {self.processor}, {matrix} ({' '.join(self.flags)}), {self.memory_gb:.0f} GB"


def this_machine(
    cpuinfo: Path = Path("/proc/cpuinfo"), meminfo: Path = Path("/proc/meminfo"), *, cores: int | None = None
) -> Hardware:
    """Describe the machine this runs on.

    Args:
        cpuinfo: the kernel's description of the processor; may be missing.
        meminfo: the kernel's description of the memory; may be missing.
        cores: how many count; None: those this process may run on.

    Returns:
        the description; "unknown processor" where the kernel does not tell.
    """
    lines = _lines(cpuinfo)
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "CPU implementer"))]
    words = {word for line in lines if line.startswith(("flags", "Features")) for word in line.split(":", 1)[1].split()}
    total = next((line.split()[1] for line in _lines(meminfo) if line.startswith("MemTotal:")), "0")
    return Hardware(
        processor=names[0] if names else "unknown processor",
        cores=len(os.sched_getaffinity(0)) if cores is None else cores,
        flags=tuple(flag for flag in FLAGS if flag in words),
        memory_gb=int(total) * 1024 / 1e9,
    )


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
