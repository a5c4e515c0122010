"""Lets costly functions of overlapping slices of a tensor be computed once for each element.

A difference formula such as ``sin(x[1:]) + sin(x[:-1])`` asks for nearly every sine twice. What is
elementwise of slices is a slice of what is elementwise of more: expressions are numbered without
regard to where their slices begin, and where costly ones of one number overlap, the expression of
the smallest box around them all is stored, and they are slices of it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Operation, Trait, Value
from nets.machine import costs
from nets.machine.machine import Machine
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.passes.forms import TENSOR, is_static
from nets.passes.manager import Options, register_pass
from nets.passes.simplify.patterns import made_by, repeated_number
from nets.passes.simplify.simplify_windows import cut, is_window

GAIN = 2
"""How many times what is saved must be what it takes to store and load the numbers."""

MOST_DEEP = 64
"""Elementwise operations between a costly one and the slices, on the longest way."""

_WORDS: Final = {"power": "pow", "divide": "div", "remainder": "rem"}
"""What functions are called in the table of costs, where that is not their own name."""

Place = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """A value that is the part from ``start`` on of an expression without borders."""

    number: int
    start: Place


@register_pass("share_overlaps", requires=(TENSOR,))
def share_overlaps(function: Function, options: Options) -> Function:
    """Compute costly functions of overlapping slices once.

    Requires: the tensor dialect. Ensures: the same results, bit for bit.
    """
    for block in function.programs():
        _Sharing(block, options.machine).run()
    return function


class _Sharing:
    """The expressions of one block."""

    def __init__(self, block: Block, machine: Machine) -> None:
        self.block = block
        self.machine = machine
        self.numbers: dict[Hashable, int] = {}
        self.parts: dict[Value, Part] = {}
        self.families: dict[int, list[Operation]] = {}
        self.widened: dict[Hashable, Value | None] = {}
        """What was computed in larger boxes, the first before the rest."""

    def run(self) -> None:
        for op in self.block:
            if op.has(Trait.ELEMENTWISE) and len(op.results) == 1 and is_static(op):
                self._number(op)
        for family in self.families.values():
            self._share(family)

    def _number(self, op: Operation) -> None:
        """Number the expression that the result of an elementwise operation is part of."""
        operands = [x if repeated_number(x) else self._part(x) for x in op.operands]
        first = next((x for x in operands if isinstance(x, Part)), None)
        if first is None:
            return
        key = (
            op.name,
            tuple(sorted(op.attributes.items(), key=lambda item: item[0])),
            tuple(self._relative(x, first) for x in operands),
        )
        try:
            number = self.numbers.setdefault(key, len(self.numbers))
        except TypeError:  # an attribute that is an array
            return
        self.parts[op.result] = Part(number, first.start)
        if op.has(Trait.COSTLY) and not op.has(Trait.CHECKED):
            self.families.setdefault(number, []).append(op)

    def _relative(self, x: Value | Part, first: Part) -> Hashable:
        if isinstance(x, Value):
            return repeated_number(x)
        return x.number, tuple(a - b for a, b in zip(x.start, first.start, strict=True))

    def _part(self, x: Value) -> Part:
        """What a value is part of: an expression, what it is a slice of, or itself."""
        found = self.parts.get(x)
        if found is None:
            op = made_by(x, "slice")
            if op is not None and is_window(op):
                inner = self._part(op.operands[0])
                start = zip(inner.start, op.attributes["starts"], strict=True)
                found = Part(inner.number, tuple(a + b for a, b in start))
            else:
                number = self.numbers.setdefault(x, len(self.numbers))
                found = Part(number, (0,) * tensor_type(x).rank)
            self.parts[x] = found
        return found

    # ------------------------------------------------------------------------ one family

    def _share(self, family: list[Operation]) -> None:
        places = [self.parts[op.result].start for op in family]
        start, stop = _around(family, places)
        if len(set(places)) < 2 or not self._pays(family, start, stop):
            return
        b = GraphEmitter(Builder(self.block, family[0], family[0].location))
        first, sizes = places[0], tensor_type(family[0].result).static_shape
        low = tuple(p - a for a, p in zip(start, first, strict=True))
        high = tuple(z - p - n for z, p, n in zip(stop, first, sizes, strict=True))
        whole = self._wider(b, family[0].result, low, high, MOST_DEEP)
        if whole is None:
            return
        for op, place in zip(family, places, strict=True):
            b = GraphEmitter(Builder(self.block, op, op.location))
            at = tuple(x - a for x, a in zip(place, start, strict=True))
            sizes = tensor_type(op.result).static_shape
            part = cut(b, whole, at, tuple(x + n for x, n in zip(at, sizes, strict=True)))
            if part is not op.result:
                op.replace_with([part])

    def _pays(self, family: list[Operation], start: Place, stop: Place) -> bool:
        around = math.prod(z - a for a, z in zip(start, stop, strict=True))
        elements = sum(tensor_type(op.result).size for op in family)
        word = _WORDS.get(family[0].name, family[0].name)
        cycles = costs.cycles(self.machine, word, family[0].result.type.dtype)
        moved = costs.FAR * (costs.STORE * around + costs.LOAD * elements)
        return cycles * (elements - around) > GAIN * moved

    def _wider(
        self, b: GraphEmitter, x: Value, low: Place, high: Place, depth: int
    ) -> Value | None:
        """A value that is elementwise of slices, with so much more before and behind it on each
        axis; None where there is no more."""
        key = (x, low, high)
        if key not in self.widened:
            self.widened[key] = self._made_wider(b, x, low, high, depth)
        return self.widened[key]

    def _made_wider(
        self, b: GraphEmitter, x: Value, low: Place, high: Place, depth: int
    ) -> Value | None:
        if not any(low) and not any(high):
            return x
        scalar, op = repeated_number(x), x.operation
        if scalar is not None:
            sizes = zip(low, tensor_type(x).static_shape, high, strict=True)
            return b.broadcast(scalar, tuple(map(sum, sizes)), ())
        if op is not None and op.name == "slice" and is_window(op):
            starts = tuple(s - a for s, a in zip(op.attributes["starts"], low, strict=True))
            stops = tuple(s + z for s, z in zip(op.attributes["stops"], high, strict=True))
            return self._box_of(b, op.operands[0], starts, stops)
        if op is None or not op.has(Trait.ELEMENTWISE) or not depth:
            return None
        operands = [self._wider(b, operand, low, high, depth - 1) for operand in op.operands]
        given = [operand for operand in operands if operand is not None]
        if len(given) < len(operands):
            return None
        return b.builder.create(op.definition, given, op.attributes).result

    def _box_of(self, b: GraphEmitter, x: Value, starts: Place, stops: Place) -> Value | None:
        limits = zip(starts, stops, tensor_type(x).static_shape, strict=True)
        if not all(start >= 0 and stop <= size for start, stop, size in limits):
            return None
        key = ("box", x, starts, stops)
        if key not in self.widened:
            self.widened[key] = cut(b, x, starts, stops)
        return self.widened[key]


def _around(family: list[Operation], places: list[Place]) -> tuple[Place, Place]:
    """The smallest box around the parts."""
    shapes = [tensor_type(op.result).static_shape for op in family]
    stops = [
        tuple(x + n for x, n in zip(place, shape, strict=True))
        for place, shape in zip(places, shapes, strict=True)
    ]
    return tuple(map(min, zip(*places, strict=True))), tuple(map(max, zip(*stops, strict=True)))
