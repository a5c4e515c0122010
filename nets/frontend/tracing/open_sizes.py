"""Open sizes: dimensions whose size each call tells, and which axes of arguments have them.

``dim`` says what a size may be. ``OpenSizes`` is the option ``dims`` of ``nets.trace``: it gives
the axes of the arrays of a call their names, so that calls of all sizes have one signature.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from types import EllipsisType
from typing import Any, Final

from nets.errors import ParseError, ShapeError
from nets.ir.dims import LONGEST
from nets.ir.location import user_location
from nets.ir.size_parser import parse
from nets.ir.sizes import Dim, Range, Size, expression, symbol

LARGEST: Final = 2**31 - 1
"""The default of ``highest``: with it products of two sizes are counted in 64 bits."""

Axis = Dim | None | EllipsisType
"""What an axis of an argument has: a size, any size that is fixed (None), or further axes (...)."""


def dim(lowest: int = 0, highest: int = LARGEST, *, multiple_of: int = 1) -> Range:
    """What the size of a dimension may be, for ``nets.spec`` and the ``dims`` of ``nets.trace``.

    ``lowest`` and ``highest`` are included; sizes are multiples of ``multiple_of``. By default any
    size below 2³¹ is allowed, 0 and 1 as well. ShapeError where no size is, and from 2⁶³ on.
    """
    low, high, multiple = (_whole(x) for x in (lowest, highest, multiple_of))
    if low < 0 or multiple < 1 or high // multiple * multiple < low:
        steps = f" that is a multiple of {multiple}" if multiple != 1 else ""
        raise ShapeError(f"there is no size from {low} to {high}{steps}", user_location())
    if max(high, multiple) > LONGEST:
        raise ShapeError(
            f"{max(high, multiple)} is no size: sizes are numbers of 64 bits", user_location()
        )
    return Range(low, high, multiple)


def _whole(x: Any) -> int:
    try:
        return operator.index(x)
    except TypeError:
        raise ShapeError(f"{x!r} is no size of a dimension", user_location()) from None


def checked_names(dims: Mapping[str, object], used: Sequence[Dim], where: str) -> dict[str, Range]:
    """The ranges of the names in some sizes.

    ParseError where a name has no range, and where a range is for a name that is not there.
    """
    for name, given in dims.items():
        if not isinstance(given, Range):
            raise ParseError(
                f"{name}={given!r}: what the size of a dimension may be is said by nets.dim(1, 64)",
                user_location(),
            )
    names = dict.fromkeys(name for size in used if isinstance(size, Size) for name in size.names)
    for name in names:
        if name not in dims:
            raise ParseError(
                f"{name} in {where} is not known: say what its size may be, {name}=nets.dim(1, 64)",
                user_location(),
            )
    for name in dims:
        if name not in names:
            raise ParseError(
                f"no axis has the dimension {name}: {where} has {', '.join(names) or 'none'}",
                user_location(),
            )
    return {name: range for name, range in dims.items() if isinstance(range, Range)}


def merged(ranges: dict[str, Range], more: Mapping[str, Range], where: str) -> None:
    """Add ranges to others. ShapeError where one name has two."""
    for name, range in more.items():
        if ranges.setdefault(name, range) != range:
            raise ShapeError(
                f"{name} is {text(ranges[name])} elsewhere and {text(range)} in {where}: a name "
                "is one size in all arguments",
                user_location(),
            )


def text(range: Range) -> str:
    low, high, multiple = range
    return f"nets.dim({low}, {high}" + (f", multiple_of={multiple})" if multiple > 1 else ")")


def size_in(word: object, where: str) -> Dim:
    """The size that a text or number says. ParseError or ShapeError where it says none."""
    if isinstance(word, Size):
        return word
    if not isinstance(word, str):
        size = _whole(word)
    else:
        try:
            size = parse(word, _symbol)  # type: ignore[assignment]
        except ValueError as error:
            raise ParseError(f"{word!r} in {where} is no size: {error}", user_location()) from None
        if isinstance(size, int) and size < 0:
            raise ParseError(f"{word!r} in {where} is no size: it is negative", user_location())
    if isinstance(size, int) and not 0 <= size < 1 << 63:
        raise ShapeError(f"{size} is not the size of an axis", user_location())
    return size


def _symbol(name: str) -> Dim:
    return symbol(name)


def words_of(text: str) -> list[str]:
    """The sizes between the commas of a text, but not those in parentheses."""
    words, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == "," and depth == 0:
            words.append("")
        else:
            words[-1] += character
    words = [word.strip() for word in words]
    return words[:-1] if not words[-1] else words


# -------------------------------------------------------------------- the option of trace


class OpenSizes:
    """Which axes of which arguments have sizes that a call tells.

    ``dims`` maps parameters, or paths such as ``batch['x']``, to their axes: ``"batch, 784"`` or
    ``"batch, ..."``, a tuple of the same, or ``{0: "batch"}``; and names to ``nets.dim``. It holds
    for all arrays in a nested argument.
    """

    def __init__(self, dims: object) -> None:
        if not isinstance(dims, Mapping) or not all(isinstance(key, str) for key in dims):
            raise ParseError(
                f'dims is a dict such as {{"x": "batch, ...", "batch": nets.dim(1, 64)}}, not '
                f"{dims!r}",
                user_location(),
            )
        named = {key: value for key, value in dims.items() if isinstance(value, Range)}
        self.axes = {key: _axes_of(value, key) for key, value in dims.items() if key not in named}
        used = [size for axes in self.axes.values() for size in _sizes(axes)]
        self.ranges = checked_names(named, used, "dims")

    @property
    def parameters(self) -> list[str]:
        """The parameters it speaks of."""
        return [re.split(r"[\[.]", path, maxsplit=1)[0] for path in self.axes]

    def opened(self, path: str, shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
        """The shape of the array at a path with names in the place of sizes that a call tells.

        ShapeError where the array has other axes.
        """
        axes = next((axes for key, axes in self.axes.items() if _leads_to(key, path)), None)
        if axes is None:
            return shape
        if isinstance(axes, dict):
            rank = len(shape)
            by_number = {axis + rank if axis < 0 else axis: size for axis, size in axes.items()}
            fits = all(0 <= axis < rank for axis in by_number)
            found = [by_number.get(axis) for axis in range(rank)]
        else:
            found, fits = _spread(axes, len(shape))
        if not fits or any(
            isinstance(a, int) and a != n for a, n in zip(found, shape, strict=True)
        ):
            raise ShapeError(
                f"argument {path} has shape {shape}; dims says {_listed(axes)}", user_location()
            )
        return tuple(n if a is None else a for a, n in zip(found, shape, strict=True))


Axes = tuple[Axis, ...] | dict[int, Dim]


def _axes_of(given: object, path: str) -> Axes:
    where = f"dims of {path}"
    if isinstance(given, Mapping):
        return {_whole(axis): size_in(size, where) for axis, size in given.items()}
    if isinstance(given, str):
        words: Sequence[object] = words_of(given.strip().removeprefix("[").removesuffix("]"))
    elif isinstance(given, (tuple, list)):
        words = given
    else:
        words = (given,)
    axes = tuple(_axis(word, where) for word in words)
    if axes.count(...) > 1:
        raise ParseError(f"{where} has ... twice", user_location())
    return axes


def _axis(word: object, where: str) -> Axis:
    if word is None or word == "_":
        return None
    return ... if word in (..., "...") else size_in(word, where)


def _sizes(axes: Axes) -> Iterator[Dim]:
    for size in axes.values() if isinstance(axes, dict) else axes:
        if isinstance(size, int | Size):
            yield size


def _spread(axes: tuple[Axis, ...], rank: int) -> tuple[list[Dim | None], bool]:
    """What each axis has, and whether there are as many."""
    more = rank - (len(axes) - axes.count(...))
    found: list[Dim | None] = []
    for axis in axes:
        if isinstance(axis, EllipsisType):
            found += [None] * more
        else:
            found.append(axis)
    fits = len(found) == rank
    return (found if fits else [None] * rank), fits


def _leads_to(key: str, path: str) -> bool:
    return path == key or (path.startswith(key) and path[len(key)] in "[.")


def _listed(axes: Axes) -> str:
    if isinstance(axes, dict):
        return str({axis: _shown(size) for axis, size in axes.items()})
    return f"({', '.join(map(_shown, axes))})"


def _shown(axis: Axis) -> str:
    if isinstance(axis, EllipsisType):
        return "..."
    return "_" if axis is None else expression(axis)
