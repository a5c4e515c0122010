"""streams: a pass over a large array reads it in several places at once.

Processors ask memory ahead for a few lines of what is read in order, and begin anew with each page;
of several places they ask for more at a time. So where the iterations of a parallel loop read large
arrays in order and do little else, some that are far apart run side by side.
"""

from __future__ import annotations

from collections.abc import Iterator

from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Operation, Trait, Value
from nets.ir.estimates import about
from nets.ir.types import VectorType
from nets.machine.machine import Machine
from nets.ops.loop.accesses import Terms, address, buffer_of, is_access, place_of
from nets.ops.loop.index_values import distance
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.forms import LOOPS, VECTORIZED
from nets.passes.loops.side_by_side import emit_side_by_side, has_shared_loops
from nets.passes.manager import Options, register_pass

_LIGHT = 5
"""Operations for each vector that is read, up to which reading takes longer than they do."""

_JOINED = ("loop.for", "loop.scratch", "loop.tree_combine")
"""Operations that may run for several iterations at once, beside accesses and pure ones."""


@register_pass("streams", requires=(LOOPS, VECTORIZED))
def streams(function: Function, options: Options) -> Function:
    """Let parallel loops that do little but read large arrays read them in several places at once.

    Requires: the loop dialect, vectorized.
    Ensures: the same bits.
    """
    for op in list(function.walk()):
        if op.name == "loop.parallel" and _is_worth_it(op, options.machine):
            _run_side_by_side(op, options.machine.streams)
    return function


def _is_worth_it(loop: Operation, machine: Machine) -> bool:
    trips = distance(*loop.operands)
    body = loop.regions[0].block
    if trips is None or trips < machine.streams or not (has_shared_loops(body) and _can_join(body)):
        return False
    inner = [op for op in _innermost(body) if op.block is not body]
    runs: dict[tuple[Block | None, Value, Terms], list[int]] = {}
    for op in inner:
        if _is_streamed(op, body.arguments[0], trips, machine):
            root, terms, offset = place_of(op)
            if not isinstance(offset, int):
                return False
            runs.setdefault((op.block, root, terms), []).append(offset * _itemsize(op))
    # What has the offsets of several pages reads in several places already.
    if any(max(offsets) - min(offsets) >= machine.page_bytes for offsets in runs.values()):
        return False
    return 0 < len(inner) <= _LIGHT * sum(map(len, runs.values()))


def _can_join(block: Block) -> bool:
    return all(
        (is_access(op) or op.name in _JOINED or op.has(Trait.PURE | Trait.TERMINATOR))
        and all(_can_join(region.block) for region in op.regions)
        for op in block
    )


def _innermost(block: Block) -> Iterator[Operation]:
    """The operations of the blocks inside that have no further loop inside."""
    loops = [op for op in block if op.regions]
    if not loops:
        yield from block
    for op in loops:
        yield from _innermost(op.regions[0].block)


def _is_streamed(op: Operation, row: Value, trips: int, machine: Machine) -> bool:
    """Whether the operation loads vectors of a large array, others in each iteration.

    From a cache, one place is read as fast as several.
    """
    if not is_access(op) or not op.results or not isinstance(op.result.type, VectorType):
        return False
    size = abs(about(address(op).coefficient(row))) * trips * _itemsize(op)
    return size >= machine.last_cache_bytes


def _itemsize(access: Operation) -> int:
    return int(buffer_of(access).type.dtype.itemsize)


def _run_side_by_side(loop: Operation, streams: int) -> None:
    """A loop over the first part of the iterations, with their partners in the other parts."""
    lo, hi = loop.operands
    trips = distance(lo, hi)
    assert trips is not None
    assert loop.block is not None
    s = LoopBuilder(Builder(loop.block, loop, loop.location))
    part = trips // streams
    parts = s.parallel(lo, s.index(Affine.of(lo) + part))
    with s.inside(parts) as block:
        emit_side_by_side(s, loop.regions[0].block, block.arguments[0], streams, apart=part)
        s.yield_()
    if trips % streams:
        loop.set_operands((s.index(Affine.of(lo) + part * streams), hi))
    else:
        loop.erase()
