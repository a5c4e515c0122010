"""Orthonormal columns times an upper triangle."""
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
from nets.ops.linalg.masks import strictly_lower, upper_triangle
from nets.ops.linalg.shapes import known, product, swapped
from nets.ops.loop.lowering import Lowering, buffer_type
from nets.ops.orthogonal.apart import apart
from nets.ops.orthogonal.parts import below, from_whole_matrices, part, sides


def check_tall(name: str, x: TensorType) -> None:
    """ShapeError unless matrices have at least as many rows as columns; DTypeError unless they are
    of floats."""
    if not x.dtype.is_float:
        raise DTypeError(f"{name} takes floating-point matrices, not {x}")
    if x.rank < 2 or known(name, x.shape[-2]) < known(name, x.shape[-1]):
        raise ShapeError(f"{name} takes matrices of at least as many rows as columns, not {x}")


@op("qr", Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY)
class QR:
    """Q and R of matrices x[b…, m, n] = Q R with m ≥ n, as [b…, m + n, n]: Q with orthonormal
    columns and below it R, upper triangles, whose diagonal has LAPACK's signs.

    By Householder's reflections (``nets.ops.orthogonal.qr_reference``).
    """

    operands = ("x",)
    native_from = 8192
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
        check_tall("qr", x)
        *batch, m, n = x.shape
        return x.with_shape((*batch, m + n, n))

    def flops(x: TensorType) -> int:
        return 4 * elements_about(x) * about(x.shape[-1])

    def evaluate(x: Array) -> Array:
        from nets.ops.orthogonal.qr_reference import factored

        *batch, m, n = x.shape
        return np.concatenate(factored(x), axis=1).reshape(*batch, m + n, n)

    def vjp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], cts: Sequence[Value | None]
    ) -> tuple[Callable[[], Value]]:
        """(Q̄ + Q C) R⁻ᵀ, where C is symmetric and has the lower triangle of R R̄ᵀ − Q̄ᵀ Q (Walter and
        Lehmann, 2012, "On evaluating higher-order derivatives of the QR decomposition of tall
        matrices with full column rank in forward and reverse mode")."""
        (y,), (ct,) = results, cts
        assert ct is not None

        def cotangent() -> Value:
            q, r = _parts(b, y)
            of_q, of_r = _parts(b, ct)
            inner = b.sub(
                product(b, r, swapped(b, upper_triangle(b, of_r))),
                product(b, swapped(b, of_q), q),
            )
            lower = swapped(b, upper_triangle(b, swapped(b, inner)))
            copied = b.add(lower, swapped(b, strictly_lower(b, inner)))
            return _divided(b, b.add(of_q, product(b, q, copied)), r, transpose=True)

        return (cotangent,)

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        """With D = ẋ R⁻¹ and Ω the skew matrix that has the strictly lower half of Qᵀ D:
        D − Q (Qᵀ D − Ω), and (Qᵀ D − Ω) R (the same)."""
        (y,), (tangent,) = results, tangents
        assert tangent is not None
        q, r = _parts(b, y)
        divided = _divided(b, tangent, r, transpose=False)
        inner = product(b, swapped(b, q), divided)
        half = strictly_lower(b, inner)
        # Qᵀ D − Ω is upper: what is above the diagonal, plus what is below, mirrored.
        upper = b.add(upper_triangle(b, inner), swapped(b, half))
        return [below(b, [b.sub(divided, product(b, q, upper)), product(b, upper, r)])]

    def footprint(f: Footprints, x: Footprint) -> Footprint:
        return from_whole_matrices(f, x, sum(x.shape[-2:]), x.shape[-1])

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        from nets.ops.orthogonal import qr_loops

        if buffer_type(results[0]).elements != 0:
            qr_loops.lower(s, operands[0], results[0])


def _parts(b: Emitter, y: Value) -> tuple[Value, Value]:
    rows, n = sides(y)
    return part(b, y, 0, rows - n), part(b, y, rows - n, rows)


def _divided(b: Emitter, x: Value, r: Value, *, transpose: bool) -> Value:
    """x R⁻¹, or x R⁻ᵀ."""
    solved = b.emit(
        "triangular_solve",
        *(r, swapped(b, x)),
        upper=True,
        transpose=not transpose,
        unit_diagonal=False,
        refuses=False,
    )
    return swapped(b, solved)
