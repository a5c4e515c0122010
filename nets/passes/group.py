"""Group: operations that become one set of loops, the tensors they store, and their space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from nets.ir.affine import Affine
from nets.ir.core import Operation, Trait, Value
from nets.ops.emitter import tensor_type
from nets.passes.iteration import Space, map_space, reduction_space

Output = tuple[Value, Value]
"""A tensor and the buffer that is to hold it."""

COSTLY_WORK = 10
"""Work of a COSTLY operation, in units of an addition."""


@dataclass(frozen=True)
class Group:
    """Operations in order, and what of them is wanted in memory."""

    ops: Sequence[Operation]
    outputs: Sequence[Output]

    @cached_property
    def reductions(self) -> list[Operation]:
        return [op for op in self.ops if op.has(Trait.REDUCTION)]

    @cached_property
    def space(self) -> Space:
        """The one space of the reductions, or that of the outputs where there is none."""
        if not self.reductions:
            return map_space(tensor_type(self.outputs[0][0]).static_shape)
        space = reduction_space(self.reductions[0])
        assert space is not None, "reductions over several runs of axes have been split"
        return space

    @cached_property
    def results(self) -> set[Value]:
        """Every value the group computes."""
        return {value for op in self.ops for value in op.results}

    @cached_property
    def full_outputs(self) -> list[Output]:
        """The outputs with an element for each element of the space."""
        shape = self.space.shape
        return [output for output in self.outputs if tensor_type(output[0]).shape == shape]

    @cached_property
    def reduced_outputs(self) -> list[Output]:
        """The outputs with an element for each result of a reduction."""
        shape = self.space.shape
        return [output for output in self.outputs if tensor_type(output[0]).shape != shape]

    @cached_property
    def work(self) -> int:
        """Estimated work per element: arithmetic and the loads and stores around it."""
        arithmetic = sum(COSTLY_WORK if op.has(Trait.COSTLY) else 1 for op in self.ops)
        inputs = {v for op in self.ops for v in op.operands if v not in self.results}
        return arithmetic + len(inputs) + len(self.full_outputs)


def arranged(
    space: Space, parts: Sequence[tuple[tuple[int, ...], Sequence[Affine]]]
) -> tuple[Affine, ...]:
    """An index of the full shape out of the positions along some axes each."""
    index = [Affine()] * len(space.shape)
    for axes, positions in parts:
        for axis, position in zip(axes, positions, strict=True):
            index[axis] = position
    return tuple(index)
