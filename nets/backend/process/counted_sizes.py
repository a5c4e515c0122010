"""Sizes that a call tells, as the extension ``nets._dispatch`` computes and checks them.

A size becomes a program for a stack of numbers, in the words of ``runtime/python/sizes.c``; a
dimension, the axis that tells it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from nets.ir.core import Function
from nets.ir.dims import ranges_of, requirements_of
from nets.ir.sizes import Atom, Dim, Quotient, Size, substitute
from nets.ir.types import TensorType

Count = tuple[int, ...]
"""Pairs of an operation and a number."""

OPERATIONS: Final = ("number", "dimension", "plus", "times", "quotient", "least")
_NUMBER, _DIMENSION, _PLUS, _TIMES, _QUOTIENT, _LEAST = range(len(OPERATIONS))

_DEEPEST: Final = 16
_LARGEST: Final = 2**63


class ToldDims(NamedTuple):
    """What a call is checked for: the dimensions, (lowest, highest, multiple, input, axis, slope,
    start), and the requirements, (must it be zero?, size)."""

    dims: tuple[tuple[int, int, int, int, int, int, int], ...] = ()
    requirements: tuple[tuple[bool, Count], ...] = ()


NONE_TOLD: Final = ToldDims()
"""That of functions of sizes that are all known."""


def told_dims(function: Function) -> ToldDims | None:
    """That of a function; None where a dimension has to be solved for in another way than from one
    axis alone."""
    names = [*ranges_of(function)]
    found = []
    for name, range in ranges_of(function).items():
        axis = _axis_of(function, name)
        if axis is None:
            return None
        found.append((*range, *axis))
    requirements = tuple(
        (kind == "zero", count_of(size, names)) for kind, size, *_ in requirements_of(function)
    )
    return ToldDims(tuple(found), requirements)


def _axis_of(function: Function, name: str) -> tuple[int, int, int, int] | None:
    """The input and the axis that tell a dimension, which is slope * size + start there."""
    for argument in function.arguments:
        assert isinstance(argument.type, TensorType)
        for axis, size in enumerate(argument.type.shape):
            if isinstance(size, Size) and size.names == [name]:
                start = substitute(size, {name: 0})
                slope = substitute(size, {name: 1}) - start
                is_linear = size == slope * Size((((name,), 1),)) + start
                if is_linear and isinstance(slope, int) and isinstance(start, int) and slope > 0:
                    return argument.index, axis, slope, start
    return None


def shape_of(shape: Sequence[Dim], names: Sequence[str]) -> tuple[int | Count, ...]:
    """A shape, with the programs of sizes that a call tells."""
    return tuple(size if isinstance(size, int) else count_of(size, names) for size in shape)


def count_of(size: Dim, names: Sequence[str]) -> Count:
    """The program of a size. OverflowError where C would not take it."""
    positions = {name: i for i, name in enumerate(names)}
    program = _program(size, positions)
    if _depth(program) > _DEEPEST or not all(-_LARGEST <= word < _LARGEST for word in program):
        raise OverflowError
    return tuple(program)


def _program(size: Dim, positions: Mapping[str, int]) -> list[int]:
    if isinstance(size, int):
        return [_NUMBER, size]
    program: list[int] = []
    for number, (monomial, coefficient) in enumerate(size.terms):
        program += [_NUMBER, coefficient]
        for atom in monomial:
            program += [*_atom(atom, positions), _TIMES, 0]
        program += [_PLUS, 0] if number else []
    return program


def _atom(atom: Atom, positions: Mapping[str, int]) -> list[int]:
    if isinstance(atom, str):
        return [_DIMENSION, positions[atom]]
    if isinstance(atom, Quotient):
        return [*_program(atom.numerator, positions), _QUOTIENT, atom.divisor]
    first, second = (_program(size, positions) for size in (atom.first, atom.second))
    return [*first, *second, _LEAST, 0]


def _depth(program: Sequence[int]) -> int:
    """The most numbers on the stack."""
    depth = most = 0
    for operation in program[::2]:
        depth += {_NUMBER: 1, _DIMENSION: 1, _QUOTIENT: 0}.get(operation, -1)
        most = max(most, depth)
    return most
