"""Derivatives of checkpoints: the way back begins with doing the way there again.

It stands in a region of its own (``recomputed``), where nothing merges it with what was computed
before. So the operands of the checkpoint are all that lives in between, and what it has ``saved``.
"""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.clone import Mapping, clone_into
from nets.ir.core import Operation, Value
from nets.ops.definition.emitter import GraphEmitter
from nets.passes.derivatives.activity import PullBack, accumulate
from nets.passes.derivatives.closures import emit_closed
from nets.passes.derivatives.control_gradients import Cotangents
from nets.passes.simplify.effects import drop_effects


def pull_back_checkpoint(
    b: GraphEmitter,
    op: Operation,
    cts: Cotangents,
    wanted: Sequence[bool],
    pull_back: PullBack,
    sums: dict[Value, Value],
) -> None:
    """Add the cotangents of the operands of a checkpoint to what has reached them so far.

    One by one, as without the checkpoint. It gains results for what it has saved. Of operations
    with two regions the second one is what derivatives see.
    """
    block = op.regions[-1].block
    *ops, end = block
    saved = op.attributes.get("saved", ())
    first = {x: block.arguments[i] for i, x in reversed(list(enumerate(op.operands)))}
    given = zip(op.operands, wanted, strict=True)
    targets = list(dict.fromkeys(first[x] for x, want in given if want))
    before = {x: sums[y] for x in targets if (y := op.operands[x.index]) in sums}
    found: list[Value] = []

    def back(inner: GraphEmitter, _: Sequence[Value]) -> list[Value]:
        mapping: Mapping = {x: first[y] for x, y in zip(block.arguments, op.operands, strict=True)}
        local = dict(before)
        _again(inner, ops, mapping, local, list(zip(end.operands, cts, strict=True)))
        pull_back(inner, list(inner.builder.block), local, targets)
        found.extend(x for x in targets if x in local and local[x] is not before.get(x))
        kept = [x for x in ops if x.name in saved]
        return _with_saved(kept, mapping, [local[x] for x in found])

    made = emit_closed(
        b, "recomputed", (), [back], {"saved": saved}, operand_of=lambda x: _outside(op, x)
    )
    for argument, value in zip(found, made, strict=True):
        sums[op.operands[argument.index]] = value


def _again(
    b: GraphEmitter,
    ops: Sequence[Operation],
    mapping: Mapping,
    sums: dict[Value, Value],
    given: Sequence[tuple[Value, Value | None]],
) -> None:
    """Do operations again, without their effects, and add the cotangents of what they gave."""
    clone_into(b.builder, ops, mapping)
    drop_effects(b.builder.block)
    for value, ct in given:
        if ct is not None:
            accumulate(b, sums, mapping.get(value, value), ct)


def _with_saved(ops: Sequence[Operation], mapping: Mapping, found: list[Value]) -> list[Value]:
    """Let the values that these operations gave the first time take the place of the second one;
    those found, with that."""
    kept = {mapping[x]: x for op in ops for x in op.results}
    for copy, value in kept.items():
        copy.replace_uses(value)
    return [kept.get(x, x) for x in found]


def _outside(op: Operation, value: Value) -> Value:
    """What stands around a checkpoint for a value of its region: an operand or a result."""
    block = op.regions[-1].block
    if value.owner is block:
        return op.operands[value.index]
    if value.operation is None or value.operation.block is not block:
        return value
    end = block.terminator
    assert end is not None
    if value not in end.operands:
        end.set_operands([*end.operands, value])
        op.add_results([value.type])
    return op.results[end.operands.index(value)]
