"""Rules of canonicalize for gathers. Each is exact."""

from __future__ import annotations

from nets.ir.core import Operation, Trait, Value
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.passes.simplify.patterns import has_fixed_sizes, made_by, rule

FEW = 8
"""How many times fewer elements a gather takes where they are computed alone."""


@rule("gather", "pick")
def gather_before_computing(op: Operation, b: GraphEmitter) -> Value | None:
    """A few elements of what an elementwise op computes are computed from those of its operands.

    So of a log-softmax only the elements of the labels are computed. That others read the op's
    result as well does not matter, for the elements are few.
    """
    x, indices = op.operands
    if not _takes_few(op):
        return None
    reshape = made_by(x, "reshape")
    inner = (reshape.operands[0] if reshape is not None else x).operation
    if inner is None or not inner.has(Trait.ELEMENTWISE) or inner.has(Trait.CHECKED):
        return None
    if not inner.operands or len(inner.results) != 1:
        return None
    shape, axis = tensor_type(x).shape, op.attributes["axis"]
    parts = [
        b.emit(op.definition.name, b.reshape(operand, shape), indices, axis=axis)
        for operand in inner.operands
    ]
    return b.builder.create(inner.definition, parts, inner.attributes).result


def _takes_few(op: Operation) -> bool:
    types = [tensor_type(value) for value in (op.operands[0], op.result)]
    return all(type.is_static for type in types) and types[1].size * FEW <= types[0].size


@rule("gather")
def gather_of_repeated_rows(op: Operation, b: GraphEmitter) -> Value | None:
    """Of rows of one number each, in one long row, the number of the row is taken.

    The position among them is that in the long row, divided and rounded down; this also holds for
    positions from the end, and what is out of range stays so.
    """
    x, indices = op.operands
    reshape = made_by(x, "reshape")
    repeated = made_by(reshape.operands[0], "broadcast") if reshape is not None else None
    if repeated is None or tensor_type(x).rank != 1 or not _takes_few(op):
        return None
    if not has_fixed_sizes(repeated):
        return None
    (rows,) = repeated.operands
    count = tensor_type(rows).size
    if not _repeats_trailing_axes(repeated):
        return None
    length = tensor_type(x).size // count
    number = b.emit("floor_divide", indices, b.full_like(indices, length))
    return b.emit("gather", b.reshape(rows, (count,)), number, axis=0)


@rule("pick")
def pick_of_equal_elements(op: Operation, b: GraphEmitter) -> Value | None:
    """Of rows that repeat one number each the pick is that number, whatever the index.

    Whether the index is out of range is left to another pick at the same indices.
    """
    x, indices = op.operands
    repeated, axis = made_by(x, "broadcast"), op.attributes["axis"]
    if repeated is None or not any(_checks_alike(op, user) for user in indices.users):
        return None
    (of_row,) = repeated.operands
    axes = repeated.attributes["axes"]
    sizes = dict(zip(axes, tensor_type(of_row).shape, strict=True))
    if sizes.get(axis, 1) != 1 or tensor_type(x).shape[axis] == 1:
        return None
    return b.broadcast(of_row, tensor_type(op.result).shape, axes)


def _checks_alike(op: Operation, other: Operation) -> bool:
    """Whether another pick fails where this one does, and is not to go in the same way."""
    return (
        other.definition is op.definition
        and other.operands[1] is op.operands[1]
        and other.attributes == op.attributes
        and other.operands[0].type == op.operands[0].type
        and made_by(other.operands[0], "broadcast") is None
    )


def _repeats_trailing_axes(op: Operation) -> bool:
    """Whether each element of the operand becomes a run of elements, one run after the other."""
    (x,) = op.operands
    shape = tensor_type(op.result).static_shape
    places = zip(op.attributes["axes"], tensor_type(x).static_shape, strict=True)
    given = {axis for axis, size in places if size == shape[axis]}
    first = next((axis for axis, n in enumerate(shape) if n != 1 and axis not in given), 0)
    return 0 not in shape and all(axis < first or shape[axis] == 1 for axis in given)
