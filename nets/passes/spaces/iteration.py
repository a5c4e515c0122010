"""Iteration spaces: how the loops of a group of operations run over its elements.

A group without a reduction runs over one shape (MAP). A reduction splits the axes of its operand:
the reduced ones are a trailing run (ROW: each row of the inner axes gives one element) or another
single run (COLUMN: the rows of a batch are combined element by element). Axes of size 1 belong to
either side without splitting a run. A ROW group may also hold reductions across all of its rows,
which alone would be COLUMN groups (``crosses``). A reduction over several runs is two or more
reductions, see ``nets.passes.spaces.split_reductions``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from types import MappingProxyType

from nets.ir.core import Operation
from nets.ir.estimates import about
from nets.ir.sizes import Dim, Ranges, equal
from nets.ir.types import Shape
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import definition_of

Axes = tuple[int, ...]


class Kind(Enum):
    """The three forms of an iteration space."""

    MAP = "map"
    ROW = "row"
    COLUMN = "column"


@dataclass(frozen=True, slots=True)
class Space:
    """The axes of ``shape`` by role; ``reduced`` is empty for a MAP.

    ROW: ``outer`` × ``reduced``. COLUMN: ``outer`` × ``reduced`` × ``columns``.
    """

    kind: Kind
    shape: Shape
    outer: Axes
    reduced: Axes = ()
    columns: Axes = ()

    @property
    def kept(self) -> Axes:
        """The axes a reduction's result has."""
        return self.outer + self.columns

    @property
    def result_shape(self) -> Shape:
        return self.sizes(self.kept)

    def long(self, axes: Axes) -> Axes:
        """Those of the axes that are not of size 1."""
        return tuple(axis for axis in axes if self.shape[axis] != 1)

    def sizes(self, axes: Axes) -> Shape:
        return tuple(self.shape[axis] for axis in axes)

    def count(self, axes: Axes) -> Dim:
        return math.prod(self.sizes(axes))


MIN_ROWS, MIN_ROW_LENGTH = 32, 64
"""From here on reductions of rows and across the rows share loops: two blocks of the tree across,
and rows so long that the totals of their columns are worth storing after each."""


def crosses(column: Space, row: Space) -> bool:
    """Whether a COLUMN space adds up all the rows of a ROW space, element by element.

    Not where a call may tell that there is one column: then its totals are those of a row.
    """
    if column.kind is not Kind.COLUMN or row.kind is not Kind.ROW or column.shape != row.shape:
        return False
    if may_be_one(column.sizes(column.columns)):
        return False
    if about(row.count(row.outer)) < MIN_ROWS or about(row.count(row.reduced)) < MIN_ROW_LENGTH:
        return False
    return set(column.long(column.reduced)) == set(row.long(row.outer))


def may_be_one(sizes: Iterable[Dim], ranges: Ranges = MappingProxyType({})) -> bool:
    """Whether a call may tell that there is one element along axes of these sizes."""
    long = [size for size in sizes if size != 1]
    return bool(long) and all(equal(size, 1, ranges) is not False for size in long)


def common_space(one: Space, other: Space) -> Space | None:
    """The space of loops for both: the more special of the two, rows before columns across them."""
    if one.kind is Kind.MAP or crosses(one, other):
        return other
    if one == other or other.kind is Kind.MAP or crosses(other, one):
        return one
    return None


def rows_of(column: Space) -> Space:
    """What a COLUMN space is where all the columns together are one: a ROW space."""
    return Space(Kind.ROW, column.shape, column.kept, column.reduced)


def map_space(shape: Shape) -> Space:
    """The space of elementwise work over that shape."""
    return Space(Kind.MAP, shape, tuple(range(len(shape))))


def reduced_axes(op: Operation) -> Axes:
    """The axes a reduction removes: its attribute ``axes``, or ``axis`` alone."""
    attributes = op.attributes
    return attributes["axes"] if "axes" in attributes else (attributes["axis"],)


def order_shows(op: Operation) -> bool:
    """Whether the order in which a reduction takes its elements shows in the bits of its result."""
    return not definition_of(op).is_exact([operand.type for operand in op.operands])


def reduction_space(op: Operation) -> Space | None:
    """The space of a reduction; None if it has no loops yet (see ``split_reductions``).

    That is a reduction over several separate runs of axes, or a position along an axis that others
    follow.
    """
    space = _space(tensor_type(op.operands[0]).shape, reduced_axes(op))
    is_across = space is not None and space.kind is Kind.COLUMN
    return None if is_across and "axis" in op.attributes else space


@lru_cache(maxsize=1024)
def _space(shape: Shape, reduced: Axes) -> Space | None:
    runs = reduced_runs(shape, reduced)
    kept = tuple(axis for axis in range(len(shape)) if axis not in reduced)
    if len(runs) > 1:
        return None
    end = runs[0][-1] if runs else len(shape)
    after = tuple(axis for axis in kept if axis > end)
    if all(shape[axis] == 1 for axis in after):
        return Space(Kind.ROW, shape, kept, reduced)
    return Space(Kind.COLUMN, shape, kept[: len(kept) - len(after)], reduced, after)


def reduced_runs(shape: Shape, reduced: Axes) -> list[list[int]]:
    """The maximal runs of reduced axes, looking past axes of size 1."""
    runs: list[list[int]] = []
    adjacent = False
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if axis in reduced:
            if adjacent:
                runs[-1].append(axis)
            else:
                runs.append([axis])
        adjacent = axis in reduced
    return runs
