"""Rules of canonicalize for ops that move elements. Each is exact."""

from __future__ import annotations

from typing import Final

from nets.ir.core import Operation, Trait, Value
from nets.ir.types import Shape
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import definition_of
from nets.passes.simplify.patterns import has_fixed_sizes, made_by, repeated_number, rule


def _shape(value: Value) -> Shape:
    return tensor_type(value).shape


def _without_ones(shape: Shape) -> list[tuple[int, object]]:
    """The axes of a shape that are not of size 1, with their sizes."""
    return [(axis, dim) for axis, dim in enumerate(shape) if dim != 1]


def _sizes(shape: Shape) -> list[object]:
    return [dim for dim in shape if dim != 1]


# ------------------------------------------------------------------------------- broadcast


@rule("broadcast", "reshape")
def same_shape(op: Operation, b: GraphEmitter) -> Value | None:
    """A broadcast or reshape to the shape of the operand changes nothing."""
    (x,) = op.operands
    return x if x.type == op.result.type else None


@rule("broadcast")
def broadcast_twice(op: Operation, b: GraphEmitter) -> Value | None:
    """Two broadcasts are one; the axes go where the axes they become go."""
    inner = made_by(op.operands[0], "broadcast")
    if inner is None:
        return None
    axes = tuple(op.attributes["axes"][axis] for axis in inner.attributes["axes"])
    return b.broadcast(inner.operands[0], _shape(op.result), axes)


@rule("broadcast")
def broadcast_of_ones(op: Operation, b: GraphEmitter) -> Value | None:
    """A reshape that only puts axes of size 1 in between is no work for a broadcast."""
    inner = made_by(op.operands[0], "reshape")
    if inner is None:
        return None
    (x,) = inner.operands
    kept = _without_ones(_shape(inner.result))
    if list(_shape(x)) != [dim for _, dim in kept]:
        return None
    axes = tuple(op.attributes["axes"][axis] for axis, _ in kept)
    return b.broadcast(x, _shape(op.result), axes)


@rule("broadcast")
def broadcast_to_ones(op: Operation, b: GraphEmitter) -> Value | None:
    """A broadcast that only puts axes of size 1 in between is a reshape."""
    (x,) = op.operands
    if _sizes(_shape(x)) != _sizes(_shape(op.result)):
        return None
    return b.reshape(x, _shape(op.result))


@rule("reshape", "transpose", "slice", "flip")
def move_of_filled(op: Operation, b: GraphEmitter) -> Value | None:
    """However the elements of a broadcast scalar are moved, they are that scalar."""
    number = repeated_number(op.operands[0])
    return None if number is None else b.broadcast(number, _shape(op.result), ())


def compute_before_broadcast(op: Operation, b: GraphEmitter) -> Value | None:
    """An elementwise op on broadcasts alike is that op on what they repeat, broadcast.

    Scalars among the operands are broadcast to the shape of the others.
    """
    if not op.has(Trait.ELEMENTWISE) or not op.operands:
        return None
    broadcasts = [made_by(operand, "broadcast") for operand in op.operands]
    sources: list[tuple[Value, tuple[int, ...]]] = []
    for broadcast in broadcasts:
        if broadcast is None:
            return None
        sources.append((broadcast.operands[0], broadcast.attributes["axes"]))
    shape, axes = max(((_shape(x), axes) for x, axes in sources), key=lambda pair: len(pair[0]))
    if any(_shape(x) != () and (_shape(x), its) != (shape, axes) for x, its in sources):
        return None
    narrow = [b.broadcast(x, shape, ()) for x, _ in sources]
    made = b.builder.create(op.definition, narrow, op.attributes)
    return b.broadcast(made.result, _shape(op.result), axes)


# -------------------------------------------------------------------- reshape and transpose


@rule("reshape")
def reshape_twice(op: Operation, b: GraphEmitter) -> Value | None:
    """Only the last of several reshapes counts."""
    inner = made_by(op.operands[0], "reshape")
    return b.reshape(inner.operands[0], _shape(op.result)) if inner is not None else None


@rule("transpose")
def transpose_nothing(op: Operation, b: GraphEmitter) -> Value | None:
    """A transpose that leaves every axis where it is changes nothing."""
    axes = op.attributes["axes"]
    return op.operands[0] if axes == tuple(range(len(axes))) else None


@rule("transpose")
def transpose_twice(op: Operation, b: GraphEmitter) -> Value | None:
    """Two transposes are one."""
    inner = made_by(op.operands[0], "transpose")
    if inner is None:
        return None
    axes = tuple(inner.attributes["axes"][axis] for axis in op.attributes["axes"])
    return b.transpose(inner.operands[0], axes)


