"""A model before it is compiled: what every target needs to know, whatever file it came from.

The heavy halves are made on demand: a hit in the artifact cache needs neither the graph nor the module, only the digest
of the weights.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from fleetsight.errors import Error

if TYPE_CHECKING:
    import torch

    from fleetsight.accel.card import Card
    from fleetsight.accel.graph import Graph
    from fleetsight.accel.session import Arrays
    from fleetsight.vision.image import Image

ModelKind: TypeAlias = Literal["cnn", "transformer"]
"""Which rules of quantisation suit the network."""

Answer: TypeAlias = Literal["dense", "queries", "classes", "vector", "tensors"]
"""What the outputs mean: a dense head (card), logits and boxes of queries, class logits, one vector, or nothing known."""


class SourceError(Error):
    """A model cannot be read from where it lies."""

    code = "model_source"


@dataclass(frozen=True)
class Source:
    """A model that can be compiled.

    Attributes:
        name: lower case, digits, dot, dash, underscore.
        graph: makes the portable graph (ONNX); a second call answers the same.
        module: makes the torch module in eval mode, float32 on the CPU; None where only the graph is known. Targets that
            need a module then interpret the graph.
        example: inputs of batch 1 with realistic values, in the graph's order.
        weights_sha256: digest of the weights and of everything else that decides the graph, lower-case hex.
        licence: licence of the weights.
        lineage: where the weights come from; a key that contains "licence" is checked like `licence`.
        model_kind: "cnn" or "transformer".
        card: how to feed it pictures and read its answer; None where that is not known.
        answer: what the outputs mean.
        prepare: turns a picture into the inputs of batch 1, as the model was trained; None where it takes no pictures.
        preprocess: "host": `prepare` normalises; "fused": the network does, and takes bytes.
        unfused: the same model with its host preprocessing, where `preprocess` is "fused".
        is_trained: False where the weights are random: such a model measures speed, and agreement says little.
    """

    name: str
    graph: "Callable[[], Graph]" = field(repr=False)
    module: "Callable[[], torch.nn.Module] | None" = field(repr=False)
    example: "Arrays" = field(repr=False)
    weights_sha256: str
    licence: str
    lineage: Mapping[str, Any]
    model_kind: ModelKind
    card: "Card | None" = None
    answer: Answer = "tensors"
    prepare: "Callable[[Image], Arrays] | None" = field(default=None, repr=False)
    preprocess: Literal["host", "fused"] = "host"
    unfused: "Source | None" = None
    is_trained: bool = True
