"""canonicalize: every operation in its simplest form, by rules that change no bit."""

from __future__ import annotations

from typing import Final

from nets.ir.core import Function, Operation, Trait
from nets.ir.rewriter import Rewriter, rewrite
from nets.passes.forms import TENSOR
from nets.passes.manager import Options, register_pass
from nets.passes.simplify import (
    simplify_arithmetic,  # noqa: F401  (enters its rules)
    simplify_gathers,  # noqa: F401
    simplify_shapes,
    simplify_sums_of_pads,  # noqa: F401
    simplify_systems,  # noqa: F401
    simplify_windows,  # noqa: F401
)
from nets.passes.simplify.fold import fold_operation
from nets.passes.simplify.patterns import RULES, is_constant, pattern_of


@register_pass("canonicalize", requires=(TENSOR,))
def canonicalize(function: Function, options: Options) -> Function:
    """Fold, and apply the rules of the modules ``simplify_*``, until nothing fits.

    Requires: tensor IR.
    Ensures: the same results, bit for bit but for the powers named in their rule; constants are
    the second operand of commutative ops; what is no longer used is left for dce. Fusions
    are as they were, for what is in one has been chosen to share its loops.
    """
    rewrite(function, RULES, EVERY, into_isolated=False)
    return function


def _constant_second(op: Operation, rewriter: Rewriter) -> bool:
    """The constant operand of a commutative op comes second, so that rules need look there only."""
    if not op.has(Trait.COMMUTATIVE):
        return False
    x, y = op.operands
    if not is_constant(x) or is_constant(y):
        return False
    rewriter.set_operands(op, (y, x))
    return True


EVERY: Final = (
    _constant_second,
    fold_operation,
    pattern_of(simplify_shapes.compute_before_broadcast),
    pattern_of(simplify_shapes.reduce_ones),
)
"""The patterns for operations of any name."""
