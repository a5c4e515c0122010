"""In place: an operation may store its result over a tensor that is not needed any more.

For a group of operations this is safe where each element of the old tensor is loaded before the
same element of the result is stored. Both may happen in one iteration of a loop; or the load stands
in an earlier loop over the same elements. A kernel that changes only some elements of an operand is
written to work in the memory of the operand, and a loop carries a tensor on where it starts from.
"""

from __future__ import annotations

from collections.abc import Mapping

from nets.ir.core import Block, Operation, Trait, Value
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import definition_of
from nets.passes.lowering.element_builder import Accesses, Index
from nets.passes.spaces.kernel_operands import is_for_kernels


def last_readers(block: Block) -> dict[Value, Operation]:
    """The last operation that reads the memory of each value, by the value behind all views.

    Values that a kernel will read through a transpose are left out, for it does so later; so are
    such transposes, whose memory stands for them until the kernels know.
    """
    found: dict[Value, Operation] = {}
    late: set[Value] = set()
    for op in block:
        found.update((behind_views(operand), op) for operand in op.operands)
        if is_for_kernels(op):
            late.update((behind_views(op.operands[0]), op.result))
    return {value: op for value, op in found.items() if value not in late}


def behind_views(value: Value) -> Value:
    """The value whose memory this one is."""
    while value.operation is not None and value.operation.has(Trait.ALIAS):
        value = value.operation.operands[0]
    return value


def updated_operand(op: Operation) -> Value | None:
    """The operand of which the operation changes some elements, if it is one that does."""
    number = definition_of(op).rules.updates
    return None if number is None else op.operands[number]


def _made_from(value: Value) -> Value | None:
    """The operand of which the value is a later state: one that is updated, or carried along."""
    op = value.operation
    if op is None:
        return None
    if value.index < op.attributes.get("carries", 0):
        return op.operands[value.index] if tensor_type(value).shape else None
    return updated_operand(op)


def outdated_by(value: Value, last: Mapping[Value, Operation]) -> Value | None:
    """The value whose memory this one, a result, may take; None where there is none.

    There is one where the operation changes only some elements of an operand or carries it along,
    uses that operand once, and nothing reads it later (``last`` comes from ``last_readers``). Where
    the operand is a view, it is the value that the view shows.
    """
    updated, op = _made_from(value), value.operation
    if updated is None or op is None:
        return None
    roots = [behind_views(operand) for operand in op.operands]
    root = behind_views(updated)
    return root if last.get(root) is op and roots.count(root) == 1 else None


def in_one_place(value: Value, last: Mapping[Value, Operation]) -> list[Value]:
    """The values that can follow each other in one place in memory, the latest, given, first."""
    found = [value]
    while (old := outdated_by(found[-1], last)) is not None:
        found.append(old)
    return found


def may_replace(accesses: Accesses, old: Value, result: Value) -> bool:
    """Whether the stores of ``result`` may go to the buffer ``old`` of the same type."""
    stores: dict[tuple[Index, int], int] = {}
    for number, (value, index, body) in enumerate(accesses.stores):
        if value is result:
            stores.setdefault((index, body), number)
    first = min((body for _, body in stores), default=-1)
    for buffer, index, body, stored in accesses.loads:
        if behind_buffer_views(buffer) is old:
            is_before = stored <= stores.get((index, body), -1)
            is_earlier = body < first and accesses.places.get(body) == index
            if not is_before and not is_earlier:
                return False
    return bool(stores)


def behind_buffer_views(buffer: Value) -> Value:
    """The buffer whose memory this one is."""
    while (op := buffer.operation) is not None and op.name == "loop.view":
        buffer = op.operands[0]
    return buffer
