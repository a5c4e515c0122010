"""Systems solved by elimination at once, where nobody else needs the factors."""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nets.ir.core import Trait, Value
from nets.ir.estimates import about, elements_about
from nets.ir.sizes import Dim
from nets.ir.types import TensorType, f32, f64
from nets.ops.definition import samples as draw
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.footprints import Footprint, Footprints
from nets.ops.definition.registry import Array, Lazy, lookup, op, sample
from nets.ops.definition.rules import Tangents
from nets.ops.linalg import elimination_loops
from nets.ops.linalg.columns import stack_of_systems
from nets.ops.linalg.dependence import on_system
from nets.ops.linalg.drawing import distinct
from nets.ops.linalg.shapes import check_system
from nets.ops.loop.lowering import Lowering

MOST_ROWS: Final = 32
"""Larger systems are solved by factors, as they do not go side by side."""


@op(
    "eliminate",
    Trait.PURE | Trait.KERNEL | Trait.EXACT | Trait.FLOAT_ONLY,
    attributes=("refuses",),
)
class Eliminate:
    """x[b…, n, m] with a x = b for matrices a[b…, n, n]: ``lu_solve`` of what ``lu`` gives of a,
    bit for bit, but the lower factor is never stored: its multiples meet b as they are found.

    Simplification puts it in the place of these two, for small systems.
    """

    operands = ("a", "b")
    samples = [
        sample(distinct(f64, 3, 3), draw.f64(3, 2), refuses=True),
        sample(distinct(f32, 2, 5, 5), draw.f32(2, 5, 1), refuses=False),
        sample(distinct(f64, 9, 9), draw.f64(9, 3), refuses=True),
        sample(distinct(f64, 0, 2, 2), draw.f64(0, 2, 1), refuses=False),
        sample(distinct(f64, 2, 2), draw.f64(2, 0), refuses=True),
    ]

    def infer(a: TensorType, b: TensorType, *, refuses: bool) -> TensorType:
        check_system("eliminate", a, b)
        return b

    def flops(a: TensorType, b: TensorType, *, refuses: bool) -> int:
        return (elements_about(a) + 2 * elements_about(b)) * about(a.shape[-1])

    def evaluate(a: Array, b: Array, *, refuses: bool) -> Array:
        (packed,) = lookup("lu").evaluate([a], {})
        (found,) = lookup("lu_solve").evaluate(
            [a, packed, b], {"transpose": False, "refuses": refuses}
        )
        return found

    def footprint(f: Footprints, a: Footprint, b: Footprint, *, refuses: bool) -> Footprint:
        return on_system(f, a, b)

    def vjp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
        *,
        refuses: bool,
    ) -> tuple[Lazy, Lazy]:
        """That of ``lu_solve``."""
        rule = lookup("lu_solve").rules.vjp
        assert rule is not None
        of_a, _, of_b = rule(
            b, _factored(b, operands), results, cts, transpose=False, refuses=refuses
        )
        return of_a, of_b

    def jvp(
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        tangents: Tangents,
        *,
        refuses: bool,
    ) -> Tangents:
        """That of ``lu_solve``."""
        rule = lookup("lu_solve").rules.jvp
        assert rule is not None
        of_a, of_b = tangents
        given = _factored(b, operands), results, (of_a, None, of_b)
        return rule(b, *given, transpose=False, refuses=refuses)

    def stack(
        b: Emitter,
        operands: Sequence[Value],
        stacked: Sequence[bool],
        size: Dim,
        **attributes: bool,
    ) -> tuple[Value]:
        return (stack_of_systems("eliminate", b, operands, stacked, size, **attributes),)

    def lower(
        s: Lowering, operands: Sequence[Value], results: Sequence[Value], *, refuses: bool
    ) -> None:
        a, b = operands
        elimination_loops.lower(s, a, b, results[0], refuses)


def _factored(b: Emitter, operands: Sequence[Value]) -> tuple[Value, Value, Value]:
    """The operands of ``lu_solve``."""
    matrices, right = operands
    return matrices, b.emit("lu", matrices), right
