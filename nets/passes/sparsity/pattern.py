"""pattern: the elements of a derivative that are not zero whatever the arguments are.

Found from the IR alone, without a number being computed: from what each operation says of its
result (``follow``), once for all steps of a loop (``loops``). An element that is not in a pattern
is zero; one that is in it may be, where terms cancel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from nets.errors import DTypeError, GradientError
from nets.ir.core import Function
from nets.ir.dims import ranges_of
from nets.ir.types import TensorType
from nets.ops.definition.emitter import tensor_type
from nets.ops.definition.registry import Array
from nets.passes.derivatives.activity import carries_cotangent
from nets.passes.derivatives.vjp import vjp
from nets.passes.sparsity.footprint import Footprint, identity
from nets.passes.sparsity.loops import FollowAll


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """Rows and columns of what is not zero, sorted by row, then by column; each once."""

    rows: Array
    cols: Array
    shape: tuple[int, int]

    @property
    def nnz(self) -> int:
        """How many there are."""
        return int(self.rows.size)


def pattern(function: Function, result: int, argument: int) -> Pattern:
    """Of ∂result/∂argument, with the elements of both in row-major order.

    DTypeError where the argument is not floating-point, GradientError where sizes are not known.

    Requires: tensor dialect, not fused.
    """
    footprint = _footprint(function, result, argument)
    rows, cols = np.divmod(footprint.all_numbers(), max(footprint.columns, 1))
    return Pattern(rows, cols, (math.prod(footprint.shape), footprint.columns))


def hessian_pattern(function: Function, argument: int) -> Pattern:
    """Of ∂²result/∂argument² of a function with a scalar for its first result; symmetric.

    It is the pattern of the gradient's derivative. Where the rules of the gradient are tighter for
    one of ∂²/∂i∂j and ∂²/∂j∂i than for the other, which is the same number, the tighter one holds.

    Requires: tensor dialect, not fused.
    """
    type = function.returned[0].type
    if not isinstance(type, TensorType) or type.rank or not carries_cotangent(type):
        raise GradientError(f"a Hessian is of a floating-point scalar, not of {type}")
    found = pattern(vjp(function, [argument]), 0, argument)
    numbers, mirrored = (a * found.shape[1] + b for a, b in _both_ways(found))
    places = np.searchsorted(numbers, mirrored)
    both = numbers[np.minimum(places, found.nnz - 1)] == mirrored
    return replace(found, rows=found.rows[both], cols=found.cols[both])


def _both_ways(found: Pattern) -> tuple[tuple[Array, Array], ...]:
    return (found.rows, found.cols), (found.cols, found.rows)


def _footprint(function: Function, result: int, argument: int) -> Footprint:
    if ranges_of(function):
        raise GradientError(f"{function.name} has sizes that a call tells: it has no one pattern")
    given = function.arguments[argument]
    if not carries_cotangent(given.type):
        name = given.hint or argument
        raise DTypeError(
            f"argument {name} of {function.name} is a {given.type}, not floating-point"
        )
    own = identity(tensor_type(given).static_shape)
    follow = FollowAll(own.columns)
    arguments = [follow.none(tensor_type(x).static_shape) for x in function.arguments]
    arguments[argument] = own
    return follow.run(function.body, arguments)[result]
