"""Decisions: how an op goes through the transforms that are not reverse mode.

Forward mode carries a tangent with each value; batching (as in ``vmap``) gives operands a new first
axis, one entry per example. What kind of op it is decides for most:

* forward mode: ``PARTIALS`` of those with partial derivatives; ``ITSELF`` of those with
  ``transpose``, which are linear; ``NOTHING`` of those without a derivative, but for control flow;
* batching: ``ITSELF`` of elementwise ops and reductions; ``NOTHING`` of ops without operands;
* both: ``OWN`` of those with a rule ``jvp`` or ``stack``, and of control flow.

The rest say so in their class, as ``forward`` and ``batch``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nets.ir.core import Trait
from nets.ops.definition.rules import Rules


@dataclass(frozen=True, slots=True)
class Decision:
    """How an op goes through a transform."""

    words: str


PARTIALS: Final = Decision("the sum of the partial derivatives, each times the operand's tangent")
ITSELF: Final = Decision("the op itself, of the tangents or of the stacks")
"""In forward mode: of the tangents of the floating-point operands and of the others as they are. In
batching: of the stacked operands, with the attributes that ``OpDef.stacked_attributes`` gives."""

IN_EACH: Final = Decision("the sum of the op with one operand's tangent in its place")
"""Forward mode of an op that is linear in each operand."""

OWN: Final = Decision("a rule of its own: jvp in forward mode, stack in batching")
"""Of control flow, whose rules are those of the passes."""

EACH: Final = Decision("a loop over the entries, with the op in its body")
"""Batching of an op that has no form for stacks, or whose effects have an order."""

NOTHING: Final = Decision("nothing to do")
"""The result has no tangent, or is the same for every example."""


def forward_of(rules: Rules, traits: Trait) -> Decision | None:
    """What decides about forward mode without a word from the class."""
    if rules.jvp is not None or traits & Trait.CONTROL:
        return OWN
    if rules.partials is not None:
        return PARTIALS
    if rules.transpose is not None:
        return ITSELF
    if rules.no_derivative is not None:
        return NOTHING
    return None


def batch_of(rules: Rules, operands: tuple[str, ...], traits: Trait) -> Decision | None:
    """What decides about batching without a word from the class."""
    if rules.stack is not None or traits & Trait.CONTROL:
        return OWN
    if not operands:
        return NOTHING
    if traits & (Trait.ELEMENTWISE | Trait.REDUCTION):
        return ITSELF
    return None
