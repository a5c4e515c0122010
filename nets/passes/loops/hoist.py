"""hoist: what does not change inside a loop is computed before it.

LLVM's code generator moves little out of loops by itself, and loads not at all.
"""

from __future__ import annotations

from nets.ir.core import Block, Function, Operation, Trait, Value
from nets.ir.types import BufferType, VectorType
from nets.ops.loop.accesses import access_terms, accessed_buffer, memory_of
from nets.ops.loop.index_values import constant_of, distance
from nets.passes.forms import LOOPS
from nets.passes.manager import Options, register_pass

Writes = dict[Operation, set[Value]]
"""The root buffers that the regions of an operation may write to."""


@register_pass("hoist", requires=(LOOPS,))
def hoist(function: Function, options: Options) -> Function:
    """Move invariant operations and loads out of loops; equal ones are left for cse.

    A load moves if nothing in the loop writes to its buffer, and if it would be executed anyway or
    is sure to lie within the buffer. What is a vector stays in the outermost loop, so that it need
    not be passed to the threads that run it.

    Requires: the loop dialect.
    Ensures: the same bits.
    """
    structured = [op for op in function.walk() if op.regions]
    writes = _writes(structured)
    # Inner loops first: what leaves one may leave the next one, too.
    for op in reversed(structured):
        if op.name != "loop.reduce":
            _hoist_out_of(op, writes[op], is_outermost=op.block is function.body)
    return function


def _writes(structured: list[Operation]) -> Writes:
    writes: Writes = {op: set() for op in structured}
    for op in reversed(structured):
        for inner in op.regions[0].block:
            writes[op] |= writes.get(inner) or _written(inner)
    return writes


def _written(op: Operation) -> set[Value]:
    """The root buffers an operation without regions writes to."""
    if op.has(Trait.PURE) or op.name in ("loop.load", "loop.masked_load", "loop.print"):
        return set()
    buffer = accessed_buffer(op)
    if buffer is not None:
        return {memory_of(buffer)}
    # A kernel writes to the last of its operands; checks and the like have no buffer.
    return {memory_of(v) for v in op.operands[-1:] if isinstance(v.type, BufferType)}


def _hoist_out_of(loop: Operation, writes: set[Value], *, is_outermost: bool) -> None:
    assert loop.block is not None
    body = loop.regions[0].block
    runs = _runs(loop)
    for op in body:
        if not _is_movable(op, writes, runs) or any(_is_made_in(v, body) for v in op.operands):
            continue
        if is_outermost and isinstance(op.results[0].type, VectorType):
            continue
        body.remove(op)
        loop.block.insert(op, loop)


def _is_movable(op: Operation, writes: set[Value], runs: bool) -> bool:
    if op.name != "loop.load":
        return op.has(Trait.PURE) and not op.regions
    buffer = accessed_buffer(op)
    assert buffer is not None
    return memory_of(buffer) not in writes and (runs or _is_inside(op, buffer))


def _is_made_in(value: Value, body: Block) -> bool:
    return value.owner is body or (value.operation is not None and value.operation.block is body)


def _runs(loop: Operation) -> bool:
    """Whether the region is sure to be executed."""
    if loop.name == "loop.if":
        return False
    if loop.name == "loop.repeat":
        return True
    trips = distance(*loop.operands[:2])
    return trips is not None and trips > 0


def _is_inside(op: Operation, buffer: Value) -> bool:
    """Whether a load is of one constant element that the buffer has."""
    assert isinstance(buffer.type, BufferType)
    place = op.attributes["offset"]
    for value, stride in access_terms(op):
        number = constant_of(value)
        if number is None:
            return False
        place = place + stride * number
    behind = buffer.type.elements - place - op.attributes["lanes"]
    return all(isinstance(size, int) and size >= 0 for size in (place, behind))
