"""Graphs of a public generator, nnsmith, through many pipelines: ``python -m tests.trust.graphs``.

nnsmith (Liu et al., "NNSmith: Generating Diverse and Valid Test Cases for Deep Learning Compilers",
ASPLOS 2023) draws operations whose shapes fit by solving constraints. Each graph is a function of
nets; its values and the gradients of the sum of its results are held to the reference.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

import nets
import nets.nn.functional as F
from nets.backend.numpy.interpreter import evaluate
from nets.ir.core import Function
from nets.ops.definition.registry import Array
from nets.passes.manager import run_pipeline
from nets.passes.pipelines import pipeline_of
from tests.property.compiled import Way
from tests.property.results import Reference

Apply = Callable[..., Any]

INTERPRETED: Final = (
    "canonicalize",
    "cse,dce",
    "simplify_control,fuse,outline_entries",
    "fuse,outline_entries",
    "reroll,simplify_control,canonicalize,settle,simplify_control",
    "canonicalize,cse,canonicalize,dce,fuse",
)
"""Pipelines whose result the interpreter evaluates."""

COMPILED: Final = (Way("default"), Way("none", threads=2, vector_bytes=64))
"""Pipelines whose result is compiled."""

MOST_ELEMENTS: Final = 8192
"""Of a tensor in a graph, so that thousands of graphs run in minutes."""

MOST_PLACES: Final = 256
"""Of a pooling window, for the reference looks at one place after the other."""

_PAD_VALUE: Final = 0.5

_MISSING: Final = ("float16", "complex64", "complex128")
"""Dtypes that nets has not."""


def _pad(op: Any) -> Apply:
    """Amounts from the last axis to the first; negative ones cut off."""
    amounts = [int(x) for x in op.padding_list]

    def apply(x: Any) -> Any:
        pairs = [(0, 0)] * x.ndim
        for i in range(len(amounts) // 2):
            pairs[x.ndim - 1 - i] = amounts[2 * i], amounts[2 * i + 1]
        for axis, (low, high) in enumerate(pairs):
            if low < 0 or high < 0:
                stop = x.shape[axis] + min(high, 0)
                x = x[(slice(None),) * axis + (slice(-min(low, 0), stop),)]
        positive = tuple((max(low, 0), max(high, 0)) for low, high in pairs)
        return nets.pad(x, positive, constant_values=_PAD_VALUE)

    return apply


def _slice(op: Any) -> Apply:
    axis, size = op.extra_attrs["axis"], int(op.input_like[0].shape[op.extra_attrs["axis"]])
    start, end, step = int(op.start), int(op.end), int(op.step)
    if op.extra_attrs["region"] in ("left", "mid"):
        start -= size
    if op.extra_attrs["region"] == "left" and end < size:
        end -= size
    cut = (slice(None),) * axis + (slice(start, end, step),)
    return lambda x: x[cut]


def _reduce(name: str) -> Callable[[Any], Apply]:
    def rule(op: Any) -> Apply:
        axis = op.extra_attrs["reduce_dim"]
        return lambda x: getattr(nets, name)(x, axis=axis)

    return rule


def _squeeze(op: Any) -> Apply:
    axis = op.extra_attrs["reduce_dim"]
    return lambda x: nets.squeeze(x, axis) if axis is not None else nets.squeeze(x)


def _conv(op: Any) -> Apply:
    sizes = int(op.stride), int(op.padding), (int(op.dilation_h), int(op.dilation_w))
    return lambda x, weight: nets.conv(x, weight, sizes[0], sizes[1], dilation=sizes[2])


def _conv1d(op: Any) -> Apply:
    sizes = {"stride": int(op.stride), "padding": int(op.padding), "dilation": int(op.dilation)}
    return lambda x, weight: nets.conv(x, weight, **sizes)


def _weight_shape(op: Any) -> tuple[int, ...] | None:
    """Of a convolution, whose weights are no operand in nnsmith."""
    name = type(op).__name__
    if name not in ("NCHWConv2d", "Conv1d"):
        return None
    is_flat = name == "Conv1d"
    kernel = [op.kernel_size] if is_flat else [op.kernel_h_size, op.kernel_w_size]
    return tuple(map(int, (op.out_channels, op.in_channels, *kernel)))


def _pool(function: Apply) -> Callable[[Any], Apply]:
    def rule(op: Any) -> Apply:
        kernel = int(op.kernel_h_size), int(op.kernel_w_size)
        stride, padding = int(op.stride), int(op.padding)
        return lambda x: function(x, kernel, stride=stride, padding=padding)

    return rule


def _concatenate(op: Any) -> Apply:
    axis = op.extra_attrs["axis"]
    return lambda *xs: nets.concatenate(xs, axis=axis)


def _expand(op: Any) -> Apply:
    shape = tuple(map(int, op.output_like[0].shape))
    return lambda x: nets.broadcast_to(x, shape)


def _reshape(op: Any) -> Apply:
    shape = tuple(map(int, op.target_shape))
    return lambda x: nets.reshape(x, shape)


def _transpose(op: Any) -> Apply:
    first, second = op.extra_attrs["dim0"], op.extra_attrs["dim1"]
    return lambda x: nets.swapaxes(x, first, second)


def _cast(op: Any) -> Apply:
    dtype = np.dtype(op.extra_attrs["to"].numpy())
    return lambda x: nets.astype(x, dtype)


def _divide(op: Any) -> Apply:
    is_integer = _type(op.input_like[0])[0].kind in "iu"
    return nets.floor_divide if is_integer else nets.divide


def _dtype(x: Any) -> Any:
    return np.dtype(str(x.dtype))


def _plain(function: Apply) -> Callable[[Any], Apply]:
    return lambda op: function


RULES: Final[dict[str, Callable[[Any], Apply]]] = {
    "Abs": _plain(nets.abs),
    "Add": _plain(nets.add),
    "And": _plain(nets.logical_and),
    "ArgMax": _reduce("argmax"),
    "ArgMin": _reduce("argmin"),
    "AvgPool2d": _pool(F.avg_pool2d),
    **{f"Cast{name}": _cast for name in ("Bool", "F32", "F64", "I32", "I64")},
    "Ceil": _plain(nets.ceil),
    "Clip": _plain(lambda x: nets.clip(x, -1, 1)),
    **{f"Concat{count}": _concatenate for count in range(1, 6)},
    "ConstPad": _pad,
    "Conv1d": _conv1d,
    "Cos": _plain(nets.cos),
    "Div": _divide,
    "Equal": _plain(nets.equal),
    **{f"ExpandLast{axis}": _expand for axis in range(1, 5)},
    "Floor": _plain(nets.floor),
    "GELU": _plain(nets.gelu),
    "Greater": _plain(nets.greater),
    "LeakyReLU": _plain(nets.leaky_relu),
    "Less": _plain(nets.less),
    "Max": _plain(nets.maximum),
    "MaxPool2d": _pool(F.max_pool2d),
    "Min": _plain(nets.minimum),
    "Mul": _plain(nets.multiply),
    "NCHWConv2d": _conv,
    "Neg": _plain(nets.negative),
    "Or": _plain(nets.logical_or),
    "Pow": _plain(nets.power),
    "ReLU": _plain(nets.relu),
    "ReduceMax": _reduce("max"),
    "ReduceMean": _reduce("mean"),
    "ReduceMin": _reduce("min"),
    "ReduceProd": _reduce("prod"),
    "ReduceSum": _reduce("sum"),
    "Reshape": _reshape,
    "Round": _plain(nets.round),
    "Sigmoid": _plain(nets.sigmoid),
    "Sin": _plain(nets.sin),
    "Slice": _slice,
    "Softmax": lambda op: lambda x: nets.softmax(x, int(op.dim)),
    "Sqrt": _plain(nets.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(nets.subtract),
    "Transpose": _transpose,
    "Tril": lambda op: lambda x: nets.tril(x, int(op.diagonal)),
    "Triu": lambda op: lambda x: nets.triu(x, int(op.diagonal)),
    "Where": _plain(nets.where),
    "Xor": _plain(nets.logical_xor),
}
"""How nets does each operation of nnsmith's set ``core``, given what the graph says of it."""


