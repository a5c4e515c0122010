"""Access maps: at which index of its operand an indexing operation reads, found by asking it.

The lowering rule of the operation runs against a recorder that notes the reads instead of emitting
them, so no pass needs to know an operation's name to follow an element through it.
"""

from __future__ import annotations

from nets.ir.affine import Affine
from nets.ir.builder import Builder
from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.types import ScalarType
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import definition_of
from nets.ops.loop.lowering import Lowering
from nets.passes.spaces.loop_nests import Extent

Index = tuple[Affine, ...]

MOVING_OPERATIONS = 2
"""Loop operations an indexing operation may emit and still count as a mere change of index."""


class _Recorder(Lowering):
    """Notes what is read; the code it builds is thrown away."""

    def __init__(self) -> None:
        super().__init__(Builder(Block()))
        self.reads: list[tuple[Value, Index]] = []

    def read(self, operand: Value, index: Index) -> Value:
        self.reads.append((operand, index))
        return Value(ScalarType(operand.type.dtype), None, 0)

    def fail_unless(self, ok: Value, message: str, error: str = "") -> None:
        self.check(ok, 0)


def reads_of(op: Operation, index: Index) -> tuple[list[tuple[Value, Index]], int]:
    """The reads behind the element at ``index``, and how many loop operations they take."""
    recorder = _Recorder()
    definition_of(op).lower_element(recorder, index, *op.operands, **op.attributes)
    return recorder.reads, len(recorder.builder.block)


def is_index_change(op: Operation) -> bool:
    """Whether each element of the result is one element of the operand, found without a test."""
    if not op.has(Trait.INDEXING) or len(op.operands) > 1 or len(op.results) != 1:
        return False
    reads, emitted = reads_of(op, Extent(tensor_type(op.result).shape).index)
    return len(reads) <= 1 and emitted <= MOVING_OPERATIONS
