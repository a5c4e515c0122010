"""Systems of equations: small ones are solved as they are eliminated."""

from __future__ import annotations

from nets.ir.core import Operation, Value
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.linalg.elimination import MOST_ROWS
from nets.passes.simplify.patterns import made_by, rule


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
    return b.emit("eliminate", a, right)
