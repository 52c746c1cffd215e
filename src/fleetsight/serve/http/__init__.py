"""The doors of the inference service over HTTP: a bare ASGI app, because what a frame passes through is paid for with every frame."""
