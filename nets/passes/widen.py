"""Widening: the body of an innermost loop for several neighbouring iterations at once.

Values that depend on the loop counter become vectors, the others stay scalars and are splat where
a vector needs them. An access that moves on by one element per iteration becomes a vector access;
one that moves otherwise goes lane by lane.

At the end of a loop some lanes have no iteration. In *masked* bodies those lanes are neither read
nor written. In the others, the lanes past the end repeat the last iteration: they read what it
reads and write what it writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.types import ScalarType, VectorType, index
from nets.ops.loop_builder import LoopBuilder

_MASKABLE_BYTES = (4, 8)
"""Sizes of elements that the processor loads and stores under a mask."""

_COSTS = {"loop.math": 16, "loop.div": 6, "loop.rem": 6, "loop.const": 0, "loop.yield": 0}


def accessed_buffer(op: Operation) -> Value | None:
    """The buffer a load or store goes to; None for all other operations."""
    if "strides" not in op.attributes:
        return None
    return op.operands[len(op.operands) - len(op.attributes["strides"]) - 1]


def access_terms(op: Operation) -> list[tuple[Value, int]]:
    """The indices of a load or store with their strides."""
    strides = op.attributes["strides"]
    return list(zip(op.operands[len(op.operands) - len(strides) :], strides, strict=True))


def root_of(buffer: Value) -> tuple[Value, int]:
    """The buffer or slice behind a chain of views, and the element offset in it.

    In one iteration of a loop, slices are buffers of their own.
    """
    offset = 0
    while buffer.operation is not None and buffer.operation.name == "loop.view":
        offset += buffer.operation.attributes["offset"]
        buffer = buffer.operation.operands[0]
    return buffer, offset


def memory_of(buffer: Value) -> Value:
    """The buffer behind a chain of views and slices."""
    while buffer.operation is not None and buffer.operation.operands:
        buffer = buffer.operation.operands[0]
    return buffer


class Body:
    """The body of an innermost loop, and what in it depends on the counter."""

    def __init__(self, block: Block) -> None:
        self.counter = block.arguments[0]
        self.operations = [op for op in block if not op.has(Trait.TERMINATOR)]
        end = block.terminator
        self.yielded = end.operands if end is not None else ()
        self.varying = {self.counter}
        self._loaded: set[Value] = set()
        for op in self.operations:
            if self.is_varying(op):
                self.varying.update(op.results)
            if accessed_buffer(op) is not None or not self._loaded.isdisjoint(op.operands):
                self._loaded.update(op.results)
        self.accesses = [op for op in self.operations if accessed_buffer(op) is not None]

    def is_varying(self, op: Operation) -> bool:
        """Whether iterations differ in what the operation does."""
        return not self.varying.isdisjoint(op.operands)

    @property
    def cost(self) -> int:
        """Roughly the instructions of one vector of iterations."""
        return sum(_COSTS.get(op.name, 1) for op in self.operations if self.is_varying(op))

    def lanes(self, vector_bytes: int) -> int:
        """Lanes such that the widest elements fill a vector register; below 2: do not widen."""
        dtypes = {
            value.type.dtype
            for op in self.operations
            if self.is_varying(op)
            for value in (*op.results, *op.operands)
        } - {index}
        return vector_bytes // max((dtype.itemsize for dtype in dtypes), default=index.itemsize)

    # Whether iterations may run side by side.
    def can_widen(self) -> bool:
        """Whether each operation may be done for several iterations before the next one."""
        return all(map(_has_vector_form, self.operations)) and all(
            map(self._is_independent, self._accesses_by_root().values())
        )

    def _accesses_by_root(self) -> dict[Value, list[Operation]]:
        by_root: dict[Value, list[Operation]] = {}
        for op in self.accesses:
            by_root.setdefault(root_of(_buffer(op))[0], []).append(op)
        return by_root

    def _is_independent(self, accesses: Sequence[Operation]) -> bool:
        """Whether no iteration touches what another one stores; a lone store keeps its order."""
        if not any(op.name == "loop.store" for op in accesses):
            return True
        first = accesses[0]
        if len(accesses) == 1:
            return any(value in self.varying for value, _ in access_terms(first))
        return self.step_of(first) not in (None, 0) and len(set(map(_place, accesses))) == 1

    def step_of(self, op: Operation) -> int | None:
        """Elements an access moves on by per iteration; None where that is not constant."""
        step = 0
        for value, stride in access_terms(op):
            if value is self.counter:
                step += stride
            elif value in self.varying:
                return None
        return step

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
            return _buffer(op).type.dtype.itemsize in _MASKABLE_BYTES
        # Lanes past the end may load elsewhere as long as their address is a valid one.
        return op.name == "loop.load" and all(v not in self._loaded for v, _ in access_terms(op))


def _has_vector_form(op: Operation) -> bool:
    if op.regions or any(isinstance(value.type, VectorType) for value in op.operands):
        return False
    if any(not isinstance(result.type, ScalarType) for result in op.results):
        return False
    return op.name in ("loop.load", "loop.store", "loop.check") or op.has(Trait.PURE)


def _buffer(op: Operation) -> Value:
    buffer = accessed_buffer(op)
    assert buffer is not None
    return buffer


def _place(op: Operation) -> tuple[int, frozenset[tuple[Value, int]]]:
    """The address within the root buffer."""
    return root_of(_buffer(op))[1] + op.attributes["offset"], frozenset(access_terms(op))


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


def vectors_at_once(body: Body, vector_bytes: int) -> int:
    """Vectors per iteration. Processors overlap iterations by themselves, so that two are plenty;
    and the constants of a math function alone fill most of 16 registers."""
    return 2 if body.cost <= (32 if vector_bytes >= 64 else 8) else 1


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
            for copy in copies:
                self._emit_vector(op, copy)

    def _emit_scalar(self, op: Operation) -> None:
        self.s.builder.location = op.location
        operands = [self.scalars.get(operand, operand) for operand in op.operands]
        made = self.s.builder.create(op.definition, operands, op.attributes)
        self.scalars.update(zip(op.results, made.results, strict=True))

    def _emit_vector(self, op: Operation, copy: Copy) -> None:
        self.s.builder.location = op.location
        if accessed_buffer(op) is not None:
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
        is_consecutive = self.body.step_of(op) == 1 and (copy.end is None or copy.mask is not None)
        attributes = dict(op.attributes)
        terms = access_terms(op)
        indices = []
        for value, stride in terms:
            if is_consecutive and value is self.body.counter:
                indices.append(copy.start)
                attributes["offset"] += stride * copy.shift
            elif value in self.body.varying:
                indices.append(self.vector(value, copy))
            else:
                indices.append(self.scalars.get(value, value))
        if op.name == "loop.load":
            attributes["lanes"] = self.lanes
        operands = [*self._data(op, copy), *indices]
        name = op.name.removeprefix("loop.")
        if is_consecutive and copy.mask is not None:
            name, operands = f"masked_{name}", [copy.mask, *operands]
        made = self.s.emit(name, *operands, **attributes)
        copy.values.update(zip(op.results, made.results, strict=True))

    def _data(self, op: Operation, copy: Copy) -> list[Value]:
        """The stored value, if any, and the buffer."""
        buffer = _buffer(op)
        if op.name == "loop.load":
            return [buffer]
        return [self.vector(op.operands[0], copy), buffer]
