"""Loop nests: code for one element is emitted first, the loops around it afterwards.

While the code for one element is emitted, an ``Extent`` stands for the loops: for each axis it has
a stand-in, an index value that no operation defines. The addresses of the emitted loads and stores
then tell how many loops are needed: two neighbouring axes can share one counter where
``stride[i] == size[i+1] · stride[i+1]`` holds in every address. When the loops are there,
``Extent.resolve`` replaces each stand-in by an expression of their counters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Block, Operation, Region, Value
from nets.ir.sizes import Dim, Size, greatest
from nets.ir.types import ScalarType, index
from nets.ops.definition.registry import lookup
from nets.ops.loop.accesses import address, is_access, set_address
from nets.ops.loop.loop_builder import LoopBuilder

_INDEX = ScalarType(index)

CHUNK = 8192
"""Elements of a chunk when one flat loop is split among threads: large enough to forget the loop
overhead, small enough to balance, and a multiple of every vector."""

PARALLEL_TRIPS = 8
"""Iterations a parallel loop should have at least, so that up to 8 threads have work."""


class Extent:
    """Axes that become one loop counter, in row-major order.

    ``index`` holds a position per axis: 0 for an axis of size 1, else a stand-in value that
    ``resolve`` replaces. Leading axes may be ``fixed`` at positions, and are not counted.
    """

    def __init__(self, sizes: Sequence[Dim], fixed: tuple[Affine, ...] = ()) -> None:
        self.sizes = tuple(sizes[len(fixed) :])
        self.count: Dim = math.prod(self.sizes)
        marks = [None if size == 1 else Value(_INDEX, None, 0) for size in self.sizes]
        free = tuple(Affine() if mark is None else Affine.of(mark) for mark in marks)
        self.index = (*fixed, *free)
        self.axes = [
            (mark, size) for mark, size in zip(marks, self.sizes, strict=True) if mark is not None
        ]

    def runs(self) -> list[Extent]:
        """Splits into the fewest extents whose axes can share a counter, outermost first."""
        groups: list[list[tuple[Value, Dim]]] = []
        for mark, size in self.axes:
            if groups and _share_counter(groups[-1][-1][0], mark, size):
                groups[-1].append((mark, size))
            else:
                groups.append([(mark, size)])
        return [_extent_of(group) for group in groups]

    def resolve(self, s: LoopBuilder, block: Block, position: Affine) -> None:
        """Replace the stand-ins in ``block`` by what ``position`` tells of each axis.

        ``position`` counts the elements of all axes together, in row-major order. Where the axes
        cannot share a counter, divisions at the start of the block compute the position on each.
        """
        if not self.axes:
            return
        if len(self.runs()) == 1:
            replacements = {mark: Affine() for mark, _ in self.axes}
            replacements[self.axes[-1][0]] = position
        else:
            replacements = _divided(s, block, self.axes, position)
        _substitute(s, block, replacements)


def _extent_of(axes: list[tuple[Value, Dim]]) -> Extent:
    extent = Extent(())
    extent.axes = axes
    extent.sizes = tuple(size for _, size in axes)
    extent.count = math.prod(extent.sizes)
    extent.index = tuple(Affine.of(mark) for mark, _ in axes)
    return extent


def _share_counter(outer: Value, inner: Value, inner_size: Dim) -> bool:
    for op in dict.fromkeys((*outer.users, *inner.users)):
        if not is_access(op):
            return False
        position = address(op)
        if position.coefficient(outer) != inner_size * position.coefficient(inner):
            return False
    return True


def _divided(
    s: LoopBuilder, block: Block, axes: list[tuple[Value, Dim]], position: Affine
) -> dict[Value, Affine]:
    found: dict[Value, Affine] = {}
    with _at_start(s, block):
        rest = s.index(position)
        for place, (mark, size) in reversed(list(enumerate(axes))):
            if place == 0:
                found[mark] = Affine.of(rest)
                break
            divisor = s.const(size, index)
            found[mark] = Affine.of(s.binary("rem", rest, divisor))
            rest = s.binary("div", rest, divisor)
    return found


def _substitute(s: LoopBuilder, block: Block, replacements: dict[Value, Affine]) -> None:
    values: dict[Value, Value] = {}
    users = dict.fromkeys(op for mark in replacements for op in mark.users)
    for op in users:
        if is_access(op):
            set_address(op, _replaced(address(op), replacements))
    for mark, position in replacements.items():
        for op, place in list(mark.uses):
            if mark not in values:
                with _at_start(s, block):
                    values[mark] = s.index(position)
            op.set_operand(place, values[mark])


def _replaced(position: Affine, replacements: dict[Value, Affine]) -> Affine:
    kept = tuple((v, c) for v, c in position.terms if v not in replacements)
    result = Affine(kept, position.constant)
    for value, coefficient in position.terms:
        if value in replacements:
            result = result + replacements[value] * coefficient
    return result


class _at_start:
    """Builds at the start of a block for a while."""

    def __init__(self, s: LoopBuilder, block: Block) -> None:
        self._builder: Builder = s.builder
        self._block = block

    def __enter__(self) -> None:
        self._saved = (self._builder.block, self._builder.before)
        self._builder.block, self._builder.before = self._block, self._block.first

    def __exit__(self, *_: object) -> None:
        self._builder.block, self._builder.before = self._saved


def loop_over(s: LoopBuilder, body: Block, lo: Dim | Value, hi: Dim | Value) -> None:
    """A ``loop.for`` by ones around a body that ``s`` has filled; ``body`` has the counter."""
    _wrap(s, "loop.for", body, (lo, hi), {"step": 1})


def parallel_over(s: LoopBuilder, body: Block, count: Dim | Value) -> None:
    """A ``loop.parallel`` from 0 around a body that has the counter."""
    _wrap(s, "loop.parallel", body, (0, count), {})


def reduce_over(
    s: LoopBuilder, body: Block, hi: Dim | Value, combiners: Sequence[str]
) -> tuple[Value, ...]:
    """A ``loop.reduce`` around a body that has the counter and ends with its yield."""
    return _wrap(s, "loop.reduce", body, (hi,), {"combiners": tuple(combiners)}).results


def _wrap(
    s: LoopBuilder,
    name: str,
    body: Block,
    bounds: Sequence[Dim | Value],
    attributes: dict[str, object],
) -> Operation:
    values = [s.const(bound, index) if isinstance(bound, int | Size) else bound for bound in bounds]
    return s.builder.create(lookup(name), values, attributes, (Region(body),))


def blocks_of(count: Dim, width: int) -> Dim:
    """How many blocks of that width hold so many elements; one at least where a call tells."""
    blocks = (count + (width - 1)) // width
    return blocks if isinstance(blocks, int) else greatest(blocks, 1)


def add_counter(body: Block) -> Affine:
    """Give the block the counter of the loop that will be around it."""
    return Affine.of(body.add_argument(_INDEX))


def upper_bound(s: LoopBuilder, start: Affine, width: int, end: Dim) -> Value:
    """``min(start + width, end)``."""
    return s.binary("min", s.index(start + width), s.const(end, index))
