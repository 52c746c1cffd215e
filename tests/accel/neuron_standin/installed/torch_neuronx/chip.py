"""The chip of the stand-in: two cores, what they ran, who holds them, and the faults that a test asks for."""

import threading

CORES = 2

_lock = threading.Lock()
held_elsewhere: set[int] = set()
"""Cores of another process: they are free when it ends."""

ran: list[tuple[int, int]] = []
"""Core and rows of each execution."""

compiled: list[tuple[list[str], bool]] = []
"""Compiler arguments and whether it was without a device, of each compile."""

_next_core = 0
_faults: list[str] = []
_compile_faults: list[str] = []


def reset() -> None:
    global _next_core  # noqa: PLW0603  # one chip per process, as in life
    _next_core = 0
    for kept in (ran, compiled, _faults, _compile_faults):
        kept.clear()
    held_elsewhere.clear()


def fail_next_run(said: str) -> None:
    _faults.append(said)


def fail_next_compile(said: str) -> None:
    _compile_faults.append(said)


def allocate(start: int, count: int) -> list[int]:
    """Take cores: the named ones, or the next in turn."""
    global _next_core  # noqa: PLW0603  # one chip per process, as in life
    with _lock:
        first = start if start >= 0 else _next_core
        wanted = [(first + step) % CORES for step in range(count)] if start < 0 else list(range(first, first + count))
        missing = [core for core in wanted if core in held_elsewhere or core >= CORES]
        if missing:
            free = CORES - len(held_elsewhere)
            raise RuntimeError(
                "The PyTorch Neuron Runtime could not be initialized. NRT_LOAD_NOT_ENOUGH_NC status code: 9\n"
                f"NRT:nrt_allocate_neuron_cores NeuronCore(s) not available - "
                f"Requested:nc{wanted[0]}-nc{wanted[-1]} Available:{free}"
            )
        _next_core = (first + count) % CORES
        return wanted


def execute(core: int, *, rows: int) -> None:
    with _lock:
        if _faults:
            raise RuntimeError(_faults.pop(0))
        ran.append((core, rows))


def compile_or_fail(words: list[str], *, cpu_backend: bool) -> None:
    if _compile_faults:
        raise RuntimeError(_compile_faults.pop(0))
    if not cpu_backend:
        raise RuntimeError("NRT:nrt_init Unable to determine Neuron Driver version. Please check aws-neuronx-dkms")
    if "--target" not in words:
        raise RuntimeError("cpu_backend needs compiler_args with --target")
    compiled.append((words, cpu_backend))
