"""What happens when in a ROW group: the phases of one row.

A phase is one pass over the elements of a row. It ends with the reductions whose operands it can
compute; what depends on their results waits for the next phase. A softmax has three phases: the
maximum; the exponentials, stored, and their sum; the quotients.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nets.ir.core import Operation, Trait, Value
from nets.ops.definition.emitter import tensor_type
from nets.passes.spaces.group import Group


@dataclass
class Phase:
    """One pass over a row: the reductions it feeds, the full values it stores, and the reductions
    across rows whose totals it adds to.

    ``level`` reductions, one after another, have been done before.
    """

    level: int
    reductions: list[Operation] = field(default_factory=list)
    stores: list[Value] = field(default_factory=list)
    across: list[Operation] = field(default_factory=list)


def phases_of(group: Group) -> list[Phase]:
    """The phases of a row in order.

    Every full output is stored by the first phase that can; so is an element that took a COSTLY
    operation and is wanted again by a later phase. Other elements are computed again.
    """
    levels = levels_of(group)
    operands = [(levels.get(op.operands[0], 0), op) for op in group.reductions]
    outputs = [(levels.get(value, 0), value) for value, _ in group.full_outputs]
    steps = sorted({level for level, _ in operands} | {max((n for n, _ in outputs), default=0)})
    phases = {level: Phase(level) for level in steps}
    for level, op in operands:
        phases[level].reductions.append(op)
    for level, value in outputs:
        phases[min(step for step in steps if step >= level)].stores.append(value)
    ordered = [phase for phase in phases.values() if phase.reductions or phase.stores]
    if group.across:
        _last_without_reductions(ordered, levels, group.across).across = list(group.across)
    _keep_costly_elements(group, ordered)
    return ordered


def _last_without_reductions(
    phases: list[Phase], levels: dict[Value, int], across: list[Operation]
) -> Phase:
    """The last phase if it feeds no reduction; else a new one after it.

    Late enough it is: what they wait for is a reduction of an earlier phase.
    """
    level = max(levels.get(op.operands[0], 0) for op in across)
    if not phases or phases[-1].reductions:
        phases.append(Phase(max(level, phases[-1].level + 1 if phases else 0)))
    return phases[-1]


def levels_of(group: Group) -> dict[Value, int]:
    """How many reductions, one after another, each value of the group waits for."""
    levels: dict[Value, int] = {}
    for op in group.ops:
        level = max((levels.get(operand, 0) for operand in op.operands), default=0)
        levels.update((value, level + op.has(Trait.REDUCTION)) for value in op.results)
    return levels


def _keep_costly_elements(group: Group, phases: list[Phase]) -> None:
    full = group.space.shape
    stored = {value for phase in phases for value in phase.stores}
    computed: dict[Value, int] = {}
    for number, phase in enumerate(phases):
        read = (*phase.reductions, *phase.across)
        pending = [*phase.stores, *(op.operands[0] for op in read)]
        seen: set[Value] = set()
        while pending:
            value = pending.pop()
            op = value.operation
            if value in seen or value not in group.results or op is None:
                continue
            seen.add(value)
            if op.has(Trait.REDUCTION):
                continue
            if tensor_type(value).shape == full:
                first = computed.setdefault(value, number)
                if first < number and (value in stored or op.has(Trait.COSTLY)):
                    if value not in stored:
                        stored.add(value)
                        phases[first].stores.append(value)
                    continue
            pending.extend(op.operands)
