"""Reductions: sum, prod, max, min, any, all over axes; argmax and argmin along one axis.

The reduced axes are dropped from the result. Each class gives ``combine``, the combiner of
``loop.reduce``; ``identity(dtype)``, the value that combining starts from; and ``exact(dtype)``,
whether native results equal the reference bit for bit. A floating-point sum or product is not
exact, for native code rounds along its lane tree; nor is a maximum of floats, because a tie of 0
and −0 may give either.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nets.errors import DTypeError, GradientError, ShapeError
from nets.ir.core import Trait, Value
from nets.ir.sizes import Size
from nets.ir.types import DType, Shape, TensorType, f32, f64, from_numpy, i64
from nets.ops.definition import samples as draw
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents

Axes = tuple[int, ...]

_PURE_REDUCTION = Trait.PURE | Trait.REDUCTION


def _reduced(name: str, x: TensorType, axes: Axes) -> TensorType:
    """The type without the axes, which must be distinct, ascending and there."""
    inside = all(0 <= axis < x.rank for axis in axes)
    if not axes or not inside or list(axes) != sorted(set(axes)):
        raise ShapeError(
            f"{name} of {x} needs ascending axes between 0 and {x.rank - 1}, not {axes}"
        )
    return x.with_shape(_without(x.shape, axes))


def _without(shape: Shape, axes: Axes) -> Shape:
    return tuple(dim for axis, dim in enumerate(shape) if axis not in axes)


def _not_bool(name: str, x: TensorType) -> TensorType:
    if x.dtype.is_bool:
        raise DTypeError(f"{name} takes numbers, not {x}; cast it first")
    return x


def _only_bool(name: str, x: TensorType) -> TensorType:
    if not x.dtype.is_bool:
        raise DTypeError(f"{name} takes bools, not {x}; compare it with 0 first")
    return x


def _not_empty(name: str, x: TensorType, axes: Axes) -> TensorType:
    result = _reduced(name, x, axes)
    for axis in axes:
        if x.shape[axis] == 0:
            raise ShapeError(f"{name} of {x} has no element to give: axis {axis} is empty")
    return result


def _extreme(
    reduce: Callable[..., Any], x: Array, axes: Axes, nothing: Callable[[DType], float]
) -> Array:
    """What NumPy gives; of an axis whose size turned out 0 when the function was called, what
    combining starts from."""
    if all(x.shape[axis] for axis in axes):
        return np.asarray(reduce(x, axis=axes))
    dtype = from_numpy(x.dtype)
    assert dtype is not None
    return np.full([n for i, n in enumerate(x.shape) if i not in axes], nothing(dtype), x.dtype)


def _one_axis(name: str, x: TensorType, axis: int) -> TensorType:
    return _not_empty(name, x, (axis,)).with_dtype(i64)


def _integer_bound(dtype: DType, which: str) -> int:
    if dtype.is_bool:
        return int(which == "max")
    return int(getattr(np.iinfo(dtype.numpy.name), which))


def _smallest(dtype: DType) -> float:
    return -math.inf if dtype.is_float else _integer_bound(dtype, "min")


def _largest(dtype: DType) -> float:
    return math.inf if dtype.is_float else _integer_bound(dtype, "max")


def _accumulate(ufunc: np.ufunc, x: Array, axes: Axes) -> Array:
    """Reduce in a wider float and round once; integers wrap around in their own dtype."""
    wider: dict[DType, type] = {f32: np.float64, f64: np.longdouble}
    dtype = next((wide for narrow, wide in wider.items() if narrow.numpy == x.dtype), x.dtype)
    return np.asarray(ufunc.reduce(x, axis=axes, dtype=dtype)).astype(x.dtype)


def _kept(x: Value, axes: Axes) -> Axes:
    return tuple(axis for axis in range(tensor_type(x).rank) if axis not in axes)


def _spread(b: Emitter, value: Value, x: Value, axes: Axes) -> Value:
    """Repeat ``value`` along the reduced axes of ``x``."""
    return b.broadcast(value, tensor_type(x).shape, _kept(x, axes))


@op("reduce_sum", _PURE_REDUCTION, attributes=("axes",))
class ReduceSum:
    """Sum over the axes, in the operand's dtype; integers wrap around; an empty sum is 0.

    Sums start from +0, so that none is −0, as in NumPy.
    """

    operands = ("x",)
    samples = [
        sample(draw.f32(3, 5), axes=(1,)),
        sample(draw.f32(4, 3, 7), axes=(0, 2)),
        sample(draw.f64(11), axes=(0,)),
        sample(draw.f64(0, 3), axes=(0,)),
        sample(draw.f32(3, 0), axes=(0,)),
        sample(draw.i32(3, 130, low=-2_000_000_000, high=2_000_000_000), axes=(1,)),
        sample(draw.u8(5, 7, high=255), axes=(0, 1)),
    ]
    combine = "add"

    def infer(x: TensorType, *, axes: Axes) -> TensorType:
        return _reduced("reduce_sum", _not_bool("reduce_sum", x), axes)

    def evaluate(x: Array, *, axes: Axes) -> Array:
        return _accumulate(np.add, x, axes)

    def identity(dtype: DType) -> float:
        return 0.0 if dtype.is_float else 0

    def exact(dtype: DType) -> bool:
        return not dtype.is_float

    def transpose(b: Emitter, ct: Value, x: Value, *, axes: Axes) -> tuple[Value]:
        return (_spread(b, ct, x, axes),)


@op("reduce_prod", _PURE_REDUCTION, attributes=("axes",))
class ReduceProd:
    """Product over the axes, in the operand's dtype; integers wrap around; an empty one is 1.

    The derivative multiplies the other elements rather than dividing by the element, so that it
    holds at zeros, to any order.
    """

    operands = ("x",)
    samples = [
        sample(draw.f32(3, 5), axes=(1,)),
        sample(draw.f64(2, 3, 4), axes=(0, 2)),
        sample(draw.f64(7), axes=(0,)),
        sample(draw.f64(2, 0), axes=(1,)),
        sample(draw.i16(3, 7), axes=(0,)),
        sample(draw.u64(3, 5), axes=(0, 1)),
    ]
    combine = "mul"

    def infer(x: TensorType, *, axes: Axes) -> TensorType:
        return _reduced("reduce_prod", _not_bool("reduce_prod", x), axes)

    def evaluate(x: Array, *, axes: Axes) -> Array:
        return _accumulate(np.multiply, x, axes)

    def identity(dtype: DType) -> float:
        return 1.0 if dtype.is_float else 1

    def exact(dtype: DType) -> bool:
        return not dtype.is_float

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value],
        *,
        axes: Axes,
    ) -> tuple[Value]:
        x, ct = b.cast(operands[0], cts[0].type.dtype), cts[0]
        return (b.mul(_spread(b, ct, x, axes), _products_of_others(b, x, axes)),)

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        axes: Axes,
    ) -> Tangents:
        (tangent,) = tangents
        assert tangent is not None
        return (b.sum(b.mul(tangent, _products_of_others(b, operands[0], axes)), axes),)


def _products_of_others(b: Emitter, x: Value, axes: Axes) -> Value:
    """Each element replaced by the product of the others of its reduction.

    The product is taken by halves, p = lo · hi; what an element of lo is multiplied by is then
    what p is multiplied by, times hi. That takes O(n) work without a division.
    """
    shape = tensor_type(x).shape
    order = (*_kept(x, axes), *axes)
    moved = b.transpose(x, order)
    count = math.prod(shape[axis] for axis in axes)
    if isinstance(count, Size):
        raise GradientError(
            "the gradient of a product takes it by halves, over a number of elements that is known "
            "when it is traced, not one that a call tells: take the logarithm of a product of "
            "positive numbers as a sum of logarithms"
        )
    rest = tuple(shape[axis] for axis in _kept(x, axes))
    others = _others_of_last_axis(b, b.reshape(moved, (*rest, count)))
    back = b.reshape(others, tensor_type(moved).shape)
    return b.transpose(back, tuple(int(place) for place in np.argsort(order)))


def _others_of_last_axis(b: Emitter, x: Value) -> Value:
    *rest, count = tensor_type(x).shape
    assert isinstance(count, int)
    if count == 0:
        return x
    size = 1 << (count - 1).bit_length()
    halves: list[tuple[Value, Value]] = []
    product = _pad_last(b, x, size - count)
    while size > 1:
        size //= 2
        lo, hi = _slice_last(b, product, 0, size), _slice_last(b, product, size, 2 * size)
        halves.append((lo, hi))
        product = b.mul(lo, hi)
    others = b.full((*rest, 1), 1, x.type.dtype)
    for lo, hi in reversed(halves):
        parts = (b.mul(others, hi), b.mul(others, lo))
        others = b.emit("concatenate", *parts, axis=len(rest))
    return _slice_last(b, others, 0, count)


def _pad_last(b: Emitter, x: Value, count: int) -> Value:
    """Append ``count`` ones to the last axis."""
    if count == 0:
        return x
    rank = tensor_type(x).rank
    high = (*(0 for _ in range(rank - 1)), count)
    return b.emit("pad", x, b.constant(1, x.type.dtype), low=(0,) * rank, high=high)


def _slice_last(b: Emitter, x: Value, start: int, stop: int) -> Value:
    shape = tensor_type(x).shape
    if (start, stop) == (0, shape[-1]):
        return x
    starts = (*(0 for _ in shape[:-1]), start)
    return b.emit("slice", x, starts=starts, stops=(*shape[:-1], stop), steps=(1,) * len(shape))


def _extreme_vjp(
    b: Emitter,
    operands: Sequence[Value],
    results: Sequence[Value],
    cts: Sequence[Value],
    *,
    axes: Axes,
) -> tuple[Value]:
    """The cotangent in equal shares to the elements that equal the result, or are NaN as it is."""
    (x,), (result,), (ct,) = operands, results, cts
    hit = _hit(b, x, result, axes)
    share = b.div(ct, b.sum(b.cast(hit, ct.type.dtype), axes))
    spread = _spread(b, share, x, axes)
    return (b.select(hit, spread, b.zero(spread)),)


def _extreme_jvp(
    b: Emitter,
    operands: Sequence[Value],
    results: Sequence[Value],
    tangents: Tangents,
    *,
    axes: Axes,
) -> Tangents:
    """The mean of the tangents of the elements that equal the result, or are NaN as it is."""
    (x,), (result,), (tangent,) = operands, results, tangents
    assert tangent is not None
    hit = _hit(b, x, result, axes)
    total = b.sum(b.select(hit, tangent, b.zero(tangent)), axes)
    return (b.div(total, b.sum(b.cast(hit, tangent.type.dtype), axes)),)


def _hit(b: Emitter, x: Value, result: Value, axes: Axes) -> Value:
    """Which elements of x equal the extreme one of their reduction, or are NaN as it is."""
    hit = b.compare("equal", x, _spread(b, result, x, axes))
    if tensor_type(x).dtype.is_float:
        hit = b.emit("bitwise_or", hit, b.compare("not_equal", x, x))
    return hit


@op("reduce_max", _PURE_REDUCTION, attributes=("axes",))
class ReduceMax:
    """Largest element over the axes; a NaN wins. Reducing an empty axis is an error.

    Elements that tie share the cotangent equally, several NaN as well.
    """

    operands = ("x",)
    samples = [
        sample(draw.f32(3, 5), axes=(1,)),
        sample(draw.f64(4, 3, 2), axes=(0, 1)),
        sample(draw.f64(7), axes=(0,)),
        sample(draw.f32(3, 0), axes=(0,)),
        sample(draw.i8(3, 7), axes=(1,)),
        sample(draw.u32(3, 7), axes=(0, 1)),
        sample(draw.boolean(3, 7), axes=(0,)),
    ]
    combine = "max"

    def infer(x: TensorType, *, axes: Axes) -> TensorType:
        return _not_empty("reduce_max", x, axes)

    def evaluate(x: Array, *, axes: Axes) -> Array:
        return _extreme(np.max, x, axes, _smallest)

    def identity(dtype: DType) -> float:
        return _smallest(dtype)

    def exact(dtype: DType) -> bool:
        return not dtype.is_float

    vjp = _extreme_vjp
    jvp = _extreme_jvp


@op("reduce_min", _PURE_REDUCTION, attributes=("axes",))
class ReduceMin:
    """Smallest element over the axes; a NaN wins. Reducing an empty axis is an error.

    Elements that tie share the cotangent equally, several NaN as well.
    """

    operands = ("x",)
    samples = [
        sample(draw.f32(3, 5), axes=(1,)),
        sample(draw.f64(4, 3, 2), axes=(0, 1)),
        sample(draw.f64(7), axes=(0,)),
        sample(draw.f32(3, 0), axes=(0,)),
        sample(draw.i64(3, 7), axes=(1,)),
        sample(draw.u16(3, 7), axes=(0, 1)),
        sample(draw.boolean(3, 7), axes=(0,)),
    ]
    combine = "min"

    def infer(x: TensorType, *, axes: Axes) -> TensorType:
        return _not_empty("reduce_min", x, axes)

    def evaluate(x: Array, *, axes: Axes) -> Array:
        return _extreme(np.min, x, axes, _largest)

    def identity(dtype: DType) -> float:
        return _largest(dtype)

    def exact(dtype: DType) -> bool:
        return not dtype.is_float

    vjp = _extreme_vjp
    jvp = _extreme_jvp


@op("reduce_any", _PURE_REDUCTION | Trait.EXACT, attributes=("axes",))
class ReduceAny:
    """Whether an element over the axes is true; false over none."""

    operands = ("x",)
    samples = [
        sample(draw.boolean(3, 5), axes=(1,)),
        sample(draw.boolean(2, 3, 4), axes=(0, 2)),
        sample(draw.boolean(0), axes=(0,)),
    ]
    combine = "or"
    no_derivative = "its result is a bool"

    def infer(x: TensorType, *, axes: Axes) -> TensorType:
        return _reduced("reduce_any", _only_bool("reduce_any", x), axes)

    def evaluate(x: Array, *, axes: Axes) -> Array:
        return np.asarray(np.any(x, axis=axes))

    def identity(dtype: DType) -> int:
        return 0


@op("reduce_all", _PURE_REDUCTION | Trait.EXACT, attributes=("axes",))
class ReduceAll:
    """Whether every element over the axes is true; true over none."""

    operands = ("x",)
    samples = [
        sample(draw.boolean(3, 5), axes=(1,)),
        sample(draw.boolean(2, 3, 4), axes=(0, 2)),
        sample(draw.boolean(0), axes=(0,)),
    ]
    combine = "and"
    no_derivative = "its result is a bool"

    def infer(x: TensorType, *, axes: Axes) -> TensorType:
        return _reduced("reduce_all", _only_bool("reduce_all", x), axes)

    def evaluate(x: Array, *, axes: Axes) -> Array:
        return np.asarray(np.all(x, axis=axes))

    def identity(dtype: DType) -> int:
        return 1


@op("argmax", _PURE_REDUCTION | Trait.EXACT, attributes=("axis",))
class ArgMax:
    """Position (i64) of the largest element along the axis: the first one; a NaN counts as it."""

    operands = ("x",)
    samples = [
        sample(draw.f32(3, 5), axis=1),
        sample(draw.f64(7), axis=0),
        sample(draw.f32(0, 3), axis=1),
        sample(draw.i32(3, 5, 2), axis=1),
        sample(draw.boolean(5, 3), axis=0),
    ]
    combine = "argmax"
    no_derivative = "its result is a position"

    def infer(x: TensorType, *, axis: int) -> TensorType:
        return _one_axis("argmax", x, axis)

    def evaluate(x: Array, *, axis: int) -> Array:
        return np.asarray(np.argmax(x, axis=axis), dtype=np.int64)

    def identity(dtype: DType) -> float:
        return _smallest(dtype)


@op("argmin", _PURE_REDUCTION | Trait.EXACT, attributes=("axis",))
class ArgMin:
    """Position (i64) of the smallest element along the axis: the first one; a NaN counts as it."""

    operands = ("x",)
    samples = [
        sample(draw.f32(3, 5), axis=1),
        sample(draw.f64(7), axis=0),
        sample(draw.f32(0, 3), axis=1),
        sample(draw.u8(3, 5, 2), axis=1),
        sample(draw.boolean(5, 3), axis=0),
    ]
    combine = "argmin"
    no_derivative = "its result is a position"

    def infer(x: TensorType, *, axis: int) -> TensorType:
        return _one_axis("argmin", x, axis)

    def evaluate(x: Array, *, axis: int) -> Array:
        return np.asarray(np.argmin(x, axis=axis), dtype=np.int64)

    def identity(dtype: DType) -> float:
        return _largest(dtype)
