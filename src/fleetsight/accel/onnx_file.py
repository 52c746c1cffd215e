"""Read what an ONNX file says about itself, without running or importing anything.

Field numbers are those of onnx/onnx.proto3. The checks that matter must come before any run time sees the file:
weights outside the file (a path the file's author chooses) are found here, in every sub-graph. It also spares the core
install the `onnx` package. `with_input_size` changes one thing: the size of the picture that a convolutional model takes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from fleetsight.accel.wire import OnnxError, as_message, as_number, as_text, read_fields, write_field

NESTING_MAX = 64
"""Deepest nesting of messages; protobuf's own parsers stop at 100."""

FLOAT32 = 1
"""`TensorProto.DataType.FLOAT`."""

_PICKLE_STARTS = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)),
    b"\x93NUMPY",
)
"""First bytes of zip files (torch.save, joblib, .npz), of pickles of protocol 2 to 5, and of .npy files."""

DIMENSIONS_MAX = 16
"""Most dimensions of an input or output; models for images have four."""

_GRAPH, _METADATA = 7, 14  # of ModelProto
_INITIALIZER, _INPUT, _OUTPUT, _VALUE_INFO = 5, 11, 12, 13  # of GraphProto
_TENSOR_NAME, _EXTERNAL_DATA, _DATA_LOCATION = 8, 13, 14  # of TensorProto