@rule("transpose")
def transpose_ones(op: Operation, b: GraphEmitter) -> Value | None:
    """A transpose that moves only axes of size 1 leaves the elements in order."""
    (x,) = op.operands
    moved = [axis for axis in op.attributes["axes"] if _shape(x)[axis] != 1]
    return b.reshape(x, _shape(op.result)) if moved == sorted(moved) else None


@rule("transpose")
def transpose_of_elements(op: Operation, b: GraphEmitter) -> Value | None:
    """A transpose of what is computed of transposes and broadcasts alone is computed of others."""
    (x,) = op.operands
    maker = x.operation
    if maker is None or not maker.has(Trait.ELEMENTWISE) or not _turns(x):
        return None
    return _turned(b, x, op.attributes["axes"])


_MOST_TURNED: Final = 32
"""Operations of an expression that is turned as a whole."""


def _turns(x: Value) -> bool:
    """Whether a value used once is elementwise of transposes and broadcasts, of one at least."""
    pending, found, count = [x], False, 0
    while pending:
        value = pending.pop()
        op = value.operation
        if op is None or (count := count + 1) > _MOST_TURNED:
            return False
        if op.name == "transpose":
            found = True
        elif op.has(Trait.ELEMENTWISE) and op.operands and len(value.uses) == 1:
            pending += op.operands
        elif op.name != "broadcast":
            return False
    return found


def _turned(b: GraphEmitter, x: Value, axes: tuple[int, ...]) -> Value:
    """The transpose of a value that ``_turns``."""
    op = x.operation
    assert op is not None
    shape = tuple(_shape(x)[axis] for axis in axes)
    if op.name == "transpose":
        return b.transpose(op.operands[0], tuple(op.attributes["axes"][axis] for axis in axes))
    if op.name == "broadcast":
        places = tuple(axes.index(axis) for axis in op.attributes["axes"])
        return _broadcast(b, op.operands[0], shape, places)
    operands = [_turned(b, operand, axes) for operand in op.operands]
    return b.builder.create(op.definition, operands, op.attributes).result


def _broadcast(b: GraphEmitter, x: Value, shape: Shape, places: tuple[int, ...]) -> Value:
    """x along those axes, which a broadcast takes in ascending order."""
    order = tuple(sorted(range(len(places)), key=places.__getitem__))
    moved = x if order == tuple(range(len(places))) else b.transpose(x, order)
    return b.broadcast(moved, shape, tuple(sorted(places)))


@rule("transpose")
def transpose_of_product(op: Operation, b: GraphEmitter) -> Value | None:
    """(x·y)ᵀ is yᵀ·xᵀ, with the same sums, where that is one transpose less to make."""
    product = made_by(op.operands[0], "matmul")
    if product is None or not _swaps_last(op) or len(product.result.uses) > 1:
        return None
    if not any(_swaps_last(made_by(operand, "transpose")) for operand in product.operands):
        return None
    axes = op.attributes["axes"]
    x, y = (b.transpose(operand, axes) for operand in product.operands)
    return b.emit("matmul", y, x)


def _swaps_last(op: Operation | None) -> bool:
    """Whether a transpose changes the places of the last two axes and no others."""
    if op is None:
        return False
    *leading, rows, columns = op.attributes["axes"]
    return [*leading, columns, rows] == list(range(len(leading) + 2))


# --------------------------------------------------------------------------- slice and flip


@rule("slice")
def slice_whole(op: Operation, b: GraphEmitter) -> Value | None:
    """A slice of everything changes nothing."""
    (x,) = op.operands
    return x if x.type == op.result.type else None


@rule("slice")
def slice_twice(op: Operation, b: GraphEmitter) -> Value | None:
    """Two slices are one, where all sizes are known."""
    inner = made_by(op.operands[0], "slice")
    if inner is None or not has_fixed_sizes(op, inner):
        return None
    outer, first = op.attributes, inner.attributes
    starts, stops, steps = [], [], []
    for axis, size in enumerate(tensor_type(op.result).static_shape):
        step = first["steps"][axis]
        starts.append(first["starts"][axis] + outer["starts"][axis] * step)
        steps.append(step * outer["steps"][axis])
        stops.append(starts[-1] + (size - 1) * steps[-1] + 1 if size else starts[-1])
    if not all(
        start <= size
        for start, size in zip(starts, tensor_type(inner.operands[0]).static_shape, strict=True)
    ):
        return None
    return b.emit(
        "slice",
        inner.operands[0],
        starts=tuple(starts),
        stops=tuple(stops),
        steps=tuple(steps),
    )


