"""Locations: where in the user's source an operation was written."""

from __future__ import annotations

import linecache
import sys
from types import CodeType, FrameType

from nets.tracebacks import LIBRARIES, ipython


class Location:
    """A position in the user's source: file, line and, where known, the sub-expression.

    Made from a code object and an instruction offset at the price of two references; the
    columns are looked up only when somebody asks.
    """

    __slots__ = ("_code", "_lasti", "_span", "file", "line")

    def __init__(self, file: str, line: int, code: CodeType | None = None, lasti: int = -1) -> None:
        self.file = file
        self.line = line
        self._code = code
        self._lasti = lasti

    def __str__(self) -> str:
        return f'"{self.file}":{self.line}'

    def span(self) -> tuple[int, int, int, int] | None:
        """(line, end line, column, end column) of the sub-expression, columns in characters."""
        if self._code is None or self._lasti < 0:
            return None
        positions = list(self._code.co_positions())
        line, end_line, column, end_column = positions[self._lasti // 2]
        if line is None or end_line is None or column is None or end_column is None:
            return None
        return line, end_line, column, end_column

    def expression(self) -> str | None:
        """The text of the sub-expression, or None where the source is not at hand."""
        span = self.span()
        if span is None or span[0] != span[1]:
            return None
        source = linecache.getline(self.file, span[0]).encode()
        return source[span[2] : span[3]].decode(errors="replace") or None

    def describe(self) -> str:
        """``file:line`` and the source line with the sub-expression underlined."""
        text = linecache.getline(self.file, self.line).rstrip("\n")
        lines = [f"  at {_place(self.file, self.line)}"]
        if text.strip():
            lines.append(f"    {text.strip()}")
            span = self.span()
            if span is not None and span[0] == self.line:
                raw = text.encode()
                start = len(raw[: span[2]].decode(errors="replace"))
                end = len(raw[: span[3]].decode(errors="replace"))
                if span[1] != self.line:  # of an expression of several lines, the first
                    end = len(text)
                indent = len(text) - len(text.lstrip())
                lines.append("    " + " " * (start - indent) + "^" * max(1, end - start))
        return "\n".join(lines)


def _place(file: str, line: int) -> str:
    """``file:line``; of a cell of a notebook what IPython calls it, ``Cell In[3], line 2``."""
    named = getattr(getattr(ipython(), "compile", None), "format_code_name", None)
    name = None if named is None else named(file)
    return f"{file}:{line}" if name is None else f"{' '.join(name)}, line {line}"


class GradientLocation(Location):
    """Where an operation stands in the user's source, for what computes its derivative."""

    __slots__ = ("gradient_of", "origin")

    def __init__(self, origin: Location, gradient_of: str) -> None:
        self.origin = origin
        self.gradient_of = gradient_of
        """The name of the operation."""
        self.file = origin.file
        self._code = origin._code
        self._lasti = origin._lasti

    @property
    def line(self) -> int:  # type: ignore[override]
        return self.origin.line


class FrameLocation(Location):
    """A location that looks up its line only when somebody asks."""

    __slots__ = ()

    def __init__(self, code: CodeType, lasti: int) -> None:
        self.file = code.co_filename
        self._code = code
        self._lasti = lasti

    @property
    def line(self) -> int:  # type: ignore[override]
        assert self._code is not None
        for start, end, line in self._code.co_lines():
            if start <= self._lasti < end and line is not None:
                return line
        return self._code.co_firstlineno


def user_location() -> Location | None:
    """Where the innermost frame of the user's code stands now; None where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not frame.f_code.co_filename.startswith(LIBRARIES):
            return FrameLocation(frame.f_code, frame.f_lasti)
        frame = frame.f_back
    return None
