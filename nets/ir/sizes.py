"""Sizes: dimensions that are known when a function is called, as polynomials in normal form.

A ``Size`` is a sum of products of atoms with integer coefficients, ``2*n + 1`` or ``m*n``. An atom
is the name of a dimension of the function, a floor quotient by a number, or the smaller of two
sizes. Equal sizes have one form, so ``==`` and ``hash`` are those of the form; a size without atoms
is an ``int``. Two forms that differ may be equal all the same for the sizes that a call may have:
``equal`` and ``at_most`` decide from the ranges of the names, where they can.

In text a name alone is ``?n``, everything else stands in braces: ``?{2*n + 1}``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Final, NamedTuple

MOST: Final = 2**59
"""The largest size of a dimension of which nothing is known."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class Range(NamedTuple):
    """What is known of the size of a dimension, both limits included."""

    lowest: int = 0
    highest: int = MOST
    multiple_of: int = 1


Ranges = Mapping[str, Range]


@dataclass(frozen=True, slots=True)
class Quotient:
    """``numerator // divisor``, rounded down; its form cannot be divided further."""

    numerator: Size
    divisor: int

    def __str__(self) -> str:
        return f"{_factor(self.numerator)}//{self.divisor}"


@dataclass(frozen=True, slots=True)
class Least:
    """The smaller of a size and a number. The size has no constant term, its first term is added
    and not subtracted, and no factor is common to all."""

    first: Dim
    second: int

    def __str__(self) -> str:
        return f"min({expression(self.first)}, {expression(self.second)})"


Atom = str | Quotient | Least
Monomial = tuple[Atom, ...]
"""The factors of a product in the order of their text; () is that of the constant term."""


@dataclass(frozen=True, slots=True)
class Size:
    """``Σ coefficient · product of atoms``; made by ``symbol`` and arithmetic, never by hand."""

    terms: tuple[tuple[Monomial, int], ...]
    """In the order of text, without zeros; at least one has an atom."""

    def __str__(self) -> str:
        text = expression(self)
        return f"?{text}" if _NAME.fullmatch(text) else f"?{{{text}}}"

    __repr__ = __str__

    @property
    def name(self) -> str | None:
        """The name where the size is that of one dimension as it is."""
        ((monomial, coefficient), *more) = self.terms
        if more or coefficient != 1 or len(monomial) != 1 or not isinstance(monomial[0], str):
            return None
        return monomial[0]

    @property
    def names(self) -> list[str]:
        """The names in it, in alphabetical order."""
        return sorted(set(_names(self)))

    def __add__(self, other: Dim) -> Dim:
        return _sum(self, other) if isinstance(other, int | Size) else NotImplemented

    def __mul__(self, other: Dim) -> Dim:
        return _product(self, other) if isinstance(other, int | Size) else NotImplemented

    def __neg__(self) -> Dim:
        return _product(self, -1)

    def __sub__(self, other: Dim) -> Dim:
        return _sum(self, _product(other, -1)) if isinstance(other, int | Size) else NotImplemented

    def __rsub__(self, other: int) -> Dim:
        return _sum(_product(self, -1), other)

    def __floordiv__(self, divisor: int) -> Dim:
        return _quotient(self, divisor) if isinstance(divisor, int) else NotImplemented

    def __mod__(self, divisor: int) -> Dim:
        if not isinstance(divisor, int):
            return NotImplemented
        return self - _product(_quotient(self, divisor), divisor)

    __radd__ = __add__
    __rmul__ = __mul__


Dim = int | Size


def symbol(name: str) -> Size:
    """The size of the dimension of that name."""
    return Size((((name,), 1),))


