"""forward: derivatives carried along with the values (JVP), as IR like any other.

One sweep over the operations in order gives each value that depends on the wanted ones a tangent.
A value without one has the tangent zero; zeros are never built but where a loop or a result needs
one. The rules are those of the op classes (``nets.ops.definition.decisions``). Tangents have the
type of their value, and only floating-point values carry one.

A loop or a branch becomes one that has the tangents beside the values, so that it runs once; how
often a ``while`` runs, and which branch is taken, the values alone decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from nets.errors import NetsError
from nets.ir.builder import Builder
from nets.ir.clone import Mapping, body_without_terminator, clone_into
from nets.ir.core import Block, Function, Operation, Region, Trait, Value
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import definition_of, lookup
from nets.passes.derivatives.activity import carries_cotangent, dependents, loop_dependents
from nets.passes.derivatives.checkpointed import checkpointed
from nets.passes.derivatives.custom_rules import push_ruled
from nets.passes.derivatives.vjp import pull_back


def jvp(function: Function, wrt: Sequence[int]) -> Function:
    """The function (arguments…, tangent of each argument in ``wrt``) → (results…, tangent of each
    floating-point result).

    Requires: tensor dialect, not fused; the arguments in ``wrt`` are floating-point. Ensures:
    tensor dialect, a new function ``NAME_jvp``.
    """
    moved = [function.arguments[position] for position in wrt]
    forward = Function(
        f"{function.name}_jvp",
        [x.type for x in (*function.arguments, *moved)],
        [*(x.hint for x in function.arguments), *(f"{x.hint}_t" if x.hint else "" for x in moved)],
        function.attributes,
    )
    count = len(function.arguments)
    along = _Along(forward.body, function.arguments, forward.arguments[:count])
    along.tangents.update(zip(moved, forward.arguments[count:], strict=True))
    along.walk(body_without_terminator(function))
    along.b.builder.location = None
    returned = function.returned
    tangents = [along.tangent(x) for x in returned if carries_cotangent(x.type)]
    along.b.builder.create(lookup("return"), [*map(along.value, returned), *tangents])
    return forward


class _Along:
    """A block in the making: the operations of another one, with tangents beside their values.

    ``mapping`` and ``tangents`` tell, for a value of the other block, the value here and its
    tangent.
    """

    def __init__(self, block: Block, old: Sequence[Value], new: Sequence[Value]) -> None:
        self.b = GraphEmitter(Builder(block))
        self.mapping: Mapping = dict(zip(old, new, strict=True))
        self.tangents: dict[Value, Value] = {}

    def value(self, x: Value) -> Value:
        return self.mapping.get(x, x)

    def tangent(self, x: Value) -> Value:
        """The tangent of a value of the other block, zeros where it has none."""
        return self.tangents.get(x) or self.b.zero(self.value(x))

    def walk(self, operations: Iterable[Operation]) -> None:
        for op in operations:
            moves = not op.has(Trait.STOPS_GRADIENT) and any(
                x in self.tangents for x in op.operands
            )
            if moves and op.has(Trait.CONTROL | Trait.RULED):
                self.b.builder.location = op.location
                RULES[op.name](self, op)
                continue
            clone_into(self.b.builder, [op], self.mapping)
            if moves and any(carries_cotangent(x.type) for x in op.results):
                self._push(op)

    def _push(self, op: Operation) -> None:
        """Give the results of an operation, which stands here already, their tangents."""
        definition = definition_of(op)
        self.b.derive(op.name, op.location)
        operands = [self.value(x) for x in op.operands]
        results = [self.value(x) for x in op.results]
        given = [self.tangents.get(x) for x in op.operands]
        try:
            found = definition.jvp(self.b, operands, results, given, op.attributes)
        except NetsError as error:
            error.location = error.location or op.location
            raise
        for x, tangent in zip(op.results, found, strict=True):
            if tangent is not None and carries_cotangent(x.type):
                self.tangents[x] = tangent

    def beside(self, values: Sequence[Value], moved: Sequence[Value]) -> list[Value]:
        """Values of the other block as they are here, and the tangents of some of them."""
        return [*map(self.value, values), *map(self.tangent, moved)]

    def keep(self, old: Sequence[Value], moved: Sequence[Value], new: Sequence[Value]) -> None:
        """Note results: those of all values, then the tangents of some of them."""
        self.mapping.update(zip(old, new, strict=False))
        self.tangents.update(zip(moved, new[len(old) :], strict=True))


class _Region(_Along):
    """The body of a loop or a branch in the making. Its arguments come in ``parts``; in each, the
    tangents of those that are ``active`` follow."""

    def __init__(self, parts: Sequence[Sequence[Value]], active: set[Value]) -> None:
        block = Block()
        super().__init__(block, (), ())
        for part in parts:
            for x in part:
                self.mapping[x] = block.add_argument(x.type, x.hint)
            for x in part:
                if x in active:
                    self.tangents[x] = block.add_argument(x.type, f"{x.hint}_t" if x.hint else "")
        self.block = block

    def end(self, *parts: tuple[Sequence[Value], Sequence[Value]]) -> Region:
        """The region, which yields for each part values and the tangents of some."""
        yielded = [x for values, moved in parts for x in self.beside(values, moved)]
        self.block.append(Operation(lookup("yield"), yielded, ()))
        return Region(self.block)


def _scan(along: _Along, op: Operation) -> Operation:
    count, xs = op.attributes["carries"], op.attributes["xs"]
    body = op.regions[0].block
    *steps, end = body
    active = loop_dependents(body, count, _moved_arguments(along, body.arguments, op.operands))
    rows = count + xs
    inside = [body.arguments[:count], body.arguments[count:rows], body.arguments[rows:]]
    region = _Region(inside, active)
    region.walk(steps)
    operands = _operands(along, op.operands, inside, active)
    carried = [i for i, x in enumerate(inside[0]) if x in active]
    stacked = [i for i, x in enumerate(end.operands) if i >= count and x in active]
    made = region.end(
        (end.operands[:count], [end.operands[i] for i in carried]),
        (end.operands[count:], [end.operands[i] for i in stacked]),
    )
    attributes = {
        **op.attributes,
        "carries": count + len(carried),
        "xs": xs + sum(x in active for x in inside[1]),
    }
    loop = along.b.builder.create(definition_of(op), operands, attributes, [made])
    last = count + len(carried)
    along.keep(op.results[:count], [op.results[i] for i in carried], loop.results[:last])
    along.keep(op.results[count:], [op.results[i] for i in stacked], loop.results[last:])
    return loop


def _while(along: _Along, op: Operation) -> Operation:
    count = op.attributes["carries"]
    test, body = (region.block for region in op.regions)
    active = loop_dependents(body, count, _moved_arguments(along, body.arguments, op.operands))
    inside = [body.arguments[:count], body.arguments[count:]]
    region = _Region(inside, active)
    *steps, end = body
    region.walk(steps)
    carried = [i for i, x in enumerate(inside[0]) if x in active]
    advance = region.end((end.operands, [end.operands[i] for i in carried]))
    places = {x for x, twin in zip(test.arguments, body.arguments, strict=True) if twin in active}
    asked = _Region([test.arguments[:count], test.arguments[count:]], places)
    asked.tangents.clear()  # whether to go on, values alone decide
    *steps, end = test
    asked.walk(steps)
    operands = _operands(along, op.operands, inside, active)
    attributes = {"carries": count + len(carried)}
    regions = [asked.end((end.operands, ())), advance]
    loop = along.b.builder.create(definition_of(op), operands, attributes, regions)
    along.keep(op.results, [op.results[i] for i in carried], loop.results)
    return loop


LOOPS: Final = {"scan": _scan, "while": _while}


def _cond(along: _Along, op: Operation) -> None:
    predicate, *values = op.operands
    blocks = [region.block for region in op.regions]
    reached: set[int] = set()
    regions = []
    for block in blocks:
        *steps, end = block
        active = dependents(steps, _moved_arguments(along, block.arguments, values))
        reached.update(i for i, x in enumerate(end.operands) if x in active)
    moved = sorted(reached)
    for block in blocks:
        *steps, end = block
        region = _Region([block.arguments], set(_moved_arguments(along, block.arguments, values)))
        region.walk(steps)
        regions.append(region.end((end.operands, [end.operands[i] for i in moved])))
    tangents = [along.tangents[x] for x in values if x in along.tangents]
    operands = [along.value(predicate), *map(along.value, values), *tangents]
    results = along.b.builder.create(definition_of(op), operands, {}, regions).results
    along.keep(op.results, [op.results[i] for i in moved], results)


def _moved_arguments(
    along: _Along, arguments: Sequence[Value], operands: Sequence[Value]
) -> list[Value]:
    """The arguments of a region whose operands have tangents."""
    return [x for x, given in zip(arguments, operands, strict=True) if given in along.tangents]


def _operands(
    along: _Along,
    operands: Sequence[Value],
    parts: Sequence[Sequence[Value]],
    active: set[Value],
) -> list[Value]:
    """Operands for a region with these parts of arguments."""
    found: list[Value] = []
    for part in parts:
        given = [operands[x.index] for x in part]
        moved = [operands[x.index] for x in part if x in active]
        found += along.beside(given, moved)
    return found


def _in_place(along: _Along, op: Operation) -> None:
    """A checkpoint, whose way back is to do the tangents again, too."""
    block = op.regions[0].block
    moved = set(_moved_arguments(along, block.arguments, op.operands))
    *steps, end = block
    region = _Region([block.arguments], moved)
    region.walk(steps)
    results = [x for x in end.operands if x in region.tangents]
    made = region.end((end.operands, results))
    operands = _operands(along, op.operands, [block.arguments], moved)
    found = along.b.builder.create(definition_of(op), operands, op.attributes, [made]).results
    named = zip(op.results, end.operands, strict=True)
    along.keep(op.results, [old for old, x in named if x in region.tangents], found)


def _as_if(along: _Along, op: Operation) -> None:
    """What derivatives see, in place of the operation."""
    _in_its_place(along, op, op.regions[1].block)


def _in_its_place(along: _Along, op: Operation, block: Block) -> None:
    """The operations of a region that takes the place of an operation."""
    *steps, end = block
    for x, given in zip(block.arguments, op.operands, strict=True):
        along.mapping[x] = along.value(given)
        if given in along.tangents:
            along.tangents[x] = along.tangents[given]
    along.walk(steps)
    for old, x in zip(op.results, end.operands, strict=True):
        along.mapping[old] = along.value(x)
        if x in along.tangents:
            along.tangents[old] = along.tangents[x]


def _checkpointed_loop(along: _Along, op: Operation) -> None:
    """The loop with tangents, which stores as few states. One that has been differentiated already
    stays, for what it stores, and another one beside it has the tangents; but a while, whose way
    back is through what it stores, stores tangents of that."""
    block = op.regions[1].block
    loop, end = block
    is_plain = len(end.operands) == len(op.results)
    if not is_plain and loop.name == "while":
        _in_its_place(along, op, op.regions[0].block)
        return
    if not is_plain:
        clone_into(along.b.builder, [op], along.mapping)
    for x, given in zip(block.arguments, op.operands, strict=True):
        along.mapping[x] = along.value(given)
        if given in along.tangents:
            along.tangents[x] = along.tangents[given]
    made = LOOPS[loop.name](along, loop)
    wrapped = checkpointed(made, op.attributes["slots"])
    replaced = dict(zip(made.results, wrapped.results, strict=True))
    for old, x in zip(op.results, loop.results, strict=False):
        if is_plain:
            along.mapping[old] = replaced[along.value(x)]
        if x in along.tangents:
            along.tangents[old] = replaced[along.tangents[x]]


def _ruled(along: _Along, op: Operation) -> None:
    operands = [along.value(x) for x in op.operands]
    given = [along.tangents.get(x) for x in op.operands]
    results, tangents = push_ruled(along.b, op, operands, given, pull_back)
    along.mapping.update(zip(op.results, results, strict=True))
    moved = [x for x in op.results if carries_cotangent(x.type)]
    pairs = zip(moved, tangents, strict=True)
    along.tangents.update((x, tangent) for x, tangent in pairs if tangent is not None)


RULES: Final[dict[str, Callable[[_Along, Operation], object]]] = {
    **LOOPS,
    "cond": _cond,
    "checkpoint": _in_place,
    "recomputed": _in_place,
    "checkpointed_loop": _checkpointed_loop,
    "as_if": _as_if,
    "custom_jvp": _ruled,
    "custom_vjp": _ruled,
    "underived": _ruled,
}
