"""Builder: makes operations at an insertion point and runs their type rule."""

from __future__ import annotations

from collections.abc import Sequence

from nets.errors import NetsError
from nets.ir.core import Attributes, Block, OpDefinition, Operation, Region, Value
from nets.ir.location import Location


class Builder:
    """Inserts operations into ``block`` before ``before`` (None: at the end).

    ``location`` is given to every operation made without one of its own.
    """

    def __init__(
        self,
        block: Block,
        before: Operation | None = None,
        location: Location | None = None,
    ) -> None:
        self.block = block
        self.before = before
        self.location = location

    def create(
        self,
        definition: OpDefinition,
        operands: Sequence[Value],
        attributes: Attributes | None = None,
        regions: Sequence[Region] = (),
        location: Location | None = None,
    ) -> Operation:
        """Infer the result types, make the operation, insert it.

        A type error carries the operation's location.
        """
        location = location or self.location
        attributes = attributes or {}
        try:
            types = definition.infer(operands, attributes, regions)
        except NetsError as error:
            if error.location is None:
                error.location = location
            raise
        op = Operation(definition, operands, types, attributes, regions, location)
        self.block.insert(op, self.before)
        return op
