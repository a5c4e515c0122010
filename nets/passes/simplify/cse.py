"""cse: equal computations are done once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from nets.ir.core import Attribute, Block, Function, Operation, Trait, Value
from nets.passes.manager import Options, register_pass


@register_pass("cse")
def cse(function: Function, options: Options) -> Function:
    """Replace pure operations by an earlier one of the same op, operands and attributes.

    Operands of commutative ops may come in either order. An operation in a region may be replaced
    by one around it, never one around it by one inside.

    Requires: IR of either dialect.
    Ensures: the same results, bit for bit; no two visible pure operations without regions are
    alike.
    """
    merge_equal(function, Operation.replace_with)
    return function


def merge_equal(function: Function, replace: Callable[[Operation, Sequence[Value]], None]) -> None:
    """Let ``replace`` put the results of an earlier operation in the place of an equal one's."""
    scopes = [_Scope(function.body, {})]
    while scopes:
        scope = scopes[-1]
        op = next(scope.operations, None)
        if op is None:
            scopes.pop().close()
        elif op.regions:
            isolated = op.has(Trait.ISOLATED)
            scopes += [_Scope(r.block, {} if isolated else scope.known) for r in op.regions]
        elif op.has(Trait.PURE):
            earlier = scope.known.get(key := key_of(op))
            if earlier is None:
                scope.add(key, op)
            else:
                replace(op, earlier.results)


class _Scope:
    """A block on its way, and the operations known there; inner ones share the table."""

    def __init__(self, block: Block, known: dict[Hashable, Operation]) -> None:
        self.operations: Iterator[Operation] = iter(block)
        self.known = known
        self._own: list[Hashable] = []

    def add(self, key: Hashable, op: Operation) -> None:
        self.known[key] = op
        self._own.append(key)

    def close(self) -> None:
        """Forget what later blocks cannot see."""
        for key in self._own:
            del self.known[key]


def key_of(op: Operation) -> Hashable:
    """Equal for operations that give equal results."""
    operands = [id(operand) for operand in op.operands]
    if op.has(Trait.COMMUTATIVE):
        operands.sort()
    attributes = tuple([(name, frozen(op.attributes[name])) for name in sorted(op.attributes)])
    return op.definition, tuple(operands), attributes


def frozen(value: Attribute) -> Hashable:
    """A stand-in that is equal for equal attributes only: 1, 1.0, True, and 0.0, −0.0 differ."""
    if isinstance(value, tuple):
        return tuple([frozen(item) for item in value])
    if isinstance(value, np.ndarray):
        return _Array(value)
    if isinstance(value, float):
        return float, value.hex()
    return type(value), value


class _Array:
    """An array compared bit by bit. Its hash looks at a few elements only."""

    def __init__(self, array: np.ndarray[Any, np.dtype[Any]]) -> None:
        self._array = array
        few = array.reshape(-1)[:: max(1, array.size // 16)]
        self._hash = hash((array.dtype.str, array.shape, few.tobytes()))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Array) or self._hash != other._hash:
            return False
        mine, its = self._array, other._array
        if mine is its:
            return True
        same = mine.dtype == its.dtype and mine.shape == its.shape
        return same and mine.tobytes() == its.tobytes()
