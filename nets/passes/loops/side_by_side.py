"""Side by side: several iterations of a loop at once, operation by operation, inner loops included.

"Unroll and jam": Carr and Kennedy, Improving the ratio of memory operations to floating-point
operations in loops, TOPLAS 16, 1994.
"""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.affine import Affine
from nets.ir.clone import Mapping, clone_into
from nets.ir.core import Block, Operation, Trait, Value
from nets.ops.loop.accesses import address, is_access, set_address
from nets.ops.loop.index_values import constant_of
from nets.ops.loop.loop_builder import LoopBuilder


def has_shared_loops(block: Block, *around: Block) -> bool:
    """Whether the loops inside a body have the same bounds in all of its iterations.

    ``around``: the blocks from the body on that a block deeper inside stands in.
    """
    inside = (*around, block)
    return all(
        op.name == "loop.for"
        and all(_is_from_outside(bound, inside) for bound in op.operands[:2])
        and has_shared_loops(op.regions[0].block, *inside)
        for op in block
        if op.regions
    )


def _is_from_outside(value: Value, blocks: Sequence[Block]) -> bool:
    if constant_of(value) is not None:
        return True
    owner = value.owner if value.operation is None else value.operation.block
    return owner not in blocks


def emit_side_by_side(
    s: LoopBuilder, block: Block, first: Value, count: int, apart: int = 1
) -> None:
    """The body for ``count`` values of its counter: ``first``, and so far apart."""
    rows = [first, *(s.index(Affine.of(first) + apart * i) for i in range(1, count))]
    _SideBySide(s, rows, apart).emit(block, [{block.arguments[0]: row} for row in rows])


class _SideBySide:
    """Emits each operation for all rows before the next one."""

    def __init__(self, s: LoopBuilder, rows: Sequence[Value], apart: int) -> None:
        self.s = s
        self.rows = rows
        self.apart = apart

    def emit(self, block: Block, mappings: Sequence[Mapping]) -> None:
        for op in block:
            if op.regions:
                self._emit_loop(op, mappings)
            elif not op.has(Trait.TERMINATOR):
                self._emit_copies(op, mappings)

    def _emit_loop(self, op: Operation, mappings: Sequence[Mapping]) -> None:
        """One loop, which carries what the loops of all rows do."""
        s, count = self.s, len(op.results)
        lo, hi, *carried = op.operands
        lo, hi = (mappings[0].get(bound, bound) for bound in (lo, hi))
        starts = [mapping.get(x, x) for mapping in mappings for x in carried]
        loop = s.for_(lo, hi, starts, step=op.attributes["step"])
        body = op.regions[0].block
        with s.inside(loop) as block:
            counter, *arguments = block.arguments
            for i, mapping in enumerate(mappings):
                own = arguments[i * count : (i + 1) * count]
                mapping.update(zip(body.arguments, (counter, *own), strict=True))
            self.emit(body, mappings)
            s.yield_(*(mapping.get(x, x) for mapping in mappings for x in body.yielded))
        for i, mapping in enumerate(mappings):
            mapping.update(zip(op.results, loop.results[i * count : (i + 1) * count], strict=True))

    def _emit_copies(self, op: Operation, mappings: Sequence[Mapping]) -> None:
        """A copy for each row. Addresses count from the first row: equal ones look equal."""
        for i, mapping in enumerate(mappings):
            clone_into(self.s.builder, [op], mapping)
            before = self.s.builder.before
            made = self.s.builder.block.last if before is None else before.previous
            assert made is not None
            if is_access(made):
                place, row = address(made), self.rows[i]
                down = Affine.of(self.rows[0]) + self.apart * i - Affine.of(row)
                set_address(made, place + down * place.coefficient(row))
