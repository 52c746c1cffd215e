"""A compiled model is served like any other, also by a child that was told whom to trust."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleetsight.accel.artifacts.cache import ArtifactCache
from fleetsight.accel.compiling import compile_model
from fleetsight.accel.targets.options import Options
from fleetsight.serve.engine.picture import sample_jpeg
from fleetsight.serve.engine.protocol import Frame, FrameFault
from fleetsight.serve.engine.source import Source, open_engine
from fleetsight.serve.replica.address import Address
from fleetsight.serve.replica.child import Order
from tests.accel.proved import gates, tiny_source


def test_an_artifact_is_served_by_who_trusts_its_signature(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path / "cache", Ed25519PrivateKey.generate())
    made = compile_model(tiny_source(tmp_path), "onnxruntime", options=Options(), gates=gates(), cache=cache)
    order = Order(Source(str(made.artifact.folder), trusted=tuple(cache.trusted)), Address(path="/unused"))
    told = Order.from_json(order.to_json())
    assert told == order
    engine = open_engine(told.source)
    engine.load()
    (answer,) = engine.infer_batch([Frame(sample_jpeg((64, 64)), 0.0)])
    engine.close()
    assert not isinstance(answer, FrameFault)
    assert answer["size_wh"] == [64, 64]
