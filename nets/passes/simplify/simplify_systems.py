"""Systems of equations: factors that have no derivatives are those of the matrices themselves, and
small systems are solved as they are eliminated."""

from __future__ import annotations

from typing import Final

from nets.ir.core import Operation, Value
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.linalg.elimination import MOST_ROWS
from nets.passes.simplify.patterns import made_by, rule

_WITHOUT_DERIVATIVE: Final = ("lu_solve", "lu_det", "lu_log_det")
"""Ops to whose derivatives factors, their operand 1, add nothing."""


@rule("lu")
def factors_without_derivative(op: Operation, b: GraphEmitter) -> Value | None:
    """lu(stop_gradient(a)) → lu(a), where what has use for these has no derivative by them."""
    stopped, (packed,) = made_by(op.operands[0], "stop_gradient"), op.results
    if stopped is None or not packed.uses:
        return None
    if any(user.name not in _WITHOUT_DERIVATIVE or place != 1 for user, place in packed.uses):
        return None
    return b.emit("lu", stopped.operands[0])


@rule("lu_solve")
def solution_by_factors_of_its_own(op: Operation, b: GraphEmitter) -> Value | None:
    """lu_solve(a, lu(a), b) → eliminate(a, b), where nothing else has use for the factors."""
    a, packed, right = op.operands
    factors = made_by(packed, "lu")
    if factors is None or factors.operands[0] is not a or len(packed.uses) > 1:
        return None
    rows = tensor_type(a).shape[-1]
    if op.attributes["transpose"] or not isinstance(rows, int) or rows > MOST_ROWS:
        return None
    return b.emit("eliminate", a, right, refuses=op.attributes["refuses"])
