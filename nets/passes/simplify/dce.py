"""dce: what nobody needs is removed."""

from __future__ import annotations

from collections.abc import Callable

from nets.ir.core import Function, Operation
from nets.passes.manager import Options, register_pass


@register_pass("dce")
def dce(function: Function, options: Options) -> Function:
    """Remove pure operations whose results are not used, in regions as well.

    Requires: IR of either dialect.
    Ensures: the same results, bit for bit; every pure operation has a used result.
    """
    remove_unused(function, Operation.erase)
    return function


def remove_unused(function: Function, erase: Callable[[Operation], None]) -> None:
    """Let ``erase`` remove each pure operation whose results are not used."""
    # From the end on, so that users go before what they use.
    pending = list(function.walk())
    while pending:
        op = pending.pop()
        if op.block is None or not _is_dead(op):
            continue
        makers = [operand.operation for operand in op.operands]
        erase(op)
        pending.extend(maker for maker in makers if maker is not None)


def _is_dead(op: Operation) -> bool:
    return op.is_pure and not any(result.uses for result in op.results)
