"""Cholesky's factor of symmetric positive definite matrices, and the cotangent of these."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nets.errors import ShapeError
from nets.ir.core import Trait, Value
from nets.ir.estimates import about, elements_about
from nets.ir.types import TensorType, f32, f64
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.linalg import cholesky_loops
from nets.ops.linalg.dependence import on_matrices
from nets.ops.linalg.drawing import dominant, positive_definite
from nets.ops.linalg.lanes import MOST_IN_LANES
from nets.ops.linalg.masks import lower_half, lower_triangle, symmetric
from nets.ops.linalg.shapes import check_square, known, product, swapped
from nets.ops.loop.lowering import Lowering


@op("cholesky", Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY, attributes=("upper",))
class Cholesky:
    """The lower triangle L with L Lᵀ = (x + xᵀ) / 2 for matrices x[b…, n, n]; or ``upper``, Lᵀ.

    Column by column, each less its products with the columns before in their order, the pivot's
    root, and the others times the inverse of that (Golub and Van Loan, 2013, "Matrix computations",
    4.2.5). A matrix that is not positive definite gives NaN in all of the triangle.
    """

    operands = ("x",)
    native_from = 131072
    batch = ITSELF
    samples = [
        sample(positive_definite(f64, 3, 3), upper=False),
        sample(positive_definite(f64, 2, 5, 5), upper=True),
        sample(positive_definite(f32, 2, 3, 1, 1), upper=False),
        sample(positive_definite(f32, 0, 3, 3), upper=False),
        sample(positive_definite(f64, 2, 0, 0), upper=False),
        sample(positive_definite(f64, 11, 11), upper=False),
    ]

    def infer(x: TensorType, *, upper: bool) -> TensorType:
        check_square("cholesky", x)
        return x

    def flops(x: TensorType, *, upper: bool) -> int:
        return elements_about(x) * about(x.shape[-1]) // 3

    def evaluate(x: Array, *, upper: bool) -> Array:
        rest = (x + np.swapaxes(x, -1, -2)) * x.dtype.type(0.5)
        factor = np.zeros(x.shape, x.dtype)
        for k in range(x.shape[-1]):
            pivot = rest[..., 0, 0]
            root = np.sqrt(np.where(pivot > 0, pivot, np.nan))
            column = rest[..., 1:, 0] * (1 / root)[..., None]
            factor[..., k, k] = root
            factor[..., k + 1 :, k] = column
            rest = rest[..., 1:, 1:] - column[..., :, None] * column[..., None, :]
        if x.size:
            failed = np.isnan(factor[..., -1:, -1:]) & np.tri(x.shape[-1], dtype=bool)
            factor[failed] = np.nan
        return np.ascontiguousarray(np.swapaxes(factor, -1, -2)) if upper else factor

    def footprint(f: Footprints, x: Footprint, *, upper: bool) -> Footprint:
        return on_matrices(f, x, x.shape)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
        *,
        upper: bool,
    ) -> tuple[Callable[[], Value]]:
        """``cholesky_cotangent``; of large matrices, which do not go side by side, the same by
        products and systems."""
        (factor,), (ct,) = results, cts
        assert ct is not None

        def cotangent() -> Value:
            if known("cholesky", tensor_type(factor).shape[-1]) <= MOST_IN_LANES:
                return b.emit("cholesky_cotangent", factor, ct, upper=upper)
            return _cotangent(b, *_lower(b, upper, factor, ct))

        return (cotangent,)

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        upper: bool,
    ) -> Tangents:
        """L Φ(L⁻¹ ẋ L⁻ᵀ) (Murray, 2016, (8))."""
        (factor,), (tangent,) = results, tangents
        assert tangent is not None
        lower = swapped(b, factor) if upper else factor
        left = _solved(b, lower, symmetric(b, tangent), transpose=False)
        inner = _solved(b, lower, swapped(b, left), transpose=False)
        change = product(b, lower, lower_half(b, inner))
        return [swapped(b, change) if upper else change]

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, upper: bool
    ) -> None:
        cholesky_loops.lower(s, operands[0], results[0], upper)


@op(
    "cholesky_cotangent",
    Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY,
    attributes=("upper",),
)
class CholeskyCotangent:
    """S = sym(L⁻ᵀ Φ(Lᵀ L̄) L⁻¹), where Φ takes the lower half: the cotangent of symmetric matrices
    by those of their factors L[b…, n, n], lower triangles or ``upper`` ones (Murray, 2016,
    "Differentiation of the Cholesky decomposition", arXiv 1602.07527, (10)).

    It is the solution of tril(2 S L) = tril(L̄), column by column from the last one: each less its
    products with the columns behind, from the last of these on, times the inverse of the pivot.
    That is a third of the work of products and systems.
    """

    operands = ("factor", "ct")
    batch = ITSELF
    samples = [
        sample(dominant(f64, 3, 3), draw.f64(3, 3), upper=False),
        sample(dominant(f64, 2, 5, 5), draw.f64(2, 5, 5), upper=True),
        sample(dominant(f32, 2, 3, 1, 1), draw.f32(2, 3, 1, 1), upper=False),
        sample(dominant(f32, 0, 3, 3), draw.f32(0, 3, 3), upper=False),
        sample(dominant(f64, 2, 0, 0), draw.f64(2, 0, 0), upper=True),
        sample(dominant(f64, 11, 11), draw.f64(11, 11), upper=False),
    ]

    def infer(factor: TensorType, ct: TensorType, *, upper: bool) -> TensorType:
        check_square("cholesky_cotangent", factor)
        if ct != factor:
            raise ShapeError(f"cholesky_cotangent of {factor} and {ct}")
        return ct

    def flops(factor: TensorType, ct: TensorType, *, upper: bool) -> int:
        return 2 * elements_about(factor) * about(factor.shape[-1]) // 3

    def evaluate(factor: Array, ct: Array, *, upper: bool) -> Array:
        lower, bar = (np.swapaxes(x, -1, -2) if upper else x for x in (factor, ct))
        found = np.zeros(factor.shape, factor.dtype)
        for j in reversed(range(factor.shape[-1])):
            rest = bar[..., j:, j] * factor.dtype.type(0.5)
            inverse = (1 / lower[..., j, j])[..., None]
            below, pivot = rest[..., 1:], rest[..., :1]
            for k in reversed(range(j + 1, factor.shape[-1])):
                below = below - found[..., j + 1 :, k] * lower[..., k, j, None]
            found[..., j + 1 :, j] = found[..., j, j + 1 :] = below * inverse
            for k in reversed(range(j + 1, factor.shape[-1])):
                pivot = pivot - found[..., k, j, None] * lower[..., k, j, None]
            found[..., j, j, None] = pivot * inverse
        return found

    def footprint(f: Footprints, factor: Footprint, ct: Footprint, *, upper: bool) -> Footprint:
        return on_matrices(f, f.union(factor, ct), factor.shape)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
        *,
        upper: bool,
    ) -> tuple[Callable[[], Value], Callable[[], Value]]:
        """With Z = sym(S̄) and K = L⁻¹ Z L⁻ᵀ: L Φ(K) by L̄, and tril(L̄ Φ(K)ᵀ − 2 S Z L⁻ᵀ) by L."""
        (s,), (ct,) = results, cts
        assert ct is not None
        lower, bar = _lower(b, upper, *operands)

        def parts() -> tuple[Value, Value]:
            """Z L⁻ᵀ and Φ(K)."""
            right = swapped(b, _solved(b, lower, symmetric(b, ct), transpose=False))
            return right, lower_half(b, _solved(b, lower, right, transpose=False))

        def of_factor() -> Value:
            right, half = parts()
            of_product = product(b, lower_triangle(b, bar), swapped(b, half))
            of_inverses = b.scale(product(b, s, right), 2)
            found = lower_triangle(b, b.sub(of_product, of_inverses))
            return swapped(b, found) if upper else found

        def of_ct() -> Value:
            found = product(b, lower_triangle(b, lower), parts()[1])
            return swapped(b, found) if upper else found

        return of_factor, of_ct

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        upper: bool,
    ) -> Tangents:
        """S of (L, L̇̄ + Y L̄), less S Yᵀ and its transpose, for Y = L⁻ᵀ L̇ᵀ."""
        (s,), (of_factor, change) = results, tangents
        lower, bar = _lower(b, upper, *operands)
        if of_factor is None:
            assert change is not None
            return [b.emit("cholesky_cotangent", operands[0], change, upper=upper)]
        (dot,) = _lower(b, upper, of_factor)
        y = _solved(b, lower, swapped(b, lower_triangle(b, dot)), transpose=True)
        total = product(b, y, lower_triangle(b, bar))
        if change is not None:
            total = b.add(total, *_lower(b, upper, change))
        inner = b.emit("cholesky_cotangent", lower, total, upper=False)
        moved = product(b, s, swapped(b, y))
        return [b.sub(inner, b.add(moved, swapped(b, moved)))]

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, upper: bool
    ) -> None:
        factor, ct = operands
        cholesky_loops.lower_cotangent(s, factor, ct, results[0], upper)


def _lower(b: Emitter, upper: bool, *triangles: Value) -> list[Value]:
    """Lower triangles, of which these are the transposes where they are ``upper``."""
    return [swapped(b, x) if upper else x for x in triangles]


def _cotangent(b: Emitter, lower: Value, bar: Value) -> Value:
    """``cholesky_cotangent`` by products and systems."""
    half = lower_half(b, product(b, swapped(b, lower), bar))
    left = _solved(b, lower, half, transpose=True)  # L⁻ᵀ Φ
    both = _solved(b, lower, swapped(b, left), transpose=True)  # L⁻ᵀ Φᵀ L⁻¹
    return symmetric(b, both)


def _solved(b: Emitter, lower: Value, right: Value, *, transpose: bool) -> Value:
    return b.emit(
        "triangular_solve",
        *(lower, right),
        upper=False,
        transpose=transpose,
        unit_diagonal=False,
        refuses=False,
    )
