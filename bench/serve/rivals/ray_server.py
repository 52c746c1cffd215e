"""Ray Serve: raw bytes in; tuned: a replica per core, batches, a bounded queue, more requests per replica than one batch."""

import os
import signal
from typing import Any

import ray
from engine import engine_of_environment, is_tuned, workers_of_environment
from ray import serve
from starlette.requests import Request


class Frames:
    """One replica that runs the engine."""

    def __init__(self) -> None:
        self._engine = engine_of_environment()

    async def __call__(self, request: Request) -> dict[str, Any]:
        return {"answer": self._engine([await request.body()])[0]}


class BatchedFrames:
    """The same, in batches that do not wait."""

    def __init__(self) -> None:
        self._engine = engine_of_environment()

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.0)
    async def infer(self, jpegs: list[bytes]) -> list[list[float]]:
        return self._engine(jpegs)

    async def __call__(self, request: Request) -> dict[str, Any]:
        return {"answer": await self.infer(await request.body())}


if __name__ == "__main__":
    ray.init(num_cpus=workers_of_environment(), include_dashboard=False, logging_level="warning")
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    if is_tuned():
        deployment = serve.deployment(
            num_replicas=workers_of_environment(),
            max_ongoing_requests=16,
            max_queued_requests=64,
            ray_actor_options={"num_cpus": 1},
        )(BatchedFrames)
    else:
        deployment = serve.deployment(Frames)
    serve.run(deployment.bind(), route_prefix="/infer")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    serve.shutdown()
