"""A graph of ONNX run by functions of nets: the table of operators, and a walk along the nodes.

An operator is a Python function of a node and of the node's inputs, which are tensors of nets, or
None where ONNX leaves one out. What nets takes as numbers, such as the sizes of a reshape, is
``known``: such an input is a NumPy array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

import nets

Function = Callable[..., Any]


@dataclass(frozen=True)
class Operator:
    """What an operator of ONNX is in nets."""

    function: Function
    known: frozenset[int]
    """The inputs that are numbers when the program is compiled."""


OPERATORS: dict[str, Operator] = {}


def operator(*names: str, known: Iterable[int] = ()) -> Callable[[Function], Function]:
    """Enter a function into the table."""

    def enter(function: Function) -> Function:
        for name in names:
            assert name not in OPERATORS, name
            OPERATORS[name] = Operator(function, frozenset(known))
        return function

    return enter


class LacksOperatorError(Exception):
    """Nobody has said what this operator of ONNX is in nets."""


@dataclass(frozen=True)
class Node:
    """What a function of the table sees of a node besides its inputs."""

    proto: onnx.NodeProto
    version: int
    attributes: dict[str, Any]
    outer: dict[str, Any] = field(default_factory=dict)
    """The values of the graph around, which the graphs inside of a node may use."""
    shapes: tuple[tuple[int, ...], ...] | None = None
    """The shapes of the results of the graph, for a trace that cannot know how many come out."""

    def __getitem__(self, name: str) -> Any:
        """An attribute, its default, or None."""
        return self.attributes.get(name)

    def wants(self, output: int) -> bool:
        """Whether somebody uses that output."""
        return output < len(self.proto.output) and bool(self.proto.output[output])

    @property
    def counts(self) -> int:
        """How many outputs there are."""
        return len(self.proto.output)

    def inner(self, name: str, inputs: Sequence[Any]) -> list[Any]:
        """The outputs of a graph that is an attribute."""
        return run_graph(self[name], inputs, {"": self.version}, self.outer)


def _attributes(proto: onnx.NodeProto, version: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if onnx.defs.has(proto.op_type, version, proto.domain):
        schema = onnx.defs.get_schema(proto.op_type, version, proto.domain)
        for name, attribute in schema.attributes.items():
            if attribute.default_value.type:
                found[name] = helper.get_attribute_value(attribute.default_value)
    found.update({a.name: helper.get_attribute_value(a) for a in proto.attribute})
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}


def dtype_of(number: int) -> np.dtype[Any]:
    """NumPy's dtype for ONNX's number of one."""
    return np.dtype(helper.tensor_dtype_to_np_dtype(number))


TELL_SIZES = {"Shape", "Size"}
"""Operators that ask a tensor for what is known of it before the program runs."""


def known_names(graph: onnx.GraphProto) -> set[str]:
    """The values of a graph that some node needs as numbers, or that such a number comes from."""
    names: set[str] = set()
    for node in reversed(graph.node):
        entry = OPERATORS.get(node.op_type)
        of_all = bool(names.intersection(node.output)) and node.op_type not in TELL_SIZES
        for i, name in enumerate(node.input):
            if of_all or (entry is not None and i in entry.known):
                names.add(name)
    return names - {""}


def run_graph(
    graph: onnx.GraphProto,
    inputs: Sequence[Any],
    versions: dict[str, int],
    outer: dict[str, Any] | None = None,
    shapes: tuple[tuple[int, ...], ...] | None = None,
) -> list[Any]:
    """The outputs of a graph, tensors of nets, for arrays or tensors in the order of its inputs."""
    values: dict[str, Any] = dict(outer or {})
    values[""] = None
    for constant in graph.initializer:
        values[constant.name] = numpy_helper.to_array(constant)
    values.update(zip((i.name for i in graph.input), inputs, strict=False))
    numbers = known_names(graph)
    for node in graph.node:
        if numbers.intersection(node.output):
            with nets.suspended():
                results = [x.numpy() for x in run_node(node, values, versions)]
        else:
            results = run_node(node, values, versions, shapes)
        values.update(zip(node.output, results, strict=False))
        values[""] = None
    return [nets.as_tensor(values[output.name]) for output in graph.output]


def run_node(
    proto: onnx.NodeProto,
    values: dict[str, Any],
    versions: dict[str, int],
    shapes: tuple[tuple[int, ...], ...] | None = None,
) -> list[Any]:
    """The outputs of a node for values by their names."""
    if proto.op_type not in OPERATORS:
        raise LacksOperatorError(proto.op_type)
    entry = OPERATORS[proto.op_type]
    version = versions.get(proto.domain, 1)
    node = Node(proto, version, _attributes(proto, version), values, shapes)
    inputs = [_input(values[name], i in entry.known) for i, name in enumerate(proto.input)]
    result = entry.function(node, *inputs)
    results = result if isinstance(result, (tuple, list)) else [result]
    return [nets.as_tensor(x) for x in results]


def _input(value: Any, is_known: bool) -> Any:
    if value is None:
        return None
    if is_known:
        return np.asarray(value.numpy() if isinstance(value, nets.Tensor) else value)
    return nets.as_tensor(value)
