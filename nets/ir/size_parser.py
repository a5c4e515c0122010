"""Reads sizes off text, as ``nets.ir.sizes`` writes them and users do: ``2*n + 1``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from nets.ir.sizes import Dim, Size, least, symbol

MAX_NESTING: Final = 32
"""Quotients and minima within each other, and factors of a product."""

MAX_TERMS: Final = 256
"""Terms of a size, so that hostile text cannot multiply out to many."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_WORDS: Final = re.compile(r"\s*(?:([0-9]{1,19})|([A-Za-z_]\w*)|(//|[-+*(),]))\s*", re.ASCII)


def parse(text: str, meaning: Callable[[str], Dim] = symbol) -> Dim:
    """The size that a text says: numbers, names, ``+ - * // ( )`` and ``min(a, b)``.

    ``meaning`` gives the size of a name. ValueError where the text is not in that language, or is
    too long for it.
    """
    words, place = list[str](), 0
    while place < len(text):
        match = _WORDS.match(text, place)
        if match is None:
            raise ValueError(f"{text[place:].strip()!r} has no meaning in a size")
        words.append(match[0].strip())
        place = match.end()
    reader = _Reader(words, meaning)
    size = reader.sum(0)
    if reader.words:
        raise ValueError(f"{reader.words[-1]!r} should not stand there in a size")
    return size


class _Reader:
    """Reads a size off its words, the next of which is the last of the list."""

    def __init__(self, words: Iterable[str], meaning: Callable[[str], Dim]) -> None:
        self.words = [*words][::-1]
        self._meaning = meaning

    def sum(self, depth: int) -> Dim:
        total = -self._product(depth) if self._have("-") else self._product(depth)
        while (minus := self._have("-")) or self._have("+"):
            term = self._product(depth)
            total = _checked(total - term if minus else total + term)
        return total

    def _product(self, depth: int) -> Dim:
        product = self._factor(depth)
        while (divides := self._have("//")) or self._have("*"):
            factor = self._factor(depth)
            if not divides:
                product = _checked(product * factor)
            elif isinstance(factor, int) and factor > 0:
                product = product // factor
            else:
                raise ValueError("a size is divided by a positive number only")
        return product

    def _factor(self, depth: int) -> Dim:
        if depth > MAX_NESTING:
            raise ValueError(f"a size nests more than {MAX_NESTING} deep")
        word = self.words.pop() if self.words else ""
        if word.isdigit():
            return int(word)
        if word == "(":
            size = self.sum(depth + 1)
            self._expect(")")
            return size
        if word == "min" and self._have("("):
            first = self.sum(depth + 1)
            self._expect(",")
            size = least(first, self.sum(depth + 1))
            self._expect(")")
            return size
        if _NAME.fullmatch(word):
            return self._meaning(word)
        raise ValueError(
            f"a size should be here, not {word!r}" if word else "a size ends too early"
        )

    def _have(self, word: str) -> bool:
        found = bool(self.words) and self.words[-1] == word
        if found:
            self.words.pop()
        return found

    def _expect(self, word: str) -> None:
        if not self._have(word):
            raise ValueError(f"{word!r} is missing in a size")


def _checked(size: Dim) -> Dim:
    terms = size.terms if isinstance(size, Size) else (((), size),)
    if len(terms) > MAX_TERMS or any(
        abs(coefficient) >= 1 << 63 or len(monomial) > MAX_NESTING
        for monomial, coefficient in terms
    ):
        raise ValueError("a size has too many terms, or too large ones")
    return size