class Graph:
    """A drawn graph: a function of its inputs and weights, and arrays to call it with."""

    def __init__(self, seed: int, nodes: int) -> None:
        self._insts = next(
            insts for attempt in itertools.count() if (insts := _draw(seed, attempt, nodes))
        )
        rng = np.random.default_rng(seed)
        self._given: dict[str, Array] = {}
        for inst in self._insts:
            op = inst.iexpr.op
            if type(op).__name__ not in RULES:
                self._given[inst.retval()] = _drawn(*_type(op.abs_tensor), rng)
            elif shape := _weight_shape(op):
                dtype, _ = _type(op.input_like[0])
                self._given[f"weight of {inst.retval()}"] = _drawn(dtype, shape, rng)

    @property
    def arrays(self) -> list[Array]:
        return list(self._given.values())

    def function(self, *given: Any) -> tuple[Any, ...]:
        """The values that no operation uses."""
        values: dict[str, Any] = dict(zip(self._given, given, strict=True))
        for inst in self._insts:
            rule = RULES.get(type(inst.iexpr.op).__name__)
            if rule is not None:
                names = [*inst.iexpr.args, f"weight of {inst.retval()}"]
                operands = [values[name] for name in names if name in values]
                values[inst.retval()] = rule(inst.iexpr.op)(*operands)
        return tuple(values[name] for inst in self._insts for name in inst.leaf_var())

    def total(self, *given: Any) -> tuple[Any, tuple[Any, ...]]:
        """The sum of all floats of the results, and the results."""
        found = self.function(*given)
        floats = [nets.sum(x) for x in found if _dtype(x).kind == "f"]
        return sum(nets.astype(x, np.float64) for x in floats), found

    def __str__(self) -> str:
        return "\n".join(map(str, self._insts))