def least(first: Dim, second: Dim) -> Dim:
    """The smaller of two sizes."""
    difference = first - second
    if isinstance(difference, int):
        return first if difference <= 0 else second
    # min(x, y) = y + min(x − y, 0) = x + min(y − x, 0): of the two the one whose first term is not
    # subtracted. A constant and a common factor are taken out of it.
    base = second
    if difference.terms[0][1] < 0:
        base, difference = first, _product(difference, -1)
    terms = _terms(difference)
    limit = -terms.pop((), 0)
    factor = math.gcd(limit, *terms.values())
    open_part = _size({monomial: c // factor for monomial, c in terms.items()})
    return base - limit + factor * _atom(Least(open_part, limit // factor))


def greatest(first: Dim, second: Dim) -> Dim:
    """The larger of two sizes."""
    return first + second - least(first, second)


def divided(size: Dim, divisor: Dim) -> Dim | None:
    """``size / divisor`` where that is a polynomial with whole coefficients, else None."""
    if divisor == 0:
        return None
    rest, found = _terms(size), dict[Monomial, int]()
    by = _terms(divisor)
    atoms = sorted({atom for m in (*rest, *by) for atom in m}, key=str)

    def degree(monomial: Monomial) -> tuple[int, ...]:
        return (len(monomial), *map(monomial.count, atoms))

    lead = max(by, key=degree)
    while rest:
        top = max(rest, key=degree)
        factor = _without(top, lead)
        if factor is None or rest[top] % by[lead]:
            return None
        found[factor] = rest[top] // by[lead]
        for monomial, coefficient in by.items():
            _add(rest, _merged(factor, monomial), -found[factor] * coefficient)
    return _size(found)


def evaluate(size: Dim, values: Mapping[str, int]) -> int:
    """The number a size is for these sizes of the named dimensions; KeyError where one is not
    there."""
    if isinstance(size, int):
        return size
    return sum(
        coefficient * math.prod(_atom_value(atom, values) for atom in monomial)
        for monomial, coefficient in size.terms
    )


def _atom_value(atom: Atom, values: Mapping[str, int]) -> int:
    if isinstance(atom, str):
        return values[atom]
    if isinstance(atom, Quotient):
        return evaluate(atom.numerator, values) // atom.divisor
    return min(evaluate(atom.first, values), evaluate(atom.second, values))


def substitute(size: Dim, sizes: Mapping[str, Dim]) -> Dim:
    """The size with others in the place of these names."""
    if isinstance(size, int):
        return size
    total: Dim = 0
    for monomial, coefficient in size.terms:
        product: Dim = coefficient
        for atom in monomial:
            product = product * _replaced(atom, sizes)
        total = total + product
    return total


def _replaced(atom: Atom, sizes: Mapping[str, Dim]) -> Dim:
    if isinstance(atom, str):
        return sizes.get(atom, _atom(atom))
    if isinstance(atom, Quotient):
        return substitute(atom.numerator, sizes) // atom.divisor
    return least(substitute(atom.first, sizes), substitute(atom.second, sizes))


# ------------------------------------------------------------------------- what is known


def bounds(size: Dim, ranges: Ranges) -> tuple[int, int]:
    """Limits, both included, that the size has for all sizes that the ranges allow. They may be
    wider than need be."""
    return _limits(size, _Known(ranges, {}))


class _Known(NamedTuple):
    """What is known of the names, and what has been found of atoms: these stand in many of the
    sizes that come of one, and have minima of their own."""

    ranges: Ranges
    atoms: dict[Atom, tuple[int, int]]


def _limits(size: Dim, known: _Known) -> tuple[int, int]:
    return _lower(size, known, _MANY), -_lower(-size, known, _MANY)


_MANY: Final = 6
"""Minima in a size that are looked into, at most."""


def _lower(size: Dim, known: _Known, left: int) -> int:
    """A number that the size is never below."""
    if isinstance(size, int):
        return size
    plain, _ = _interval(size, known)
    minima = [
        (monomial[0], coefficient)
        for monomial, coefficient in size.terms
        if len(monomial) == 1 and isinstance(monomial[0], Least)
    ]
    if left and minima:
        # First those that are added: one of the operands it is, so the smaller limit holds. What
        # is subtracted is at most either.
        atom, coefficient = max(minima, key=lambda found: found[1])
        assert isinstance(atom, Least)
        rest = size - coefficient * _atom(atom)
        limits = [
            _lower(rest + coefficient * operand, known, left - 1)
            for operand in (atom.first, atom.second)
        ]
        return max(plain, min(limits) if coefficient > 0 else max(limits))
    return max(plain, _lower_of_quotients(size, known))


def _lower_of_quotients(size: Size, known: _Known) -> int:
    """The same, with x − (0 to k − 1) in the place of k·⌊x/k⌋: x may cancel with other terms."""
    quotients = [m[0] for m, _ in size.terms if len(m) == 1 and isinstance(m[0], Quotient)]
    factor = math.lcm(*(atom.divisor for atom in quotients if isinstance(atom, Quotient)))
    found: Dim = size * factor
    lost = 0
    for monomial, coefficient in _terms(found).items():
        atom = monomial[0] if len(monomial) == 1 else None
        if isinstance(atom, Quotient):
            times = coefficient // atom.divisor
            found = found - coefficient * _atom(atom) + times * atom.numerator
            lost += min(0, -times * (atom.divisor - 1))
    low, _ = _interval(found, known)
    return -((low + lost) // -factor)


def _interval(size: Dim, known: _Known) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    low = high = 0
    for monomial, coefficient in size.terms:
        ends = reduce(_interval_product, (_atom_bounds(atom, known) for atom in monomial), (1, 1))
        first, last = sorted(coefficient * end for end in ends)
        low, high = low + first, high + last
    return low, high


def _interval_product(x: tuple[int, int], y: tuple[int, int]) -> tuple[int, int]:
    products = [a * b for a in x for b in y]
    return min(products), max(products)


def _atom_bounds(atom: Atom, known: _Known) -> tuple[int, int]:
    if atom not in known.atoms:
        known.atoms[atom] = _atom_limits(atom, known)
    return known.atoms[atom]


def _atom_limits(atom: Atom, known: _Known) -> tuple[int, int]:
    if isinstance(atom, str):
        low, high, multiple = known.ranges.get(atom, Range())
        return -(-low // multiple) * multiple, high // multiple * multiple
    if isinstance(atom, Quotient):
        low, high = _limits(atom.numerator, known)
        return low // atom.divisor, high // atom.divisor
    lows, highs = zip(_limits(atom.first, known), _limits(atom.second, known), strict=True)
    return min(lows), min(highs)


def equal(first: Dim, second: Dim, ranges: Ranges) -> bool | None:
    """Whether two sizes are equal for all sizes that the ranges allow (True) or for none (False);
    None where neither is known."""
    difference = _scaled(first - second, ranges)
    if isinstance(difference, int):
        return difference == 0
    low, high = bounds(first - second, ranges)
    if low == high == 0:
        return True
    if low > 0 or high < 0:
        return False
    # All but the constant is a multiple of a number, and the constant is not.
    factor = math.gcd(*(c for monomial, c in difference.terms if monomial))
    return None if _terms(difference).get((), 0) % factor == 0 else False


def at_most(first: Dim, second: Dim, ranges: Ranges) -> bool | None:
    """Whether ``first <= second`` holds for all sizes that the ranges allow (True) or for none
    (False); None where neither is known."""
    low, high = bounds(_scaled(second - first, ranges), _divided_ranges(ranges))
    return True if low >= 0 else False if high < 0 else None


def is_multiple(size: Dim, of: int, ranges: Ranges) -> bool | None:
    """Whether a size can be divided by a number, for all sizes that the ranges allow; else as
    ``equal``."""
    return equal(size % of, 0, ranges)


def _scaled(size: Dim, ranges: Ranges) -> Dim:
    """The size with n for each ``multiple_of * n``, which quotients can be taken of."""
    names = size.names if isinstance(size, Size) else []
    factors = {name: ranges[name].multiple_of for name in names if name in ranges}
    factors = {name: factor for name, factor in factors.items() if factor != 1}
    return substitute(size, {name: symbol(name) * f for name, f in factors.items()})


def _divided_ranges(ranges: Ranges) -> Ranges:
    """The ranges of the names that ``_scaled`` leaves."""
    return {
        name: Range(-(-low // multiple), high // multiple)
        for name, (low, high, multiple) in ranges.items()
    }


# ------------------------------------------------------------------------------ the form


def _terms(size: Dim) -> dict[Monomial, int]:
    if isinstance(size, int):
        return {(): size} if size else {}
    return dict(size.terms)


def _size(terms: Mapping[Monomial, int]) -> Dim:
    if not any(terms):
        return terms.get((), 0)
    return Size(tuple(sorted(terms.items(), key=_order_of_terms)))


def _atom(atom: Atom) -> Size:
    return Size((((atom,), 1),))


def _order_of_terms(term: tuple[Monomial, int]) -> tuple[int, tuple[str, ...]]:
    """Products of more factors come first, then by their text; a constant is the last."""
    monomial, _ = term
    return -len(monomial), tuple(map(str, monomial))


def _add(terms: dict[Monomial, int], monomial: Monomial, coefficient: int) -> None:
    total = terms.pop(monomial, 0) + coefficient
    if total:
        terms[monomial] = total


def _sum(first: Dim, second: Dim) -> Dim:
    terms = _terms(first)
    for monomial, coefficient in _terms(second).items():
        _add(terms, monomial, coefficient)
    return _size(terms)


def _product(first: Dim, second: Dim) -> Dim:
    terms: dict[Monomial, int] = {}
    for x, a in _terms(first).items():
        for y, b in _terms(second).items():
            _add(terms, _merged(x, y), a * b)
    return _size(terms)


def _merged(first: Monomial, second: Monomial) -> Monomial:
    return tuple(sorted((*first, *second), key=str))


def _without(monomial: Monomial, factors: Monomial) -> Monomial | None:
    """The monomial divided by another; None where that is none."""
    rest = list(monomial)
    for atom in factors:
        if atom not in rest:
            return None
        rest.remove(atom)
    return tuple(rest)


def _quotient(size: Dim, divisor: int) -> Dim:
    if divisor < 0:
        return _quotient(_product(size, -1), -divisor)
    if isinstance(size, int):
        return size // divisor
    whole = _size({m: c // divisor for m, c in size.terms if c // divisor})
    rest = {m: c % divisor for m, c in size.terms if c % divisor}
    if not any(rest):
        return whole
    # ⌊x / (g·d)⌋ = ⌊⌊x / g⌋ / d⌋, and a common factor g of all but the constant leaves x.
    factor = math.gcd(divisor, *(c for monomial, c in rest.items() if monomial))
    smaller = {m: c // factor for m, c in rest.items() if c // factor}
    return whole + _divided_once(_size(smaller), divisor // factor)


def _divided_once(size: Dim, divisor: int) -> Dim:
    if divisor == 1 or isinstance(size, int):
        return size // divisor if isinstance(size, int) else size
    ((monomial, coefficient), *more) = size.terms
    if not more and coefficient == 1 and len(monomial) == 1 and isinstance(monomial[0], Quotient):
        inner = monomial[0]
        return _quotient(inner.numerator, inner.divisor * divisor)
    return _atom(Quotient(size, divisor))


def _names(size: Dim) -> Iterator[str]:
    for monomial in _terms(size):
        for atom in monomial:
            if isinstance(atom, str):
                yield atom
            elif isinstance(atom, Quotient):
                yield from _names(atom.numerator)
            else:
                yield from _names(atom.first)
                yield from _names(atom.second)


# ---------------------------------------------------------------------------------- text


def expression(size: Dim) -> str:
    """The size as Python writes it: ``2*n + 1``."""
    if isinstance(size, int):
        return str(size)
    text = ""
    for monomial, coefficient in size.terms:
        sign = ("-" if not text else " - ") if coefficient < 0 else (" + " if text else "")
        factors = [str(abs(coefficient))] if abs(coefficient) != 1 or not monomial else []
        text += sign + "*".join([*factors, *map(_in_product, monomial)])
    return text


def _in_product(atom: Atom) -> str:
    # A quotient is taken before a product only where it stands first, so it keeps to itself.
    return f"({atom})" if isinstance(atom, Quotient) else str(atom)


def _factor(size: Size) -> str:
    text = expression(size)
    return text if size.name is not None else f"({text})"
