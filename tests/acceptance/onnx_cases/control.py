"""Control flow: graphs inside of graphs, as branches and loops of nets."""

from __future__ import annotations

from typing import Any

import numpy as np

import nets
from tests.acceptance.onnx_cases.graph import Node, known_names, operator


@operator("If")
def branch(node: Node, condition: Any) -> Any:
    return nets.cond(
        nets.reshape(condition, ()),
        lambda: node.inner("then_branch", []),
        lambda: node.inner("else_branch", []),
    )


@operator("OptionalHasElement")
def has_element(node: Node, x: Any = None) -> Any:
    """Of a tensor or of nothing, which is known before the program runs."""
    return nets.as_tensor(np.array(x is not None))


@operator("OptionalGetElement")
def get_element(node: Node, x: Any) -> Any:
    return nets.positive(x)


@operator("Loop", known=[0])
def loop(node: Node, count: Any, condition: Any, *carried: Any) -> Any:
    """A scan of the given number of steps, all of which the cases take."""

    body = node["body"]
    first = nets.reshape(condition, ())
    steps = int(np.ravel(count)[0])
    if body.input[0].name in known_names(body):  # as where it is the end of a slice
        return _unrolled(node, steps, first, list(carried))

    def step(state: Any, number: Any) -> Any:
        going, *values = state
        new_going, *new = node.inner("body", [number, going, *values])
        return (new_going, *new[: len(values)]), new[len(values) :]

    state, rows = nets.scan(step, (first, *carried), nets.arange(steps))
    return [*state[1:], *rows]


def _unrolled(node: Node, steps: int, going: Any, values: list[Any]) -> list[Any]:
    count, rows = len(values), []
    for number in range(steps):
        going, *new = node.inner("body", [np.array(number), going, *values])
        values = new[:count]
        rows.append(new[count:])
    return [*values, *(nets.stack(list(parts)) for parts in zip(*rows, strict=True))]


@operator("Scan")
def scan(node: Node, *values: Any) -> Any:
    inputs = node["num_scan_inputs"]
    if node.version < 9:
        return _batches(node, values[1:], inputs)
    return _scanned(node, values, inputs)


def _scanned(node: Node, values: Any, inputs: int) -> list[Any]:
    count = len(values) - inputs
    axes = node["scan_input_axes"] or [0] * inputs
    backward = node["scan_input_directions"] or [0] * inputs
    slices = [
        nets.flip(moved, 0) if turn else moved
        for moved, turn in (
            (nets.moveaxis(x, a, 0), t)
            for x, a, t in zip(values[count:], axes, backward, strict=True)
        )
    ]

    def step(state: Any, parts: Any) -> Any:
        results = node.inner("body", [*state, *parts])
        return tuple(results[:count]), tuple(results[count:])

    state, rows = nets.scan(step, tuple(values[:count]), tuple(slices))
    axes_out = node["scan_output_axes"] or [0] * len(rows)
    turned = node["scan_output_directions"] or [0] * len(rows)
    placed = [
        nets.moveaxis(nets.flip(r, 0) if t else r, 0, a)
        for r, a, t in zip(rows, axes_out, turned, strict=True)
    ]
    return [*state, *placed]


def _batches(node: Node, values: Any, inputs: int) -> list[Any]:
    """Before version 9 each value had a batch in front."""
    results = [
        _scanned(node, [value[i] for value in values], inputs) for i in range(values[0].shape[0])
    ]
    return [nets.stack(list(parts)) for parts in zip(*results, strict=True)]
