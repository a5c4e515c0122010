"""The derivatives of operations that decide which programs run: one rule for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from nets.ir.core import Operation, Value
from nets.ops.definition.emitter import GraphEmitter
from nets.passes.derivatives.activity import PullBack
from nets.passes.derivatives.checkpoint_gradients import pull_back_checkpoint
from nets.passes.derivatives.checkpointed_loops import pull_back_checkpointed_loop
from nets.passes.derivatives.control_gradients import (
    Cotangents,
    pull_back_branch,
    pull_back_scan,
)
from nets.passes.derivatives.custom_rules import pull_back_ruled

Rule = Callable[[GraphEmitter, Operation, Cotangents, Sequence[bool], PullBack], list[Value | None]]

_RULES: Final[dict[str, Rule]] = {
    "scan": pull_back_scan,
    "cond": pull_back_branch,
    "checkpointed_loop": pull_back_checkpointed_loop,
    "custom_jvp": pull_back_ruled,
    "custom_vjp": pull_back_ruled,
    "underived": pull_back_ruled,
}


def pull_back_control(
    b: GraphEmitter,
    op: Operation,
    cts: Cotangents,
    wanted: Sequence[bool],
    pull_back: PullBack,
    sums: dict[Value, Value],
) -> list[Value | None]:
    """The cotangents of the wanted operands; None for zero, not wanted, or added to ``sums``.

    ``sums``: what has reached the operands so far.
    """
    if op.name in ("checkpoint", "recomputed", "as_if"):
        pull_back_checkpoint(b, op, cts, wanted, pull_back, sums)
        return [None] * len(wanted)
    return _RULES[op.name](b, op, cts, wanted, pull_back)
