"""Singular values and vectors."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nets.ir.core import Trait, Value
from nets.ir.estimates import about, elements_about
from nets.ir.types import TensorType, f32, f64
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.linalg.masks import symmetric
from nets.ops.linalg.shapes import product, swapped
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.orthogonal.apart import apart
from nets.ops.orthogonal.parts import (
    added_to_diagonal,
    as_rows,
    below,
    differences,
    from_whole_matrices,
    is_close,
    part,
    ratio,
    row_of_diagonal,
    sides,
    sums,
    vanishes,
)
from nets.ops.orthogonal.qr import check_tall

_TRAITS = Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY


@op("svd", _TRAITS)
class SVD:
    """U, S and Vᵀ of matrices x[b…, m, n] = U diag(S) Vᵀ with m ≥ n, as [b…, m + 1 + n, n]: U with
    orthonormal columns, a row of the singular values in descending order, and the rows Vᵀ.

    All NaN where an element is not finite, or where the rotations have no end. By Jacobi rotations
    from one side (``nets.ops.orthogonal.svd_reference``).
    """

    operands = ("x",)
    native_from = 2048
    batch = ITSELF
    samples = [
        sample(apart(f64, 3, 3)),
        sample(apart(f64, 2, 5, 3)),
        sample(apart(f32, 3, 4, 2)),
        sample(apart(f32, 2, 1, 1)),
        sample(draw.f32(0, 3, 3)),
        sample(draw.f64(2, 3, 0)),
    ]

    def infer(x: TensorType) -> TensorType:
        check_tall("svd", x)
        *batch, m, n = x.shape
        return x.with_shape((*batch, m + 1 + n, n))

    def flops(x: TensorType) -> int:
        return 60 * elements_about(x) * about(x.shape[-1])

    def evaluate(x: Array) -> Array:
        from nets.ops.orthogonal.svd_reference import decomposed

        *batch, m, n = x.shape
        values, u, v = decomposed(x, vectors=True)
        assert u is not None
        assert v is not None
        return np.concatenate([u, values[:, None], v], axis=1).reshape(*batch, m + 1 + n, n)

    def vjp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], cts: Sequence[Value | None]
    ) -> tuple[Callable[[], Value]]:
        """U (diag(S̄) + E ∘ skew(P + Q) + H ∘ skew(P − Q)) Vᵀ with P = Uᵀ Ū, Q = Vᵀ V̄,
        Eᵢⱼ = 1 / (Sⱼ − Sᵢ) and Hᵢⱼ = 1 / (Sⱼ + Sᵢ), and what lies outside of the span of U
        (Townsend, 2016, "Differentiating the singular value decomposition", with
        1 / (Sⱼ² − Sᵢ²) taken apart, as Wan and Zhang, 2019, arXiv 1909.02659, make it safe).

        A quotient is 0 where both its terms are nothing but rounding errors, so that functions
        that do not depend on the choice of vectors have finite derivatives where values are equal
        or 0.
        """
        (y,), (ct,) = results, cts
        assert ct is not None

        def cotangent() -> Value:
            u, values, v = _parts(b, y)
            if tensor_type(v).shape[-1] == 0:
                return b.zero(operands[0])
            of_u, of_values, of_v = _parts(b, ct)
            return _Pullback(b, u, values, v).run(of_u, of_values, of_v)

        return (cotangent,)

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        """With K = Uᵀ ẋ V: U (E ∘ sym(K) + H ∘ skew(K)) and what of ẋ V lies outside of the span of
        U over S; diag(K); V (E ∘ sym(K) − H ∘ skew(K)), transposed. 0 in the place of E and H where
        they are 1 over nothing but rounding errors."""
        (y,), (tangent,) = results, tangents
        assert tangent is not None
        u, values, v = _parts(b, y)
        n = tensor_type(v).shape[-1]
        if n == 0:
            return [b.zero(y)]
        outside = product(b, tangent, swapped(b, v))
        inner = product(b, swapped(b, u), outside)
        even, odd = symmetric(b, inner), _skew(b, inner)
        gap, total = differences(b, values), sums(b, values)
        first = ratio(b, even, gap, is_close(b, gap, values))
        second = ratio(b, odd, total, is_close(b, total, values))
        rows = sides(u)[0]
        rest = b.sub(outside, product(b, u, inner))
        wide = as_rows(b, values, rows)
        of_u = b.add(
            product(b, u, b.add(first, second)), ratio(b, rest, wide, is_close(b, wide, values))
        )
        of_v = product(b, swapped(b, v), b.sub(first, second))
        return [below(b, [of_u, row_of_diagonal(b, inner), swapped(b, of_v)])]

    def footprint(f: Footprints, x: Footprint) -> Footprint:
        return from_whole_matrices(f, x, sum(x.shape[-2:]) + 1, x.shape[-1])

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        _lower(s, operands[0], results[0], vectors=True)


def _lower(s: Lowering, x: Value, out: Value, *, vectors: bool) -> None:
    from nets.ops.orthogonal import svd_loops

    if buffer_type(out).elements != 0:
        svd_loops.lower(s, x, out, lanes=svd_loops.has_lanes(x), vectors=vectors)


def _parts(b: Emitter, y: Value) -> tuple[Value, Value, Value]:
    rows, n = sides(y)
    m = rows - n - 1
    return part(b, y, 0, m), part(b, y, m, m + 1), part(b, y, m + 1, rows)


def _skew(b: Emitter, x: Value) -> Value:
    return b.scale(b.sub(x, swapped(b, x)), 0.5)


class _Pullback:
    """The cotangent of a matrix, of those of its parts."""

    def __init__(self, b: Emitter, u: Value, values: Value, v: Value) -> None:
        self.b, self.u, self.values, self.v = b, u, values, v

    def run(self, of_u: Value, of_values: Value, of_v: Value) -> Value:
        b, u, v = self.b, self.u, self.v
        of_left = product(b, swapped(b, u), of_u)
        of_right = product(b, v, swapped(b, of_v))
        gap, total = differences(b, self.values), sums(b, self.values)
        first = self._over(b.add(of_left, of_right), gap)
        second = self._over(b.sub(of_left, of_right), total)
        inner = added_to_diagonal(b, b.add(first, second), of_values)
        outside = b.sub(of_u, product(b, u, of_left))
        wide = as_rows(b, self.values, sides(u)[0])
        none = b.emit("bitwise_and", is_close(b, wide, self.values), vanishes(b, outside, of_u))
        left = b.add(product(b, u, inner), ratio(b, outside, wide, none))
        return product(b, left, v)

    def _over(self, whole: Value, divisor: Value) -> Value:
        """The skew part over the divisor."""
        b = self.b
        skew = _skew(b, whole)
        none = b.emit("bitwise_and", is_close(b, divisor, self.values), vanishes(b, skew, whole))
        return ratio(b, skew, divisor, none)


@op("svdvals", _TRAITS)
class SVDVals:
    """The singular values of ``svd`` alone, [b…, 1, n]: the same bits."""

    operands = ("x",)
    native_from = 4096
    batch = ITSELF
    samples = [
        sample(apart(f64, 4, 3)),
        sample(apart(f32, 2, 4, 4)),
        sample(draw.f32(0, 3, 3)),
        sample(draw.f64(2, 3, 0)),
    ]

    def infer(x: TensorType) -> TensorType:
        check_tall("svdvals", x)
        *batch, _, n = x.shape
        return x.with_shape((*batch, 1, n))

    def flops(x: TensorType) -> int:
        return 30 * elements_about(x) * about(x.shape[-1])

    def evaluate(x: Array) -> Array:
        from nets.ops.orthogonal.svd_reference import decomposed

        *batch, _, n = x.shape
        return decomposed(x, vectors=False)[0].reshape(*batch, 1, n)

    def vjp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], cts: Sequence[Value | None]
    ) -> tuple[Callable[[], Value]]:
        """U diag(S̄) Vᵀ, with the vectors of ``svd``."""
        (x,), (ct,) = operands, cts
        assert ct is not None

        def cotangent() -> Value:
            if tensor_type(x).shape[-1] == 0:
                return b.zero(x)
            u, _, v = _parts(b, b.emit("svd", x))
            return product(b, b.mul(u, as_rows(b, ct, sides(u)[0])), v)

        return (cotangent,)

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        """The diagonal of Uᵀ ẋ V."""
        (x,), (tangent,) = operands, tangents
        assert tangent is not None
        if tensor_type(x).shape[-1] == 0:
            return [b.zero(results[0])]
        u, _, v = _parts(b, b.emit("svd", x))
        moved = b.mul(product(b, tangent, swapped(b, v)), u)
        shape = tensor_type(moved).shape
        return [b.reshape(b.sum(moved, (len(shape) - 2,)), (*shape[:-2], 1, shape[-1]))]

    def footprint(f: Footprints, x: Footprint) -> Footprint:
        return from_whole_matrices(f, x, 1, x.shape[-1])

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        _lower(s, operands[0], results[0], vectors=False)