def _draw(seed: int, attempt: int, nodes: int) -> list[Any] | None:
    """The instructions of a graph; None where nets has not its numbers, or it is too large."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nnsmith.abstract.op import FULL_OPERATOR_SETS
        from nnsmith.graph_gen import model_gen
    known = [op for op in FULL_OPERATOR_SETS["core"] if op.__name__ in RULES]
    number = seed + 1_000_000 * attempt
    random.seed(number)  # nnsmith draws axes from here
    sizes = {"max_elem_per_tensor": MOST_ELEMENTS}
    graph = model_gen(known, "symbolic-cinit", nodes, number, **sizes).make_concrete()
    ops = [inst.iexpr.op for inst in graph.insts]
    types = [_type(type) for op in ops for type in op.output_like]
    is_fit = all(dtype.name not in _MISSING for dtype, _ in types)
    return list(graph.insts) if is_fit and all(map(_is_moderate, ops)) else None


def _is_moderate(op: Any) -> bool:
    """What nnsmith does not look at: the weights of convolutions and the windows of pools."""
    if shape := _weight_shape(op):
        return math.prod(shape) <= MOST_ELEMENTS
    is_pool = type(op).__name__ in ("AvgPool2d", "MaxPool2d")
    return not is_pool or int(op.kernel_h_size) * int(op.kernel_w_size) <= MOST_PLACES


def _type(type: Any) -> tuple[np.dtype[Any], tuple[int, ...]]:
    return np.dtype(type.dtype.numpy()), tuple(map(int, type.shape))


def _drawn(dtype: np.dtype[Any], shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if dtype.kind == "f":
        return np.asarray(rng.uniform(-2, 2, shape), dtype)
    return np.asarray(rng.integers(-3 if dtype.kind == "i" else 0, 2, shape), dtype)


def program(graph: Graph) -> tuple[Function, bool]:
    """The graph as IR, with the gradients of its results where it has some."""
    arrays = [nets.Tensor(array) for array in graph.arrays]
    floats = tuple(i for i, x in enumerate(graph.arrays) if x.dtype.kind == "f")
    has_gradients = bool(floats) and any(_dtype(x).kind == "f" for x in graph.function(*arrays))
    traced = (
        nets.trace(nets.value_and_grad(graph.total, argnums=floats, has_aux=True))
        if has_gradients
        else nets.trace(graph.function)
    )
    return traced.lower(*arrays).compilation.function, has_gradients


def check(function: Function, arrays: list[Array]) -> None:
    """AssertionError where a pipeline gives other results than the reference."""
    reference = Reference(function, arrays)
    for passes in INTERPRETED:
        reference.assert_matches(evaluate(run_pipeline(function, pipeline_of(passes)), arrays))
    for way in COMPILED:
        reference.assert_matches(way.compile(function)(arrays))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=int)
    parser.add_argument("end", type=int)
    parser.add_argument("--nodes", type=int, default=12)
    wanted = parser.parse_args()
    wrong, gradients = [], 0
    for seed in range(wanted.first, wanted.end):
        print(f"\r{seed}", end="", file=sys.stderr, flush=True)  # the last word, if it crashes
        graph = Graph(seed, wanted.nodes)
        try:
            with np.errstate(all="ignore"):
                function, has_gradients = program(graph)
                check(function, graph.arrays)
                gradients += has_gradients
        except Exception:
            wrong.append(seed)
            print(f"\nseed {seed}\n{traceback.format_exc(limit=-4)}\n{graph}", flush=True)
    pipelines = len(INTERPRETED) + len(COMPILED)
    count = wanted.end - wanted.first
    told = f"{count} graphs, {gradients} of them with gradients, {pipelines} pipelines"
    print(f"\n{told}; wrong: {wrong or 'none'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
