"""An ONNX graph as a torch module: its nodes interpreted one by one.

It gives every ONNX model an eager reference, and a way onto the targets that compile torch modules. Sizes are computed on
the host (`onnx_nodes.host`), everything else in torch (`onnx_nodes.operators`); control flow and functions are refused by name.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from fleetsight.accel.graph import Graph
from fleetsight.accel.session import OTHER_TARGETS, TargetError, UnsupportedError
from fleetsight.accel.sources.onnx_nodes.host import HOST_SIZE_MAX, Host, as_host, compute_on_host
from fleetsight.accel.sources.onnx_nodes.operators import OPERATORS, SIZES

_OWN = ("Constant", "Shape", "Size")
"""Operators done here."""


@dataclass(frozen=True)
class _Node:
    operator: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    last_used: tuple[str, ...]


class OnnxModule(nn.Module):
    """A graph that torch runs; takes and answers tensors in the graph's order.

    Weights are parameters, named after the graph's constants: the same graph with other weights has the same names.

    Args:
        graph: the checked graph.

    Raises:
        UnsupportedError: the graph has operators that are not interpreted: the message names them.
        TargetError: the file cannot be read.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        try:
            model = onnx.load_from_string(graph.onnx)
        # protobuf's DecodeError has no public home: a named boundary.
        except Exception as error:
            raise TargetError(
                f"{graph.name!r} cannot be read as ONNX: {error}", hint="export the model again"
            ) from error
        _refuse_unknown(model)
        self._inputs = [spec.name for spec in graph.inputs]
        self._outputs = [entry.name for entry in model.graph.output]
        self._hosts: dict[str, Host] = {}
        self._constants: dict[str, str] = {}
        for tensor in model.graph.initializer:
            self._keep(tensor.name, numpy_helper.to_array(tensor))
        opset = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 13)
        nodes = [node for node in model.graph.node if not self._keep_constant(node)]
        self._nodes = _schedule(nodes, opset=opset, kept={*self._outputs})
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the graph.

        Args:
            *inputs: one tensor for each of the graph's inputs.

        Returns:
            one tensor for each output.
        """
        tensors: dict[str, Tensor] = dict(zip(self._inputs, inputs, strict=True))
        hosts = dict(self._hosts)
        device = next((tensor.device for tensor in inputs), torch.device("cpu"))
        for node in self._nodes:
            self._run(node, tensors, hosts, device=device)
            for name in node.last_used:
                tensors.pop(name, None)
        return tuple(self._tensor(name, tensors, hosts, device=device) for name in self._outputs)

    def _run(self, node: _Node, tensors: dict[str, Tensor], hosts: dict[str, Host], *, device: torch.device) -> None:
        if node.operator in {"Shape", "Size"}:
            whole: Any = self._tensor(node.inputs[0], tensors, hosts, device=device).shape
            # Plain numbers also under torch.jit.trace, whose sizes are tensors.
            sides: list[Any] = [int(side) if isinstance(side, Tensor) else side for side in whole]
            shape = as_host(sides[node.attributes.get("start", 0) : node.attributes.get("end")])
            hosts[node.outputs[0]] = shape if node.operator == "Shape" else np.asarray(shape.prod())
            return
        named = [name for name in node.inputs if name]
        if named and all(name in hosts for name in named):
            answer = compute_on_host(node.operator, node.attributes, inputs=[hosts.get(name) for name in node.inputs])
            if answer is not None:
                hosts[node.outputs[0]] = answer
                return
        sizes = SIZES.get(node.operator, frozenset())
        arguments: list[Any] = []
        for place, name in enumerate(node.inputs):
            if not name:
                arguments.append(None)
            elif place in sizes:
                arguments.append(_numbers(name, tensors, hosts, constant=self._constant(name)))
            else:
                arguments.append(self._tensor(name, tensors, hosts, device=device))
        found = OPERATORS[node.operator](node.attributes, *arguments)
        for name, tensor in zip(node.outputs, found if isinstance(found, tuple) else (found,), strict=False):
            tensors[name] = tensor if tensor.device == device else tensor.to(device)

    def _tensor(self, name: str, tensors: dict[str, Tensor], hosts: dict[str, Host], *, device: torch.device) -> Tensor:
        if name in tensors:
            return tensors[name]
        constant = self._constant(name)
        if constant is not None:
            return constant
        host = hosts[name]
        if host.dtype == object:  # symbolic sizes cannot pass through numpy
            sides = [torch.scalar_tensor(side, dtype=torch.int64, device=device) for side in host.ravel()]
            return torch.stack(sides).reshape(host.shape)
        plain = torch.from_numpy(np.array(host, order="C"))
        # Floats follow the weights, which may have been cast.
        kind = next((weight.dtype for weight in self.parameters()), torch.float32)
        return plain.to(device, kind) if plain.is_floating_point() else plain.to(device)

    def _constant(self, name: str) -> Tensor | None:
        own = self._constants.get(name)
        return None if own is None else getattr(self, own)

    def _keep_constant(self, node: onnx.NodeProto) -> bool:
        if node.op_type != "Constant":
            return False
        values = _attributes(node, opset=0)
        value = next(
            values[key] for key in ("value", "value_float", "value_int", "value_floats", "value_ints") if key in values
        )
        if not isinstance(value, np.ndarray):
            whole = np.asarray(value).dtype.kind == "i"
            value = np.asarray(value, dtype=np.int64 if whole else np.float32)
        self._keep(node.output[0], value)
        return True

    def _keep(self, name: str, value: np.ndarray) -> None:
        """Keep a constant as a weight, and on the host too where it may be a size."""
        if value.size <= HOST_SIZE_MAX and value.ndim <= 1:
            self._hosts[name] = value
        own = "w_" + name.replace(".", "_").replace("/", "_").replace(":", "_")
        while hasattr(self, own):
            own += "_"
        tensor = torch.from_numpy(np.array(value))
        if tensor.is_floating_point():
            self.register_parameter(own, nn.Parameter(tensor, requires_grad=False))
        else:
            self.register_buffer(own, tensor)
        self._constants[name] = own


def _numbers(name: str, tensors: dict[str, Tensor], hosts: dict[str, Host], *, constant: Tensor | None) -> list[Any]:
    if name in hosts:
        host = hosts[name]
        return list(host.ravel()) if host.dtype == object else list(host.ravel().tolist())
    found = tensors.get(name, constant)
    if found is None:
        raise TargetError(f"the graph uses {name!r} before anything makes it", hint="export the model again")
    return list(found.reshape(-1).tolist())


def _refuse_unknown(model: onnx.ModelProto) -> None:
    own = {"", "ai.onnx"}
    unknown = {
        node.op_type if node.domain in own else f"{node.domain}.{node.op_type}"
        for node in model.graph.node
        if node.domain not in own or (node.op_type not in OPERATORS and node.op_type not in _OWN)
    }
    if unknown:
        raise UnsupportedError(
            f"torch cannot interpret the graph: it has no operator {', '.join(sorted(unknown))}", hint=OTHER_TARGETS
        )


def _schedule(nodes: Iterable[onnx.NodeProto], *, opset: int, kept: set[str]) -> list[_Node]:
    """The nodes in order, each with the values that nobody needs after it."""
    scheduled: list[_Node] = []
    later = set(kept)
    for node in reversed(list(nodes)):
        done = tuple(dict.fromkeys(name for name in (*node.input, *node.output) if name and name not in later))
        later.update(node.input)
        attributes = {**_attributes(node, opset=opset), "outputs": len(node.output)}
        scheduled.append(_Node(node.op_type, attributes, tuple(node.input), tuple(node.output), done))
    return scheduled[::-1]


def _attributes(node: onnx.NodeProto, *, opset: int) -> dict[str, Any]:
    found: dict[str, Any] = {"opset": opset}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, onnx.TensorProto):
            value = np.array(numpy_helper.to_array(value))
        found[attribute.name] = list(value) if attribute.ints or attribute.floats else value
    return found
