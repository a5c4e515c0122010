"""Windows over the last axes of a tensor: how many there are, and where they lie."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from nets.errors import OpenSizeError, ShapeError
from nets.ir.types import TensorType

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Windows:
    """Windows of ``shape`` over the one or two last axes, as in ``nets.ops.tensor.convolution``."""

    shape: Ints
    steps: Ints
    low: Ints
    high: Ints
    dilation: Ints

    def places(self, x: TensorType) -> Ints:
        """Windows along each axis; ShapeError where they do not go over x."""
        lists = (self.shape, self.steps, self.low, self.high, self.dilation)
        rank = x.rank - 2
        if rank not in (1, 2) or any(len(list_) != rank for list_ in lists):
            raise ShapeError(f"windows go over one or two axes after two others, not over {x}")
        if min(*self.shape, *self.steps, *self.dilation) < 1 or min(*self.low, *self.high) < 0:
            raise ShapeError("windows, steps and dilation start at 1, margins at 0")
        found = []
        for size, (k, step, low, high, apart) in zip(
            x.shape[2:], zip(*lists, strict=True), strict=True
        ):
            if not isinstance(size, int):
                raise OpenSizeError(f"windows go over axes of known size, not over {x}")
            span = size + low + high - apart * (k - 1) - 1
            if span < 0:
                raise ShapeError(f"a window of {self.shape} does not fit into {x}")
            found.append(span // step + 1)
        return tuple(found)

    def pooled(self, x: TensorType) -> TensorType:
        return x.with_shape((*x.shape[:2], *self.places(x)))

    def taps(self) -> Iterator[tuple[int, Ints]]:
        return enumerate(itertools.product(*map(range, self.shape)))

    def first(self, tap: Ints) -> Ints:
        """Where the tap of the first window lies."""
        return tuple(k * d - low for k, d, low in zip(tap, self.dilation, self.low, strict=True))

    def over_two_axes(self) -> Windows:
        """The same with an axis of size 1 in front of a lone one."""
        if len(self.shape) == 2:
            return self
        low = (0, *self.low), (0, *self.high)
        return Windows((1, *self.shape), (1, *self.steps), *low, (1, *self.dilation))
