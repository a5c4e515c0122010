"""Widening: the body of an innermost loop for several neighbouring iterations at once.

Values that depend on the loop counter become vectors, the others stay scalars and are splat where
a vector needs them. An access that moves on by one element per iteration becomes a vector access;
one that moves on by a few goes in shuffled vectors (``strided``), any other lane by lane.

At the end of a loop some lanes have no iteration. In *masked* bodies those lanes are neither read
nor written. In the others, the lanes past the end repeat the last iteration: they read what it
reads and write what it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.sizes import Dim
from nets.ir.types import ScalarType, VectorType, index
from nets.locks import made_once
from nets.machine import costs
from nets.machine.machine import Machine
from nets.ops.loop.accesses import Terms, access_terms, buffer_of, is_access, place_of, root_of
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops.strided import StridedRun, StridedVectors, strided_runs


class Body:
    """The body of an innermost loop, and what in it depends on the counter.

    ``trips``: how many iterations there are, if that is known.
    """

    def __init__(self, block: Block, machine: Machine, trips: int | None = None) -> None:
        self.machine = machine
        self.counter = block.arguments[0]
        self.trips = trips
        self.operations = [op for op in block if not op.has(Trait.TERMINATOR)]
        self.yielded = block.yielded
        self.varying = {self.counter}
        self._loaded: set[Value] = set()
        for op in self.operations:
            if self.is_varying(op):
                self.varying.update(op.results)
            if is_access(op) or not self._loaded.isdisjoint(op.operands):
                self._loaded.update(op.results)
        self.accesses = [op for op in self.operations if is_access(op)]

    def is_varying(self, op: Operation) -> bool:
        """Whether iterations differ in what the operation does."""
        return not self.varying.isdisjoint(op.operands)

    @property
    def cycles(self) -> float:
        """What one vector of iterations takes."""
        varying, lanes = filter(self.is_varying, self.operations), self.lanes
        return sum(costs.cycles_of(self.machine, op, lanes) for op in varying)

    @property
    def lanes(self) -> int:
        """Lanes such that the widest elements fill a vector register; below 2: do not widen."""
        dtypes = {
            value.type.dtype
            for op in self.operations
            if self.is_varying(op)
            for value in (*op.results, *op.operands)
        } - {index}
        widest = max((dtype.itemsize for dtype in dtypes), default=index.itemsize)
        return self.machine.vector_bytes // widest

    # Whether iterations may run side by side.
    def can_widen(self) -> bool:
        """Whether each operation may be done for several iterations before the next one."""
        return all(map(_has_vector_form, self.operations)) and all(
            map(self._is_independent, self._accesses_by_root().values())
        )

    def _accesses_by_root(self) -> dict[Value, list[Operation]]:
        by_root: dict[Value, list[Operation]] = {}
        for op in self.accesses:
            by_root.setdefault(root_of(buffer_of(op))[0], []).append(op)
        return by_root

    def _is_independent(self, accesses: Sequence[Operation]) -> bool:
        """Whether no iteration touches what another one stores; a lone store keeps its order."""
        if not any(op.name == "loop.store" for op in accesses):
            return True
        first = accesses[0]
        if len(accesses) == 1:
            return any(value in self.varying for value, _ in access_terms(first))
        step, places = self.step_of(first), {place_of(op)[1:] for op in accesses}
        if len(places) > 1 and any(op.name != "loop.store" for op in accesses):
            return False
        return step is not None and step != 0 and self._never_meet(places, abs(step))

    def _never_meet(self, places: set[tuple[Terms, Dim]], step: int) -> bool:
        """Whether no iteration stores from one place to where another one does from the other."""
        offsets = [offset for _, offset in places if isinstance(offset, int)]
        if len({terms for terms, _ in places}) > 1 or len(offsets) < len(places):
            return len(places) == 1
        for first, second in combinations(sorted(offsets), 2):
            iterations, rest = divmod(second - first, step)
            if rest == 0 and (self.trips is None or iterations < self.trips):
                return False
        return True

    def step_of(self, op: Operation) -> int | None:
        """Elements an access moves on by per iteration; None where that is not constant."""
        step: Dim = 0
        for value, stride in access_terms(op):
            if value is self.counter:
                step = step + stride
            elif value in self.varying:
                return None
        return step if isinstance(step, int) else None

    @made_once
    def strided(self) -> dict[Operation, StridedRun]:
        """The runs of strided accesses, by their members."""
        runs = strided_runs(self.accesses, self.step_of, self.machine)
        return {op: run for run in runs for op in run.ops}

    # Whether the last iterations can run under a mask.
    def is_maskable(self) -> bool:
        """Whether lanes without an iteration can be left out of the accesses."""
        return all(self._can_mask(op) for op in self.accesses if self.is_varying(op))

    def may_repeat(self) -> bool:
        """Whether iterations may run again: none reads what it overwrites."""
        groups = self._accesses_by_root().values()
        return all(len({op.name for op in accesses}) == 1 for accesses in groups)

    def _can_mask(self, op: Operation) -> bool:
        if self.step_of(op) == 1:
            return buffer_of(op).type.dtype.itemsize in self.machine.masked_sizes
        if op in self.strided:
            return True
        # Lanes past the end may load elsewhere as long as their address is a valid one.
        return op.name == "loop.load" and all(v not in self._loaded for v, _ in access_terms(op))


def _has_vector_form(op: Operation) -> bool:
    if op.regions or any(isinstance(value.type, VectorType) for value in op.operands):
        return False
    if any(not isinstance(result.type, ScalarType) for result in op.results):
        return False
    return op.name in ("loop.load", "loop.store", "loop.check") or op.has(Trait.PURE)


def _count_of(mask: Value) -> Value:
    """How many lanes a tail mask leaves."""
    assert mask.operation is not None
    return mask.operation.operands[0]


@dataclass
class Copy:
    """One vector of iterations: those from ``start + shift`` on.

    ``end`` is where the loop ends, if the lanes reach past it; with ``mask``, the lanes before the
    end. Without a mask the lanes past the end repeat the last iteration.
    """

    start: Value
    shift: int = 0
    end: Value | None = None
    mask: Value | None = None
    values: dict[Value, Value] = field(default_factory=dict)


def is_better_in_pairs(body: Body) -> bool:
    """Whether to run two vectors side by side for the math functions' sake."""
    machine = body.machine
    varying = filter(body.is_varying, body.operations)
    return machine.vector_bytes < machine.overlap_bytes and any(
        op.name == "loop.math" for op in varying
    )


