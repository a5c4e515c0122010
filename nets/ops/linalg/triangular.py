"""Systems with a triangular matrix."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from nets.ir.core import Trait, Value
from nets.ir.estimates import about, elements_about
from nets.ir.sizes import Dim
from nets.ir.types import TensorType, f32, f64
from nets.ops.definition import samples as draw
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.linalg import triangular_loops
from nets.ops.linalg.columns import stack_of_systems
from nets.ops.linalg.dependence import on_system
from nets.ops.linalg.drawing import dominant
from nets.ops.linalg.masks import times, upper_triangle
from nets.ops.linalg.shapes import check_system, product, swapped
from nets.ops.linalg.substitution import Triangle
from nets.ops.loop.lowering import Lowering

_FORMS = [
    {"upper": upper, "transpose": transpose, "unit_diagonal": unit, "refuses": upper}
    for upper in (False, True)
    for transpose in (False, True)
    for unit in (False, True)
]


@op(
    "triangular_solve",
    Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY,
    attributes=("upper", "transpose", "unit_diagonal", "refuses"),
)
class TriangularSolve:
    """x[b…, n, m] with T x = b for the lower triangles T of matrices a[b…, n, n]; or the ``upper``
    ones, their ``transpose``, or with ones in the place of the diagonal.

    By substitution (Golub and Van Loan, 2013, "Matrix computations", 3.1). The rest of a is not
    read. A zero on the diagonal gives infinities or NaN, and is a failure where it ``refuses``.
    """

    operands = ("a", "b")
    native_from = 262144
    samples = [
        *(sample(dominant(f64, 3, 3), draw.f64(3, 2), **form) for form in _FORMS),
        sample(dominant(f32, 2, 5, 5), draw.f32(2, 5, 1), **_FORMS[0]),
        sample(dominant(f64, 9, 9), draw.f64(9, 3), **_FORMS[2]),
        sample(dominant(f64, 0, 2, 2), draw.f64(0, 2, 1), **_FORMS[0]),
        sample(dominant(f64, 2, 0, 0), draw.f64(2, 0, 3), **_FORMS[0]),
        sample(dominant(f64, 2, 2), draw.f64(2, 0), **_FORMS[0]),
    ]

    def infer(
        a: TensorType,
        b: TensorType,
        *,
        upper: bool,
        transpose: bool,
        unit_diagonal: bool,
        refuses: bool,
    ) -> TensorType:
        check_system("triangular_solve", a, b)
        return b

    def flops(
        a: TensorType,
        b: TensorType,
        *,
        upper: bool,
        transpose: bool,
        unit_diagonal: bool,
        refuses: bool,
    ) -> int:
        return elements_about(b) * about(a.shape[-1])

    def evaluate(
        a: Array, b: Array, *, upper: bool, transpose: bool, unit_diagonal: bool, refuses: bool
    ) -> Array:
        return substituted(a, b, upper, transpose, unit_diagonal)

    def footprint(f: Footprints, a: Footprint, b: Footprint, **_: bool) -> Footprint:
        return on_system(f, a, b)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
        *,
        upper: bool,
        transpose: bool,
        unit_diagonal: bool,
        refuses: bool,
    ) -> tuple[Callable[[], Value], Callable[[], Value]]:
        """b̄ = T⁻ᵀ x̄, and −b̄ xᵀ for T (Giles, 2008, "Collected matrix derivative results for forward
        and reverse mode algorithmic differentiation", 2.3.2)."""
        (a, _), (x,), (ct,) = operands, results, cts
        assert ct is not None

        def of_b() -> Value:
            return b.emit(
                "triangular_solve",
                *(a, ct),
                upper=upper,
                transpose=not transpose,
                unit_diagonal=unit_diagonal,
                refuses=refuses,
            )

        def of_a() -> Value:
            left, right = (x, of_b()) if transpose else (of_b(), x)
            full = b.neg(product(b, left, swapped(b, right)))
            return _triangle(b, full, upper, unit_diagonal)

        return of_a, of_b

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        upper: bool,
        transpose: bool,
        unit_diagonal: bool,
        refuses: bool,
    ) -> Tangents:
        """T⁻¹ (ḃ − Ṫ x)."""
        (a, _), (x,), (of_a, change) = operands, results, tangents
        if of_a is not None:
            inner = _triangle(b, of_a, upper, unit_diagonal)
            less = product(b, swapped(b, inner) if transpose else inner, x)
            change = b.neg(less) if change is None else b.sub(change, less)
        assert change is not None
        solved = b.emit(
            "triangular_solve",
            *(a, change),
            upper=upper,
            transpose=transpose,
            unit_diagonal=unit_diagonal,
            refuses=refuses,
        )
        return [solved]

    def stack(
        b: Emitter,
        operands: Sequence[Value],
        stacked: Sequence[bool],
        size: Dim,
        **attributes: bool,
    ) -> tuple[Value]:
        return (stack_of_systems("triangular_solve", b, operands, stacked, size, **attributes),)

    def lower(
        s: Lowering,
        operands: Sequence[Value],
        results: Sequence[Value],
        *,
        upper: bool,
        transpose: bool,
        unit_diagonal: bool,
        refuses: bool,
    ) -> None:
        (a, b), (out,) = operands, results
        n = triangular_loops.order_of("triangular_solve", a)
        triangle = Triangle(n, n, upper, transpose, unit_diagonal)
        triangular_loops.lower(s, a, b, out, triangle, refuses and not unit_diagonal)


def substituted(a: Array, b: Array, upper: bool, transpose: bool, unit: bool) -> Array:
    """x with T x = b, one unknown after the other: what native code does, in its order."""
    triangle = np.swapaxes(a, -1, -2) if transpose else a
    rest, n = np.array(b), b.shape[-2]
    is_backward = upper != transpose
    for i in reversed(range(n)) if is_backward else range(n):
        if not unit:
            rest[..., i, :] /= triangle[..., i, i, None]
        later = slice(0, i) if is_backward else slice(i + 1, n)
        rest[..., later, :] -= triangle[..., later, i, None] * rest[..., i, None, :]
    return rest


def _triangle(b: Emitter, x: Value, upper: bool, unit: bool) -> Value:
    """The part of matrices that the op reads."""
    n = triangular_loops.order_of("a derivative of triangular_solve", x)
    if unit:
        mask = np.tri(n, k=-1)
        return times(b, x, mask.T if upper else mask)
    return upper_triangle(b, x) if upper else times(b, x, np.tri(n))
