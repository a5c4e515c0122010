"""Signs of vectors that are determined but for their sign."""

from __future__ import annotations

from nets.ir.core import Value
from nets.ir.types import index
from nets.ops.orthogonal.forms import Form, Number, Place, Table
from nets.ops.orthogonal.reflections_reference import WEIGHT_STEP, WEIGHTS


def is_negative(form: Form, table: Table, row: Place, n: int) -> Value:
    """Whether the product of a row with the vector of weights is negative."""
    s = form.s

    def term(j: Value, total: Number) -> Number:
        part = s.binary("and", s.mul(j, s.const(WEIGHT_STEP, index)), s.const(WEIGHTS - 1, index))
        weight = form.counted(part) * (1 / WEIGHTS) + 1.0
        return total + table.get(row, j) * weight

    (total,) = form.each(0, n, term, form.const(0))
    return total.is_("lt", 0.0)
