"""mosec: raw bytes in; tuned: a process per core and batches whose wait is the shortest it takes (1 ms)."""

import os
import sys

from engine import Engine, engine_of_environment, is_tuned, workers_of_environment
from mosec import Server, Worker


class Frames(Worker):
    """One process that runs the engine."""

    def __init__(self) -> None:
        super().__init__()
        self._engine: Engine = engine_of_environment()

    def deserialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes | list[bytes]) -> object:
        if isinstance(data, list):
            return [{"answer": answer} for answer in self._engine(data)]
        return {"answer": self._engine([data])[0]}


if __name__ == "__main__":
    sys.argv[1:] = ["--address", "127.0.0.1", "--port", os.environ["PORT"], "--log-level", "warning"]
    server = Server()
    if is_tuned():
        server.append_worker(Frames, num=workers_of_environment(), max_batch_size=8, max_wait_time=1)
    else:
        server.append_worker(Frames)
    server.run()
