"""Contractions: matmul of stacks of matrices."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.affine import Affine
from nets.ir.core import Trait, Value
from nets.ir.estimates import about, elements_about
from nets.ir.sizes import Dim
from nets.ir.types import BufferType, DType, TensorType
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import IN_EACH
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints, nonzero
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.stacks import each_repeated, merged, parted
from nets.ops.loop.lowering import Lowering, buffer_type, fill_zero


@op("matmul", Trait.PURE | Trait.KERNEL)
class MatMul:
    """Matrix product over the last two axes: x[b…, m, k] and y[b…, k, n] give [b…, m, n].

    The leading (batch) axes are equal. Integers wrap around; for bools the result tells whether
    any of the k pairs is true. An empty sum (k = 0) is 0. Floats accumulate in the order of k
    (numerics.md, 5); integers and bools are exact.
    """

    operands = ("x", "y")
    forward = IN_EACH
    samples = [
        sample(draw.f32(3, 5), draw.f32(5, 4)),
        sample(draw.f64(2, 3, 4), draw.f64(2, 4, 5)),
        sample(draw.f64(2, 1, 1, 3), draw.f64(2, 1, 3, 1)),
        sample(draw.f32(3, 0), draw.f32(0, 2)),
        sample(draw.f64(0, 3), draw.f64(3, 2)),
        sample(draw.i32(3, 7), draw.i32(7, 2)),
        sample(draw.u8(2, 3, 5, high=255), draw.u8(2, 5, 3, high=255)),
        sample(draw.boolean(3, 4), draw.boolean(4, 5)),
    ]

    def infer(x: TensorType, y: TensorType) -> TensorType:
        if x.dtype != y.dtype:
            raise DTypeError(f"matmul needs one dtype, not {x} and {y}")
        if x.rank < 2 or x.rank != y.rank:
            raise ShapeError(f"matmul needs equal ranks of at least 2, not {x} and {y}")
        if x.shape[:-2] != y.shape[:-2]:
            raise ShapeError(f"matmul of {x} and {y}: the batch dimensions differ")
        if x.shape[-1] != y.shape[-2]:
            raise ShapeError(
                f"matmul of {x} and {y}: rows of {x.shape[-1]} elements meet columns of "
                f"{y.shape[-2]}"
            )
        return x.with_shape((*x.shape[:-1], y.shape[-1]))

    def flops(x: TensorType, y: TensorType) -> int:
        return 2 * elements_about(x) * about(y.shape[-1])

    def leading(x: TensorType, y: TensorType) -> int:
        """Leading axes along which each entry of the result is made of that of each operand."""
        return x.rank - 2

    def evaluate(x: Array, y: Array) -> Array:
        if x.dtype == np.float32:
            wide = np.matmul(x, y, dtype=np.float64)
            return np.asarray(wide, dtype=np.float32)
        return np.asarray(np.matmul(x, y))

    def exact(dtype: DType) -> bool:
        return not dtype.is_float

    def vjp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], cts: Sequence[Value]
    ) -> tuple[Callable[[], Value], Callable[[], Value]]:
        (x, y), (ct,) = operands, cts
        return (
            lambda: b.emit("matmul", ct, _swapped(b, y, ct.type.dtype)),
            lambda: b.emit("matmul", _swapped(b, x, ct.type.dtype), ct),
        )

    def footprint(f: Footprints, x: Footprint, y: Footprint) -> Footprint:
        """Rows of x and columns of y; of a matrix that is known, what is not zero."""
        *batch, m, k = x.shape
        n, rank = y.shape[-1], len(x.shape)
        shape, axes = (*batch, m, n), tuple(range(rank))
        of_x = f.broadcast(f.reduce(x, axes[-1:]), shape, axes[:-1])
        of_y = f.broadcast(f.reduce(y, axes[-2:-1]), shape, (*axes[:-2], rank - 1))
        if (of := _nonzeros(y)) is not None:
            matrix, at, column = of
            rows = (matrix * m)[:, None] + np.arange(m)
            of_x = f.link(x, shape, rows * n + column[:, None], rows * k + at[:, None])
        if (of := _nonzeros(x)) is not None:
            matrix, row, at = of
            columns, targets, sources = np.arange(n), matrix * m + row, matrix * k + at
            of_y = f.link(y, shape, targets[:, None] * n + columns, sources[:, None] * n + columns)
        return f.union(of_x, of_y)

    def stack(
        b: Emitter, operands: Sequence[Value], stacked: Sequence[bool], size: Dim
    ) -> tuple[Value]:
        """Matrices that all examples have in common are multiplied by the rows of all of them.

        An element is the sum of the same products in the same order whatever stands beside it.
        """
        x, y = operands
        if all(stacked) or tensor_type(x).rank > 2 + stacked[0]:
            return (b.emit("matmul", *each_repeated(b, operands, stacked, size)),)
        if stacked[0]:
            rows = tensor_type(x).shape[1]
            return (parted(b, b.emit("matmul", merged(b, x), y), size, rows),)
        columns = tensor_type(y).shape[2]
        turned = b.emit("matmul", merged(b, _swap_last(b, y)), _swap_last(b, x))
        return (_swap_last(b, parted(b, turned, size, columns)),)

    def total(b: Emitter, x: Value, y: Value) -> Value:
        """One product over the steps and k together, [b…, m, steps · k] and [b…, steps · k, n]."""
        return b.emit("matmul", _swap_last(b, _joined(b, _swap_last(b, x))), _joined(b, y))

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        """``loop.gemm`` for floats; plain loops for the rest."""
        x, y, out = (_as_batch(s, buffer) for buffer in (*operands, *results))
        if buffer_type(out).elements == 0:
            return
        if buffer_type(x).elements == 0:
            fill_zero(s, out)
        elif out.type.dtype.is_float:
            s.emit("gemm", x, y, out, transpose_x=False, transpose_y=False)
        else:
            _exact_loops(s, x, y, out)


def _nonzeros(x: Footprint) -> tuple[Array, ...] | None:
    """The numbers of matrix, row and column of what is not zero in known matrices; None where
    nothing is."""
    mask = nonzero(x)
    if mask is None or mask.all() or mask.ndim != len(x.shape):
        return None
    full = np.broadcast_to(mask, x.shape)
    return np.nonzero(full.reshape(math.prod(x.shape[:-2]), *x.shape[-2:]))


def _joined(b: Emitter, x: Value) -> Value:
    """[steps, b…, k, n] as [b…, steps · k, n]."""
    steps, *batch, k, n = tensor_type(x).static_shape
    inner = len(batch)
    moved = b.transpose(x, (*range(1, 1 + inner), 0, inner + 1, inner + 2))
    return b.reshape(moved, (*batch, steps * k, n))


def _swap_last(b: Emitter, x: Value) -> Value:
    rank = tensor_type(x).rank
    return b.transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def _swapped(b: Emitter, x: Value, dtype: DType) -> Value:
    """The matrices transposed, in the dtype of the cotangent."""
    return _swap_last(b, b.cast(x, dtype))


def _as_batch(s: Lowering, buffer: Value) -> Value:
    """The buffer as batch × rows × columns."""
    shape = buffer_type(buffer).shape
    return s.view(buffer, BufferType((math.prod(shape[:-2]), *shape[-2:]), buffer.type.dtype))


def _exact_loops(s: Lowering, x: Value, y: Value, out: Value) -> None:
    """Each row of the result is a sum of rows of y, accumulated in place, in the order of k.

    The innermost loop runs along a row and has no dependence between iterations.
    """
    batch, m, n = buffer_type(out).shape
    k = buffer_type(x).shape[-1]
    rows = s.parallel(0, batch * m)
    with s.inside(rows) as body:
        row = body.arguments[0]
        start = Affine.of(row) * n
        matrix = s.binary("div", row, s.index(m)) if batch != 1 else None
        of_y = Affine.of(matrix) * (k * n) if matrix is not None else Affine()
        first = s.for_(0, n)
        with s.inside(first) as columns:
            s.store(s.const(0, out.type.dtype), out, start + Affine.of(columns.arguments[0]))
            s.yield_()
        terms = s.for_(0, k)
        with s.inside(terms) as inner:
            term = inner.arguments[0]
            factor = s.load(x, Affine.of(row) * k + Affine.of(term))
            _add_row(s, factor, y, of_y + Affine.of(term) * n, out, start)
            s.yield_()
        s.yield_()


def _add_row(s: Lowering, factor: Value, y: Value, of_y: Affine, out: Value, start: Affine) -> None:
    multiply, add = ("and", "or") if out.type.dtype.is_bool else ("mul", "add")
    loop = s.for_(0, buffer_type(out).shape[-1])
    with s.inside(loop) as body:
        column = Affine.of(body.arguments[0])
        product = s.binary(multiply, factor, s.load(y, of_y + column))
        s.store(s.binary(add, s.load(out, start + column), product), out, start + column)
        s.yield_()
