"""LitServe: base64 in JSON, as its guides send pictures; tuned: a process per core, batches without a wait, its fast queue."""

import base64
import os
from typing import Any

import litserve
from engine import engine_of_environment, is_tuned, workers_of_environment


class Frames(litserve.LitAPI):
    """Decodes the request and runs the engine."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - its interface
        self._engine = engine_of_environment()

    def decode_request(self, request):  # type: ignore[no-untyped-def] # an annotation would name the wire format
        return base64.b64decode(request["image_data"])

    def predict(self, x: Any) -> Any:
        return self._engine(x) if isinstance(x, list) else self._engine([x])[0]

    def batch(self, inputs: Any) -> Any:
        return list(inputs)

    def unbatch(self, output: Any) -> Any:
        return output

    def encode_response(self, output):  # type: ignore[no-untyped-def]
        return {"answer": output}


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    if is_tuned():
        api = Frames(max_batch_size=8, batch_timeout=0.0)
        server = litserve.LitServer(
            api, accelerator="cpu", workers_per_device=workers_of_environment(), fast_queue=True, restart_workers=True
        )
        server.run(host="127.0.0.1", port=port, num_api_servers=1, generate_client_file=False, log_level="warning")
    else:
        litserve.LitServer(Frames(), accelerator="cpu").run(host="127.0.0.1", port=port, generate_client_file=False)
