"""dce: what nobody needs is removed."""

from __future__ import annotations

from nets.ir.core import Function, Operation
from nets.passes.manager import Options, register_pass


@register_pass("dce")
def dce(function: Function, options: Options) -> Function:
    """Remove pure operations whose results are not used, in regions as well.

    Requires: IR of either dialect.
    Ensures: the same results, bit for bit; every pure operation has a used result.
    """
    # From the end on, so that users go before what they use.
    pending = list(function.walk())
    while pending:
        op = pending.pop()
        if op.block is None or not _is_dead(op):
            continue
        makers = [operand.operation for operand in op.operands]
        op.erase()
        pending.extend(maker for maker in makers if maker is not None)
    return function


def _is_dead(op: Operation) -> bool:
    return op.is_pure and not any(result.uses for result in op.results)
