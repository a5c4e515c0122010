"""Diagonals: the elements of a sparse derivative straight from the operations, without seeds.

In a stencil, a band or a sum of few terms each element of a value depends on few elements of the
argument. Its derivative is then a few *lanes*: tensors of the value's shape that hold for each
element the derivative by one element of the argument, the lane's column there. An elementwise
operation does to a lane what forward mode does to a tangent; one that moves elements about moves
lanes likewise, and on their columns runs while the program is made. What reaches the end are the
elements of the Jacobian, with nothing computed that is known to be zero, and as many operations
whatever the sizes are. (Seeds of a colouring, see ``colouring``, tell the same for a multiple of
that work, and for every other program.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from nets.ir.builder import Builder
from nets.ir.clone import Mapping, clone_into
from nets.ir.core import Function, Operation, Trait, Value
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import Array, definition_of, lookup
from nets.passes.derivatives.activity import carries_cotangent
from nets.passes.simplify.simplify_windows import cut
from nets.passes.simplify.sources import drop_unused, sources
from nets.passes.sparsity.follow import evaluated
from nets.passes.sparsity.pattern import Pattern

MOST: Final = 16
"""Lanes of a value; where there are more, seeds are as cheap."""
FEW_RUNS: Final = 8
"""Up to so many slices are put side by side, rather than single elements picked."""
KNOWN_ELEMENTS: Final = 1 << 22
"""Larger indices are not computed here."""
NONE: Final = -1
"""The column where a lane holds no element; its number there is zero."""


class Lane(NamedTuple):
    """One column of the argument for each element of a value, and the derivatives by these."""

    columns: Array
    slope: Value


class _NotOfThisKind(Exception):
    """A value depends on too much, or on what only a call tells."""


def diagonals(function: Function, argument: int, pattern: Pattern) -> Function | None:
    """The function (arguments…) → the elements of a pattern of ∂(first result)/∂argument.

    None where an operation on the way does not keep to lanes, or a value has too many.

    Requires: tensor dialect, not fused, known sizes. Ensures: tensor dialect, a new function
    ``NAME_diagonals``.
    """
    made = Function(
        f"{function.name}_diagonals",
        [x.type for x in function.arguments],
        [x.hint for x in function.arguments],
        function.attributes,
    )
    walk = _Walk(made, function, argument)
    try:
        result = function.returned[0]
        needed = sources(function.body, [result])
        walk.all(op for op in function.body if not needed.isdisjoint(op.results))
        elements = walk.elements(result, pattern)
    except _NotOfThisKind:
        return None
    walk.b.builder.create(lookup("return"), [elements])
    drop_unused(made.body)
    return made


class _Walk:
    """A function in the making: the operations of another one, with lanes beside their values."""

    def __init__(self, made: Function, function: Function, argument: int) -> None:
        self.b = GraphEmitter(Builder(made.body))
        self.mapping: Mapping = dict(zip(function.arguments, made.arguments, strict=True))
        given = made.arguments[argument]
        columns = np.arange(tensor_type(given).size).reshape(tensor_type(given).static_shape)
        self.lanes = {function.arguments[argument]: [Lane(columns, self.b.one(given))]}
        self.known: dict[Value, Array] = {}
        """The indices and masks that the program tells."""

    def value(self, x: Value) -> Value:
        return self.mapping.get(x, x)

    def all(self, operations: Iterable[Operation]) -> None:
        for op in operations:
            clone_into(self.b.builder, [op], self.mapping)
            self._note_known(op)
            ends = op.has(Trait.STOPS_GRADIENT) or not any(
                carries_cotangent(x.type) for x in op.results
            )
            if not ends and any(x in self.lanes for x in op.operands):
                self.b.derive(op.name, op.location)
                self._follow(op)
        self.b.builder.location = None

    def _follow(self, op: Operation) -> None:
        if op.has(Trait.ELEMENTWISE):
            found = self._elementwise(op)
        elif op.has(Trait.INDEXING | Trait.ALIAS) and len(op.results) == 1:
            found = self._moved(op)
        elif op.has(Trait.REDUCTION) and definition_of(op).combiner == "add":
            found = self._summed(op)
        else:
            raise _NotOfThisKind
        if len(found) > MOST:
            raise _NotOfThisKind
        if found:
            self.lanes[op.result] = _in_order(found)

    def _pushed(self, op: Operation, columns: Array, slopes: Sequence[Value | None]) -> list[Lane]:
        """The lane of the result for one of each operand, none where it has no slope."""
        operands = [self.value(x) for x in op.operands]
        results = [self.value(x) for x in op.results]
        rule = definition_of(op).jvp
        (slope,) = rule(self.b, operands, results, slopes, op.attributes)
        return [] if slope is None else [Lane(columns, slope)]

    def _elementwise(self, op: Operation) -> list[Lane]:
        groups: list[tuple[Array, list[Value | None]]] = []
        for place, x in enumerate(op.operands):
            for lane in self.lanes.get(x, ()):
                self._join(groups, lane, place, len(op.operands))
        return [lane for columns, slopes in groups for lane in self._pushed(op, columns, slopes)]

    @staticmethod
    def _join(
        groups: list[tuple[Array, list[Value | None]]], lane: Lane, place: int, count: int
    ) -> None:
        """Put a lane of one operand beside one of another that has no other columns."""
        for i, (columns, slopes) in enumerate(groups):
            if slopes[place] is None and _agree(columns, lane.columns):
                slopes[place] = lane.slope
                groups[i] = np.maximum(columns, lane.columns), slopes
                return
        slopes = [None] * count
        slopes[place] = lane.slope
        groups.append((lane.columns, slopes))

    def _moved(self, op: Operation) -> list[Lane]:
        """Lane after lane of all operands: what moves elements moves their columns likewise."""
        moving = [self.lanes.get(x, ()) for x in op.operands]
        found: list[Lane] = []
        for number in range(max(map(len, moving))):
            chosen = [lanes[number] if number < len(lanes) else None for lanes in moving]
            given = [self._columns(x, lane) for x, lane in zip(op.operands, chosen, strict=True)]
            columns = _evaluated(op, given)
            slopes = [None if lane is None else lane.slope for lane in chosen]
            if np.any(columns != NONE):
                found += self._pushed(op, columns, slopes)
        return found

    def _columns(self, x: Value, lane: Lane | None) -> Array:
        """What an operation that moves elements is given in the place of an operand."""
        if lane is not None:
            return lane.columns
        if carries_cotangent(x.type):
            return np.full(tensor_type(x).static_shape, NONE)
        if x not in self.known:
            raise _NotOfThisKind
        return self.known[x]

    def _note_known(self, op: Operation) -> None:
        """Compute a result that is no floating-point number, where all it is made of is known."""
        is_told = op.has(Trait.PURE) and not op.has(Trait.KERNEL) and not op.regions
        if not is_told or len(op.results) != 1 or carries_cotangent(op.result.type):
            return
        if tensor_type(op.result).size <= KNOWN_ELEMENTS and self.known.keys() >= {*op.operands}:
            self.known[op.result] = _evaluated(op, [self.known[x] for x in op.operands])

    def _summed(self, op: Operation) -> list[Lane]:
        """A lane for each lane of the operand and each term of the sum."""
        axes: tuple[int, ...] = op.attributes["axes"]
        (x,) = op.operands
        shape = tensor_type(x).static_shape
        result = tensor_type(op.result)
        terms = list(np.ndindex(*(shape[axis] for axis in axes)))
        groups: list[tuple[Array, list[Value]]] = []
        if len(terms) > MOST:
            raise _NotOfThisKind
        for lane in self.lanes[x]:
            for term in terms:
                starts, stops = [0] * len(shape), list(shape)
                for axis, at in zip(axes, term, strict=True):
                    starts[axis], stops[axis] = at, at + 1
                box = tuple(map(slice, starts, stops))
                columns = lane.columns[box].reshape(result.static_shape)
                if np.all(columns == NONE):
                    continue
                one = cut(self.b, lane.slope, tuple(starts), tuple(stops))
                _gather_terms(groups, columns, self.b.reshape(one, result.shape))
        return [Lane(columns, self._total(slopes)) for columns, slopes in groups]

    def _total(self, slopes: Sequence[Value]) -> Value:
        total = slopes[0]
        for slope in slopes[1:]:
            total = self.b.add(total, slope)
        return total

    # ----------------------------------------------------------------------- the elements

    def elements(self, result: Value, pattern: Pattern) -> Value:
        """The elements of the pattern, in its order."""
        type = tensor_type(result)
        lanes = self._parted(self.lanes.get(result, []))
        if not pattern.nnz or not lanes:
            raise _NotOfThisKind
        rows = type.size
        columns = np.stack([lane.columns.ravel() for lane in lanes], axis=1)
        wanted = pattern.rows * pattern.shape[1] + pattern.cols
        numbers = np.arange(rows)[:, None] * pattern.shape[1] + columns
        places = np.flatnonzero(columns != NONE)
        held = numbers.ravel()[places]
        order = np.argsort(held, kind="stable")
        held, places = np.append(held[order], -1), places[order]
        at = np.searchsorted(held[:-1], wanted)
        if np.any(held[at] != wanted):
            raise _NotOfThisKind
        parts = [self.b.reshape(lane.slope, (rows, 1)) for lane in lanes]
        table = parts[0] if len(parts) == 1 else self.b.emit("concatenate", *parts, axis=1)
        return self._picked(self.b.reshape(table, (rows * len(lanes),)), places[at])

    def _parted(self, lanes: list[Lane]) -> list[Lane]:
        """The same, with elements of which several lanes hold a term in the first of them."""
        parted: list[Lane] = []
        for lane in lanes:
            columns, slope = lane
            for i, (there, first) in enumerate(parted):
                met = (there == columns) & (columns != NONE)
                if np.any(met):
                    mask, zero = self.b.emit("constant", value=met), self.b.zero(slope)
                    sum = self.b.add(first, self.b.select(mask, slope, zero))
                    parted[i] = Lane(there, sum)
                    columns = np.where(met, NONE, columns)
            parted.append(Lane(columns, slope))
        return parted

    def _picked(self, table: Value, places: Array) -> Value:
        """Elements of a vector: slices of it side by side, where that are few."""
        breaks = np.flatnonzero(np.diff(places) != 1) + 1
        runs = np.split(places, breaks) if breaks.size < FEW_RUNS else []
        if not runs:
            indices = self.b.emit("constant", value=places)
            return self.b.emit("gather", table, indices, axis=0)
        ends = [(int(run[0]), int(run[-1]) + 1) for run in runs]
        cuts = [cut(self.b, table, (start,), (stop,)) for start, stop in ends]
        return cuts[0] if len(cuts) == 1 else self.b.emit("concatenate", *cuts, axis=0)


def _gather_terms(groups: list[tuple[Array, list[Value]]], columns: Array, slope: Value) -> None:
    """Terms of a sum by the same columns are added."""
    for there, slopes in groups:
        if np.array_equal(there, columns):
            slopes.append(slope)
            return
    groups.append((columns, [slope]))


def _agree(a: Array, b: Array) -> bool:
    """Whether no element has two columns."""
    return bool(np.all((a == b) | (a == NONE) | (b == NONE)))


def _in_order(lanes: list[Lane]) -> list[Lane]:
    """Lanes from left to right in the rows, as the elements of a pattern are."""

    def middle(lane: Lane) -> float:
        return float(lane.columns[lane.columns != NONE].mean())

    return sorted(lanes, key=middle)


def _evaluated(op: Operation, arrays: Sequence[Array]) -> Array:
    found = evaluated(op, arrays)
    if found is None:
        raise _NotOfThisKind
    return found[0]
