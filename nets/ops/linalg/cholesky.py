"""Cholesky's factor of symmetric positive definite matrices."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nets.ir.core import Trait, Value
from nets.ir.estimates import about, elements_about
from nets.ir.types import TensorType, f32, f64
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.linalg import cholesky_loops
from nets.ops.linalg.dependence import on_matrices
from nets.ops.linalg.drawing import positive_definite
from nets.ops.linalg.masks import lower_half, symmetric
from nets.ops.linalg.shapes import check_square, product, swapped
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
        """sym(L⁻ᵀ Φ(Lᵀ L̄) L⁻¹), where Φ takes the lower half (Murray, 2016, "Differentiation of the
        Cholesky decomposition", arXiv 1602.07527, (10))."""
        (factor,), (ct,) = results, cts
        assert ct is not None

        def cotangent() -> Value:
            lower, bar = (swapped(b, factor), swapped(b, ct)) if upper else (factor, ct)
            half = lower_half(b, product(b, swapped(b, lower), bar))
            left = _solved(b, lower, half, transpose=True)  # L⁻ᵀ Φ
            both = _solved(b, lower, swapped(b, left), transpose=True)  # L⁻ᵀ Φᵀ L⁻¹
            return symmetric(b, both)

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


def _solved(b: Emitter, lower: Value, right: Value, *, transpose: bool) -> Value:
    return b.emit(
        "triangular_solve",
        *(lower, right),
        upper=False,
        transpose=transpose,
        unit_diagonal=False,
        refuses=False,
    )
