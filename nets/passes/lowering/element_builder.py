"""ElementBuilder: computes single elements of tensors, on demand, where a loop body needs them.

``read(value, index)`` loads the element if the value is in memory, and else runs the lowering rule
of the operation that defines it, which reads its operands in turn. What was read once in a loop
body (or in one around it) is not computed again there.

Elementwise operations are followed by a work list. Only rules of indexing operations nest Python
calls, so the depth is bounded by the size of a group, which ``fuse`` bounds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from nets.errors import IndexOutOfBoundsError, LinAlgError
from nets.ir.affine import Affine, linear
from nets.ir.builder import Builder
from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.sizes import Dim, Size
from nets.ir.types import BufferType, DType, Shape
from nets.machine.machine import Machine
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import definition_of
from nets.ops.loop.failures import Failure
from nets.ops.loop.lowering import Lowering
from nets.passes.spaces.loop_nests import Extent

Index = tuple[Affine, ...]
Home = Callable[[Index], tuple[Value, Affine]]
"""Where the element at an index is in memory: the buffer and the offset in it."""


class Place(NamedTuple):
    """Where the elements of a tensor stand in one of that shape: from ``start`` on, each axis along
    one of the ``axes`` there."""

    start: Shape
    shape: Shape
    axes: tuple[int, ...]

    def index_of(self, index: Index) -> Index:
        """The index there of the element at ``index``."""
        found = [Affine.of(first) for first in self.start]
        for axis, at in zip(self.axes, index, strict=True):
            found[axis] += at
        return tuple(found)


Checks = list[tuple[int, str, str, str]]
"""(code, message, location text or "", name of the error) of every check of a function."""


@dataclass
class Accesses:
    """The loads and stores of whole tensors in a group, by the number of the loop body.

    A load also tells how many stores were before it. ``places`` holds the index of the elements
    that a body runs over, for bodies that run one after another over the same elements.
    """

    loads: list[tuple[Value, Index, int, int]] = field(default_factory=list)
    stores: list[tuple[Value, Index, int]] = field(default_factory=list)
    places: dict[int, Index] = field(default_factory=dict)
    body: int = 0
    bodies: int = 0

    def note_load(self, buffer: Value, index: Index) -> None:
        """A load of the element at ``index`` in this body."""
        self.loads.append((buffer, index, self.body, len(self.stores)))

    def enter_body(self) -> int:
        """Count a new body; gives the number of the one around it."""
        outer, self.bodies = self.body, self.bodies + 1
        self.body = self.bodies
        return outer


class ElementBuilder(Lowering):
    """Emits the elements of one function's tensors.

    ``buffers`` maps the tensors that are in memory; ``checks`` gains an entry per check emitted,
    and where ``failures`` are told, one per kind of failure.
    Inside of ``entries``, ``entry`` holds the positions along the leading axes, and the buffers in
    ``locals`` hold one entry of their tensors.
    """

    def __init__(
        self,
        builder: Builder,
        buffers: dict[Value, Value],
        checks: Checks,
        machine: Machine,
        *,
        failures: bool = False,
    ) -> None:
        super().__init__(builder)
        self.machine = machine
        self.failures = failures
        self.buffers = buffers
        self.checks = checks
        self.places: dict[Value, Place] = {}
        """Where tensors go that are stored as a piece of another one."""
        self._stored: dict[Value, Home] = {}
        self._scopes: list[dict[tuple[Value, int], Value]] = [{}]
        self._numbers: dict[Index, int] = {}
        self._offsets: dict[tuple[int, Shape], Affine] = {}
        self.accesses = Accesses()
        self._constants: dict[tuple[Block, DType, bytes], Value] = {}
        self.entry: Index = ()
        self.locals: set[Value] = set()

    # Where code goes.
    @contextmanager
    def body(self, block: Block) -> Iterator[Block]:
        """Emit at the end of ``block``, a loop body; what is read there is forgotten after it."""
        saved = (self.builder.block, self.builder.before)
        self.builder.block, self.builder.before = block, None
        self._scopes.append({})
        outer = self.accesses.enter_body()
        yield block
        self.accesses.body = outer
        self._scopes.pop()
        self.builder.block, self.builder.before = saved

    @contextmanager
    def group(self) -> Iterator[None]:
        """Forget afterwards what was stored and read in between; note accesses anew."""
        self.accesses = Accesses()
        self._scopes.append({})
        yield
        self._scopes.pop()
        self._stored.clear()

    def const(self, value: float | Size, dtype: DType) -> Value:
        """A scalar constant, once per block."""
        if self.builder.before is not None:
            return super().const(value, dtype)
        key = (self.builder.block, dtype, _bits(value))
        found = self._constants.get(key)
        if found is None:
            found = self._constants[key] = super().const(value, dtype)
        return found

    def alloc(self, type: BufferType) -> Value:
        """A buffer of the function; private to the entry inside of ``entries``."""
        return self.scratch(type) if self.entry else super().alloc(type)

    def extent(self, sizes: Sequence[Dim]) -> Extent:
        """Axes to run over, of which the leading ones stay at the entry."""
        return Extent(sizes, self.entry)

    def store_element(self, scalar: Value, value: Value, buffer: Value, index: Index) -> None:
        """Store the element of a tensor at ``index``."""
        self.accesses.stores.append((value, index, self.accesses.body))
        self.store(scalar, *self.home(value, buffer, index))

    def home(self, value: Value, buffer: Value, index: Index) -> tuple[Value, Affine]:
        """Where the element at ``index`` of a tensor that is stored to ``buffer`` goes."""
        place = self.places.get(value)
        if place is None:
            return buffer, self._offset_in(buffer, index, tensor_type(value).shape)
        return buffer, self._offset_in(buffer, place.index_of(index), place.shape)

    def _offset_in(self, buffer: Value, index: Index, shape: Shape) -> Affine:
        """The offset of an element in a buffer, which may hold an entry of the tensor alone."""
        skipped = len(self.entry) if buffer in self.locals else 0
        return self.offset(index[skipped:], shape[skipped:])

    # Where elements come from.
    def define(self, value: Value, index: Index, scalar: Value) -> None:
        """Let reads of ``value`` at ``index`` in this body give ``scalar``."""
        self._scopes[-1][value, self._number(index)] = scalar

    def scalar(self, value: Value) -> Value | None:
        """The scalar that was defined for a 0-d tensor here, if one was."""
        return self._known(value, self._number(()))

    def keep(self, value: Value, home: Home) -> None:
        """Let reads of ``value`` until the end of the group load from memory."""
        self._stored[value] = home

    def read(self, operand: Value, index: Index) -> Value:
        number = self._number(index)
        found = self._known(operand, number)
        if found is not None:
            return found
        pending = [operand]
        while pending:
            value = pending[-1]
            if self._known(value, number) is None:
                op = None if self._in_memory(value) else value.operation
                if op is not None and op.has(Trait.ELEMENTWISE):
                    scalars = [self._known(operand, number) for operand in op.operands]
                    known = [scalar for scalar in scalars if scalar is not None]
                    if len(known) < len(scalars):
                        asked = zip(op.operands, scalars, strict=True)
                        pending.extend(reversed([v for v, scalar in asked if scalar is None]))
                        continue
                    self.define(value, index, self._lower_scalar(op, known))
                else:
                    self.define(value, index, self._element(value, op, index))
            pending.pop()
        found = self._known(operand, number)
        assert found is not None
        return found

    def offset(self, index: Index, shape: Shape) -> Affine:
        """The element offset of ``index`` in a contiguous array of that shape."""
        key = (self._number(index), shape)
        found = self._offsets.get(key)
        if found is None:
            found = self._offsets[key] = linear(index, shape)
        return found

    def fail_unless(
        self, ok: Value, message: str, error: str = IndexOutOfBoundsError.__name__
    ) -> None:
        code = len(self.checks) + 1
        location = self.builder.location
        self.checks.append((code, message, str(location) if location is not None else "", error))
        self.check(ok, code)

    def note_unless(self, ok: Callable[[], Value], failure: Failure) -> None:
        if not self.failures:
            return
        known = (failure.status, failure.sentence, "", LinAlgError.__name__)
        if known not in self.checks:
            self.checks.append(known)
        self.check(ok(), failure.status)

    def _number(self, index: Index) -> int:
        """The number that stands for an index in keys, for an index takes long to hash."""
        return self._numbers.setdefault(index, len(self._numbers))

    def _known(self, value: Value, number: int) -> Value | None:
        key = (value, number)
        for scope in reversed(self._scopes):
            found = scope.get(key)
            if found is not None:
                return found
        return None

    def _in_memory(self, value: Value) -> bool:
        return value in self._stored or value in self.buffers

    def _element(self, value: Value, op: Operation | None, index: Index) -> Value:
        if value in self._stored:
            return self.load(*self._stored[value](index))
        if op is None:
            buffer = self.buffers[value]
            self.accesses.note_load(buffer, index)
            shape = tensor_type(value).shape
            return self.load(buffer, self._offset_in(buffer, index, shape))
        if "value" in op.attributes and op.has(Trait.CONSTANT):
            # Only constants of one number are not in memory.
            return self.const(op.attributes["value"].flat[0].item(), value.type.dtype)
        return self._lower_element(op, index)

    # The rules run with the operation's location on all they emit.

    def _lower_scalar(self, op: Operation, scalars: Sequence[Value]) -> Value:
        saved, self.builder.location = self.builder.location, op.location
        scalar = definition_of(op).lower_scalar(self, *scalars, **op.attributes)
        self.builder.location = saved
        return scalar

    def _lower_element(self, op: Operation, index: Index) -> Value:
        saved, self.builder.location = self.builder.location, op.location
        scalar = definition_of(op).lower_element(self, index, *op.operands, **op.attributes)
        self.builder.location = saved
        return scalar


def _bits(value: float | Size) -> bytes:
    """A key that tells 0.0 from −0.0, and 1 from 1.0 and from True."""
    return struct.pack("<d", value) if type(value) is float else repr(value).encode()
