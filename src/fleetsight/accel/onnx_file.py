"""Read what an ONNX file says about itself, without running or importing anything.

A file is a tree of length-prefixed fields (protobuf wire format, protobuf.dev/programming-guides/encoding; field
numbers from onnx/onnx.proto3). This reader walks that tree over the bytes in hand. It exists because the checks that
matter must come before any run time sees the file: weights outside the file (a path the file's author chooses) are
found here, in every sub-graph. It also spares the core install the `onnx` package.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from fleetsight.errors import Error

NESTING_MAX = 64
"""Deepest nesting of messages; protobuf's own parsers stop at 100."""

FLOAT32 = 1
"""`TensorProto.DataType.FLOAT`."""

DIMENSIONS_MAX = 16
"""Most dimensions of an input or output; models for images have four."""

# Sub-messages that can hold tensors, per message: field number -> message.
_CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}


class OnnxError(Error):
    """The file is not an ONNX model that can be used."""

    code = "model_onnx"


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


@dataclass
class OnnxFacts:
    """What an ONNX file says about itself.

    Attributes:
        inputs: inputs that the caller must give, constants excluded.
        outputs: outputs in the graph's order.
        metadata: the author's key and value pairs.
        external: names of tensors whose bytes lie outside the file.
    """

    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    external: list[str] = field(default_factory=list)


def read_facts(content: bytes) -> OnnxFacts:
    """Read an ONNX file's own description.

    Args:
        content: the whole file.

    Returns:
        its inputs, outputs, metadata and external tensors.

    Raises:
        OnnxError: the bytes are not an ONNX model with a graph.
    """
    view = memoryview(content)
    facts = OnnxFacts()
    constants: set[str] = set()
    graphs = 0
    for number, value in _fields(view):
        if number == 7:
            graphs += 1
            _read_graph(_message(value), facts, constants)
        elif number == 14:
            entry = {key: _text(inner) for key, inner in _fields(_message(value)) if key in {1, 2}}
            facts.metadata[entry.get(1, "")] = entry.get(2, "")
    if graphs != 1 or not facts.outputs:
        raise OnnxError("the file is not an ONNX model: it holds no graph", hint="export with torch.onnx.export(...)")
    facts.inputs = [port for port in facts.inputs if port.name not in constants]
    facts.external = sorted(set(_external(view, "model", depth=0)))
    return facts


def _read_graph(graph: memoryview, facts: OnnxFacts, constants: set[str]) -> None:
    for number, value in _fields(graph):
        if number == 5:
            constants.update(_text(inner) for key, inner in _fields(_message(value)) if key == 8)
        elif number == 11:
            facts.inputs.append(_port(_message(value)))
        elif number == 12:
            facts.outputs.append(_port(_message(value)))


def _port(message: memoryview) -> Port:
    name, element, shape = "", 0, tuple[int | None, ...]()
    for number, value in _fields(message):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for _, tensor in (pair for pair in _fields(_message(value)) if pair[0] == 1):
                for key, inner in _fields(_message(tensor)):
                    if key == 1:
                        element = _number(inner)
                    elif key == 2:
                        shape = tuple(_dimension(_message(side)) for k, side in _fields(_message(inner)) if k == 1)
    if len(shape) > DIMENSIONS_MAX:
        raise OnnxError(f"{name!r} has {len(shape)} dimensions, at most {DIMENSIONS_MAX} are allowed")
    return Port(name=name, element=element, shape=shape)


def _dimension(message: memoryview) -> int | None:
    size = next((_number(value) for key, value in _fields(message) if key == 1), 0)
    return size if 0 < size < 1 << 31 else None


def _external(message: memoryview, kind: str, *, depth: int) -> Iterator[str]:
    """Names of the tensors below a message whose bytes lie outside the file."""
    if depth > NESTING_MAX:
        raise OnnxError(f"the ONNX graph is nested deeper than {NESTING_MAX} levels")
    if kind == "tensor":
        pairs = [(key, value) for key, value in _fields(message) if key in {8, 13, 14}]
        if any(key == 13 or (key == 14 and value == 1) for key, value in pairs):
            yield next((_text(value) for key, value in pairs if key == 8), "") or "a tensor without a name"
        return
    children = _CHILDREN[kind]
    for number, value in _fields(message):
        if number in children:
            yield from _external(_message(value), children[number], depth=depth + 1)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of one message: whole numbers, or the bytes of texts, messages and packed lists."""
    position, end = 0, len(message)
    while position < end:
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == 2:
            length, position = _varint(message, position)
        elif wire in {1, 5}:
            length = 8 if wire == 1 else 4
        else:
            raise OnnxError("the file is not an ONNX model: unknown field encoding")
        if number == 0 or position + length > end:
            raise OnnxError("the file is not an ONNX model, or it is cut off")
        yield number, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for index in range(10):
        if position + index >= len(message):
            break
        byte = message[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise OnnxError("the file is not an ONNX model, or it is cut off")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise OnnxError("the file is not an ONNX model: a number stands where a message belongs")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise OnnxError("the file is not an ONNX model: bytes stand where a number belongs")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode("utf-8", "replace")
