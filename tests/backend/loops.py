"""Builds functions of the loop dialect for tests, and their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

import nets.ops  # noqa: F401  (fills the registry)
from nets.backend.numpy import loop_interpreter
from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Region, Value
from nets.ir.types import BufferType, DType, ScalarType, index
from nets.ops.definition.registry import Array, lookup
from nets.ops.loop.loop_builder import LoopBuilder

Fill = Callable[[LoopBuilder, Value], None]
"""Fills the body of a loop, given its counter."""

Element = Callable[[LoopBuilder, Value], Sequence[Value]]
"""Fills the body of a reduction, given its counter; what the body yields."""


def buffer(dtype: DType, *shape: int) -> BufferType:
    return BufferType(shape, dtype)


def loop_function(
    inputs: Sequence[BufferType], outputs: Sequence[BufferType]
) -> tuple[Function, LoopBuilder]:
    """A function without a body, and a builder in it; end it with ``s.emit("return")``."""
    attributes = {"inputs": len(inputs), "checks": ()}
    function = Function("f", [*inputs, *outputs], attributes=attributes)
    return function, LoopBuilder(Builder(function.body))


def loop(s: LoopBuilder, name: str, lo: int | Value, hi: int | Value, fill: Fill) -> None:
    """A ``for`` by ones or a ``parallel``."""
    op = s.for_(lo, hi) if name == "for" else s.parallel(lo, hi)
    with s.inside(op) as block:
        fill(s, block.arguments[0])
        s.yield_()


def copy(s: LoopBuilder, source: Value, target: Value, count: int, start: int = 0) -> None:
    """target[start + i] = source[i]."""
    loop(s, "for", 0, count, lambda s, i: s.store(s.load(source, at(i)), target, at(i, start)))


def branch(s: LoopBuilder, condition: Value, fill: Callable[[LoopBuilder], None]) -> None:
    """A ``loop.if``."""
    op = s.builder.create(lookup("loop.if"), (condition,), {}, (Region(Block()),))
    with s.inside(op):
        fill(s)
        s.yield_()


def reduce(
    s: LoopBuilder, hi: int | Value, combiners: Sequence[str], fill: Element
) -> tuple[Value, ...]:
    """A ``loop.reduce`` of what the body yields."""
    region = Region(Block([ScalarType(index)]))
    # The type rule reads the yield, so the body comes first.
    outside = (s.builder.block, s.builder.before)
    s.builder.block, s.builder.before = region.block, None
    s.yield_(*fill(s, region.block.arguments[0]))
    s.builder.block, s.builder.before = outside
    bound = s.const(hi, index) if isinstance(hi, int) else hi
    attributes = {"combiners": tuple(combiners)}
    return s.builder.create(lookup("loop.reduce"), (bound,), attributes, (region,)).results


def at(*terms: Value | int | tuple[Value, int]) -> Affine:
    """The sum of constants, values, and (value, stride) pairs."""
    total = Affine()
    for term in terms:
        total = total + (
            Affine.of(term[0]) * term[1] if isinstance(term, tuple) else Affine.of(term)
        )
    return total


def hidden(s: LoopBuilder, number: int) -> Value:
    """That index, as a value that the passes do not see through."""
    return s.binary("xor", s.const(number, index), s.const(0, index))


def interpret(function: Function, inputs: Sequence[Array]) -> tuple[int, list[Array]]:
    """Status and outputs by the loop interpreter."""
    outputs = empty_outputs(function)
    return loop_interpreter.run(function, [*map(np.array, inputs), *outputs]), outputs


def empty_outputs(function: Function) -> list[Array]:
    """Outputs that hold a pattern."""
    found = []
    for argument in function.arguments[function.attributes["inputs"] :]:
        out = np.zeros(argument.type.shape, argument.type.dtype.numpy)
        out.reshape(-1).view(np.uint8).fill(0x0E)
        found.append(out)
    return found


def special(dtype: DType) -> Array:
    """Numbers where arithmetic is likely to go wrong."""
    if dtype.is_bool:
        return np.array([False, True])
    if dtype.is_float:
        tiny, huge = np.finfo(dtype.numpy).tiny, np.finfo(dtype.numpy).max
        small = [0.0, 0.5, 1.0, 1.5, 2.5, 3.0, 1e-3, 7.25, 127.6, 255.5, 32768.0, 2.0**31, 2.0**63]
        values = [*small, tiny, tiny / 4, huge, np.inf, np.nan, 1e20]
        return np.array([*values, *(-x for x in values)], dtype.numpy)
    limits = np.iinfo(dtype.numpy)
    values = {limits.min, limits.min + 1, limits.max, limits.max - 1, 0, 1, 2, 3, 7, 8, 13, 64}
    if limits.min < 0:
        values |= {-1, -2, -3, -7, -64}
    return np.array(sorted(values), dtype.numpy)


def pairs(dtype: DType) -> tuple[Array, Array]:
    """All pairs of special numbers."""
    values = special(dtype)
    return np.repeat(values, values.size), np.tile(values, values.size)