@rule("flip")
def flip_less(op: Operation, b: GraphEmitter) -> Value | None:
    """Axes of size 0 or 1 need not be flipped, and flipping an axis twice undoes itself."""
    (x,) = op.operands
    axes = {axis for axis in op.attributes["axes"] if _shape(x)[axis] not in (0, 1)}
    inner = made_by(x, "flip")
    if inner is not None:
        (x,) = inner.operands
        axes ^= set(inner.attributes["axes"])
    elif len(axes) == len(op.attributes["axes"]) and axes:
        return None
    return b.emit("flip", x, axes=tuple(sorted(axes))) if axes else x


# -------------------------------------------------------------------------- pad, concatenate


@rule("pad")
def pad_nothing(op: Operation, b: GraphEmitter) -> Value | None:
    """Widths of zero change nothing."""
    x, _ = op.operands
    return x if x.type == op.result.type else None


@rule("concatenate")
def concatenate_less(op: Operation, b: GraphEmitter) -> Value | None:
    """Operands without elements are left out; one operand needs no joining."""
    axis = op.attributes["axis"]
    kept = [x for x in op.operands if _shape(x)[axis] != 0] or [op.operands[0]]
    if len(kept) == 1:
        return kept[0]
    return b.emit("concatenate", *kept, axis=axis) if len(kept) < len(op.operands) else None


@rule("concatenate")
def concatenate_nested(op: Operation, b: GraphEmitter) -> Value | None:
    """A concatenation inside another along the same axis, used only there, is part of it."""
    axis = op.attributes["axis"]
    parts: list[Value] = []
    for x in op.operands:
        inner = made_by(x, "concatenate")
        if inner is not None and inner.attributes["axis"] == axis and len(x.uses) == 1:
            parts += inner.operands
        else:
            parts.append(x)
    return b.emit("concatenate", *parts, axis=axis) if len(parts) > len(op.operands) else None


@rule("concatenate")
def join_of_joined(op: Operation, b: GraphEmitter) -> Value | None:
    """Columns that are joined of parts alike, side by side: the parts side by side, then joined.

    So each part is stored where it ends, and not first in a column.
    """
    if op.attributes["axis"] != 1 or not has_fixed_sizes(op):
        return None
    if any(_shape(x) != (_shape(op.operands[0])[0], 1) for x in op.operands):
        return None
    columns = [_parts_of_column(x) for x in op.operands]
    lengths = next(([_shape(x)[0] for x in parts] for parts in columns if parts), None)
    if lengths is None:
        return None
    rows = []
    for x, parts in zip(op.operands, columns, strict=True):
        number = repeated_number(x)
        if number is not None:
            parts = [b.broadcast(number, (length,), ()) for length in lengths]
        if [_shape(part)[0] for part in parts] != lengths:
            return None
        rows.append(
            [b.reshape(part, (length, 1)) for part, length in zip(parts, lengths, strict=True)]
        )
    blocks = [b.emit("concatenate", *row, axis=1) for row in zip(*rows, strict=True)]
    return b.emit("concatenate", *blocks, axis=0)


def _parts_of_column(x: Value) -> list[Value]:
    """The vectors that a column is joined of, for nothing else; none where it is not."""
    column = made_by(x, "reshape")
    if column is None or len(x.uses) != 1:
        return []
    joined = made_by(column.operands[0], "concatenate")
    if joined is None or len(joined.result.uses) != 1 or tensor_type(joined.result).rank != 1:
        return []
    return list(joined.operands)


# ------------------------------------------------------------------------------- reductions


def reduce_ones(op: Operation, b: GraphEmitter) -> Value | None:
    """Reducing axes of size 1 is a reshape: the one element is the result, but 0 where a sum is
    of −0."""
    axes = op.attributes.get("axes")
    if not op.has(Trait.REDUCTION) or axes is None:
        return None
    (x,) = op.operands
    shape = _shape(x)
    ones = {axis for axis in axes if shape[axis] == 1}
    if not ones or x.type.dtype != op.result.type.dtype:
        return None
    kept = [axis for axis in range(len(shape)) if axis not in ones]
    squeezed = b.reshape(x, tuple(shape[axis] for axis in kept))
    rest = tuple(kept.index(axis) for axis in axes if axis not in ones)
    if not rest:
        return b.add(squeezed, b.zero(squeezed)) if _is_float_sum(op) else squeezed
    return b.builder.create(op.definition, (squeezed,), {"axes": rest}).result


def _is_float_sum(op: Operation) -> bool:
    return definition_of(op).combiner == "add" and bool(op.result.type.dtype.is_float)
