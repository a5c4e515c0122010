"""Unit stacks: batching over the unit vectors, which the seeds of a Jacobian are.

Entry i of a *unit stack* is zero but at its element i: the stack is a diagonal matrix, and one
tensor holds all of it. What is done to elements is done to that tensor. A product of a matrix with
it picks columns, and takes no sums; so the first product that a Jacobian meets costs nothing. All
other operations get the stack as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nets.ir.core import Operation, Value
from nets.ir.sizes import Dim
from nets.ops.definition.emitter import GraphEmitter, tensor_type


class Units:
    """The unit stacks of a block in the making; ``b`` emits there.

    ``identity`` is a stack of all unit vectors. ``diagonals`` tells, for a value of the other
    block, what its stack has on the diagonal, in the value's shape; None for ones.
    """

    def __init__(self, b: GraphEmitter, identity: Value, size: Dim) -> None:
        self.b, self.identity, self.size = b, identity, size
        self.diagonals: dict[Value, Value | None] = {}

    def through(self, op: Operation, operands: Sequence[Value | None]) -> Value | None:
        """The result of an operation as a stack, where there is a short way; it may be a unit
        stack, which is noted, and None is given as well.

        ``operands`` are values that are the same for all entries; None for the unit stacks.
        """
        if op.name in _ELEMENTWISE or op.name == "reshape":
            self._follow(op, operands)
            return None
        return self._product(op, operands) if op.name == "matmul" else None

    def stack(self, x: Value) -> Value:
        """The stack of a value itself."""
        diagonal, shape = self.diagonals[x], tensor_type(x).shape
        rows = self.b.reshape(self.identity, (self.size, self.size))
        if diagonal is not None:
            flat = self.b.reshape(diagonal, (self.size,))
            rows = self.b.mul(rows, self.b.broadcast(flat, (self.size, self.size), (1,)))
        return self.b.reshape(rows, (self.size, *shape))

    def _follow(self, op: Operation, operands: Sequence[Value | None]) -> None:
        """Note the diagonal of a result whose elements depend on one element each."""
        own = [self.diagonals.get(x) for x in op.operands]
        match op.name, [x is None for x in operands]:
            case "reshape", _:
                shape = tensor_type(op.result).shape
                made = None if own[0] is None else self.b.reshape(own[0], shape)
            case "multiply", [True, False]:
                made = self._times(own[0], operands[1])
            case "multiply", [False, True]:
                made = self._times(own[1], operands[0])
            case "divide", [True, False]:
                others = [x for x in operands if x is not None]
                made = self.b.emit("divide", self._written(op.operands[0]), *others)
            case "negative", _:
                made = self.b.neg(self._written(op.operands[0]))
            case "add" | "subtract", [True, True]:
                one, other = map(self._written, op.operands)
                made = self.b.emit(op.name, one, other)
            case _:
                return
        self.diagonals[op.result] = made

    def _times(self, diagonal: Value | None, factor: Value | None) -> Value | None:
        return factor if diagonal is None or factor is None else self.b.mul(diagonal, factor)

    def _written(self, x: Value) -> Value:
        found = self.diagonals[x]
        type = tensor_type(x)
        return self.b.full(type.shape, 1, type.dtype) if found is None else found

    def _product(self, op: Operation, operands: Sequence[Value | None]) -> Value | None:
        """Of a matrix and a column, or of a row and a matrix: columns or rows of the matrix."""
        x, y = (tensor_type(value) for value in op.operands)
        if x.rank != 2 or y.rank != 2 or not op.result.type.dtype.is_float:
            return None
        match operands:
            case [Value() as matrix, None] if y.shape[1] == 1:
                rows = self.b.transpose(matrix, (1, 0))
                found = self._scaled(rows, self.diagonals[op.operands[1]])
            case [None, Value() as matrix] if x.shape[0] == 1:
                found = self._scaled(matrix, self.diagonals[op.operands[0]])
            case _:
                return None
        return self.b.reshape(found, (self.size, *tensor_type(op.result).shape))

    def _scaled(self, rows: Value, diagonal: Value | None) -> Value:
        """Each row times its element of the diagonal."""
        if diagonal is None:
            return rows
        flat = self.b.reshape(diagonal, (self.size,))
        return self.b.mul(rows, self.b.broadcast(flat, tensor_type(rows).shape, (0,)))


_ELEMENTWISE: Final = ("multiply", "divide", "negative", "add", "subtract")
