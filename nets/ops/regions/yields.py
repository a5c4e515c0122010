"""Yields: what a region takes and gives."""

from __future__ import annotations

from collections.abc import Sequence

from nets.errors import VerifyError
from nets.ir.core import Region
from nets.ir.types import Type


def yielded(name: str, region: Region, expected: Sequence[Type]) -> tuple[Type, ...]:
    """The types a region of an op yields, which must take the expected ones."""
    taken = tuple(argument.type for argument in region.block.arguments)
    if taken != tuple(expected):
        raise VerifyError(f"the region of {name} takes ({listed(expected)}), not ({listed(taken)})")
    end = region.block.terminator
    if end is None:
        raise VerifyError(f"the region of {name} must end with a yield")
    return tuple(value.type for value in end.operands)


def listed(types: Sequence[Type]) -> str:
    return ", ".join(map(str, types))
