"""What the loops of a group must be careful about where only a call tells sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from nets.ir.core import Trait
from nets.ir.sizes import Dim, Size, divided
from nets.ops.definition.emitter import tensor_type
from nets.passes.spaces.group import Group
from nets.passes.spaces.iteration import may_be_one, order_shows


def columns_that_may_be_one(group: Group) -> Size | None:
    """How many columns a COLUMN group has, where a call may tell that it is one and totals have
    other bits then; else None."""
    sizes = group.space.sizes(group.space.columns)
    columns = math.prod(sizes)
    shows = any(map(order_shows, group.reductions))
    return columns if isinstance(columns, Size) and shows and may_be_one(sizes) else None


def reads_of_nothing(group: Group) -> Iterator[tuple[Size, Dim]]:
    """Where numbers tell the places to read at: the elements of the tensor, of which there may be
    none, and how many are read. Of none not one may be read, not even to be refused afterwards."""
    for op in group.ops:
        if op.has(Trait.CHECKED) and op.has(Trait.INDEXING):
            there, read = (tensor_type(x).elements for x in (op.operands[0], op.results[0]))
            # A multiple of what is read is 0 only where nothing is read.
            if isinstance(there, Size) and divided(there, read) is None:
                yield there, read
