"""Sizes in the words of other languages: numbers, or expressions of a function's dimensions.

An expression is written as in Python, of names, numbers, ``+ - * //`` and ``min``; a quotient is
rounded down. All languages compute with 64 bits, and what is beyond them is a length that no array
has.
"""

from __future__ import annotations

import math
import re
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
    # Not by Python's own parser: a dimension may be called ``in``.
    return _sum(re.findall(r"//|\w+|[-+*(),]", size)[::-1], words, names)


def _sum(tokens: list[str], words: Words, names: Mapping[str, str]) -> str:
    """The sum that stands at the end of the tokens, in reverse; takes it away."""
    is_negative = tokens[-1] == "-"
    found = words.number.format(0) if is_negative else _product(tokens, words, names)
    while tokens and tokens[-1] in "+-":
        form = words.plus if tokens.pop() == "+" else words.minus
        found = form.format(found, _product(tokens, words, names))
    return found


def _product(tokens: list[str], words: Words, names: Mapping[str, str]) -> str:
    found = _factor(tokens, words, names)
    while tokens and tokens[-1] in ("*", "//"):
        form = words.times if tokens.pop() == "*" else words.quotient
        found = form.format(found, _factor(tokens, words, names))
    return found


def _factor(tokens: list[str], words: Words, names: Mapping[str, str]) -> str:
    token = tokens.pop()
    if token == "min" and tokens and tokens[-1] == "(":
        tokens.pop()
        first, _ = _sum(tokens, words, names), tokens.pop()
        second, _ = _sum(tokens, words, names), tokens.pop()
        return words.least.format(first, second)
    if token == "(":
        found, _ = _sum(tokens, words, names), tokens.pop()
        return found
    return words.number.format(token) if token.isdecimal() else names[token]
