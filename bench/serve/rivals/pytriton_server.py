"""Triton through PyTriton: Open Inference Protocol with the binary extension; tuned: an instance per core, its default batcher, a bounded queue."""

import os
from typing import Any

import numpy as np
from engine import engine_of_environment, is_tuned, workers_of_environment
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, QueuePolicy, Tensor, TimeoutAction
from pytriton.triton import Triton, TritonConfig


def frames() -> Any:
    """One instance that runs the engine."""
    engine = engine_of_environment()

    @batch
    def infer(image: Any) -> dict[str, Any]:
        return {"answer": np.array(engine([bytes(row[0]) for row in image]), dtype=np.float32)}

    return infer


if __name__ == "__main__":
    settings = TritonConfig(
        http_address="127.0.0.1", http_port=int(os.environ["PORT"]), allow_grpc=False, allow_metrics=False
    )
    if is_tuned():
        policy = QueuePolicy(timeout_action=TimeoutAction.REJECT, max_queue_size=64)
        config = ModelConfig(max_batch_size=8, batcher=DynamicBatcher(default_queue_policy=policy))
        instances = [frames() for _ in range(workers_of_environment())]
    else:
        config, instances = ModelConfig(max_batch_size=8), [frames()]
    with Triton(config=settings) as triton:
        triton.bind(
            model_name="frames",
            infer_func=instances,
            inputs=[Tensor(name="image", dtype=bytes, shape=(1,))],
            outputs=[Tensor(name="answer", dtype=np.float32, shape=(3,))],
            config=config,
        )
        triton.serve()
