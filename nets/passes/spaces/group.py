"""Group: operations that become one set of loops, the tensors they store, and their space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from nets.ir.affine import Affine
from nets.ir.core import Operation, Trait, Value
from nets.ir.sizes import Dim
from nets.ir.types import DType, Shape
from nets.locks import made_once
from nets.machine import costs
from nets.machine.machine import Machine
from nets.ops.definition.emitter import tensor_type
from nets.passes.spaces.iteration import Space, common_space, map_space, reduction_space, rows_of

Index = tuple[Affine, ...]

Output = tuple[Value, Value]
"""A tensor and the buffer that is to hold it."""


@dataclass(frozen=True)
class Group:
    """Operations in order, and what of them is wanted in memory."""

    ops: Sequence[Operation]
    outputs: Sequence[Output]
    as_rows: bool = False
    """Whether a COLUMN group is to be the ROW group it is where the columns are one."""

    @made_once
    def reductions(self) -> list[Operation]:
        """The reductions of the space of the group."""
        if self.as_rows:
            return self._all_reductions
        return [op for op in self._all_reductions if reduction_space(op) == self.space]

    @made_once
    def across(self) -> list[Operation]:
        """The reductions across the rows of a ROW group. Nothing in the group reads them."""
        reductions = set(self.reductions)
        return [op for op in self._all_reductions if op not in reductions]

    @made_once
    def _all_reductions(self) -> list[Operation]:
        return [op for op in self.ops if op.has(Trait.REDUCTION)]

    @made_once
    def space(self) -> Space:
        """The common space of the reductions, or that of the outputs where there is none."""
        if not self._all_reductions:
            return map_space(tensor_type(self.outputs[0][0]).shape)
        found: Space | None = None
        for op in self._all_reductions:
            space = reduction_space(op)
            assert space is not None, "reductions over several runs of axes have been split"
            found = space if found is None else common_space(found, space)
        assert found is not None, "the reductions of a group have a common space"
        return rows_of(found) if self.as_rows else found

    @made_once
    def results(self) -> set[Value]:
        """Every value the group computes."""
        return {value for op in self.ops for value in op.results}

    @made_once
    def full_outputs(self) -> list[Output]:
        """The outputs with an element for each element of the space."""
        shape = self.space.shape
        return [output for output in self.outputs if tensor_type(output[0]).shape == shape]

    @made_once
    def reduced_outputs(self) -> list[Output]:
        """The outputs with an element for each result of a reduction of the group's space."""
        shape, apart = self.space.shape, {op.result for op in self.across}
        return [
            output
            for output in self.outputs
            if output[0] not in apart and tensor_type(output[0]).shape != shape
        ]

    @made_once
    def across_outputs(self) -> list[Output]:
        """The outputs that are results of reductions across the rows."""
        apart = {op.result for op in self.across}
        return [output for output in self.outputs if output[0] in apart]

    def work(self, machine: Machine) -> float:
        """Cycles for each element of the space, on vectors of them."""
        parts = self._parts(machine, costs.FAR)
        return sum(found / max(1, machine.lanes(dtype)) for found, dtype in parts)

    def cycles(self, machine: Machine) -> float:
        """Cycles for a vector of elements of the space: how much a loop body does."""
        return sum(found for found, _ in self._parts(machine, 1))

    def _parts(self, machine: Machine, distance: float) -> Iterator[tuple[float, DType]]:
        """What arithmetic takes, the loads and stores around it, and the loop, by dtype."""
        full = [op for op in self.ops if tensor_type(_leading(op)).shape == self.space.shape]
        for op in full:
            dtype = tensor_type(_leading(op)).dtype
            yield costs.tensor_cycles(machine, op, dtype), dtype
        for value in {v: None for op in full for v in op.operands if v not in self.results}:
            if tensor_type(value).elements != 1:  # a number is in a register
                yield distance * costs.LOAD, tensor_type(value).dtype
        for value, _ in self.full_outputs:
            yield distance * costs.STORE, tensor_type(value).dtype
        yield costs.PLAIN, tensor_type(self.outputs[0][0]).dtype


def _leading(op: Operation) -> Value:
    """What has an element for each one that the operation computes, or takes together."""
    return op.operands[0] if op.has(Trait.REDUCTION) else op.results[0]


def arranged(space: Space, parts: Sequence[tuple[tuple[int, ...], Index]]) -> Index:
    """An index of the full shape out of the positions along some axes each."""
    index = [Affine()] * len(space.shape)
    for axes, positions in parts:
        for axis, position in zip(axes, positions, strict=True):
            index[axis] = position
    return tuple(index)


def positions_in(sizes: Sequence[Dim]) -> list[Index]:
    """Every index of a shape of constant sizes, in row-major order."""
    numbers = [size for size in sizes if isinstance(size, int)]
    assert len(numbers) == len(sizes), "only constants can be listed"
    return [tuple(map(Affine.of, place)) for place in product(*map(range, numbers))]


def reduced_index(space: Space, shape: Shape, kept: Index) -> Index:
    """The index of a reduced value of that shape at the positions ``kept`` along the kept axes.

    The shape may have other axes of size 1 than the result of the reduction.
    """
    sizes = space.result_shape
    positions = iter(p for p, size in zip(kept, sizes, strict=True) if size != 1)
    return tuple(Affine() if size == 1 else next(positions) for size in shape)


def is_reduced(space: Space, shape: Shape) -> bool:
    """Whether a value of that shape has an element per result of the space's reductions."""
    return _long_axes(shape) == _long_axes(space.result_shape)


def _long_axes(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)
