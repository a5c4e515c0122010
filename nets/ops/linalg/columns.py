"""Columns: one matrix and right sides of many examples are one system with more columns."""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.core import Attribute, Value
from nets.ir.sizes import Dim
from nets.ops.definition.emitter import Emitter, tensor_type
from nets.ops.definition.stacks import each_repeated


def stack_of_systems(
    name: str,
    b: Emitter,
    operands: Sequence[Value],
    stacked: Sequence[bool],
    size: Dim,
    **attributes: Attribute,
) -> Value:
    """The op of stacked operands, whose last one are the right sides [b…, n, m].

    Where only these differ from example to example, they stand side by side: an unknown is found
    in the same way whatever stands beside it.
    """
    if any(stacked[:-1]):
        return b.emit(name, *each_repeated(b, operands, stacked, size), **attributes)
    *matrices, right = operands
    _, *batch, n, m = tensor_type(right).shape
    rank = len(batch)
    side_by_side = b.moved(right, 0, rank + 1)  # [b…, n, examples, m]
    columns = b.reshape(side_by_side, (*batch, n, size * m))
    found = b.emit(name, *matrices, columns, **attributes)
    return b.moved(b.reshape(found, (*batch, n, size, m)), rank + 1, 0)
