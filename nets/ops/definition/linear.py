"""Linear parts: what the derivative rules of an op make of cotangents and of tangents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nets.ir.core import Attributes, Value
from nets.ops.definition.rules import Lazy, Rules, Tangents

if TYPE_CHECKING:
    from nets.ops.definition.emitter import Emitter


def cotangents(
    rules: Rules,
    b: Emitter,
    operands: Sequence[Value],
    results: Sequence[Value],
    cts: Sequence[Value | None],
    attributes: Attributes,
) -> Sequence[Lazy] | None:
    """The cotangent of each operand by the one rule there is for it; None where there is none."""
    if rules.vjp is not None:
        return rules.vjp(b, operands, results, cts, **attributes)
    if rules.transpose is not None:
        return rules.transpose(b, _only(cts), *operands, **attributes)
    if rules.partials is not None:
        partials = rules.partials(b, *operands, *results, **attributes)
        return [_product(b, _only(cts), partial) for partial in partials]
    return None


def forced(value: Lazy) -> Value | None:
    return value() if callable(value) else value


def _only(cts: Sequence[Value | None]) -> Value:
    """The cotangent of the only result."""
    (ct,) = cts
    assert ct is not None
    return ct


def _product(b: Emitter, ct: Value, partial: Lazy) -> Lazy:
    def product() -> Value | None:
        factor = forced(partial)
        return None if factor is None else b.mul(ct, factor)

    return product


def sum_of_products(b: Emitter, tangents: Tangents, partials: Sequence[Lazy]) -> Value | None:
    """Each tangent times the partial derivative by its operand, added up."""
    total: Value | None = None
    for tangent, partial in zip(tangents, partials, strict=True):
        factor = None if tangent is None else forced(partial)
        if tangent is not None and factor is not None:
            term = b.mul(tangent, factor)
            total = term if total is None else b.add(total, term)
    return total


def filled(b: Emitter, operands: Sequence[Value], tangents: Tangents) -> list[Value]:
    """The tangents, zeros of floating-point operands without, and the others as they are."""
    return [
        tangent or (b.zero(x) if x.type.dtype.is_float else x)
        for x, tangent in zip(operands, tangents, strict=True)
    ]


def sum_in_each(
    name: str,
    b: Emitter,
    operands: Sequence[Value],
    tangents: Tangents,
    attributes: Attributes,
) -> Value | None:
    total: Value | None = None
    for place, tangent in enumerate(tangents):
        if tangent is not None:
            given = [*operands[:place], tangent, *operands[place + 1 :]]
            term = b.emit(name, *given, **attributes)
            total = term if total is None else b.add(total, term)
    return total
