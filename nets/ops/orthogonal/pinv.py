"""The pseudoinverse."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nets.errors import DTypeError, ShapeError
from nets.ir.core import Trait, Value
from nets.ir.estimates import about, elements_about
from nets.ir.types import TensorType, f32, f64
from nets.ops.definition import samples as draw
from nets.ops.definition.decisions import ITSELF
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.linalg.shapes import product, swapped
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.orthogonal.apart import apart
from nets.ops.orthogonal.parts import from_whole_matrices
from nets.ops.orthogonal.qr import check_tall


@op("pinv", Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY)
class PseudoInverse:
    """The pseudoinverse [b…, n, m] of matrices x[b…, m, n] with m ≥ n; singular values that
    are not above ``limit``[b…, 1, 1] times the largest one count as 0.

    Its derivative is that at a constant rank, where singular values may be equal: it is no
    composition of the derivative of ``svd``, which depends on the vectors there.
    """

    operands = ("x", "limit")
    native_from = 2048
    batch = ITSELF
    samples = [
        sample(apart(f64, 3, 3), draw.f64(1, 1, low=0.001, high=0.01)),
        sample(apart(f64, 2, 5, 3), draw.f64(2, 1, 1, low=0.001, high=0.01)),
        sample(apart(f32, 3, 4, 2), draw.f32(3, 1, 1, low=0.001, high=0.01)),
        sample(draw.f32(0, 3, 3), draw.f32(0, 1, 1)),
        sample(draw.f64(2, 3, 0), draw.f64(2, 1, 1)),
    ]

    def infer(x: TensorType, limit: TensorType) -> TensorType:
        check_tall("pinv", x)
        *batch, m, n = x.shape
        if limit.dtype != x.dtype:
            raise DTypeError(f"pinv needs one dtype, not {x} and {limit}")
        if limit.shape != (*batch, 1, 1):
            raise ShapeError(f"pinv of {x} needs one limit for each matrix, not {limit}")
        return x.with_shape((*batch, n, m))

    def flops(x: TensorType, limit: TensorType) -> int:
        return 64 * elements_about(x) * about(x.shape[-1])

    def evaluate(x: Array, limit: Array) -> Array:
        from nets.ops.orthogonal.svd_reference import decomposed

        *batch, m, n = x.shape
        values, u, v = decomposed(x, vectors=True)
        assert u is not None
        assert v is not None
        total = np.zeros((len(u), n, m), x.dtype)
        if n:
            least = limit.reshape(len(u), 1) * values[:, :1]
            inverse = np.where(values > least, x.dtype.type(1) / values, x.dtype.type(0))
            for k in range(n):
                column = v[:, k] * inverse[:, k, None]
                total = total + column[:, :, None] * u[:, None, :, k]
        return total.reshape(*batch, n, m)

    def vjp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], cts: Sequence[Value | None]
    ) -> tuple[Callable[[], Value], None]:
        """−Pᵀ P̄ Pᵀ + (I − x P) P̄ᵀ P Pᵀ + Pᵀ P P̄ᵀ (I − P x), the transpose of ``jvp``."""
        (x, _), (p,), (ct,) = operands, results, cts
        assert ct is not None

        def cotangent() -> Value:
            turned, of_turned = swapped(b, p), swapped(b, ct)
            first = product(b, product(b, turned, ct), turned)
            second = _outside(b, x, p, product(b, of_turned, product(b, p, turned)))
            third = product(b, product(b, turned, p), of_turned)
            third = b.sub(third, product(b, product(b, third, p), x))
            return b.sub(b.add(second, third), first)

        return cotangent, None

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        """−P ẋ P + P Pᵀ ẋᵀ (I − x P) + (I − P x) ẋᵀ Pᵀ P (Golub and Pereyra, 1973, "The
        differentiation of pseudo-inverses and nonlinear least squares problems whose variables
        separate", (4.12))."""
        (x, _), (p,) = operands, results
        tangent = tangents[0]
        if tangent is None:
            return [None]
        turned, moved = swapped(b, p), swapped(b, tangent)
        first = product(b, product(b, p, tangent), p)
        second = product(b, product(b, p, turned), moved)
        second = b.sub(second, product(b, product(b, second, x), p))
        third = _outside(b, p, x, product(b, moved, product(b, turned, p)))
        return [b.sub(b.add(second, third), first)]

    def footprint(f: Footprints, x: Footprint, limit: Footprint) -> Footprint:
        return from_whole_matrices(f, x, x.shape[-1], x.shape[-2])

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        from nets.ops.orthogonal import svd_loops

        if buffer_type(results[0]).elements != 0:
            x, limit = operands
            svd_loops.lower_inverse(s, x, limit, results[0], lanes=svd_loops.has_lanes(x))


def _outside(b: Emitter, x: Value, y: Value, z: Value) -> Value:
    """(I − x y) z."""
    return b.sub(z, product(b, x, product(b, y, z)))
