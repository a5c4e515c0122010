"""Recomputation: what derivatives see of a program, besides what it does.

Where a program runs forward only, each of these operations is its first region, but for
``recomputed``.
"""
# Op classes are namespaces: their functions take no self.
# mypy: disable-error-code="misc"

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nets.errors import VerifyError
from nets.ir.core import Operation, Region, Trait
from nets.ir.types import Type
from nets.ops.definition.attributes import Integer, Texts
from nets.ops.definition.registry import Array, Run, structural
from nets.ops.regions.yields import listed, yielded

_TRAITS: Final = Trait.PURE | Trait.ISOLATED | Trait.CONTROL
_IN_PLACE: Final = _TRAITS | Trait.ONCE
_SAVED: Final = {"saved": Texts()}


def _once(op: Operation, arrays: Sequence[Array]) -> Run:
    return (yield 0, arrays)


@structural("checkpoint", _IN_PLACE, attributes=("saved",), regions=1)
class Checkpoint:
    """Runs its region, whose values reverse mode computes again from the operands.

    It keeps only results of the operations whose names are ``saved``.
    """

    operands = ("*values",)
    kinds = _SAVED

    def infer(*values: Type, saved: tuple[str, ...], regions: Sequence[Region]) -> tuple[Type, ...]:
        return yielded("checkpoint", regions[0], values)

    run = _once


@structural("recomputed", _TRAITS, attributes=("saved",), regions=1)
class Recomputed:
    """The way back through a checkpoint: its region begins with the values of the way there.

    No pass may merge it with what surrounds it, or all those values would live in between. To
    reverse mode it is a checkpoint.
    """

    operands = ("*values",)
    kinds = _SAVED

    def infer(*values: Type, saved: tuple[str, ...], regions: Sequence[Region]) -> tuple[Type, ...]:
        return yielded("recomputed", regions[0], values)

    run = _once


@structural("checkpointed_loop", _IN_PLACE, attributes=("slots",), regions=2)
class CheckpointedLoop:
    """A loop that reverse mode stores at most ``slots`` states of.

    The second region is one loop of the operands, whose results it yields. The first gives these
    and then what a way back that has been built needs besides: states on the way, and which.
    """

    operands = ("*values",)
    kinds: Final = {"slots": Integer()}

    def infer(*values: Type, slots: int, regions: Sequence[Region]) -> tuple[Type, ...]:
        first, second = (yielded("checkpointed_loop", region, values) for region in regions)
        if slots < 1:
            raise VerifyError(f"checkpointed_loop needs a slot, not {slots}")
        if first[: len(second)] != second:
            raise VerifyError(
                f"the regions of checkpointed_loop yield ({listed(first)}) and ({listed(second)})"
            )
        return first

    run = _once


@structural("as_if", _IN_PLACE, regions=2)
class AsIf:
    """Runs its first region; to derivatives it is the second, which gives the same bits."""

    operands = ("*values",)

    def infer(*values: Type, regions: Sequence[Region]) -> tuple[Type, ...]:
        first, second = (yielded("as_if", region, values) for region in regions)
        if first != second:
            raise VerifyError(
                f"the regions of as_if yield ({listed(first)}) and ({listed(second)})"
            )
        return first

    run = _once
