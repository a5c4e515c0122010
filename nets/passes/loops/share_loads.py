"""share_loads: a loop body loads each element once, and whole cache lines where that is cheaper.

A stencil reads the same row at several shifts. Of these vectors all but one begin inside a cache
line and end in the next one, which takes the processor two loads. Where the lines around them are
loaded for other shifts and other vectors as well, loading lines and putting the shifted vectors
together in registers (``loop.shuffle``) takes fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Operation, Value
from nets.ir.estimates import divisor_of
from nets.ir.types import BufferType, ScalarType, VectorType
from nets.machine.machine import Machine
from nets.ops.loop.accesses import Terms, address, buffer_of, is_access, memory_of, place_of
from nets.ops.loop.index_values import constant_of, counting_loop, expression
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.forms import LOOPS, VECTORIZED
from nets.passes.manager import Options, register_pass

Place = tuple[Value, Terms, VectorType]
"""Where a load reads, but for the constant: the buffer, the terms of the address, the vector."""

Loads = dict[int, list[Operation]]
"""The loads that differ in nothing but the constant of their address, by that constant."""


@register_pass("share_loads", requires=(LOOPS, VECTORIZED))
def share_loads(function: Function, options: Options) -> Function:
    """Let a loop body load what it reads once; whole cache lines where vectors are as long.

    Requires: the loop dialect, vectorized.
    Ensures: the same bits; no loop body has two equal loads from a buffer that it does not write.
    """
    for op in list(function.walk()):
        if op.name == "loop.for":
            for place, loads in _loads_of(op.regions[0].block).items():
                _merge(loads)
                _load_lines(place, loads, options.machine)
    return function


def _loads_of(block: Block) -> dict[Place, Loads]:
    """The vector loads of a block from buffers that nothing in it writes."""
    if any(op.regions for op in block):
        return {}
    written = {memory_of(buffer) for op in block for buffer in _buffers_written(op)}
    found: dict[Place, Loads] = {}
    for op in block:
        if op.name != "loop.load" or not isinstance(op.result.type, VectorType):
            continue
        root, terms, constant = place_of(op)
        if (
            not isinstance(constant, int)
            or memory_of(root) in written
            or not all(isinstance(value.type, ScalarType) for value, _ in terms)
        ):
            continue
        found.setdefault((root, terms, op.result.type), {}).setdefault(constant, []).append(op)
    return found


def _buffers_written(op: Operation) -> Sequence[Value]:
    if is_access(op):
        return [] if op.results else [buffer_of(op)]
    return [value for value in op.operands if isinstance(value.type, BufferType)]


def _merge(loads: Loads) -> None:
    for offset, (first, *others) in loads.items():
        for op in others:
            op.replace_with(first.results)
        loads[offset] = [first]


# ------------------------------------------------------------------------- whole lines


def _load_lines(place: Place, loads: Loads, machine: Machine) -> None:
    """Load lines instead of vectors that lie across them, if that makes fewer loads."""
    root, terms, type = place
    lanes, itemsize = type.lanes, type.dtype.itemsize
    is_a_line = lanes * itemsize == machine.vector_bytes == machine.line_bytes
    if not is_a_line or itemsize not in machine.joined_sizes or not _has_whole_lines(root, lanes):
        return
    if any(stride * _divisor(value) % lanes for value, stride in terms):
        return
    across = [offset for offset in loads if offset % lanes]
    lines = sorted({offset + step for offset in across for step in _to_lines(offset, lanes)})
    # A load across lines counts twice, a shuffle half.
    if 2 * sum(line not in loads for line in lines) >= 3 * len(across):
        return
    replaced = [loads[offset][0] for offset in (*across, *lines) if offset in loads]
    block = replaced[0].block
    assert block is not None
    first = next(op for op in block if op in replaced)
    s = LoopBuilder(Builder(block, first, first.location))
    position = Affine(address(first).terms)  # in its order: ``terms`` has none
    vectors = {line: _load(s, root, position + line, lanes) for line in lines}
    for offset in across:
        (op,) = loads[offset]
        low, high = (vectors[offset + step] for step in _to_lines(offset, lanes))
        s.builder.before, s.builder.location = op, op.location
        order = tuple(range(offset % lanes, offset % lanes + lanes))
        op.replace_with([s.emit("shuffle", low, high, order=order).result])
    for line in lines:
        for op in loads.get(line, ()):
            op.replace_with([vectors[line]])


def _to_lines(offset: int, lanes: int) -> tuple[int, int]:
    """How far it is to the two lines that a vector lies across."""
    return -(offset % lanes), lanes - offset % lanes


def _load(s: LoopBuilder, buffer: Value, position: Affine, lanes: int) -> Value:
    indices = [value for value, _ in position.terms]
    strides = tuple(stride for _, stride in position.terms)
    offset = position.constant
    return s.emit("load", buffer, *indices, lanes=lanes, offset=offset, strides=strides).result


def _has_whole_lines(root: Value, lanes: int) -> bool:
    """Whether the buffer begins and ends with a cache line."""
    type = root.type
    is_placed = root.operation is not None and root.operation.name == "loop.alloc"
    return is_placed and isinstance(type, BufferType) and divisor_of(type.elements) % lanes == 0


def _divisor(value: Value) -> int:
    """A number that divides the index value, 0 if it is 0 itself."""
    total = expression(value)
    parts = (divisor_of(c) * _divisor_of_counter(v) for v, c in total.terms)
    return gcd(divisor_of(total.constant), *parts)


def _divisor_of_counter(value: Value) -> int:
    """A number that divides the counter of a loop; 1 for any other value."""
    loop = counting_loop(value)
    lo = None if loop is None else constant_of(loop.operands[0])
    return 1 if loop is None or lo is None else gcd(lo, loop.attributes["step"])
