"""Footprints: what an op class may ask in order to say which elements its result depends on.

A footprint tells on which elements of some argument each element of a value depends. The rule
``footprint`` of an op class gets that of each operand and makes that of the result, with the
functions of a ``Footprints``; the pass keeps what they stand for to itself
(``nets.passes.sparsity``).

Most ops need no rule: elementwise ones unite their operands, reductions what lies along their axes,
and the rule ``pieces`` tells where operands stand in a result that is put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from nets.ir.types import Shape
from nets.ops.definition.rules import Array


class Footprint(Protocol):
    """On what each element of a value depends."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def known(self) -> Array | None:
        """The value itself where the program tells it; with axes in front for the steps of loops
        around it, if it differs between them."""
        ...


class Footprints(Protocol):
    """What a rule ``footprint`` makes footprints with; all have the meaning of the op or NumPy
    function of that name."""

    def union(self, *xs: Footprint) -> Footprint:
        """What any of them, of one shape, depends on."""
        ...

    def where(self, x: Footprint, mask: Array | None) -> Footprint:
        """x where the mask holds, which is broadcast; everywhere for None."""
        ...

    def broadcast(self, x: Footprint, shape: Shape, axes: tuple[int, ...]) -> Footprint: ...
    def reshape(self, x: Footprint, shape: Shape) -> Footprint: ...
    def transpose(self, x: Footprint, axes: tuple[int, ...]) -> Footprint: ...
    def flip(self, x: Footprint, axes: tuple[int, ...]) -> Footprint: ...
    def slice(
        self, x: Footprint, starts: Shape, stops: Shape, steps: tuple[int, ...]
    ) -> Footprint: ...
    def reduce(self, x: Footprint, axes: tuple[int, ...]) -> Footprint: ...
    def place(
        self, x: Footprint, low: Shape, shape: Shape, steps: tuple[int, ...] | None = None
    ) -> Footprint:
        """x in a value of that shape, from ``low`` on, elements so many steps apart."""
        ...

    def link(self, x: Footprint, shape: Shape, targets: Array, sources: Array) -> Footprint:
        """Of a value of that shape whose element ``targets[i]`` depends on element ``sources[i]``
        of x, for every i, both counted in row-major order."""
        ...

    def gather(self, x: Footprint, axis: int, indices: Footprint) -> Footprint: ...
    def pick(self, x: Footprint, axis: int, indices: Footprint) -> Footprint: ...
    def window(self, x: Footprint, shape: Shape, starts: Sequence[Footprint]) -> Footprint: ...
    def scatter(
        self, updates: Footprint, shape: Shape, axis: int, indices: Footprint
    ) -> Footprint: ...
    def update(self, x: Footprint, update: Footprint, starts: Sequence[Footprint]) -> Footprint: ...


def nonzero(x: Footprint) -> Array | None:
    """Where a value is not zero, which NaN is not; None where it is not known."""
    return None if x.known is None else collapsed(x.known) != 0


def collapsed(array: Array) -> Array:
    """The array with one element alone along axes on which all are the same one in memory."""
    rows = zip(array.strides, array.shape, strict=True)
    return array[tuple(slice(0, 1) if n and not stride else slice(None) for stride, n in rows)]


def opposite(mask: Array | None) -> Array | None:
    """Where a mask does not hold."""
    return None if mask is None else np.logical_not(mask)