def vectors_at_once(body: Body) -> int:
    """Vectors per iteration. Processors overlap iterations by themselves: two are plenty."""
    is_light = body.cycles <= body.machine.light_cycles
    return 2 if is_light or is_better_in_pairs(body) else 1


class Widener:
    """Emits a body for ``lanes`` iterations at a time where ``s`` stands."""

    def __init__(self, s: LoopBuilder, body: Body, lanes: int) -> None:
        self.s = s
        self.body = body
        self.lanes = lanes
        self.scalars: dict[Value, Value] = {}
        self._splats: dict[Value, Value] = {}

    def emit(self, copies: Sequence[Copy]) -> None:
        """Emit each operation for all copies before the next one, so that they overlap."""
        for op in self.body.operations:
            if not self.body.is_varying(op):
                if self.scalars.keys().isdisjoint(op.results):
                    self._emit_scalar(op)
                continue
            if len(copies) == 2 and self._is_better_as_pair(op):
                self._emit_pair(op, *copies)
                continue
            for copy in copies:
                self._emit_vector(op, copy)

    def _is_better_as_pair(self, op: Operation) -> bool:
        return (
            op.name == "loop.math"
            and self.lanes * op.result.type.dtype.itemsize < self.body.machine.overlap_bytes
        )

    def _emit_pair(self, op: Operation, first: Copy, second: Copy) -> None:
        """An operation on two vectors as one of twice the lanes: its instructions come in pairs."""
        s, lanes = self.s, tuple(range(2 * self.lanes))
        s.builder.location = op.location
        both = [
            s.emit("shuffle", self.vector(x, first), self.vector(x, second), order=lanes).result
            for x in op.operands
        ]
        made = s.builder.create(op.definition, both, op.attributes).result
        for copy, half in ((first, lanes[: self.lanes]), (second, lanes[self.lanes :])):
            copy.values[op.result] = s.emit("shuffle", made, made, order=half).result

    def _emit_scalar(self, op: Operation) -> None:
        self.s.builder.location = op.location
        operands = [self.scalars.get(operand, operand) for operand in op.operands]
        made = self.s.builder.create(op.definition, operands, op.attributes)
        self.scalars.update(zip(op.results, made.results, strict=True))

    def _emit_vector(self, op: Operation, copy: Copy) -> None:
        self.s.builder.location = op.location
        if is_access(op):
            self._emit_access(op, copy)
            return
        operands = [self.vector(operand, copy) for operand in op.operands]
        if op.name == "loop.check" and copy.mask is not None:
            operands = [self.s.binary("or", operands[0], self.s.unary("not", copy.mask))]
        made = self.s.builder.create(op.definition, operands, op.attributes)
        copy.values.update(zip(op.results, made.results, strict=True))

    # Values.
    def vector(self, value: Value, copy: Copy) -> Value:
        """The lanes of a scalar of the body."""
        if value not in self.body.varying:
            return self.splat(self.scalars.get(value, value))
        if value not in copy.values:
            copy.values[value] = self.counters(copy)
        return copy.values[value]

    def splat(self, scalar: Value) -> Value:
        """The scalar in each lane."""
        if scalar not in self._splats:
            self._splats[scalar] = self.s.emit("splat", scalar, lanes=self.lanes).result
        return self._splats[scalar]

    def counters(self, copy: Copy) -> Value:
        """The loop counter in each lane, which does not go past the last iteration."""
        s = self.s
        start = s.add(copy.start, s.const(copy.shift, index)) if copy.shift else copy.start
        first = s.emit("splat", start, lanes=self.lanes).result
        lanes = s.add(first, s.emit("lane_index", lanes=self.lanes).result)
        if copy.end is None:
            return lanes
        last = s.sub(copy.end, s.const(1, index))
        return s.binary("min", lanes, s.emit("splat", last, lanes=self.lanes).result)

    # Memory.
    def _emit_access(self, op: Operation, copy: Copy) -> None:
        is_whole = copy.end is None or copy.mask is not None
        if is_whole and op in self.body.strided:
            self._emit_strided(op, self.body.strided[op], copy)
            return
        is_consecutive = self.body.step_of(op) == 1 and is_whole
        attributes = dict(op.attributes)
        if is_consecutive:
            indices, attributes["offset"] = self._first_place(op, copy)
        else:
            indices = [self._index(value, copy) for value, _ in access_terms(op)]
        if op.name == "loop.load":
            attributes["lanes"] = self.lanes
        operands = [*self._data(op, copy), *indices]
        name = op.name.removeprefix("loop.")
        if is_consecutive and copy.mask is not None:
            name, operands = f"masked_{name}", [copy.mask, *operands]
        made = self.s.emit(name, *operands, **attributes)
        copy.values.update(zip(op.results, made.results, strict=True))

    def _emit_strided(self, op: Operation, run: StridedRun, copy: Copy) -> None:
        """All loads of a run with its first one, all stores with its last."""
        is_load = op.name == "loop.load"
        if op is not run.ops[0 if is_load else -1]:
            return
        count = None if copy.mask is None else _count_of(copy.mask)
        indices, offset = self._first_place(run.first, copy)
        assert isinstance(offset, int), "runs are of constant places"
        vectors = StridedVectors(self.s, run, self.lanes, (indices, offset), count)
        if is_load:
            results = [op.result for op in run.ops]
            copy.values.update(zip(results, vectors.loaded(), strict=True))
        else:
            vectors.store([self.vector(op.operands[0], copy) for op in run.ops])

    def _first_place(self, op: Operation, copy: Copy) -> tuple[list[Value], Dim]:
        """Indices and offset of the access in lane 0, where it moves on by constant steps."""
        indices: list[Value] = []
        offset: Dim = op.attributes["offset"]
        for value, stride in access_terms(op):
            is_counter = value is self.body.counter
            offset = offset + (stride * copy.shift if is_counter else 0)
            indices.append(copy.start if is_counter else self._index(value, copy))
        return indices, offset

    def _index(self, value: Value, copy: Copy) -> Value:
        if value in self.body.varying:
            return self.vector(value, copy)
        return self.scalars.get(value, value)

    def _data(self, op: Operation, copy: Copy) -> list[Value]:
        """The stored value, if any, and the buffer."""
        buffer = buffer_of(op)
        if op.name == "loop.load":
            return [buffer]
        return [self.vector(op.operands[0], copy), buffer]
