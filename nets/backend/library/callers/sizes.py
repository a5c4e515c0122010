"""Sizes in the words of other languages: numbers, or expressions of a function's dimensions.

An expression is written as in Python, of names, numbers, ``+ - * //`` and ``min``; a quotient is
rounded down. All languages compute with 64 bits, and what is beyond them is a length that no array
has.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Size = int | str


def product(shape: Sequence[Size]) -> Size:
    """The number of elements of an array of that shape."""
    number = math.prod(size for size in shape if isinstance(size, int))
    others = [f"({size})" for size in shape if not isinstance(size, int)]
    if not others:
        return number
    return " * ".join([*([str(number)] if number != 1 else []), *others])


@dataclass(frozen=True, slots=True)
class Words:
    """How a language writes sizes: formats of two operands, and of a number."""

    plus: str
    minus: str
    times: str
    quotient: str
    least: str
    number: str = "{}"


def spelled(size: Size, words: Words, names: Mapping[str, str]) -> str:
    """The size in those words; ``names`` is what the dimensions are called there."""
    if isinstance(size, int):
        return str(size)
    return _spelled(ast.parse(size, mode="eval").body, words, names)


def _spelled(node: ast.expr, words: Words, names: Mapping[str, str]) -> str:
    match node:
        case ast.Name(id=name):
            return names[name]
        case ast.Constant(value=int(number)):
            return words.number.format(number)
        case ast.BinOp(left=left, op=op, right=right):
            form = {
                ast.Add: words.plus,
                ast.Sub: words.minus,
                ast.Mult: words.times,
                ast.FloorDiv: words.quotient,
            }[type(op)]
            return form.format(_spelled(left, words, names), _spelled(right, words, names))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            zero = words.number.format(0)
            return words.minus.format(zero, _spelled(operand, words, names))
        case ast.Call(func=ast.Name(id="min"), args=[first, second]):
            return words.least.format(_spelled(first, words, names), _spelled(second, words, names))
    raise ValueError(f"{ast.unparse(node)} is no size")
