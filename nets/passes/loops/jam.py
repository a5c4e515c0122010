"""jam: two rows of a stencil run through one inner loop, so that what both read is loaded once.

A stencil reads each row of its operand for the rows above and below as well. Where the loop over
rows has its inner loops run for two rows at a time (``side_by_side``), those loads
have the same address and ``share_loads`` merges them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Operation, Trait, Value
from nets.ir.estimates import about
from nets.ir.types import VectorType
from nets.ops.loop.accesses import (
    address,
    buffer_of,
    is_access,
    memory_of,
    place_of,
    root_of,
)
from nets.ops.loop.index_values import constant_of, counting_loop, distance
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.forms import LOOPS, VECTORIZED
from nets.passes.loops.side_by_side import emit_side_by_side, has_shared_loops
from nets.passes.manager import Options, register_pass

_SHARE = 6
"""A row is worth a partner if this part of its accesses, one in so many, is for both."""

_MOST = 40
"""Operations of an inner loop up to which two rows of it fit the registers."""


@register_pass("jam", requires=(LOOPS, VECTORIZED))
def jam(function: Function, options: Options) -> Function:
    """Let loops over rows that share loads with the next row run two rows at a time.

    Requires: the loop dialect, vectorized.
    Ensures: the same bits.
    """
    for op in list(function.walk()):
        is_loop = op.name in ("loop.for", "loop.parallel")
        if is_loop and _is_worth_it(op) and (op.name == "loop.parallel" or _rows_are_apart(op)):
            _run_two_rows(op)
    return function


# ------------------------------------------------------------------------------- whether


def _is_worth_it(loop: Operation) -> bool:
    trips = distance(*loop.operands[:2])
    if trips is None or trips < 2 or len(loop.operands) > 2 or loop.attributes.get("step", 1) != 1:
        return False
    block = loop.regions[0].block
    inner = [op for op in block if op.regions]
    if not all(map(_has_known_place, _accesses_of(block))):
        return False
    if not inner or not all(map(_can_join, block)):
        return False
    return has_shared_loops(block) and any(_shares_loads(op, block) for op in inner)


def _has_known_place(op: Operation) -> bool:
    """Whether the place of an access depends on counters alone, by constant strides."""
    _, terms, offset = place_of(op)
    return all(isinstance(number, int) for number in (offset, *(c for _, c in terms)))


def _can_join(op: Operation) -> bool:
    """Whether the operation of a row is of the kinds that may run for two rows."""
    if op.name == "loop.for" and not op.results:
        body = op.regions[0].block
        return len(body) <= _MOST and all(not x.regions and _can_join(x) for x in body)
    return is_access(op) or op.has(Trait.PURE | Trait.TERMINATOR)


def _shares_loads(inner: Operation, block: Block) -> bool:
    """Whether enough vectors that a row loads are those that the next one loads elsewhere."""
    row = block.arguments[0]
    accesses = [op for op in inner.regions[0].block if is_access(op)]
    written = {memory_of(buffer_of(op)) for op in _accesses_of(block) if not op.results}
    loaded = [
        place_of(op)
        for op in accesses
        if op.results
        and isinstance(op.result.type, VectorType)
        and memory_of(buffer_of(op)) not in written
    ]
    places, shared = set(loaded), 0
    for root, terms, offset in loaded:
        stride = dict(terms).get(row, 0)
        shared += bool(stride) and (root, terms, offset - stride) in places
    return shared * _SHARE >= len(accesses)


def _accesses_of(block: Block) -> Iterable[Operation]:
    for op in block:
        if is_access(op):
            yield op
        for region in op.regions:
            yield from (inner for inner in region.block if is_access(inner))


def _rows_are_apart(loop: Operation) -> bool:
    """Whether no row touches what another one stores."""
    block = loop.regions[0].block
    by_memory: dict[Value, list[Operation]] = {}
    for op in _accesses_of(block):
        by_memory.setdefault(memory_of(buffer_of(op)), []).append(op)
    return all(
        _stay_in_their_rows(accesses, block.arguments[0])
        for accesses in by_memory.values()
        if any(not op.results for op in accesses)
    )


def _stay_in_their_rows(accesses: Sequence[Operation], row: Value) -> bool:
    """Whether what the accesses of a row touch lies closer together than rows do."""
    if len({root_of(buffer_of(op))[0] for op in accesses}) > 1:
        return False
    strides = {address(op).coefficient(row) for op in accesses}
    reaches = [_reach(op, row) for op in accesses]
    if len(strides) > 1 or None in reaches:
        return False
    lowest = min(reach[0] for reach in reaches if reach is not None)
    highest = max(reach[1] for reach in reaches if reach is not None)
    return highest - lowest < abs(about(strides.pop()))


def _reach(op: Operation, row: Value) -> tuple[int, int] | None:
    """The first and last element that an access of row 0 touches."""
    _, terms, first = place_of(op)
    lowest, highest = about(first), about(first) + _lanes(op) - 1
    for value, stride in terms:
        if value is row:
            continue
        ends = _range_of(value)
        if ends is None:
            return None
        reached = [about(stride) * end for end in ends]
        lowest += min(reached)
        highest += max(reached)
    return lowest, highest


def _lanes(op: Operation) -> int:
    type = op.result.type if op.results else op.operands[op.name == "loop.masked_store"].type
    return type.lanes if isinstance(type, VectorType) else 1


def _range_of(value: Value) -> tuple[int, int] | None:
    """The first and last value of a constant or a counter with constant bounds."""
    number = constant_of(value)
    if number is not None:
        return number, number
    loop = counting_loop(value)
    if loop is None:
        return None
    lo, hi = map(constant_of, loop.operands[:2])
    return None if lo is None or hi is None else (lo, hi - 1)


# ----------------------------------------------------------------------------- two rows


def _run_two_rows(loop: Operation) -> None:
    lo, hi = loop.operands
    trips = distance(lo, hi)
    assert trips is not None
    assert loop.block is not None
    s = LoopBuilder(Builder(loop.block, loop, loop.location))
    body = loop.regions[0].block
    if loop.name == "loop.parallel":
        pairs = s.parallel(0, trips // 2)
    else:
        pairs = s.for_(lo, s.index(Affine.of(lo) + trips // 2 * 2), step=2)
    with s.inside(pairs) as block:
        row = block.arguments[0]
        if loop.name == "loop.parallel":
            row = s.index(Affine.of(row) * 2 + Affine.of(lo))
        emit_side_by_side(s, body, row, 2)
        s.yield_()
    if trips % 2:
        emit_side_by_side(s, body, s.index(Affine.of(lo) + (trips - 1)), 1)
    loop.erase()
