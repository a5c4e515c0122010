"""Tokens of IR text, and errors that show the line they are about."""

from __future__ import annotations

import re
from typing import Final, NamedTuple, NoReturn

from nets.errors import ParseError, VerifyError

SHOWN: Final = 100
"""Characters of a long line that an error shows."""


class Token(NamedTuple):
    """One word of the text. ``kind`` is a group name of the pattern below, or ``end``."""

    kind: str
    text: str
    position: int


# Every repetition that could be tried again in another way is possessive (*+), so hostile text
# cannot make the search long.
_TOKEN = re.compile(
    r"""(?:[ \t\r\n]++|//[^\n]*+)*+
    (?:(?P<type>(?:tensor|buffer|vector|scalar)<[^<>\n"]*+>)
    |(?P<value>%[A-Za-z0-9_.]++)
    |(?P<size>\?(?:[A-Za-z_][A-Za-z0-9_]*+|\{[^{}\n]*+\}))
    |(?P<number>-?(?:[0-9]++(?:\.[0-9]*+)?(?:[eE][+-]?[0-9]++)?|inf\b)|nan\b|inf\b)
    |(?P<name>[A-Za-z_][A-Za-z0-9_.]*+)
    |(?P<string>"[^"\\\x00-\x1f]*+(?:\\.[^"\\\x00-\x1f]*+)*+")
    |(?P<sign>->|\{-\#|\#-\}|[][(){}<>,:=@])
    |(?P<end>\Z)
    |(?P<other>.))
    """,
    re.VERBOSE | re.ASCII | re.DOTALL,
)


def tokens_of(text: str) -> list[Token]:
    """The tokens of the text and one of kind ``end``; ParseError where something else stands."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        token = Token(kind, match[kind], match.start(kind))
        if kind == "other":
            raise parse_error(f"{token.text!r} has no meaning here", text, token.position)
        found.append(token)
        if kind == "end":
            break
    return found


def parse_error(message: str, text: str, position: int) -> ParseError:
    """The error with line, column and the line itself."""
    return ParseError(_with_line(message, text, position))


def verify_error(message: str, text: str, position: int) -> VerifyError:
    """The same for text that is in the language but breaks a rule of an operation."""
    return VerifyError(_with_line(message, text, position))


def _with_line(message: str, text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line = text[start : end if end >= 0 else len(text)]
    column = position - start
    row = text.count("\n", 0, position) + 1
    first = max(0, column - SHOWN // 2)
    shown = "".join(c if c.isprintable() else "?" for c in line[first : first + SHOWN])
    return f"{row}:{column + 1}: {message}\n  {shown}\n  {' ' * (column - first)}^"


class Tokens:
    """The tokens of a text, and a place among them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = tokens_of(text)
        self._next = 0

    def fail(self, message: str, token: Token) -> NoReturn:
        """Raise a ParseError at the token."""
        raise parse_error(message, self.text, token.position)

    def peek(self) -> Token:
        """The next token."""
        return self._tokens[self._next]

    def take(self) -> Token:
        """Go past the next token, but not past the end."""
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def have(self, text: str) -> bool:
        """Go past a sign or name if it comes next."""
        token = self._tokens[self._next]
        if token.text != text or token.kind not in ("sign", "name"):
            return False
        self._next += 1
        return True

    def expect(self, text: str) -> Token:
        """Go past a sign or name, which must come next."""
        token = self.peek()
        if not self.have(text):
            self.fail(f"{text!r} should be here, not {shown(token)}", token)
        return token

    def expect_kind(self, kind: str, what: str) -> Token:
        """Go past a token, which must be of that kind."""
        token = self.take()
        if token.kind != kind:
            self.fail(f"{what} should be here, not {shown(token)}", token)
        return token

    def first(self, text: str) -> int | None:
        """The number of the first token with that text."""
        return next((i for i, token in enumerate(self._tokens) if token.text == text), None)

    def go_to(self, number: int) -> None:
        """Let the token of that number come next."""
        self._next = number

    def cut(self, number: int) -> None:
        """Let the text end before the token of that number."""
        self._tokens[number:] = self._tokens[-1:]


def shown(token: Token) -> str:
    """A token as an error message names it."""
    if token.kind == "end":
        return "the end of the text"
    return repr(token.text if len(token.text) <= 30 else token.text[:30] + "…")
