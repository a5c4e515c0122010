"""settle: what cse and dce leave, in its simplest form again.

Rules of canonicalize ask whether operands are the same value, and whether an operation is the only
one that reads a value. While it runs, equal values stand side by side, and what nobody needs reads
others; so some rules fit only when cse and dce are done, and then there is more for these.
"""

from __future__ import annotations

from nets.ir.core import Function
from nets.ir.rewriter import Rewriter
from nets.passes.forms import TENSOR
from nets.passes.manager import Options, register_pass
from nets.passes.simplify.canonicalize import EVERY
from nets.passes.simplify.cse import merge_equal
from nets.passes.simplify.dce import remove_unused
from nets.passes.simplify.patterns import RULES


@register_pass("settle", requires=(TENSOR,))
def settle(function: Function, options: Options) -> Function:
    """cse and dce, and canonicalize around what these have changed, until nothing changes.

    Requires: tensor IR that canonicalize has gone through.
    Ensures: the same results, bit for bit but for the powers named in a rule of canonicalize; this
    pass, and each of the three, has nothing more to do.
    """
    rewriter = Rewriter(function, into_isolated=False)
    is_changed = True
    while is_changed:
        merge_equal(function, rewriter.replace)
        remove_unused(function, rewriter.erase)
        is_changed = rewriter.apply(RULES, EVERY)
    return function
