"""Follow: footprints through operations, each by what its class says.

``Follow`` walks the operations of a block in order and keeps a footprint for each value that
depends on the argument, or is known. Only floating-point values depend on anything, and only as
far as the derivative rules say: what has no slope, such as a comparison, ends the way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Final, cast

import numpy as np

from nets.errors import GradientError, NetsError
from nets.ir.builder import Builder
from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.types import TensorType
from nets.ops.definition import footprints
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import Array, OpDef, definition_of
from nets.passes.sparsity import places
from nets.passes.sparsity.footprint import NOTHING, Footprint
from nets.passes.sparsity.pieces import Ints

KNOWN_ELEMENTS: Final = 1 << 20
"""Larger values are not computed here."""
KNOWN_STEPS: Final = 4096
"""Steps of loops that a value is computed for one by one."""


class Follow:
    """Footprints of the values of a block, for all steps of the loops around it (``lead``)."""

    def __init__(self, columns: int, lead: Ints = ()) -> None:
        self.columns = columns
        self.lead = lead
        self.found: dict[Value, Footprint] = {}
        self.differs = False
        """Whether what an operation does to footprints may differ from step to step."""

    def of(self, value: Value) -> Footprint:
        """The footprint of a value; one that nothing is known of depends on nothing."""
        found = self.found.get(value)
        return self.none(tensor_type(value).static_shape) if found is None else found

    def none(self, shape: Ints) -> Footprint:
        """Of a value of that shape that depends on nothing."""
        return Footprint(shape, self.columns, self.lead)

    def silent(self, x: Footprint) -> Footprint:
        """The same value, as one that depends on nothing."""
        return replace(x.none(x.shape), known=x.known)

    def within(self, columns: int | None = None) -> Follow:
        """For a region that runs as often; or for one by itself, by so many columns."""
        raise NotImplementedError

    def run(self, block: Block, arguments: Sequence[Footprint]) -> list[Footprint]:
        """The footprints of what a block gives for those of its arguments."""
        self.found = dict(zip(block.arguments, arguments, strict=True))
        for op in block:
            if not op.has(Trait.TERMINATOR):
                self._step(op)
        return [self.of(value) for value in block.yielded]

    def _step(self, op: Operation) -> None:
        operands = [self.of(value) for value in op.operands]
        if op.regions:
            made = self.control(op, operands)
        elif all(x.is_empty for x in operands):
            made = self._evaluated(op, operands)
        else:
            self.differs |= any(_is_uneven(op, x) for x in operands)
            made = [_result(op, operands)]
        for value, footprint in zip(op.results, made, strict=True):
            is_smooth = isinstance(value.type, TensorType) and value.type.dtype.is_float
            kept = footprint if is_smooth else replace(footprint, pieces=(), numbers=NOTHING)
            if not kept.is_empty or kept.known is not None:
                self.found[value] = kept

    def control(self, op: Operation, operands: Sequence[Footprint]) -> Sequence[Footprint]:
        """The results of an operation with regions."""
        raise NotImplementedError

    # ------------------------------------------------------------------- known values

    def _evaluated(self, op: Operation, operands: Sequence[Footprint]) -> list[Footprint]:
        """The results of an operation where the program tells all of its operands."""
        shapes = [tensor_type(value).static_shape for value in op.results]
        arrays = [x.known for x in operands]
        known: Sequence[Array] | None = None
        if not op.has_effects and op.has(Trait.PURE) and not op.has(Trait.KERNEL):
            given = [x for x in arrays if x is not None]
            if len(given) == len(arrays):
                known = self._values(op, given, shapes)
        if known is None:
            return [self.none(shape) for shape in shapes]
        return [replace(self.none(s), known=x) for s, x in zip(shapes, known, strict=True)]

    def _values(
        self, op: Operation, arrays: Sequence[Array], shapes: Sequence[Ints]
    ) -> Sequence[Array] | None:
        """The results of an operation on these values, which may be uniform or of each step."""
        lead = len(self.lead)
        ranks = [tensor_type(value).rank for value in op.operands]
        by_step = lead and any(x.ndim > rank for x, rank in zip(arrays, ranks, strict=True))
        single = op.has(Trait.ELEMENTWISE) or (op.has(Trait.INDEXING) and len(arrays) == 1)
        if single and not by_step and all(_is_uniform(x) for x in arrays) and len(shapes) == 1:
            return self._uniform(op, arrays, shapes[0])
        count = math.prod(self.lead) if by_step else 1
        if sum(map(math.prod, shapes)) * count > KNOWN_ELEMENTS:
            return None
        if not by_step:
            return evaluated(op, arrays)
        if op.has(Trait.ELEMENTWISE):
            full = (*self.lead, *shapes[0])
            return evaluated(op, [np.broadcast_to(x, full) for x in arrays])
        return self._each_step(op, arrays, ranks) if count <= KNOWN_STEPS else None

    def _uniform(self, op: Operation, arrays: Sequence[Array], shape: Ints) -> list[Array] | None:
        """One element stands for all."""
        elements = [x[(0,) * x.ndim] for x in arrays]
        if not op.has(Trait.ELEMENTWISE):
            return [np.broadcast_to(elements[0], shape)]
        found = evaluated(op, [np.asarray(x) for x in elements])
        return None if found is None else [np.broadcast_to(x, shape) for x in found]

    def _each_step(
        self, op: Operation, arrays: Sequence[Array], ranks: Sequence[int]
    ) -> list[Array] | None:
        rows = []
        for step in np.ndindex(*self.lead):
            given = [x[step] if x.ndim > rank else x for x, rank in zip(arrays, ranks, strict=True)]
            found = evaluated(op, given)
            if found is None:
                return None
            rows.append(found)
        results = [np.stack(x) for x in zip(*rows, strict=True)]
        return [x.reshape(*self.lead, *x.shape[1:]) for x in results]


def evaluated(op: Operation, arrays: Sequence[Array]) -> list[Array] | None:
    """What the reference gives; None where it fails, as the call will."""
    try:
        return list(definition_of(op).evaluate(arrays, op.attributes))
    except NetsError:
        return None


def _is_uneven(op: Operation, operand: Footprint) -> bool:
    """Whether a known operand makes an operation do other things in other steps."""
    known = operand.known
    if known is None or known.ndim == len(operand.shape):
        return False
    return not op.has(Trait.ELEMENTWISE) or known.dtype.kind == "b" or not known.all()


def _is_uniform(array: Array) -> bool:
    """Whether all elements are the same one in memory."""
    return array.size > 0 and all(
        n == 1 or not stride for stride, n in zip(array.strides, array.shape, strict=True)
    )


# ------------------------------------------------------------------------- operations


def _result(op: Operation, operands: Sequence[Footprint]) -> Footprint:
    """The footprint of the result of one operation without regions."""
    definition = definition_of(op)
    rules = definition.rules
    if definition.traits & Trait.STOPS_GRADIENT or rules.no_derivative is not None:
        return operands[0].none(tensor_type(op.result).static_shape)
    if rules.footprint is not None:
        made = rules.footprint(FOOTPRINTS, *operands, **op.attributes)
        assert isinstance(made, Footprint)
        return made
    if op.has(Trait.ELEMENTWISE):
        slopes = _slopes(definition, *(tensor_type(value) for value in (*op.operands, op.result)))
        kept = [x for x, has_slope in zip(operands, slopes, strict=True) if has_slope]
        return operands[0].none(operands[0].shape).united(*kept)
    if op.has(Trait.REDUCTION):
        return operands[0].reduced(op.attributes["axes"])
    if rules.pieces is not None:
        return _put_together(op, definition, operands)
    raise GradientError(f"{op.name} does not say what its result depends on", op.location)


def _put_together(op: Operation, definition: OpDef, operands: Sequence[Footprint]) -> Footprint:
    """A result put together of its operands."""
    pieces, rest = definition.pieces(*(value.type for value in op.operands), **op.attributes)
    shape = tensor_type(op.result).static_shape
    found = [FOOTPRINTS.place(operands[i], starts, shape) for i, starts in pieces]
    if rest is not None:
        mask = np.ones(shape, np.bool_)
        for i, starts in pieces:
            rows = zip(starts, operands[i].shape, strict=True)
            mask[tuple(slice(a, a + n) for a, n in rows)] = False
        edge = operands[rest].broadcast(shape, ())
        found.append(edge.where(mask))
    made = FOOTPRINTS.union(*found)
    assert isinstance(made, Footprint)
    return made


@cache
def _slopes(definition: OpDef, *types: TensorType) -> tuple[bool, ...]:
    """Through which operands of an elementwise op derivatives go, by its rule ``partials``; through
    all where it has another one."""
    rule = definition.rules.partials
    if rule is None:
        return tuple(type.dtype.is_float for type in types[:-1])
    scratch = Block([replace(type, shape=()) for type in types])
    partials = rule(GraphEmitter(Builder(scratch)), *scratch.arguments)
    return tuple(partial is not None for partial in partials)


class _Footprints:
    """What the rules of ops are given (``nets.ops.definition.footprints.Footprints``)."""

    def union(self, *xs: Footprint) -> Footprint:
        return xs[0].united(*xs[1:])

    def where(self, x: Footprint, mask: Array | None) -> Footprint:
        return x.where(mask)

    def broadcast(self, x: Footprint, shape: Ints, axes: Ints) -> Footprint:
        return x.broadcast(shape, axes)

    def reshape(self, x: Footprint, shape: Ints) -> Footprint:
        return x.reshaped(shape)

    def transpose(self, x: Footprint, axes: Ints) -> Footprint:
        return x.transposed(axes)

    def flip(self, x: Footprint, axes: Ints) -> Footprint:
        return x.flipped(axes)

    def slice(self, x: Footprint, starts: Ints, stops: Ints, steps: Ints) -> Footprint:
        return x.sliced(starts, stops, steps)

    def reduce(self, x: Footprint, axes: Ints) -> Footprint:
        return x.reduced(axes)

    def place(self, x: Footprint, low: Ints, shape: Ints, steps: Ints | None = None) -> Footprint:
        return x.placed(low, shape, steps)

    def link(self, x: Footprint, shape: Ints, targets: Array, sources: Array) -> Footprint:
        return x.linked(shape, targets.ravel(), sources.ravel())

    def gather(self, x: Footprint, axis: int, indices: Footprint) -> Footprint:
        return places.gathered(x, axis, indices)

    def pick(self, x: Footprint, axis: int, indices: Footprint) -> Footprint:
        return places.picked(x, axis, indices)

    def window(self, x: Footprint, shape: Ints, starts: Sequence[Footprint]) -> Footprint:
        return places.windowed(x, shape, starts)

    def scatter(self, updates: Footprint, shape: Ints, axis: int, indices: Footprint) -> Footprint:
        return places.scattered(updates, shape, axis, indices)

    def update(self, x: Footprint, update: Footprint, starts: Sequence[Footprint]) -> Footprint:
        return places.updated(x, update, starts)


FOOTPRINTS: Final = cast(footprints.Footprints, _Footprints())
