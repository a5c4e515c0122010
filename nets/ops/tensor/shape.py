"""Shapes: broadcast, reshape, transpose, flip, and iota, which counts along an axis.

None of them computes: each result element is an element of an operand, found by its index.
Dimensions may be sizes that a call tells, which ``size_of`` gives as numbers.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.affine import Affine, linear
from nets.ir.core import Trait, Value
from nets.ir.estimates import about
from nets.ir.sizes import Dim, equal
from nets.ir.types import DType, Shape, TensorType, f32, f64, i8, i64, index
from nets.ops.definition import samples as draw
from nets.ops.definition.attributes import Places
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.loop.lowering import Lowering

Axes = tuple[int, ...]
Index = tuple[Affine, ...]

_REINDEXING = Trait.PURE | Trait.INDEXING | Trait.EXACT


def _ascending(name: str, axes: Axes, rank: int, what: str) -> None:
    inside = all(0 <= axis < rank for axis in axes)
    if not inside or list(axes) != sorted(set(axes)):
        raise ShapeError(f"{name} needs ascending axes of {what}, not {axes}")


def _not_negative(name: str, shape: Shape) -> None:
    if any(isinstance(dim, int) and dim < 0 for dim in shape):
        raise ShapeError(f"{name} to shape {shape}: a dimension is negative")


# ------------------------------------------------------------------------------ broadcast


@op("broadcast", _REINDEXING, attributes=("shape", "axes"), implied=("shape",))
class Broadcast:
    """x repeated to ``shape``: its axis i becomes axis ``axes[i]``, ascending; others repeat.

    An axis of x has the size of the axis it becomes, or size 1 and repeats.
    """

    operands = ("x",)
    batch = ITSELF
    samples = [
        sample(draw.f32(3), shape=(2, 3), axes=(1,)),
        sample(draw.f64(), shape=(2, 3), axes=()),
        sample(draw.f64(3, 1), shape=(3, 4, 5), axes=(0, 1)),
        sample(draw.f32(1, 2), shape=(1, 2), axes=(0, 1)),
        sample(draw.f32(1), shape=(3, 0), axes=(1,)),
        sample(draw.i8(5), shape=(5, 7), axes=(0,)),
        sample(draw.boolean(3), shape=(3, 2), axes=(0,)),
    ]

    kinds = {"axes": Places()}

    def infer(x: TensorType, *, shape: Shape, axes: Axes) -> TensorType:
        result = x.with_shape(shape)
        _not_negative("broadcast", shape)
        if len(axes) != x.rank:
            raise ShapeError(f"broadcast of {x} needs {x.rank} axes, not {axes}")
        _ascending("broadcast", axes, len(shape), str(result))
        for dim, axis in zip(x.shape, axes, strict=True):
            if dim not in (1, shape[axis]):
                raise ShapeError(f"broadcast of {x} to {result}: axis {axis} has size {dim} in x")
        return result

    def evaluate(x: Array, *, shape: tuple[int, ...], axes: Axes) -> Array:
        aligned = [1] * len(shape)
        for dim, axis in zip(x.shape, axes, strict=True):
            aligned[axis] = dim
        return np.array(np.broadcast_to(x.reshape(aligned), shape), order="C")

    def transpose(b: Emitter, ct: Value, x: Value, *, shape: Shape, axes: Axes) -> tuple[Value]:
        source = tensor_type(x).shape
        same = {axis for dim, axis in zip(source, axes, strict=True) if dim == shape[axis]}
        repeated = tuple(axis for axis in range(len(shape)) if axis not in same)
        return (b.reshape(b.sum(ct, repeated), source),)

    def footprint(f: Footprints, x: Footprint, *, shape: Shape, axes: Axes) -> Footprint:
        return f.broadcast(x, shape, axes)

    def lower(s: Lowering, index: Index, x: Value, *, shape: Shape, axes: Axes) -> Value:
        source = tensor_type(x).shape
        picked = (
            Affine() if dim == 1 else index[axis] for dim, axis in zip(source, axes, strict=True)
        )
        return s.read(x, tuple(picked))


# -------------------------------------------------------------------------------- reshape


@op("reshape", _REINDEXING | Trait.ALIAS, attributes=("shape",), implied=("shape",))
class Reshape:
    """The elements of x in the same (row-major) order under another shape of the same size.

    Sizes of a call that are not known to be equal may be so by a requirement of the function: this
    op alone changes one of them for the other.
    """

    operands = ("x",)
    batch = ITSELF
    samples = [
        sample(draw.f32(3, 4), shape=(2, 6)),
        sample(draw.f64(), shape=(1, 1)),
        sample(draw.f64(2, 3, 5), shape=(6, 5)),
        sample(draw.f32(1), shape=()),
        sample(draw.f32(0, 3), shape=(5, 0)),
        sample(draw.i32(4, 3, 7), shape=(2, 42)),
        sample(draw.boolean(6), shape=(3, 2)),
    ]

    def infer(x: TensorType, *, shape: Shape) -> TensorType:
        result = x.with_shape(shape)
        _not_negative("reshape", shape)
        if equal(x.elements, result.elements, {}) is False:
            raise ShapeError(f"reshape of {x} to {result}: the numbers of elements differ")
        return result

    def evaluate(x: Array, *, shape: tuple[int, ...]) -> Array:
        return np.array(x.reshape(shape), order="C")

    def transpose(b: Emitter, ct: Value, x: Value, *, shape: Shape) -> tuple[Value]:
        return (b.reshape(ct, tensor_type(x).shape),)

    def footprint(f: Footprints, x: Footprint, *, shape: Shape) -> Footprint:
        return f.reshape(x, shape)

    def lower(s: Lowering, index: Index, x: Value, *, shape: Shape) -> Value:
        """Divides only where dimensions are split otherwise than by size 1."""
        return s.read(x, _reindexed(s, index, shape, tensor_type(x).shape))


def _reindexed(s: Lowering, index: Index, shape: Shape, source: Shape) -> Index:
    """Where the element at ``index`` of ``shape`` stands in ``source``.

    Both shapes are cut into the shortest runs of dimensions with equal products, as far as these
    are known: what is left are the leading dimensions, whose products are equal in a call.
    """
    places = [Affine()] * len(source)
    if 0 in shape:
        return tuple(places)
    old = [axis for axis, dim in enumerate(source) if dim != 1]
    new = [axis for axis, dim in enumerate(shape) if dim != 1]
    while old and new:
        from_axes, to_axes = [new.pop()], [old.pop()]
        while (have := _product(shape, from_axes)) != (need := _product(source, to_axes)):
            if new and (about(have) < about(need) or not old):
                from_axes.insert(0, new.pop())
            elif old:
                to_axes.insert(0, old.pop())
            else:
                break
        offset = linear(
            tuple(index[axis] for axis in from_axes), tuple(shape[axis] for axis in from_axes)
        )
        for axis, place in zip(to_axes, _split(s, offset, source, to_axes), strict=True):
            places[axis] = place
    return tuple(places)


def _product(shape: Shape, axes: Sequence[int]) -> Dim:
    return math.prod(shape[axis] for axis in axes)


def _split(s: Lowering, offset: Affine, source: Shape, axes: Sequence[int]) -> list[Affine]:
    """The index along each of the axes of the element at ``offset`` of them together."""
    if len(axes) == 1:
        return [offset]
    rest, places = s.index(offset), list[Affine]()
    for axis in reversed(axes[1:]):
        size = s.const(source[axis], index)
        places.insert(0, Affine.of(s.binary("rem", rest, size)))
        rest = s.binary("div", rest, size)
    return [Affine.of(rest), *places]


# --------------------------------------------------------------------- transpose and flip


@op("transpose", _REINDEXING, attributes=("axes",))
class Transpose:
    """x with its axes in another order: axis i of the result is axis ``axes[i]`` of x."""

    operands = ("x",)
    batch = ITSELF
    samples = [
        sample(draw.f32(3, 5), axes=(1, 0)),
        sample(draw.f64(2, 3, 4), axes=(2, 0, 1)),
        sample(draw.f64(), axes=()),
        sample(draw.f32(0, 3), axes=(1, 0)),
        sample(draw.u16(2, 3, 1, 5), axes=(3, 1, 2, 0)),
        sample(draw.boolean(3, 5), axes=(1, 0)),
    ]

    kinds = {"axes": Places()}

    def infer(x: TensorType, *, axes: Axes) -> TensorType:
        if sorted(axes) != list(range(x.rank)):
            raise ShapeError(f"transpose of {x} needs an order of its {x.rank} axes, not {axes}")
        return x.with_shape(tuple(x.shape[axis] for axis in axes))

    def evaluate(x: Array, *, axes: Axes) -> Array:
        return np.array(np.transpose(x, axes), order="C")

    def transpose(b: Emitter, ct: Value, x: Value, *, axes: Axes) -> tuple[Value]:
        return (b.transpose(ct, tuple(sorted(range(len(axes)), key=axes.__getitem__))),)

    def stacked(b: Emitter, x: Value, *, axes: Axes) -> Value:
        return b.transpose(x, (0, *(axis + 1 for axis in axes)))

    def footprint(f: Footprints, x: Footprint, *, axes: Axes) -> Footprint:
        return f.transpose(x, axes)

    def lower(s: Lowering, index: Index, x: Value, *, axes: Axes) -> Value:
        places = [Affine()] * len(axes)
        for place, axis in zip(index, axes, strict=True):
            places[axis] = place
        return s.read(x, tuple(places))


@op("flip", _REINDEXING, attributes=("axes",))
class Flip:
    """x with the order of its elements reversed along each of the axes (ascending)."""

    operands = ("x",)
    batch = ITSELF
    samples = [
        sample(draw.f32(3, 5), axes=(1,)),
        sample(draw.f64(2, 3, 4), axes=(0, 2)),
        sample(draw.f64(), axes=()),
        sample(draw.f32(0, 3), axes=(0,)),
        sample(draw.i64(7), axes=(0,)),
    ]

    def infer(x: TensorType, *, axes: Axes) -> TensorType:
        _ascending("flip", axes, x.rank, str(x))
        return x

    def evaluate(x: Array, *, axes: Axes) -> Array:
        return np.array(np.flip(x, axes), order="C")

    def transpose(b: Emitter, ct: Value, x: Value, *, axes: Axes) -> tuple[Value]:
        return (b.emit("flip", ct, axes=axes),)

    def footprint(f: Footprints, x: Footprint, *, axes: Axes) -> Footprint:
        return f.flip(x, axes)

    def lower(s: Lowering, index: Index, x: Value, *, axes: Axes) -> Value:
        places = list(index)
        for axis in axes:
            places[axis] = -index[axis] + (tensor_type(x).shape[axis] - 1)
        return s.read(x, tuple(places))


# ----------------------------------------------------------------------------------- iota


@op("iota", _REINDEXING, attributes=("shape", "dtype", "axis"), implied=("shape", "dtype"))
class Iota:
    """0, 1, 2, … along ``axis``, the same along the others; integers wrap around."""

    operands = ()
    samples = [
        sample(shape=(5,), dtype=i64, axis=0),
        sample(shape=(2, 3, 4), dtype=f32, axis=1),
        sample(shape=(3, 0), dtype=f64, axis=1),
        sample(shape=(300,), dtype=i8, axis=0),
    ]
    no_derivative = "it has no operands"

    def infer(*, shape: Shape, dtype: DType, axis: int) -> TensorType:
        result = TensorType(shape, dtype)
        _not_negative("iota", shape)
        if dtype.is_bool:
            raise DTypeError(f"iota counts in numbers, not in {dtype}")
        if not 0 <= axis < result.rank:
            raise ShapeError(f"iota of {result} has no axis {axis}")
        return result

    def evaluate(*, shape: tuple[int, ...], dtype: DType, axis: int) -> Array:
        counts = np.arange(shape[axis]).astype(dtype.numpy)
        aligned = counts.reshape([-1 if i == axis else 1 for i in range(len(shape))])
        return np.array(np.broadcast_to(aligned, shape), order="C")

    def lower(s: Lowering, index: Index, *, shape: Shape, dtype: DType, axis: int) -> Value:
        return s.cast(s.index(index[axis]), dtype)


# --------------------------------------------------------------------------- sizes of a call


@op(
    "size_of",
    _REINDEXING,
    attributes=("size", "dtype"),
    implied=("dtype",),
)
class SizeOf:
    """The size that a call tells, as a number: what NumPy makes of that integer."""

    operands = ()
    samples = [sample(size=7, dtype=i64), sample(size=2**24 + 1, dtype=f32)]
    no_derivative = "it has no operands"

    def infer(*, size: Dim, dtype: DType) -> TensorType:
        return TensorType((), dtype)

    def evaluate(*, size: int, dtype: DType) -> Array:
        return np.array(np.array(size, np.int64).astype(dtype.numpy))

    def lower(s: Lowering, index: Index, *, size: Dim, dtype: DType) -> Value:
        return s.cast(s.index(size), dtype)
