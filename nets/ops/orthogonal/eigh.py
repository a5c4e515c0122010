"""Eigenvalues and eigenvectors of symmetric matrices."""
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
from nets.ops.linalg.masks import columns_of, symmetric
from nets.ops.linalg.shapes import check_square, product, swapped
from nets.ops.loop.lowering import Lowering
from nets.ops.orthogonal.apart import symmetric_apart
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
    vanishes,
)

_TRAITS = Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY


@op("eigh", _TRAITS)
class Eigh:
    """Eigenvalues and eigenvectors of (x + xᵀ) / 2 for matrices x[b…, n, n], as [b…, n + 1, n]: a
    row of eigenvalues in ascending order and below them, as columns, orthonormal eigenvectors.

    All NaN where an element is not finite, or where the iteration has no end. By Householder's
    reflections and implicit QL steps (``nets.ops.orthogonal.eigh_reference``).
    """

    operands = ("x",)
    native_from = 1024
    batch = ITSELF
    samples = [
        sample(symmetric_apart(f64, 3, 3)),
        sample(symmetric_apart(f64, 2, 5, 5)),
        sample(symmetric_apart(f32, 3, 2, 2)),
        sample(symmetric_apart(f32, 2, 1, 1)),
        sample(draw.f32(0, 3, 3)),
        sample(draw.f64(2, 0, 0)),
    ]

    def infer(x: TensorType) -> TensorType:
        check_square("eigh", x)
        return x.with_shape((*x.shape[:-2], x.shape[-1] + 1, x.shape[-1]))

    def flops(x: TensorType) -> int:
        return 9 * elements_about(x) * about(x.shape[-1])

    def evaluate(x: Array) -> Array:
        from nets.ops.orthogonal.eigh_reference import decomposed

        *batch, n, _ = x.shape
        values, z = decomposed(x, vectors=True)
        assert z is not None
        result = np.concatenate([values[:, None], np.swapaxes(z, 1, 2)], axis=1)
        return result.reshape(*batch, n + 1, n)

    def vjp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], cts: Sequence[Value | None]
    ) -> tuple[Callable[[], Value]]:
        """V (diag(w̄) + F ∘ skew(Vᵀ V̄)) Vᵀ with Fᵢⱼ = 1 / (wⱼ − wᵢ) (Giles, 2008, "An extended
        collection of matrix derivative results", 3.1), and 0 in the place of F where eigenvalues
        and the two sides of skew are equal but for rounding errors: no function that has a
        derivative there depends on the choice of such vectors."""
        (y,), (ct,) = results, cts
        assert ct is not None

        def cotangent() -> Value:
            n = columns_of(y)
            if n == 0:
                return b.zero(operands[0])
            values, vectors = part(b, y, 0, 1), part(b, y, 1, n + 1)
            turned = product(b, swapped(b, vectors), part(b, ct, 1, n + 1))
            skew = b.scale(b.sub(turned, swapped(b, turned)), 0.5)
            gap = differences(b, values)
            none = b.emit("bitwise_and", is_close(b, gap, values), vanishes(b, skew, turned))
            inner = added_to_diagonal(b, ratio(b, skew, gap, none), part(b, ct, 0, 1))
            return symmetric(b, _between(b, vectors, inner))

        return (cotangent,)

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        """diag(P), and V (F ∘ P), where P = Vᵀ ẋ V; F is 0 where eigenvalues are equal but for
        rounding errors."""
        (y,), (tangent,) = results, tangents
        assert tangent is not None
        n = columns_of(y)
        if n == 0:
            return [b.zero(y)]
        values, vectors = part(b, y, 0, 1), part(b, y, 1, n + 1)
        inner = product(b, product(b, swapped(b, vectors), symmetric(b, tangent)), vectors)
        gap = differences(b, values)
        turn = ratio(b, inner, gap, is_close(b, gap, values))
        return [below(b, [row_of_diagonal(b, inner), product(b, vectors, turn)])]

    def footprint(f: Footprints, x: Footprint) -> Footprint:
        return from_whole_matrices(f, x, x.shape[-1] + 1, x.shape[-1])

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        from nets.ops.orthogonal import eigh_loops

        eigh_loops.lower(s, operands[0], results[0], vectors=True)


def _between(b: Emitter, vectors: Value, inner: Value) -> Value:
    return product(b, product(b, vectors, inner), swapped(b, vectors))


@op("eigvalsh", _TRAITS)
class Eigvalsh:
    """The eigenvalues of ``eigh`` alone, [b…, 1, n]: the same bits."""

    operands = ("x",)
    native_from = 1024
    batch = ITSELF
    samples = [
        sample(symmetric_apart(f64, 3, 3)),
        sample(symmetric_apart(f32, 2, 4, 4)),
        sample(draw.f32(0, 3, 3)),
        sample(draw.f64(2, 0, 0)),
    ]

    def infer(x: TensorType) -> TensorType:
        check_square("eigvalsh", x)
        return x.with_shape((*x.shape[:-2], 1, x.shape[-1]))

    def flops(x: TensorType) -> int:
        return 2 * elements_about(x) * about(x.shape[-1])

    def evaluate(x: Array) -> Array:
        from nets.ops.orthogonal.eigh_reference import decomposed

        *batch, n, _ = x.shape
        return decomposed(x, vectors=False)[0].reshape(*batch, 1, n)

    def vjp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], cts: Sequence[Value | None]
    ) -> tuple[Callable[[], Value]]:
        """V diag(w̄) Vᵀ, with the vectors of ``eigh``."""
        (x,), (ct,) = operands, cts
        assert ct is not None

        def cotangent() -> Value:
            n = columns_of(x)
            if n == 0:
                return b.zero(x)
            vectors = part(b, b.emit("eigh", x), 1, n + 1)
            return symmetric(b, product(b, b.mul(vectors, as_rows(b, ct, n)), swapped(b, vectors)))

        return (cotangent,)

    def jvp(
        b: Emitter, operands: Sequence[Value], results: Sequence[Value], tangents: Tangents
    ) -> Tangents:
        (x,), (tangent,) = operands, tangents
        assert tangent is not None
        n = columns_of(x)
        if n == 0:
            return [b.zero(results[0])]
        vectors = part(b, b.emit("eigh", x), 1, n + 1)
        moved = b.mul(product(b, symmetric(b, tangent), vectors), vectors)
        shape, rank = tensor_type(moved).shape, tensor_type(moved).rank
        return [b.reshape(b.sum(moved, (rank - 2,)), (*shape[:-2], 1, n))]

    def footprint(f: Footprints, x: Footprint) -> Footprint:
        return from_whole_matrices(f, x, 1, x.shape[-1])

    def lower(s: Lowering, operands: Sequence[Value], results: Sequence[Value]) -> None:
        from nets.ops.orthogonal import eigh_loops

        eigh_loops.lower(s, operands[0], results[0], vectors=False)
