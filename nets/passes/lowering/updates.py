"""The updates of a function of loops: which of them are stored where their argument is.

``sink_updates`` says what an update is and when it may overwrite its argument. An update for which
that is not certain is stored in memory of its own, and copied at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.core import Function, Operation, Value
from nets.ops.loop.transfers import is_transfer


class Updates:
    """The updates of a function of loops in the making.

    ``places`` maps the buffer that an update is computed in to the argument it is for.
    """

    def __init__(self, places: dict[Value, Value]) -> None:
        self.places = places
        self._spans: dict[Value, list[Operation]] = {}
        self._copies: dict[Value, list[Operation]] = {}
        self._certified: set[Value] = set()
        self._lasting: set[Operation] = set()

    def certify(self, buffer: Value) -> None:
        """Note that the loops that fill it load each element of the argument before they store."""
        self._certified.add(buffer)

    def note_lasting(self, ops: list[Operation]) -> None:
        """Note what a loop of the program became."""
        self._lasting.update(ops)

    def note(self, buffer: Value, filled_by: list[Operation]) -> None:
        """Note which operations of the body fill the buffer."""
        self._spans[buffer] = filled_by

    def note_copy(self, buffer: Value, copied_by: list[Operation]) -> None:
        """Note which operations copy the argument into its buffer, where some elements change."""
        self._copies[buffer] = copied_by

    def settle(
        self, loops: Function, *, in_place: bool
    ) -> tuple[list[tuple[Value, Value]], Operation | None]:
        """Let updates take the place of their arguments where that is right; none, unless
        ``in_place``.

        Gives the others, as (buffer, argument) pairs to be copied in the end, and the first
        operation of those in place.
        """
        order = list(loops.body)
        positions = {op: place for place, op in enumerate(order)}
        touched, last_check = self._touches(order)
        last_check = max([last_check, *(positions[op] for op in self._lasting & positions.keys())])
        copied, first = [], len(order)
        for buffer, argument in self.places.items():
            span = [positions[op] for op in self._spans[buffer] if op in positions]
            begin, end = min(span, default=len(order)), max(span, default=len(order))
            start = min([begin, *touched[buffer][:1]])  # a piece of it may have come earlier
            is_certain = buffer in self._certified and start >= begin
            copies = self._copies.get(buffer, [])
            reads = set(touched[argument]).difference(positions[op] for op in copies)
            last_read = max(reads, default=-1)
            is_late = last_read < (end + 1 if is_certain else start) and last_check < start
            if not (in_place and is_late):
                copied.append((buffer, argument))
                continue
            first = min(first, start)
            assert buffer.operation is not None
            buffer.replace_uses(argument)
            buffer.operation.erase()
            _erase(copies)
        return copied, order[first] if first < len(order) else None

    def _touches(self, order: Sequence[Operation]) -> tuple[dict[Value, list[int]], int]:
        """The places that touch each buffer and argument, and the last that may fail, a check or a
        transfer; −1 for none."""
        roots = {buffer: buffer for pair in self.places.items() for buffer in pair}
        touched: dict[Value, list[int]] = {buffer: [] for buffer in roots}
        last_check = -1
        for place, outer in enumerate(order):
            for op in (outer, *outer.walk_regions()):
                if op.name == "loop.check" or is_transfer(op):
                    last_check = place
                for operand in op.operands:
                    if operand not in roots:
                        continue
                    if op.name in ("loop.view", "loop.slice"):
                        roots[op.result] = roots[operand]
                    else:
                        touched[roots[operand]].append(place)
        return touched, last_check


def _erase(ops: Sequence[Operation]) -> None:
    """Remove operations, given in reverse order, as far as nothing else uses them."""
    for op in ops:
        if not any(result.uses for result in op.results):
            op.erase()
