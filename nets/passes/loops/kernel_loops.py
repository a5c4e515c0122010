"""Kernels as plain loops: one chain of multiply-additions per element of the result.

The order of the terms is what the kernels mean (numerics.md, 5), so these are their bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nets.ir.affine import Affine, linear
from nets.ir.core import Operation, Value
from nets.ir.sizes import Dim
from nets.ir.types import Shape, index
from nets.ops.loop.kernels import CONV_ROLES, K_BLOCK, conv_shapes, shapes_of
from nets.ops.loop.loop_builder import LoopBuilder
from nets.ops.tensor.conv_geometry import channel_block, place_block, row_block

Range = tuple[Value, Value]
"""From one number on, below another."""


def gemm_loops(s: LoopBuilder, op: Operation) -> None:
    """``loop.gemm``: for every element a chain over k."""
    x, y, out = op.operands
    of_x, of_y, of_out = shapes_of(op)
    back_x, back_y = op.attributes["transpose_x"], op.attributes["transpose_y"]

    def element(b: Value, i: Value, j: Value) -> Value:
        def term(p: Value, total: Value) -> Value:
            row = (b, p, i) if back_x else (b, i, p)
            column = (b, j, p) if back_y else (b, p, j)
            return s.fma(s.load(x, _at(row, of_x)), s.load(y, _at(column, of_y)), total)

        steps = of_x[1 if back_x else 2]
        return _in_blocks(s, out, [_Axis(steps, K_BLOCK[out.type.dtype])], term)

    _fill(s, out, of_out, element)


# ------------------------------------------------------------------------------ sums of chains


@dataclass(frozen=True, slots=True)
class _Axis:
    """What terms are numbered by, from 0 below ``size``; a chain has ``block`` of the numbers."""

    size: Dim
    block: int

    @property
    def is_short(self) -> bool:
        """Whether there is no more than a block."""
        return isinstance(self.size, int) and self.size <= self.block


def _in_blocks(
    s: LoopBuilder, out: Value, axes: Sequence[_Axis], term: Callable[..., Value]
) -> Value:
    """The sum of all terms: a chain for each combination of blocks, the last axis fastest in the
    order of the chains and in that of the terms of one."""
    zero = s.const(0, out.type.dtype)

    def chain(*block_starts: Value) -> Value:
        ranges = [_block(s, axis, start) for axis, start in zip(axes, block_starts, strict=True)]
        return _carried(s, ranges, zero, term)

    if all(axis.is_short for axis in axes):
        return chain(*(s.const(0, index) for _ in axes))
    # The first chain is added to -0, which leaves every number as it is.
    all_ = [_upto(s, axis.size) for axis in axes]
    steps = [axis.block for axis in axes]

    def added(*starts_and_total: Value) -> Value:
        *starts, total = starts_and_total
        return s.add(total, chain(*starts))

    return _carried(s, all_, s.const(-0.0, out.type.dtype), added, steps)


def _block(s: LoopBuilder, axis: _Axis, start: Value) -> Range:
    size = s.const(axis.size, index)
    if axis.is_short:
        return start, size
    return start, s.binary("min", s.add(start, s.const(axis.block, index)), size)


def _upto(s: LoopBuilder, size: Dim) -> Range:
    return s.const(0, index), s.const(size, index)


def _carried(
    s: LoopBuilder,
    ranges: Sequence[Range],
    first: Value,
    take: Callable[..., Value],
    steps: Sequence[int] | None = None,
) -> Value:
    """What ``take`` makes of the counters of nested loops and of the value before, in the end."""

    def level(counters: list[Value], before: Value) -> Value:
        depth = len(counters)
        if depth == len(ranges):
            return take(*counters, before)
        loop = s.for_(*ranges[depth], [before], step=1 if steps is None else steps[depth])
        with s.inside(loop) as body:
            counter, carried = body.arguments
            s.yield_(level([*counters, counter], carried))
        return loop.results[0]

    return level([], first)


def _fill(s: LoopBuilder, out: Value, shape: Shape, element: Callable[..., Value]) -> None:
    """Store the element of each place of a buffer."""

    def level(counters: list[Value]) -> None:
        if len(counters) == len(shape):
            s.store(element(*counters), out, _at(counters, shape))
            return
        loop = s.for_(0, shape[len(counters)])
        with s.inside(loop) as block:
            level([*counters, block.arguments[0]])
            s.yield_()

    level([])


def _at(places: Sequence[Value], shape: Shape) -> Affine:
    return linear(tuple(map(Affine.of, places)), shape)


# ------------------------------------------------------------------------------ convolutions


def conv_loops(s: LoopBuilder, op: Operation) -> None:
    """``loop.conv``: for every element a chain over channels and taps, or over places."""
    _Conv(s, op).loops()


class _Conv:
    """A convolution with the names of ``nets.ops.tensor.convolution``."""

    def __init__(self, s: LoopBuilder, op: Operation) -> None:
        self.s = s
        self.role: str = op.attributes["role"]
        self.x, self.w, self.y = (op.operands[place] for place in CONV_ROLES[self.role])
        self.of_x, self.of_w, self.of_y = conv_shapes(op)
        self.step: tuple[int, ...] = op.attributes["steps"]
        self.low: tuple[int, ...] = op.attributes["low"]
        self.dilation: tuple[int, ...] = op.attributes["dilation"]
        outer, self.channels, *self.kernel = _known(self.of_w)
        """``channels`` of x in a group, and the sizes of the kernel."""
        self.outputs = outer // op.attributes["groups"]
        """Channels of y in a group."""

    def loops(self) -> None:
        """Fill the one of the three that the role says."""
        out, shape, element = {
            "output": (self.y, self.of_y, self.output),
            "input": (self.x, self.of_x, self.input),
            "weight": (self.w, self.of_w, self.weight),
        }[self.role]
        _fill(self.s, out, shape, element)

    def output(self, n: Value, o: Value, *places: Value) -> Value:
        """An element of y: channel by channel, and tap by tap in a channel."""

        def term(c: Value, *rest: Value) -> Value:
            *tap, total = rest
            channel = self._of_group(o, self.outputs, self.channels, c)
            met = self._read(self.x, self.of_x, n, channel, self._met(places, tap))
            return self.s.fma(self._factor(Affine.of(o), c, tap), met, total)

        return _in_blocks(self.s, self.y, self._terms(self.channels), term)

    def input(self, n: Value, c: Value, *places: Value) -> Value:
        """An element of x: the same over the channels of y, at the taps that lead to a place."""
        s = self.s
        within = s.binary("rem", c, s.const(self.channels, index))

        def term(o: Value, *rest: Value) -> Value:
            *tap, total = rest
            output = self._of_group(c, self.channels, self.outputs, o)
            ways = self._back(places, tap)
            steps = [s.const(step, index) for step in self.step]
            met, rests = (
                [s.binary(name, way, step) for way, step in zip(ways, steps, strict=True)]
                for name in ("div", "rem")
            )
            takes_part = s.compare("eq", s.binary("or", *rests), s.const(0, index))
            read = self._read(self.y, self.of_y, n, output, [Affine.of(place) for place in met])
            more = s.fma(self._factor(output, within, tap), read, total)
            return s.select(takes_part, more, total)

        return _in_blocks(s, self.x, self._terms(self.outputs), term)

    def weight(self, o: Value, c: Value, *tap: Value) -> Value:
        """An element of w: place by place, image by image."""
        images = self.of_y[0]
        _, height, width = _known(self.of_y[1:])
        channel = self._of_group(o, self.outputs, self.channels, c)

        def term(n: Value, i: Value, j: Value, total: Value) -> Value:
            met = self._read(self.x, self.of_x, n, channel, self._met((i, j), tap))
            return self.s.fma(self.s.load(self.y, _at((n, o, i, j), self.of_y)), met, total)

        axes = [_Axis(images, 1), _Axis(height, row_block(width)), _Axis(width, place_block(width))]
        return _in_blocks(self.s, self.w, axes, term)

    def _terms(self, channels: int) -> list[_Axis]:
        block = channel_block(channels, math.prod(self.kernel))
        return [_Axis(channels, block), *(_Axis(size, size) for size in self.kernel)]

    def _of_group(self, channel: Value, per_group: int, others: int, within: Value) -> Affine:
        """The channel ``within`` the group that a channel of the other tensor belongs to."""
        group = self.s.binary("div", channel, self.s.const(per_group, index))
        return Affine.of(group) * others + Affine.of(within)

    def _met(self, places: Sequence[Value], tap: Sequence[Value]) -> list[Affine]:
        """Where places of y meet x at a tap."""
        return [
            Affine.of(place) * step + Affine.of(k) * apart - low
            for place, k, step, apart, low in zip(
                places, tap, self.step, self.dilation, self.low, strict=True
            )
        ]

    def _back(self, places: Sequence[Value], tap: Sequence[Value]) -> list[Value]:
        """The places of y, times the step, that meet these places of x at a tap."""
        return [
            self.s.index(Affine.of(place) + low - Affine.of(k) * apart)
            for place, k, apart, low in zip(places, tap, self.dilation, self.low, strict=True)
        ]

    def _factor(self, o: Affine, c: Value, tap: Sequence[Value]) -> Value:
        return self.s.load(self.w, linear((o, Affine.of(c), *map(Affine.of, tap)), self.of_w))

    def _read(
        self, buffer: Value, shape: Shape, n: Value, channel: Affine, places: Sequence[Affine]
    ) -> Value:
        """An element, or 0 where its place lies outside."""
        s, zero = self.s, self.s.const(0, index)
        ats = [s.index(place) for place in places]
        lasts = [s.const(size - 1, index) for size in shape[2:]]
        safe = [
            s.binary("max", s.binary("min", at, last), zero)
            for at, last in zip(ats, lasts, strict=True)
        ]
        first, second = (s.compare("eq", at, place) for at, place in zip(ats, safe, strict=True))
        found = s.load(buffer, linear((Affine.of(n), channel, *map(Affine.of, safe)), shape))
        return s.select(s.binary("and", first, second), found, s.like(found, 0))


def _known(sizes: Shape) -> tuple[int, ...]:
    """The sizes: of a convolution only that of the batch may be told by a call."""
    return tuple(size for size in sizes if isinstance(size, int))


KERNEL_LOOPS: Final[dict[str, Callable[[LoopBuilder, Operation], None]]] = {
    "loop.gemm": gemm_loops,
    "loop.conv": conv_loops,
}
