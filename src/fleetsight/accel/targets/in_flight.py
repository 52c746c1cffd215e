"""Several runs in flight with answers in order, for run times that release the interpreter lock but have no queue."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray

from fleetsight.accel.session import Arrays, as_inputs


def run_in_order(
    run: Callable[..., Arrays], batches: Iterable[NDArray[Any] | Arrays], *, workers: int, name: str
) -> Iterator[Arrays]:
    """Run batches on a small pool of threads.

    One batch beyond the workers is taken ahead, so that none of them waits while the caller uses an answer.

    Args:
        run: runs one batch, from any thread.
        batches: taken lazily.
        workers: runs at a time, >= 1.
        name: prefix of the threads' names.

    Yields:
        the answer for each batch, in order.
    """
    busy: deque[Future[Arrays]] = deque()
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix=name) as pool:
        for batch in batches:
            busy.append(pool.submit(run, *as_inputs(batch)))
            if len(busy) > workers:
                yield busy.popleft().result()
        while busy:
            yield busy.popleft().result()
