"""batch: a function of one example as a function of many, as IR like any other (``vmap``).

One sweep over the operations in order. A value that depends on the example is a *stack*: it has a
new first axis, one entry per example. What all examples have in common is computed once. The rules
are those of the op classes (``nets.ops.definition.decisions``); where an op has no form for stacks,
or does something besides giving results, it runs in a loop over the entries, a ``scan``.

An entry of a result has the bits that the function gives for that example alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from nets.errors import NetsError
from nets.ir.builder import Builder
from nets.ir.clone import Mapping, body_without_terminator, clone_into
from nets.ir.core import Block, Function, Operation, Region, Trait, Value
from nets.ir.sizes import Dim
from nets.ir.types import TensorType
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.ops.definition.registry import definition_of, lookup
from nets.passes.derivatives.checkpointed import checkpointed
from nets.passes.derivatives.unit_stacks import Units


def batch(
    function: Function, stacked: Sequence[bool], size: Dim, units: int | None = None
) -> tuple[Function, list[bool]]:
    """The function for ``size`` examples at once, and which of its results are stacks.

    Those arguments are stacks that are ``stacked``, and those results that depend on the example.
    ``units`` is the argument, if there is one, whose stack is that of all unit vectors.

    Requires: tensor dialect, not fused. Ensures: tensor dialect, a new function ``NAME_batched``.
    """
    types = [
        stack_type(x, size) if is_stacked else x.type
        for x, is_stacked in zip(function.arguments, stacked, strict=True)
    ]
    hints = [x.hint for x in function.arguments]
    batched = Function(f"{function.name}_batched", types, hints, function.attributes)
    over = Over(batched.body, size)
    for x, new, is_stacked in zip(function.arguments, batched.arguments, stacked, strict=True):
        over.keep(x, new, is_stacked)
    if units is not None:
        over.units = Units(over.b, batched.arguments[units], size)
        over.units.diagonals[function.arguments[units]] = None
    over.walk(body_without_terminator(function))
    over.b.builder.location = None
    returned = function.returned
    over.b.builder.create(lookup("return"), [*map(over.value, returned)])
    return batched, [x in over.stacks for x in returned]


def stack_type(x: Value, size: Dim) -> TensorType:
    """The type of the stack of a value."""
    type = tensor_type(x)
    return type.with_shape((size, *type.shape))


class Over:
    """A block in the making: the operations of another one, over all examples.

    ``mapping`` tells, for a value of the other block, the value here; it is a stack where the
    former is in ``stacks``.
    """

    def __init__(self, block: Block, size: Dim) -> None:
        self.b = GraphEmitter(Builder(block))
        self.size = size
        self.mapping: Mapping = {}
        self.stacks: set[Value] = set()
        self.units: Units | None = None

    def keep(self, old: Value, new: Value, is_stack: bool = True) -> None:
        self.mapping[old] = new
        if is_stack:
            self.stacks.add(old)

    def value(self, x: Value) -> Value:
        if x not in self.mapping and self._is_unit(x):
            assert self.units is not None
            self.mapping[x] = self.units.stack(x)
        return self.mapping.get(x, x)

    def _is_unit(self, x: Value) -> bool:
        return self.units is not None and x in self.units.diagonals

    def stack(self, x: Value) -> Value:
        """The stack of a value, which repeats where it is the same for all examples."""
        return self.value(x) if x in self.stacks else self.b.repeated(self.value(x), self.size)

    def walk(self, operations: Iterable[Operation]) -> None:
        for op in operations:
            self.b.builder.location = op.location
            if self.stacks.isdisjoint(op.operands):
                clone_into(self.b.builder, [op], self.mapping)
            elif self._through_units(op):
                continue
            elif op.has(Trait.CONTROL | Trait.RULED):
                RULES[op.name](self, op)
            elif not self._take(op):
                self.by_entry(op)

    def _through_units(self, op: Operation) -> bool:
        """Do an operation to unit stacks the short way, if it has one."""
        if self.units is None or len(op.results) != 1:
            return False
        if any(x in self.stacks and not self._is_unit(x) for x in op.operands):
            return False
        operands = [None if self._is_unit(x) else self.value(x) for x in op.operands]
        found = self.units.through(op, operands)
        if found is not None:
            self.keep(op.result, found)
        elif self._is_unit(op.result):
            self.stacks.add(op.result)
        return op.result in self.stacks

    def _take(self, op: Operation) -> bool:
        """Do an operation to whole stacks, if it can be."""
        operands = [self.value(x) for x in op.operands]
        stacked = [x in self.stacks for x in op.operands]
        try:
            found = definition_of(op).stack(self.b, operands, stacked, self.size, op.attributes)
        except NetsError as error:
            error.location = error.location or op.location
            raise
        for old, new in zip(op.results, found or (), strict=found is not None):
            new.hint = new.hint or old.hint
            self.keep(old, new)
        return found is not None

    def by_entry(self, op: Operation) -> None:
        """Do an operation to the entries of its operands, one after the other."""
        rows = [x for x in dict.fromkeys(op.operands) if x in self.stacks]
        rest = [x for x in dict.fromkeys(op.operands) if x not in self.stacks]
        block = Block([x.type for x in (*rows, *rest)])
        mapping: Mapping = dict(zip((*rows, *rest), block.arguments, strict=True))
        clone_into(Builder(block), [op], mapping)
        block.append(Operation(lookup("yield"), [mapping[x] for x in op.results], ()))
        attributes = {"carries": 0, "xs": len(rows), "length": self.size, "reverse": False}
        operands = [self.value(x) for x in (*rows, *rest)]
        made = self.b.builder.create(lookup("scan"), operands, attributes, [Region(block)])
        for old, new in zip(op.results, made.results, strict=True):
            self.keep(old, new)


class _Region(Over):
    """The body of a loop or a branch in the making; the arguments in ``stacks`` are stacks."""

    def __init__(self, arguments: Sequence[Value], stacks: set[Value], size: Dim) -> None:
        self.block = Block()
        super().__init__(self.block, size)
        for x in arguments:
            type = stack_type(x, size) if x in stacks else x.type
            self.keep(x, self.block.add_argument(type, x.hint), x in stacks)

    def end(self, values: Sequence[Value]) -> Region:
        self.block.append(Operation(lookup("yield"), values, ()))
        return Region(self.block)

    def given(self, x: Value, as_stack: bool) -> Value:
        """What the region yields for a value of the other one."""
        return self.stack(x) if as_stack else self.value(x)


def _stacked_arguments(over: Over, block: Block, operands: Sequence[Value]) -> set[Value]:
    pairs = zip(block.arguments, operands, strict=True)
    return {x for x, given in pairs if given in over.stacks}


def _over_steps(over: Over, body: Block, carries: int, stacks: set[Value]) -> _Region:
    """The body of a loop over stacks, written again until no further carry becomes one, which
    ``stacks`` grows by."""
    *steps, end = body
    while True:
        region = _Region(body.arguments, stacks, over.size)
        region.walk(steps)
        pairs = zip(body.arguments[:carries], end.operands, strict=False)
        more = {x for x, following in pairs if following in region.stacks} - stacks
        if not more:
            return region
        stacks |= more


def _scan(over: Over, op: Operation) -> Operation:
    count, xs = op.attributes["carries"], op.attributes["xs"]
    body = op.regions[0].block
    stacks = _stacked_arguments(over, body, op.operands)
    region = _over_steps(over, body, count, stacks)
    operands = []
    for x, given in zip(body.arguments, op.operands, strict=True):
        value = over.stack(given) if x in stacks else over.value(given)
        is_row = count <= x.index < count + xs
        operands.append(over.b.moved(value, 1, 0) if is_row and x in stacks else value)
    yielded = body.yielded
    stacked = [x in stacks for x in body.arguments[:count]]
    stacked += [x in region.stacks for x in yielded[count:]]
    made = region.end([region.given(x, s) for x, s in zip(yielded, stacked, strict=True)])
    loop = over.b.builder.create(lookup("scan"), operands, op.attributes, [made])
    for old, new, is_stack in zip(op.results, loop.results, stacked, strict=True):
        is_added = is_stack and old.index >= count
        over.keep(old, over.b.moved(new, 1, 0) if is_added else new, is_stack)
    return loop


def _while(over: Over, op: Operation) -> Operation | None:
    """Runs until every example is done; those that are keep what they have.

    None where that cannot be, for a step may only run for an example that needs it.
    """
    count = op.attributes["carries"]
    test, body = (region.block for region in op.regions)
    stacks = _stacked_arguments(over, body, op.operands)
    region = _over_steps(over, body, count, stacks)
    asked = _asked(over, test, body, stacks)
    (go_on,) = test.yielded
    if go_on in asked.stacks:
        if not all(map(_runs_for_all, op.regions)):
            return None
        stacks.update(body.arguments[:count])
        region = _over_steps(over, body, count, stacks)
        asked = _asked(over, test, body, stacks)
        yielded = _frozen(region, test, body, count)
        whether = asked.b.emit("reduce_any", asked.value(go_on), axes=(0,))
    else:
        pairs = zip(body.yielded, body.arguments, strict=False)
        yielded = [region.given(x, before in stacks) for x, before in pairs]
        whether = asked.value(go_on)
    operands = [
        over.stack(given) if x in stacks else over.value(given)
        for x, given in zip(body.arguments, op.operands, strict=True)
    ]
    regions = [asked.end([whether]), region.end(yielded)]
    loop = over.b.builder.create(lookup("while"), operands, op.attributes, regions)
    for x, old, new in zip(body.arguments, op.results, loop.results, strict=False):
        over.keep(old, new, x in stacks)
    return loop


LOOPS: Final = {"scan": _scan, "while": _while}


def _loop(over: Over, op: Operation) -> None:
    if LOOPS[op.name](over, op) is None:
        over.by_entry(op)


def _asked(over: Over, test: Block, body: Block, stacks: set[Value]) -> _Region:
    """The test of a loop for these stacks among the arguments of its body."""
    pairs = zip(test.arguments, body.arguments, strict=True)
    region = _Region(test.arguments, {x for x, twin in pairs if twin in stacks}, over.size)
    *steps, _ = test
    region.walk(steps)
    return region


def _frozen(region: _Region, test: Block, body: Block, count: int) -> list[Value]:
    """What a step gives for examples that go on, and the carries of those that do not."""
    before = Over(region.block, region.size)
    for x, twin in zip(test.arguments, body.arguments, strict=True):
        before.keep(x, region.value(twin), twin in region.stacks)
    *steps, _ = test
    before.walk(steps)
    (go_on,) = test.yielded
    return [
        _chosen(region, before.value(go_on), region.stack(x), region.stack(carry))
        for x, carry in zip(body.yielded, body.arguments[:count], strict=True)
    ]


def _cond(over: Over, op: Operation) -> None:
    """Where examples differ in the predicate, both branches and a choice; or, where a branch may
    only run where it is taken, example by example."""
    predicate, *values = op.operands
    if predicate in over.stacks:
        if all(map(_runs_for_all, op.regions)):
            _both(over, op, values)
        else:
            over.by_entry(op)
        return
    _in_place(over, op, values)


def _both(over: Over, op: Operation, values: Sequence[Value]) -> None:
    found = []
    for region in op.regions:
        branch = Over(over.b.builder.block, over.size)
        for x, given in zip(region.block.arguments, values, strict=True):
            branch.keep(x, over.value(given), given in over.stacks)
        *steps, end = region.block
        branch.walk(steps)
        over.b.builder.location = op.location
        found.append([branch.stack(x) for x in end.operands])
    chosen = over.value(op.operands[0])
    for old, first, second in zip(op.results, *found, strict=True):
        over.keep(old, _chosen(over, chosen, first, second))


def _chosen(over: Over, condition: Value, first: Value, second: Value) -> Value:
    """Entry by entry, the first where the condition holds, else the second."""
    shape = tensor_type(first).shape
    return over.b.select(over.b.broadcast(condition, shape, (0,)), first, second)


def _runs_for_all(region: Region) -> bool:
    """May the region run for an example that does not need it? Not where it may fail, do something
    besides giving results, or run without end."""
    risky = Trait.CHECKED | Trait.EFFECT
    return not any(op.has(risky) or op.name == "while" for op in _inside(region.block))


def _inside(block: Block) -> Iterable[Operation]:
    """The operations of a block and of the regions within it."""
    for op in block:
        yield op
        yield from op.walk_regions()


def _in_place(over: Over, op: Operation, values: Sequence[Value] | None = None) -> None:
    """The same operation with its regions over stacks; ``values`` are the operands these take."""
    made = []
    for each in op.regions:
        stacks = _stacked_arguments(over, each.block, op.operands if values is None else values)
        made.append(_Region(each.block.arguments, stacks, over.size))
        *steps, _ = each.block
        made[-1].walk(steps)
    rows = list(zip(*(each.block.yielded for each in op.regions), strict=True))
    stacked = [any(x in r.stacks for x, r in zip(row, made, strict=True)) for row in rows]
    regions = [
        region.end([region.given(row[i], s) for row, s in zip(rows, stacked, strict=True)])
        for i, region in enumerate(made)
    ]
    operands = [over.value(x) for x in op.operands]
    results = over.b.builder.create(definition_of(op), operands, op.attributes, regions).results
    for old, new, is_stack in zip(op.results, results, stacked, strict=True):
        over.keep(old, new, is_stack)


def _checkpointed_loop(over: Over, op: Operation) -> None:
    """One loop over stacks; example by example where it has been differentiated, for then it holds
    more than a loop."""
    block = op.regions[1].block
    loop, end = block
    if len(end.operands) != len(op.results):
        over.by_entry(op)
        return
    for x, given in zip(block.arguments, op.operands, strict=True):
        over.keep(x, over.value(given), given in over.stacks)
    made = LOOPS[loop.name](over, loop)
    if made is None:
        over.by_entry(op)
        return
    wrapped = checkpointed(made, op.attributes["slots"])
    replaced = dict(zip(made.results, wrapped.results, strict=True))
    for old, x in zip(op.results, loop.results, strict=True):
        value = over.value(x)
        over.keep(old, replaced.get(value, value), x in over.stacks)


def _ruled(over: Over, op: Operation) -> None:
    """The function and its rule over stacks, of everything: a rule must fit whatever comes."""
    regions = []
    for each in op.regions:
        region = _Region(each.block.arguments, {*each.block.arguments}, over.size)
        *steps, end = each.block
        region.walk(steps)
        regions.append(region.end([region.stack(x) for x in end.operands]))
    operands = [over.stack(x) for x in op.operands]
    made = over.b.builder.create(definition_of(op), operands, op.attributes, regions)
    for old, new in zip(op.results, made.results, strict=True):
        over.keep(old, new)


RULES: Final = {
    "scan": _loop,
    "while": _loop,
    "cond": _cond,
    "checkpoint": _in_place,
    "recomputed": _in_place,
    "checkpointed_loop": _checkpointed_loop,
    "as_if": _in_place,
    "custom_jvp": _ruled,
    "custom_vjp": _ruled,
    "underived": _ruled,
}