# Sub-messages that can hold tensors, per message: field number -> message.
_CHILDREN = {
    "model": {_GRAPH: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", _INITIALIZER: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}


@dataclass(frozen=True)
class Port:
    """An input or output of the graph.

    Attributes:
        name: its name.
        element: element type, `FLOAT32` for float32.
        shape: its dimensions; None where the size is open.
    """

    name: str
    element: int
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} ({', '.join('?' if side is None else str(side) for side in self.shape)})"


@dataclass(frozen=True)
class OnnxFacts:
    """What an ONNX file says about itself.

    Attributes:
        inputs: inputs that the caller must give, constants excluded.
        outputs: outputs in the graph's order.
        metadata: the author's key and value pairs.
        external: names of tensors whose bytes lie outside the file.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    external: tuple[str, ...] = ()


def looks_pickled(content: bytes) -> bool:
    """Whether some loader would unpickle these bytes.

    Args:
        content: the whole file, or its beginning.

    Returns:
        True for a pickle, a zip file such as torch.save writes, or a numpy file.
    """
    return content.startswith(_PICKLE_STARTS)


def read_facts(content: bytes) -> OnnxFacts:
    """Read an ONNX file's own description.

    Args:
        content: the whole file.

    Returns:
        its inputs, outputs, metadata and external tensors.

    Raises:
        OnnxError: the bytes are not an ONNX model with one graph that answers something.
    """
    view = memoryview(content)
    metadata: dict[str, str] = {}
    graphs = []
    for number, value, _ in read_fields(view):
        if number == _GRAPH:
            graphs.append(as_message(value))
        elif number == _METADATA:
            entry = {key: as_text(inner) for key, inner, _ in read_fields(as_message(value)) if key in {1, 2}}
            metadata[entry.get(1, "")] = entry.get(2, "")
    if len(graphs) != 1:
        raise OnnxError("the file is not an ONNX model: it holds no graph", hint="export with torch.onnx.export(...)")
    inputs, outputs, constants = _read_graph(graphs[0])
    if not outputs:
        raise OnnxError("the ONNX graph answers nothing: it has no outputs", hint="export the model again")
    return OnnxFacts(
        inputs=tuple(port for port in inputs if port.name not in constants),
        outputs=tuple(outputs),
        metadata=metadata,
        external=tuple(sorted(set(_external(view, "model", depth=0)))),
    )


def with_input_size(content: bytes, size_wh: tuple[int, int], *, output_shape: tuple[int, ...]) -> bytes:
    """The same network for pictures of another size.

    Only the declared sizes change. This works for networks made of convolutions; one that has the size built in fails
    when a target opens it.

    Args:
        content: an ONNX file with one input (1, 3, h, w) and one output.
        size_wh: new width and height in pixels.
        output_shape: shape of the output at the new size.

    Returns:
        the changed file.

    Raises:
        OnnxError: the bytes are not an ONNX model.
    """
    view = memoryview(content)
    entry = read_facts(content).inputs[0].name
    pieces = []
    for number, value, raw in read_fields(view):
        if number == _GRAPH:
            graph = _resized_graph(as_message(value), entry, (1, 3, size_wh[1], size_wh[0]), output_shape)
            pieces.append(write_field(_GRAPH, graph))
        else:
            pieces.append(bytes(raw))
    return b"".join(pieces)


def _resized_graph(graph: memoryview, entry: str, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> bytes:
    pieces = []
    for number, value, raw in read_fields(graph):
        if number == _OUTPUT:
            pieces.append(write_field(_OUTPUT, _write_port(_read_port(as_message(value)), output_shape)))
        elif number == _INPUT and (port := _read_port(as_message(value))).name == entry:
            pieces.append(write_field(_INPUT, _write_port(port, input_shape)))
        elif number != _VALUE_INFO:  # notes on sizes in between: optional, and wrong now
            pieces.append(bytes(raw))
    return b"".join(pieces)


def _read_graph(graph: memoryview) -> tuple[list[Port], list[Port], set[str]]:
    inputs, outputs, constants = list[Port](), list[Port](), set[str]()
    for number, value, _ in read_fields(graph):
        if number == _INITIALIZER:
            fields = read_fields(as_message(value))
            constants.update(as_text(inner) for key, inner, _ in fields if key == _TENSOR_NAME)
        elif number == _INPUT:
            inputs.append(_read_port(as_message(value)))
        elif number == _OUTPUT:
            outputs.append(_read_port(as_message(value)))
    return inputs, outputs, constants


def _read_port(message: memoryview) -> Port:
    """ValueInfoProto: name = 1, type = 2; TypeProto: tensor = 1; its fields: element = 1, shape = 2; dimension = 1."""
    name, element, shape = "", 0, tuple[int | None, ...]()
    for number, value, _ in read_fields(message):
        if number == 1:
            name = as_text(value)
        elif number == 2:
            for _, tensor, _ in (found for found in read_fields(as_message(value)) if found[0] == 1):
                for key, inner, _ in read_fields(as_message(tensor)):
                    if key == 1:
                        element = as_number(inner)
                    elif key == 2:
                        sides = read_fields(as_message(inner))
                        shape = tuple(_read_dimension(as_message(side)) for k, side, _ in sides if k == 1)
    if len(shape) > DIMENSIONS_MAX:
        raise OnnxError(f"{name!r} has {len(shape)} dimensions, at most {DIMENSIONS_MAX} are allowed")
    return Port(name=name, element=element, shape=shape)


def _read_dimension(message: memoryview) -> int | None:
    size = next((as_number(value) for key, value, _ in read_fields(message) if key == 1), 0)
    return size if 0 < size < 1 << 31 else None


def _write_port(port: Port, shape: tuple[int, ...]) -> bytes:
    sides = b"".join(write_field(1, write_field(1, side)) for side in shape)
    tensor = write_field(1, port.element) + write_field(2, sides)
    return write_field(1, port.name.encode()) + write_field(2, write_field(1, tensor))


def _external(message: memoryview, kind: str, *, depth: int) -> Iterator[str]:
    """Names of the tensors below a message whose bytes lie outside the file."""
    if depth > NESTING_MAX:
        raise OnnxError(f"the ONNX graph is nested deeper than {NESTING_MAX} levels")
    if kind == "tensor":
        name, outside = "", False
        for key, value, _ in read_fields(message):
            name = as_text(value) if key == _TENSOR_NAME else name
            outside = outside or key == _EXTERNAL_DATA or (key == _DATA_LOCATION and value == 1)
        if outside:
            yield name or "a tensor without a name"
        return
    children = _CHILDREN[kind]
    for number, value, _ in read_fields(message):
        if number in children:
            yield from _external(as_message(value), children[number], depth=depth + 1)
