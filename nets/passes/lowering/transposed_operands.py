"""Transposed matrices that only ``loop.gemm`` reads: the kernel reads them as they are.

While operations are lowered such a transpose is just a buffer that nothing fills. In the end each
``loop.gemm`` that reads it is told to read the source, transposed; if something else reads the
buffer as well, the loops that fill it are put in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nets.ir.core import Block, Operation, Value
from nets.ir.types import BufferType
from nets.ops.loop.loop_builder import LoopBuilder

_FLAGS = ("transpose_x", "transpose_y")
"""The attribute of ``loop.gemm`` for each operand that may be transposed."""


@dataclass
class TransposedOperand:
    """A transpose that waits for its readers: the buffer that stands for it, and its source."""

    op: Operation
    buffer: Value
    source: Value

    def settle(self, s: LoopBuilder, fill: Callable[[Operation, Value], None]) -> None:
        """Redirect the kernels; ``fill`` emits loops for the rest, or the buffer goes."""
        for user, place in list(self.buffer.uses):
            if user.name == "loop.gemm" and place < len(_FLAGS):
                self._redirect(s, user, place)
            elif user.name == "loop.view":
                self._redirect_view(s, user)
        made_by = self.buffer.operation
        assert made_by is not None
        if self.buffer.uses:
            s.builder.block, s.builder.before = _block_of(made_by), made_by.next
            fill(self.op, self.buffer)
        else:
            made_by.erase()

    def _redirect_view(self, s: LoopBuilder, view: Operation) -> None:
        readers = list(view.result.uses)
        if all(reader.name == "loop.gemm" and place < len(_FLAGS) for reader, place in readers):
            for reader, place in readers:
                self._redirect(s, reader, place)
            view.erase()

    def _redirect(self, s: LoopBuilder, gemm: Operation, place: int) -> None:
        """Let ``gemm`` read the source instead of its transposed operand."""
        seen = gemm.operands[place].type
        assert isinstance(seen, BufferType)
        batch, rows, columns = seen.shape
        s.builder.block, s.builder.before = _block_of(gemm), gemm
        source = s.view(self.source, BufferType((batch, columns, rows), seen.dtype))
        gemm.set_operand(place, source)
        flag = _FLAGS[place]
        gemm.attributes = {**gemm.attributes, flag: not gemm.attributes[flag]}


def _block_of(op: Operation) -> Block:
    assert op.block is not None
    return op.block
