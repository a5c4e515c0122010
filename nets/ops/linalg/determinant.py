"""Determinants out of the factors that ``lu`` packs."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nets.ir.affine import Affine
from nets.ir.core import Trait, Value
from nets.ir.types import BufferType, TensorType, bool_, f32, f64
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.linalg.dependence import on_matrices
from nets.ops.linalg.drawing import distinct, factored
from nets.ops.linalg.lu import check_packed, factors_of, order_matrix, rows_of, solved
from nets.ops.linalg.masks import columns_of
from nets.ops.linalg.row_blocks import each
from nets.ops.linalg.shapes import batch_of, check_square, flat, product, side, swapped
from nets.ops.loop.lowering import Lowering, buffer_type

_TRAITS = Trait.PURE | Trait.KERNEL | Trait.FLOAT_ONLY


def _result(name: str) -> Callable[..., TensorType]:
    def infer(a: TensorType, packed: TensorType) -> TensorType:
        check_square(name, a)
        check_packed(name, a, packed)
        return a.with_shape(a.shape[:-2])

    return infer


_SAMPLES = [
    sample(distinct(f64, 3, 3), factored(f64, 5, 3)),
    sample(distinct(f32, 2, 3, 5, 5), factored(f32, 2, 3, 7, 5)),
    sample(distinct(f64, 2, 0, 0), factored(f64, 2, 2, 0)),
]


@op("lu_det", _TRAITS | Trait.EXACT)
class LUDet:
    """The determinant of matrices a[b…, n, n], out of what ``lu`` gives of them.

    The pivots one after the other, and the sign of the order of the rows. Derivatives are those by
    a, of matrices of rank n − 1 too where only the last pivot is 0; the factors have none here.
    """

    operands = ("a", "packed")
    batch = ITSELF
    samples = _SAMPLES
    infer = _result("lu_det")

    def evaluate(a: Array, packed: Array) -> Array:
        total = _signs(packed)
        for k in range(a.shape[-1]):
            total = total * packed[..., k, k]
        return total

    def footprint(f: Footprints, a: Footprint, packed: Footprint) -> Footprint:
        return on_matrices(f, a, a.shape[:-2])

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
    ) -> tuple[Callable[[], Value], None]:
        (_, packed), (ct,) = operands, cts
        assert ct is not None

        def of_a() -> Value:
            cofactors = _cofactors(b, packed)
            return b.mul(_in_each(b, ct, cofactors), cofactors)

        return of_a, None

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        (_, packed), (tangent, _) = operands, tangents
        if tangent is None:
            return [None]
        rank = tensor_type(tangent).rank
        return [b.sum(b.mul(_cofactors(b, packed), tangent), (rank - 2, rank - 1))]

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        _pivots(s, operands[1], results[0], is_logarithm=False)


@op("lu_log_det", _TRAITS)
class LULogDet:
    """log |det a| of matrices a[b…, n, n], out of what ``lu`` gives of them.

    The sum of the logarithms of the pivots, −∞ where one is 0. The derivative by a is a⁻ᵀ.
    """

    operands = ("a", "packed")
    batch = ITSELF
    samples = _SAMPLES
    infer = _result("lu_log_det")

    def evaluate(a: Array, packed: Array) -> Array:
        total = np.zeros(a.shape[:-2], a.dtype)
        for k in range(a.shape[-1]):
            total = total + np.log(np.abs(packed[..., k, k]))
        return total

    def footprint(f: Footprints, a: Footprint, packed: Footprint) -> Footprint:
        return on_matrices(f, a, a.shape[:-2])

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
    ) -> tuple[Callable[[], Value], None]:
        (a, packed), (ct,) = operands, cts
        assert ct is not None
        return (lambda: _inverse(b, a, packed, _in_each(b, ct, a)), None)

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        (a, packed), (tangent, _) = operands, tangents
        if tangent is None:
            return [None]
        rank = tensor_type(tangent).rank
        inverse = _inverse(b, a, packed, b.one(a))
        return [b.sum(b.mul(inverse, tangent), (rank - 2, rank - 1))]

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        _pivots(s, operands[1], results[0], is_logarithm=True)


def _signs(packed: Array) -> Array:
    """1 where an even number of rows changed places with others, −1 where an odd one did."""
    turns = packed[..., -1, :]
    count = (turns != np.arange(packed.shape[-1])).sum(-1)
    return np.asarray(1 - 2 * (count % 2), packed.dtype)


def _in_each(b: Emitter, ct: Value, matrices: Value) -> Value:
    """A number per matrix in each of its elements."""
    shape = tensor_type(matrices).shape
    return b.broadcast(ct, shape, range(len(shape) - 2))


def _inverse(b: Emitter, a: Value, packed: Value, factors: Value) -> Value:
    """a⁻ᵀ of each matrix times a number, which stands everywhere in ``factors``."""
    right = b.mul(_identity(b, a), factors)
    return b.emit("lu_solve", a, packed, right, transpose=True, refuses=False)


def _identity(b: Emitter, like: Value) -> Value:
    type = tensor_type(like)
    n, rank = type.shape[-1], type.rank
    eye = b.constant(np.eye(n if isinstance(n, int) else 0), type.dtype)
    return b.broadcast(eye, type.shape, (rank - 2, rank - 1))


def _cofactors(b: Emitter, packed: Value) -> Value:
    """det a · a⁻ᵀ = Pᵀ L⁻ᵀ (det U⁻ᵀ). Of U⁻ᵀ the last row alone is divided by the last pivot, so it
    is not, but multiplied by the others: that pivot may be 0."""
    square = factors_of(b, packed)
    *batch, _, _ = tensor_type(square).shape
    n = columns_of(square)
    if n == 0:
        return square
    rank = len(batch) + 2
    is_last = np.zeros((n, n), bool)
    is_last[-1, -1] = True
    last = b.broadcast(b.constant(is_last, bool_), (*batch, n, n), (rank - 2, rank - 1))
    upper = b.select(last, b.one(square), square)
    pivots = _diagonal(b, square)
    first, pivot = (_part(b, pivots, *ends) for ends in ((0, n - 1), (n - 1, n)))
    # Of factors whose pivots are 1, the determinant is the sign.
    eye = _identity(b, square)
    sign = b.emit("lu_det", eye, _packed_again(b, eye, packed))
    without = b.mul(sign, b.emit("reduce_prod", first, axes=(len(batch),)))
    half = solved(b, upper, _identity(b, square), upper=True, transpose=True)
    rows = np.zeros((n, n), bool)
    rows[-1] = True
    is_below = b.broadcast(b.constant(rows, bool_), (*batch, n, n), (rank - 2, rank - 1))
    det = b.mul(without, b.reshape(pivot, tuple(batch)))
    scale = b.select(is_below, _in_each(b, without, square), _in_each(b, det, square))
    whole = solved(b, square, b.mul(half, scale), upper=False, transpose=True)
    return product(b, swapped(b, order_matrix(b, packed)), whole)


def _diagonal(b: Emitter, square: Value) -> Value:
    *batch, n, _ = tensor_type(square).shape
    flat = b.reshape(square, (*batch, n * n))
    zeros, ones = (0,) * len(batch), (1,) * len(batch)
    stops = (*batch, n * n)
    steps = (*ones, columns_of(square) + 1)
    return b.emit("slice", flat, starts=(*zeros, 0), stops=stops, steps=steps)


def _part(b: Emitter, x: Value, start: int, stop: int) -> Value:
    """Elements along the last axis."""
    *batch, _ = tensor_type(x).shape
    return b.emit(
        "slice",
        x,
        starts=(*(0,) * len(batch), start),
        stops=(*batch, stop),
        steps=(1,) * (len(batch) + 1),
    )


def _packed_again(b: Emitter, square: Value, packed: Value) -> Value:
    """Other factors with the same order of rows."""
    *batch, rows, n = tensor_type(packed).shape
    return b.emit("concatenate", square, rows_of(b, packed, n, rows), axis=len(batch))


def _pivots(s: Lowering, packed: Value, out: Value, *, is_logarithm: bool) -> None:
    """The product of the pivots with the sign of the order, or the sum of their logarithms."""
    n, dtype, batch = side("lu_det", packed), packed.type.dtype, batch_of(packed)
    if buffer_type(out).elements == 0:
        return
    packed = flat(s, packed)
    result = s.view(out, BufferType((buffer_type(out).elements,), dtype))
    with each(s, batch) as number:
        first = number * ((n + 2) * n)
        start = s.const(0, dtype) if is_logarithm else _sign(s, packed, first + (n + 1) * n, n)
        pivots = s.for_(0, n, [start])
        with s.inside(pivots) as body:
            k, total = body.arguments
            pivot = s.load(packed, first + Affine.of(k) * (n + 1))
            if is_logarithm:
                s.yield_(s.add(total, s.math("log", s.unary("abs", pivot))))
            else:
                s.yield_(s.mul(total, pivot))
        s.store(pivots.results[0], result, number)


def _sign(s: Lowering, packed: Value, turns: Affine, n: int) -> Value:
    """By the number of rows that changed places with others."""
    dtype = packed.type.dtype
    rows = s.for_(0, n, [s.const(1, dtype)])
    with s.inside(rows) as body:
        k, sign = body.arguments
        other = s.load(packed, turns + Affine.of(k))
        stays = s.compare("eq", other, s.cast(k, dtype))
        s.yield_(s.select(stays, sign, s.unary("neg", sign)))
    return rows.results[0]
