"""Activity: through which values derivatives flow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from nets.ir.core import Attributes, Block, OpDefinition, Trait, Value
from nets.ir.location import Location
from nets.ir.types import TensorType, Type
from nets.ops.definition.emitter import Emitter, GraphEmitter


class Step(Protocol):
    """One executed operation: an Operation of IR, or a record of the eager tape."""

    @property
    def definition(self) -> OpDefinition: ...
    @property
    def operands(self) -> Sequence[Value]: ...
    @property
    def results(self) -> Sequence[Value]: ...
    @property
    def attributes(self) -> Attributes: ...
    @property
    def location(self) -> Location | None: ...


PullBack = Callable[[GraphEmitter, Sequence[Step], dict[Value, Value], Iterable[Value]], None]
"""``nets.passes.derivatives.vjp.pull_back``, for those it calls."""


def carries_cotangent(type: Type) -> bool:
    """Do values of this type have derivatives? Floating-point tensors do."""
    return isinstance(type, TensorType) and type.dtype.is_float


def accumulate(b: Emitter, cts: dict[Value, Value], value: Value, ct: Value) -> None:
    """Add ``ct`` to what has reached ``value`` so far."""
    before = cts.get(value)
    cts[value] = ct if before is None else b.add(before, ct)


def dependents(steps: Iterable[Step], wanted: Iterable[Value]) -> set[Value]:
    """The wanted values and every value through which they reach later ones differentiably."""
    active = set(wanted)
    for step in steps:
        if step.definition.traits & Trait.STOPS_GRADIENT:
            continue
        if not active.isdisjoint(step.operands):
            active.update(r for r in step.results if carries_cotangent(r.type))
    return active


def loop_dependents(body: Block, carries: int, wanted: Iterable[Value]) -> set[Value]:
    """The same for the body of a loop, over all its steps.

    ``wanted`` are arguments of the body, of which the first ``carries`` are what the step before
    yielded.
    """
    *steps, end = body
    found = set(wanted)
    while True:
        reached = dependents(steps, found)
        more = {
            x
            for x, following in zip(body.arguments[:carries], end.operands, strict=False)
            if following in reached and carries_cotangent(x.type)
        }
        if more <= found:
            return reached
        found |= more
