"""Index values as affine expressions: constant bounds, trip counts, distances."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nets.ir.affine import Affine
from nets.ir.core import Block, Operation, Value
from nets.ir.estimates import about, divisor_of
from nets.ir.sizes import Dim, Size
from nets.ir.types import ScalarType

_UNKNOWN_TRIPS = 16
"""Iterations assumed of a loop whose bounds tell nothing."""

_NESTED_BOUNDS = 4
"""Bounds inside of bounds that are looked into."""

_TERMS = 64
"""Steps after which an expression is taken as it is."""


def size_of(value: Value) -> Dim | None:
    """The number of a scalar integer constant, or the size it is."""
    op = value.operation
    if op is None or op.name != "loop.const" or op.attributes["dtype"].is_float:
        return None
    found: Dim = op.attributes["value"]
    return found if isinstance(found, Size) else int(found)


def constant_of(value: Value) -> int | None:
    """The number of a scalar integer constant."""
    found = size_of(value)
    return found if isinstance(found, int) else None


def expression(value: Value) -> Affine:
    """The index value as a sum of others, through additions and products with constants."""
    terms: dict[Value, Dim] = {}
    constant: Dim = 0
    pending: list[tuple[Value, Dim]] = [(value, 1)]
    for _ in range(_TERMS):
        if not pending:
            break
        value, factor = pending.pop()
        number = size_of(value)
        parts = _parts(value.operation)
        if number is not None:
            constant = constant + factor * number
        elif parts is None:
            terms[value] = terms.get(value, 0) + factor
        else:
            pending += [(part, factor * coefficient) for part, coefficient in parts]
    for value, factor in pending:
        terms[value] = terms.get(value, 0) + factor
    return Affine(tuple((v, c) for v, c in terms.items() if c != 0), constant)


def _parts(op: Operation | None) -> list[tuple[Value, Dim]] | None:
    """The terms of a sum, a difference, or a product with a constant."""
    if op is None or not op.results or not isinstance(op.results[0].type, ScalarType):
        return None
    if op.name in ("loop.add", "loop.sub"):
        x, y = op.operands
        return [(x, 1), (y, 1 if op.name == "loop.add" else -1)]
    if op.name == "loop.mul":
        x, y = op.operands
        for factor, other in ((x, y), (y, x)):
            number = size_of(factor)
            if number is not None:
                return [(other, number)]
    return None


def distance(lo: Value, hi: Value) -> int | None:
    """``hi − lo`` where that is a constant."""
    found = span(lo, hi)
    return found if isinstance(found, int) else None


def span(lo: Value, hi: Value) -> Dim | None:
    """``hi − lo`` where that is a constant of the call."""
    difference = expression(hi) - expression(lo)
    return difference.constant if difference.is_constant else None


def trips(op: Operation) -> int:
    """About how many iterations a loop has; 1 for a branch, and for what is no loop.

    A block that may be the last one, and shorter, counts as whole; so does what is left of it when
    it is cut to whole vectors.
    """
    if len(op.operands) < 2:
        return 1
    lo, hi = op.operands[:2]
    span = _about(expression(hi) - expression(lo), _NESTED_BOUNDS)
    if span is None:
        return _UNKNOWN_TRIPS
    step: int = op.attributes.get("step", 1)
    return max(0, -(-span // step))


def _about(difference: Affine, depth: int) -> int | None:
    """The difference, with any bound in it taken as what it is a bound of."""
    if difference.is_constant:
        return about(difference.constant)
    for value, factor in difference.terms if depth else ():
        rest = difference - Affine.of(value) * factor
        for bound in _bounded(value.operation):
            found = _about(rest + expression(bound) * factor, depth - 1)
            if found is not None:
                return found
    return None


def _bounded(op: Operation | None) -> Sequence[Value]:
    """What ``min``, ``max`` and the mask of whole vectors are bounds of."""
    if op is None or op.name not in ("loop.min", "loop.max", "loop.and"):
        return ()
    return op.operands[:1] if op.name == "loop.and" else op.operands


def counting_loop(value: Value) -> Operation | None:
    """The ``loop.for`` that the value is the counter of."""
    region = value.owner.owner if isinstance(value.owner, Block) else None
    loop = None if region is None else region.owner
    if not isinstance(loop, Operation) or loop.name != "loop.for" or value.index:
        return None
    return loop


def multiple_of(lo: Value, hi: Value) -> int:
    """A number that divides ``hi − lo`` whenever that is positive; 0 if it never is.

    A bound ``min(x, y)``, the end of a block that may be the last one, counts as either.
    """
    ends = [hi]
    op = hi.operation
    if op is not None and op.name == "loop.min":
        ends = list(op.operands)
    known = 0
    for end in ends:
        difference = expression(end) - expression(lo)
        parts = (difference.constant, *(c for _, c in difference.terms))
        known = math.gcd(known, *map(divisor_of, parts))
    return known
