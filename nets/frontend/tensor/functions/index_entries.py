"""Entries of an index in normal form, one per axis, and those of axes whose size a call tells."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

from nets.errors import IndexOutOfBoundsError
from nets.frontend.tensor.conversion import integer_of
from nets.frontend.tensor.dimension import (
    Dimension,
    at_least_zero,
    is_negative,
    not_negative,
    smaller,
)
from nets.frontend.tensor.dispatch import as_tensor, cast
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tensor.variable import Array
from nets.ir.location import user_location
from nets.ir.types import i64


@dataclass(frozen=True, slots=True)
class NewAxis:
    """None in a key."""


@dataclass(frozen=True, slots=True)
class Whole:
    """One position of an axis, counted from the start; the axis disappears."""

    position: int


@dataclass(frozen=True, slots=True)
class Range:
    """``count`` positions of an axis from ``start`` by ``step``, which may be negative."""

    start: int
    count: int
    step: int


@dataclass(frozen=True, slots=True)
class Picks:
    """Positions given by an integer tensor, known now (``array``) or only when run.

    ``masked`` is the size of the axis of the mask they come from, if they do. A *number* is a
    Python number of a trace: like any whole number, it gives a view.
    """

    tensor: Tensor
    array: Array | None
    masked: int | None = None
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Open:
    """Positions of an axis whose number only a call tells: from ``start`` below ``stop`` by
    ``step`` ≥ 1, of the axis from its end on where it is ``flipped``."""

    start: Any
    stop: Any
    step: int
    flipped: bool

    @property
    def count(self) -> Any:
        return (self.stop - self.start + (self.step - 1)) // self.step


Entry = NewAxis | Whole | Range | Open | Picks


def out_of_bounds(index: int, axis: int, size: int) -> IndexOutOfBoundsError:
    return IndexOutOfBoundsError(
        f"index {index} is out of bounds for axis {axis} of size {size}", user_location()
    )


def open_position(item: Any, axis: int, size: Any) -> Whole | Picks:
    """One position of an axis, where a call tells the position or the size; it is checked."""
    what = f"x[{item}] of axis {axis}"
    from_end = is_negative(item)
    if from_end is None:
        return Picks(cast(as_tensor(item), i64), None, is_number=True)
    position = size + item if from_end else item
    inside = not_negative(position, what) and not_negative(size - position - 1, what)
    if not inside:
        raise out_of_bounds(item, axis, size)
    return Whole(position)


def open_range(item: slice, size: Any) -> Open:
    """The positions of a slice, as Python has them, where a call tells a bound or the size."""
    start, stop = (b if isinstance(b, Dimension) else _bound(b) for b in (item.start, item.stop))
    step = 1 if item.step is None else integer_of(item.step, "the step of a slice")
    if step == 0:
        raise IndexOutOfBoundsError("the step of a slice is not zero", user_location())
    if step > 0:
        first = 0 if start is None else _within(start, size)
        end = size if stop is None else _within(stop, size)
    else:
        # Of the axis from its end on, the same positions counted from there.
        first = 0 if start is None else _within(-1 - start, size)
        end = size if stop is None else _within(-1 - stop, size)
    end = first + at_least_zero(end - first)
    return Open(first, end, builtins.abs(step), step < 0)


def _bound(b: object) -> int | None:
    return None if b is None else integer_of(b, "a slice bound")


def _within(bound: Any, size: Any) -> Any:
    """A bound of a slice as a position: a negative one counts from the end, and none lies outside
    of the axis."""
    from_end = is_negative(bound)
    if from_end is None:
        # 1 where the bound is negative, else 0: so that either case is one size.
        bound = bound + size * (1 - smaller(at_least_zero(bound + 1), 1))
        return at_least_zero(smaller(bound, size))
    return at_least_zero(size + bound) if from_end else smaller(bound, size)
