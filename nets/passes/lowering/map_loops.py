"""Loops of MAP groups: every element of some tensors of one shape, stored where they belong.

The nest has as few loops as the addresses allow, the last axis innermost, and is

* split among threads over its outer loops, or over chunks of a single long one;
* tiled where a load walks down a column while the store walks along a row (transposes), so that
  every cache line that is touched is used up while it is in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from nets.ir.affine import Affine
from nets.ir.core import Block, Operation, Value
from nets.ir.estimates import about, divisor_of
from nets.ir.sizes import Dim
from nets.machine.machine import Machine
from nets.ops.definition.emitter import tensor_type
from nets.ops.loop.accesses import address, is_access
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.lowering.element_builder import ElementBuilder, Index
from nets.passes.spaces.loop_nests import (
    CHUNK,
    PARALLEL_TRIPS,
    Extent,
    add_counter,
    blocks_of,
    loop_over,
    upper_bound,
)

TILE = 32
"""Rows and columns of a tile: a column of 32 rows touches 32 cache lines, 2 KB."""

Output = tuple[Value, Value]
"""A tensor and the buffer that is to hold it."""


def lower_map(s: ElementBuilder, outputs: Sequence[Output], work: float) -> None:
    """Loops that store every element of the outputs, which have one shape.

    ``work`` is the work per element, in cycles.
    """
    extent = s.extent(tensor_type(outputs[0][0]).shape)
    with s.group():
        emit_loop_nest(s, extent, work, lambda: store_elements(s, outputs, extent.index))


def store_elements(s: ElementBuilder, outputs: Sequence[Output], index: Index) -> None:
    """Store the element at ``index`` of each output, after all have been computed."""
    scalars = [s.read(value, index) for value, _ in outputs]
    for scalar, (value, buffer) in zip(scalars, outputs, strict=True):
        s.store_element(scalar, value, buffer, index)


def emit_loop_nest(
    s: ElementBuilder, extent: Extent, work: float, emit: Callable[[], None]
) -> None:
    """Loops over an extent around what ``emit`` emits, at ``extent.index``.

    ``work`` is the work per element; 0 where the loops must not be split among threads.
    """
    if extent.count == 0:
        return
    if not extent.axes:
        emit()
        return
    with s.body(Block()) as body:
        emit()
        s.yield_()
    _build_loop_nest(s, extent, body, work)


def _build_loop_nest(s: ElementBuilder, extent: Extent, body: Block, work: float) -> None:
    *outer, inner = extent.runs()
    is_parallel = about(extent.count) * work >= s.machine.fork_cycles
    across = _run_across(body, outer, inner)
    levels = [_Level(run.count, run.resolve) for run in outer if run is not across]
    tiles: list[_Tile] = []
    if across is not None:
        tiles = [_Tile(across, TILE), _Tile(inner, TILE)]
    elif is_parallel and about(_trips(levels)) < PARALLEL_TRIPS:
        tiles = [_Tile(inner, _chunk(work, s.machine))]
    levels += [_Level(tile.count, tile.start) for tile in tiles]
    with ExitStack() as nest:
        _enter_levels(s, nest, levels, is_parallel)
        for tile in tiles[:-1]:
            lo, hi = tile.bounds
            op = s.for_(lo, hi)
            block = nest.enter_context(_loop(s, op))
            tile.run.resolve(s, block, Affine.of(block.arguments[0]))
        inner.resolve(s, body, add_counter(body))
        loop_over(s, body, *(tiles[-1].bounds if tiles else (0, inner.count)))


class _Level:
    """A loop to open: how often it runs, and what to tell the position it is at."""

    def __init__(self, count: Dim, bind: Callable[[LoopBuilder, Block, Affine], None]) -> None:
        self.count = count
        self.bind = bind


class _Tile:
    """A run cut into pieces of ``width``; ``bounds`` of the piece hold once ``start`` is known."""

    def __init__(self, run: Extent, width: int) -> None:
        self.run = run
        self.width = width
        self.count = blocks_of(run.count, width)
        self.bounds: tuple[Dim | Value, Dim | Value] = (0, run.count)

    def start(self, s: LoopBuilder, block: Block, position: Affine) -> None:
        if self.count != 1:
            lo = position * self.width
            whole = divisor_of(self.run.count) % self.width == 0
            hi = (
                s.index(lo + self.width)
                if whole
                else upper_bound(s, lo, self.width, self.run.count)
            )
            self.bounds = (s.index(lo), hi)


def _trips(levels: Sequence[_Level]) -> Dim:
    return math.prod(level.count for level in levels)


def _chunk(work: float, machine: Machine) -> int:
    """Elements per chunk: fewer where each takes long, always whole vectors of any width."""
    return min(CHUNK, max(256, int(machine.fork_cycles / (4 * work)) // 64 * 64))


def _enter_levels(
    s: LoopBuilder, nest: ExitStack, levels: Sequence[_Level], is_parallel: bool
) -> None:
    """Open the loops: the first few as one parallel loop, if so, and the rest in order."""
    levels = [level for level in levels if level.count != 1]
    shared = 0
    while is_parallel and shared < len(levels) and about(_trips(levels[:shared])) < PARALLEL_TRIPS:
        shared += 1
    if shared:
        block = nest.enter_context(_loop(s, s.parallel(0, _trips(levels[:shared]))))
        for level, position in _positions(s, levels[:shared], block.arguments[0]):
            level.bind(s, block, position)
    for level in levels[shared:]:
        block = nest.enter_context(_loop(s, s.for_(0, level.count)))
        level.bind(s, block, Affine.of(block.arguments[0]))


def _positions(
    s: LoopBuilder, levels: Sequence[_Level], counter: Value
) -> list[tuple[_Level, Affine]]:
    """The position in each of the levels that share a counter."""
    found = []
    for level in reversed(levels[1:]):
        size = s.index(level.count)
        found.append((level, Affine.of(s.binary("rem", counter, size))))
        counter = s.binary("div", counter, size)
    found.append((levels[0], Affine.of(counter)))
    return found[::-1]


@contextmanager
def _loop(s: LoopBuilder, op: Operation) -> Iterator[Block]:
    with s.inside(op) as block:
        yield block
        s.yield_()


def _run_across(body: Block, outer: Sequence[Extent], inner: Extent) -> Extent | None:
    """The outer run that some access goes along while it strides over ``inner``."""
    if about(inner.count) < TILE:
        return None
    inner_mark = inner.axes[-1][0]
    for op in body:
        if is_access(op) and abs(about(address(op).coefficient(inner_mark))) >= TILE:
            for run in outer:
                if about(run.count) >= TILE and address(op).coefficient(run.axes[-1][0]) == 1:
                    return run
    return None
