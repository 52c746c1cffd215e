"""The engine alone, in processes of its own: what the machine can do when nothing is served.

Run by each rival's interpreter: ``python raw.py ENGINE PROCESSES SECONDS FOLDER``; prints one JSON object.
"""

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from engine import Engine


def answered(_number: int, *, kind: str, folder: str, seconds: float) -> tuple[int, float, list[float]]:
    """Answer the folder's JPEGs one by one, for so long.

    Args:
        _number: of the process.
        kind: of the engine.
        folder: with JPEG files.
        seconds: after a warm-up of a fifth of it.

    Returns:
        frames, seconds they took, and the time of each in milliseconds.
    """
    jpegs = [path.read_bytes() for path in sorted(Path(folder).glob("*.jpg"))]
    engine = Engine(kind)
    warm = time.perf_counter() + seconds / 5
    while time.perf_counter() < warm:
        engine(jpegs[:1])
    times: list[float] = []
    begin = time.perf_counter()
    while (now := time.perf_counter()) - begin < seconds:
        engine([jpegs[len(times) % len(jpegs)]])
        times.append((time.perf_counter() - now) * 1000)
    return len(times), time.perf_counter() - begin, times


def measured(kind: str, folder: str, *, processes: int, seconds: float) -> dict[str, float]:
    """The rate of all processes together, and the times of one frame in one process alone."""
    answering = partial(answered, kind=kind, folder=folder, seconds=seconds)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        _, _, times = pool.submit(answering, 0).result()
        rates = [count / took_s for count, took_s, _ in pool.map(answering, range(processes))]
    times.sort()
    return {
        "raw_hz": sum(rates),
        "p50_ms": times[len(times) // 2],
        "p99_ms": times[int(len(times) * 0.99)],
    }


if __name__ == "__main__":
    print(json.dumps(measured(sys.argv[1], sys.argv[4], processes=int(sys.argv[2]), seconds=float(sys.argv[3]))))
