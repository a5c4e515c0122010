"""Loops of ``entries``: all its operations for one entry of the leading axes, then for the next.

What is computed for an entry alone lies in scratch memory, which is used again for what comes
later; the results are whole tensors. Kernels see slices of whole tensors, one entry each; loops
address them as they are, at the position of the entry.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from nets.ir.affine import Affine
from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.sizes import Dim
from nets.ir.types import BufferType
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import definition_of
from nets.passes.lowering.block_loops import BlockLowering, buffer_type
from nets.passes.lowering.in_place import behind_views
from nets.passes.lowering.transposed_operands import TransposedOperand
from nets.passes.spaces.kernel_operands import is_for_kernels
from nets.passes.spaces.loop_nests import add_counter, parallel_over


def lower_entries(low: BlockLowering, op: Operation) -> None:
    """Lower ``entries``, whose operations go by entry."""
    made = [low.make_buffer(result) for result in op.results]
    block = op.regions[0].block
    for argument, value in zip(block.arguments, op.operands, strict=True):
        low.bind(argument, value)
    _EntryLowering(low, op).run_entries(made)
    low.buffers.update(zip(op.results, made, strict=True))


class _EntryLowering(BlockLowering):
    """Lowers the operations of ``entries`` for one entry."""

    def __init__(self, low: BlockLowering, op: Operation) -> None:
        super().__init__(low.s, op.regions[0].block, low.control)
        self.keeps_scalars = False
        self.axes: int = op.attributes["axes"]
        self.sizes = tensor_type(op.results[0]).shape[: self.axes]
        self._unused: list[Value] = []

    def run_entries(self, results: Sequence[Value]) -> None:
        """Emit the loop that stores the results."""
        s = self.s
        with s.body(Block()) as body:
            self.number = s.index(add_counter(body))
            s.entry = self._positions()
            self.run(list(zip(self.block.yielded, results, strict=True)))
            self.settle()
            s.yield_()
            s.entry = ()
            s.locals.clear()
        parallel_over(s, body, math.prod(self.sizes))

    def _positions(self) -> tuple[Affine, ...]:
        """The positions along the leading axes of the entry with the number ``number``."""
        rest, found = self.number, list[Affine]()
        for size in reversed(self.sizes[1:]):
            divisor = self.s.index(size)
            found.append(Affine.of(self.s.binary("rem", rest, divisor)) if size != 1 else Affine())
            rest = self.s.binary("div", rest, divisor) if size != 1 else rest
        found.append(Affine.of(rest) if self.sizes[0] != 1 else Affine())
        return tuple(reversed(found))

    # Memory.
    def _entry_of(self, type: BufferType) -> BufferType:
        """The type of a buffer for one entry of what a buffer of that type holds."""
        return BufferType((*(1 for _ in self.sizes), *type.shape[self.axes :]), type.dtype)

    def make_buffer(self, value: Value) -> Value:
        if value in self.destinations:
            return super().make_buffer(value)
        type = self._entry_of(buffer_type(value))
        for buffer in self._unused:
            if _size(buffer) == type.elements and buffer.type.dtype == type.dtype:
                self._unused.remove(buffer)
                # A view even of the same type: what is only lent does not move elsewhere.
                return self._local(self.s.emit("view", buffer, type=type, offset=0).result)
        return self._new_buffer(value)

    def _new_buffer(self, value: Value) -> Value:
        return self._local(self.s.scratch(self._entry_of(buffer_type(value))))

    def _local(self, buffer: Value) -> Value:
        self.s.locals.add(buffer)
        return buffer

    def _is_free(self, buffer: Value) -> bool:
        op = buffer.operation
        return op is not None and op.name == "loop.scratch" and buffer in self.s.locals

    def _for_kernel(self, buffer: Value) -> Value:
        """The entry in a buffer."""
        if buffer in self.s.locals:
            return buffer
        assert isinstance(buffer.type, BufferType)
        type = self._entry_of(buffer.type)
        return self.s.slice(buffer, self.number, type, offset=0, stride=type.elements)

    def _release(self, op: Operation) -> None:
        """Let later values have the memory of those that are read no more."""
        made = {self.buffers[value] for value in op.results}
        for value in dict.fromkeys(map(behind_views, op.operands)):
            buffer = self.buffers.get(value)
            is_local = buffer is not None and buffer in self.s.locals and buffer not in made
            if buffer is not None and is_local and self.last_readers.get(value) is op:
                self._unused.append(buffer)

    # Operations.
    def _lower(self, op: Operation) -> None:
        super()._lower(op)
        self._release(op)

    def _lower_to_buffers(self, op: Operation) -> Sequence[Value]:
        if op.has(Trait.ALIAS) and self.in_memory(op.operands[0]) in self.s.locals:
            type = self._entry_of(buffer_type(op.result))
            self.buffers[op.result] = self._local(self.s.view(self.in_memory(op.operands[0]), type))
            return op.results
        if is_for_kernels(op) and op.result not in self.destinations:
            source = self._for_kernel(self.in_memory(op.operands[0]))
            self.buffers[op.result] = self._new_buffer(op.result)
            self.transposed.append(TransposedOperand(op, self.buffers[op.result], source))
            return op.results
        return super()._lower_to_buffers(op)

    def _run_kernel(self, op: Operation, results: Sequence[Value]) -> None:
        operands = [self._for_kernel(self.in_memory(value)) for value in op.operands]
        parts = [self._for_kernel(buffer) for buffer in results]
        definition_of(op).lower_kernel(self.s, operands, parts, **op.attributes)


def _size(buffer: Value) -> Dim:
    assert isinstance(buffer.type, BufferType)
    return buffer.type.elements
