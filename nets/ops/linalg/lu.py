"""Triangular factors by elimination, and the systems that they solve."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from nets.errors import ShapeError
from nets.ir.core import Trait, Value
from nets.ir.estimates import about, elements_about
from nets.ir.sizes import Dim
from nets.ir.types import TensorType, f32, f64
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.linalg import lu_loops, lu_solve_loops
from nets.ops.linalg.columns import stack_of_systems
from nets.ops.linalg.dependence import on_matrices, on_system
from nets.ops.linalg.drawing import distinct, factored
from nets.ops.linalg.exchange import exchanged
from nets.ops.linalg.masks import columns_of, strictly_lower, upper_triangle
from nets.ops.linalg.shapes import check_square, check_system, product, swapped
from nets.ops.linalg.triangular import substituted
from nets.ops.loop.lowering import Lowering


@op("lu", Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY)
class LU:
    """Factors of matrices x[b…, n, n], packed as [b…, n + 2, n]: U and, below its diagonal, L
    without its ones; and, as numbers of the dtype, the row of x that each row of L U is, and the
    row that each row changed places with in its turn.

    Elimination with partial pivoting: of the largest elements of a column, the first (Golub and Van
    Loan, 2013, "Matrix computations", 3.4.1). Elements are less their products with the rows above,
    in the order of these. Where a pivot is 0, so is all below it, which stays.
    """

    operands = ("x",)
    native_from = 131072
    batch = ITSELF
    samples = [
        distinct(f64, 3, 3),
        distinct(f64, 2, 5, 5),
        distinct(f32, 2, 3, 1, 1),
        distinct(f32, 0, 3, 3),
        distinct(f64, 2, 0, 0),
        distinct(f64, 11, 11),
    ]

    def infer(x: TensorType) -> TensorType:
        check_square("lu", x)
        return packed_type(x)

    def flops(x: TensorType) -> int:
        return elements_about(x) * about(x.shape[-1])

    def evaluate(x: Array) -> Array:
        *batch, n, _ = x.shape
        numbers = np.broadcast_to(np.arange(n, dtype=x.dtype), (*batch, n))[..., None]
        rows = np.concatenate([x, numbers], axis=-1).reshape(math.prod(batch), n, n + 1)
        matrices, turns = np.arange(len(rows)), np.empty((len(rows), n), x.dtype)
        for k in range(n):
            size = np.abs(rows[:, k:, k])
            size[np.isnan(size)] = -1
            size[np.isnan(rows[:, k, k]), 0] = np.inf
            pivots = k + np.argmax(size, axis=1)
            turns[:, k] = pivots
            chosen = rows[matrices, pivots]
            rows[matrices, pivots] = rows[:, k]
            rows[:, k] = chosen
            pivot = np.where(rows[:, k, k] == 0, 1, rows[:, k, k])
            rows[:, k + 1 :, k] /= pivot[:, None]
            rest = rows[:, k + 1 :, k, None] * rows[:, k, None, k + 1 : n]
            rows[:, k + 1 :, k + 1 : n] -= rest
        parts = [rows[:, :, :n], rows[:, None, :, n], turns[:, None]]
        return np.concatenate(parts, axis=1).reshape(*batch, n + 2, n)

    def footprint(f: Footprints, x: Footprint) -> Footprint:
        *batch, n, _ = x.shape
        return on_matrices(f, x, (*batch, n + 2, n))

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
    ) -> tuple[Callable[[], Value]]:
        """Pᵀ L⁻ᵀ (tril(Lᵀ L̄, −1) + triu(Ū Uᵀ)) U⁻ᵀ (Murray, 2016, "Differentiation of the Cholesky
        decomposition", has the Cholesky case of it)."""
        (packed,), (ct,) = results, cts
        assert ct is not None

        def cotangent() -> Value:
            square, bar = factors_of(b, packed), factors_of(b, ct)
            lower, upper = unit_lower(b, square), upper_triangle(b, square)
            of_lower, of_upper = strictly_lower(b, bar), upper_triangle(b, bar)
            inner = b.add(
                strictly_lower(b, product(b, swapped(b, lower), of_lower)),
                upper_triangle(b, product(b, of_upper, swapped(b, upper))),
            )
            left = solved(b, square, inner, upper=False, transpose=True)
            # X U⁻ᵀ is the transpose of U⁻¹ Xᵀ.
            both = swapped(b, solved(b, square, swapped(b, left), upper=True, transpose=False))
            return product(b, swapped(b, order_matrix(b, packed)), both)

        return (cotangent,)

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        """L tril(F, −1) + triu(F) U for F = L⁻¹ P ẋ U⁻¹."""
        (packed,), (tangent,) = results, tangents
        assert tangent is not None
        square = factors_of(b, packed)
        lower, upper = unit_lower(b, square), upper_triangle(b, square)
        ordered = product(b, order_matrix(b, packed), tangent)
        left = solved(b, square, ordered, upper=False, transpose=False)
        inner = swapped(b, solved(b, square, swapped(b, left), upper=True, transpose=True))
        change = b.add(
            product(b, lower, strictly_lower(b, inner)),
            product(b, upper_triangle(b, inner), upper),
        )
        rank = tensor_type(change).rank
        below = tuple(2 * int(axis == rank - 2) for axis in range(rank))
        zero = b.constant(0, change.type.dtype)
        return [b.emit("pad", change, zero, low=(0,) * rank, high=below)]

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        lu_loops.lower(s, operands[0], results[0])


def packed_type(a: TensorType) -> TensorType:
    """The type of the packed factors of matrices."""
    return a.with_shape((*a.shape[:-2], a.shape[-2] + 2, a.shape[-1]))


def check_packed(name: str, a: TensorType, packed: TensorType) -> None:
    """ShapeError unless these may be factors of matrices."""
    if packed != packed_type(a):
        raise ShapeError(f"{name}: {packed} are no factors of {a}")


def factors_of(b: Emitter, packed: Value) -> Value:
    """Without the rows that tell the order."""
    return rows_of(b, packed, 0, tensor_type(packed).shape[-1])


def rows_of(b: Emitter, packed: Value, first: Dim, end: Dim) -> Value:
    *batch, _, n = tensor_type(packed).shape
    starts, steps = (*(0,) * len(batch), first, 0), (1,) * (len(batch) + 2)
    return b.emit("slice", packed, starts=starts, stops=(*batch, end, n), steps=steps)


def order_matrix(b: Emitter, packed: Value) -> Value:
    """P with P x = L U: a one in each row."""
    *batch, _, n = tensor_type(packed).shape
    order = b.reshape(rows_of(b, packed, n, n + 1), (*batch, n))
    shape, dtype = (*batch, n, n), packed.type.dtype
    wide = b.broadcast(order, shape, range(len(batch) + 1))
    columns = b.emit("iota", shape=shape, dtype=dtype, axis=len(batch) + 1)
    return b.cast(b.compare("equal", wide, columns), dtype)


def unit_lower(b: Emitter, square: Value) -> Value:
    n, shape = columns_of(square), tensor_type(square).shape
    axes = (len(shape) - 2, len(shape) - 1)
    ones = b.broadcast(b.constant(np.eye(n), square.type.dtype), shape, axes)
    return b.add(strictly_lower(b, square), ones)


def solved(b: Emitter, square: Value, right: Value, *, upper: bool, transpose: bool) -> Value:
    """The system with L, or U, or their transpose."""
    return b.emit(
        "triangular_solve",
        *(square, right),
        upper=upper,
        transpose=transpose,
        unit_diagonal=not upper,
        refuses=False,
    )


@op(
    "lu_solve",
    Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY,
    attributes=("transpose", "refuses"),
)
class LUSolve:
    """x[b…, n, m] with a x = b for matrices a[b…, n, n] and what ``lu`` gives of them; or with
    their ``transpose``. Where it ``refuses``, a pivot of 0 is a failure; else it is what it gives.

    Only the factors are read. Derivatives are those of the equation, by a: the same factors serve
    for them, and have no derivative of their own here.
    """

    operands = ("a", "packed", "b")
    native_from = 131072
    samples = [
        sample(
            distinct(f64, 3, 3), factored(f64, 5, 3), draw.f64(3, 2), transpose=False, refuses=False
        ),
        sample(
            distinct(f64, 3, 3), factored(f64, 5, 3), draw.f64(3, 2), transpose=True, refuses=True
        ),
        sample(
            distinct(f32, 2, 5, 5),
            factored(f32, 2, 7, 5),
            draw.f32(2, 5, 1),
            transpose=False,
            refuses=False,
        ),
        sample(
            distinct(f64, 9, 9), factored(f64, 11, 9), draw.f64(9, 3), transpose=True, refuses=True
        ),
        sample(
            distinct(f64, 0, 2, 2),
            factored(f64, 0, 4, 2),
            draw.f64(0, 2, 1),
            transpose=True,
            refuses=True,
        ),
        sample(
            distinct(f64, 2, 2), factored(f64, 4, 2), draw.f64(2, 0), transpose=False, refuses=False
        ),
    ]

    def infer(
        a: TensorType, packed: TensorType, b: TensorType, *, transpose: bool, refuses: bool
    ) -> TensorType:
        check_system("lu_solve", a, b)
        check_packed("lu_solve", a, packed)
        return b

    def flops(
        a: TensorType, packed: TensorType, b: TensorType, *, transpose: bool, refuses: bool
    ) -> int:
        return 2 * elements_about(b) * about(a.shape[-1])

    def evaluate(a: Array, packed: Array, b: Array, *, transpose: bool, refuses: bool) -> Array:
        square, n = packed[..., :-2, :], a.shape[-1]
        turns = np.clip(packed[..., -1, :, None].astype(np.int64), 0, max(n - 1, 0))
        if not transpose:
            ordered = exchanged(b, turns, range(n))
            half = substituted(square, ordered, upper=False, transpose=False, unit=True)
            return substituted(square, half, upper=True, transpose=False, unit=False)
        half = substituted(square, b, upper=True, transpose=True, unit=False)
        ordered = substituted(square, half, upper=False, transpose=True, unit=True)
        return exchanged(ordered, turns, reversed(range(n)))

    def footprint(
        f: Footprints, a: Footprint, packed: Footprint, b: Footprint, **_: bool
    ) -> Footprint:
        return on_system(f, a, b)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
        *,
        transpose: bool,
        refuses: bool,
    ) -> tuple[Callable[[], Value], None, Callable[[], Value]]:
        """b̄ = a⁻ᵀ x̄ and ā = −b̄ xᵀ (Giles, 2008, "Collected matrix derivative results for forward
        and reverse mode algorithmic differentiation", 2.3.1)."""
        (a, packed, _), (x,), (ct,) = operands, results, cts
        assert ct is not None

        def of_b() -> Value:
            return b.emit("lu_solve", a, packed, ct, transpose=not transpose, refuses=refuses)

        def of_a() -> Value:
            left, right = (x, of_b()) if transpose else (of_b(), x)
            return b.neg(product(b, left, swapped(b, right)))

        return of_a, None, of_b

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        transpose: bool,
        refuses: bool,
    ) -> Tangents:
        """a⁻¹ (ḃ − ȧ x)."""
        (a, packed, _), (x,), (of_a, _, change) = operands, results, tangents
        if of_a is not None:
            less = product(b, swapped(b, of_a) if transpose else of_a, x)
            change = b.neg(less) if change is None else b.sub(change, less)
        if change is None:
            return [None]
        return [b.emit("lu_solve", a, packed, change, transpose=transpose, refuses=refuses)]

    def stack(
        b: Emitter,
        operands: Sequence[Value],
        stacked: Sequence[bool],
        size: Dim,
        **attributes: bool,
    ) -> tuple[Value]:
        return (stack_of_systems("lu_solve", b, operands, stacked, size, **attributes),)

    def lower(
        s: Lowering,
        operands: Sequence[Value],
        results: Sequence[Value],
        *,
        transpose: bool,
        refuses: bool,
    ) -> None:
        _, packed, b = operands
        lu_solve_loops.lower(s, packed, b, results[0], transpose, refuses)
