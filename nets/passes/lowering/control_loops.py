"""Loops and branches of the tensor dialect as those of the loop dialect.

What a loop carries lies in buffers that every step updates: in place where nothing reads the old
elements any more, else by a copy at the end of the step. Numbers that a scan carries are scalars
that its ``loop.for`` carries, and never in memory. Slices of what a scan runs over, and of what it
stacks, are read and written where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from nets.ir.core import Block, Operation, Trait, Value
from nets.ir.types import index
from nets.ops.definition.emitter import tensor_type
from nets.passes.lowering.block_loops import BlockLowering, Output, buffer_type
from nets.passes.lowering.in_place import (
    behind_buffer_views,
    behind_views,
    in_one_place,
    last_readers,
)
from nets.passes.spaces.kernel_operands import is_for_kernels
from nets.passes.spaces.pieces import has_pieces


def lower_control(low: BlockLowering, op: Operation) -> None:
    """Lower an operation that decides which of its regions run."""
    made = [low.outdated(result) or low.make_buffer(result) for result in op.results]
    _RULES[op.name](low, op, made)
    low.buffers.update(zip(op.results, made, strict=True))


def _scan(low: BlockLowering, op: Operation, made: Sequence[Value]) -> None:
    s, count, length = low.s, op.attributes["carries"], op.attributes["length"]
    if length == 0:
        _start(low, op, made[:count])
        return
    block, yielded = op.regions[0].block, op.regions[0].block.yielded
    sources = [low.in_memory(x) for x in op.operands[count : count + op.attributes["xs"]]]
    for argument, value in _invariants(op, block, count + len(sources)):
        _bind(low, argument, value)
    numbers = [i for i in range(count) if _is_number(op.results[i])]
    first = [_read(low, op.operands[i]) for i in numbers]
    _start(low, op, made[:count], but=numbers)
    loop = s.for_(0, length, first)
    low.buffers.update((block.arguments[i], made[i]) for i in range(count) if i not in numbers)
    carried = _carried(block, yielded, made[:count], but=numbers)
    with s.body(loop.regions[0].block) as body:
        counter, *scalars = body.arguments
        step = s.sub(s.const(length - 1, index), counter) if op.attributes["reverse"] else counter
        for argument, source in zip(block.arguments[count:], sources, strict=False):
            low.buffers[argument] = _part(low, source, step, argument)
        outputs = [
            (value, _part(low, stack, step, value))
            for value, stack in zip(yielded[count:], made[count:], strict=True)
        ]
        numbered = {block.arguments[i]: scalar for i, scalar in zip(numbers, scalars, strict=True)}
        inner = _run_body(low, block, carried, outputs, numbered)
        s.yield_(*(_read(inner, yielded[i]) for i in numbers))
    for i, scalar in zip(numbers, loop.results, strict=True):
        s.store_element(scalar, op.results[i], made[i], ())


def _while(low: BlockLowering, op: Operation, made: Sequence[Value]) -> None:
    s = low.s
    _start(low, op, made)
    test, step = (region.block for region in op.regions)
    for block in (test, step):
        low.buffers.update(zip(block.arguments, made, strict=False))
        for argument, value in _invariants(op, block, len(made)):
            _bind(low, argument, value)
    carried = _carried(step, op.regions[1].block.yielded, made)
    loop = s.repeat()
    with s.body(loop.regions[0].block):
        inner = _run_body(low, test, [], [])
        again = _read(inner, op.regions[0].block.yielded[0])
        with s.body(s.if_(again).regions[0].block):
            _run_body(low, step, carried, [])
            s.yield_()
        s.yield_(again)


def _cond(low: BlockLowering, op: Operation, made: Sequence[Value]) -> None:
    s = low.s
    first = _read(low, op.operands[0])
    for region, chosen in zip(op.regions, (first, s.unary("not", first)), strict=True):
        for argument, value in zip(region.block.arguments, op.operands[1:], strict=True):
            _bind(low, argument, value)
        with s.body(s.if_(chosen).regions[0].block):
            _run_body(low, region.block, [], list(zip(region.block.yielded, made, strict=True)))
            s.yield_()


def _once(low: BlockLowering, op: Operation, made: Sequence[Value]) -> None:
    block = op.regions[0].block
    for argument, value in zip(block.arguments, op.operands, strict=True):
        _bind(low, argument, value)
    _run_body(low, block, [], list(zip(block.yielded, made, strict=True)))


_RULES: dict[str, Callable[[BlockLowering, Operation, Sequence[Value]], None]] = {
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    **dict.fromkeys(("checkpoint", "recomputed", "checkpointed_loop", "as_if"), _once),
}


def _bind(low: BlockLowering, argument: Value, value: Value) -> None:
    """Let an argument of a region stand for a value around it, in memory where that is needed."""
    scalar = low.s.scalar(value)
    if scalar is None:
        low.bind(argument, value)
    elif value in low.buffers:
        low.bind(argument, value)
        low.buffers[argument] = low.buffers[value]
    else:
        low.define_scalar(argument, scalar)


def _invariants(op: Operation, block: Block, first: int) -> Iterable[tuple[Value, Value]]:
    """The arguments of a region that are the same in every step, and what they stand for."""
    return zip(block.arguments[first:], op.operands[first:], strict=True)


def _is_number(value: Value) -> bool:
    return tensor_type(value).shape == ()


def _read(low: BlockLowering, value: Value) -> Value:
    """The scalar of a number now."""
    with low.s.group():
        return low.s.read(value, ())


def _part(low: BlockLowering, stack: Value, step: Value, value: Value) -> Value:
    """The slice of a stack that belongs to a step, whose type is that of the value."""
    type = buffer_type(value)
    return low.s.slice(stack, step, type, type.elements)


def _start(
    low: BlockLowering, op: Operation, made: Sequence[Value], but: Container[int] = ()
) -> None:
    """Put what the carries start from into their buffers, unless it is there."""
    for i, buffer in enumerate(made):
        if i not in but and not _is_there(low, op.operands[i], buffer):
            low.copy(op.operands[i], buffer)


def _is_there(low: BlockLowering, value: Value, buffer: Value) -> bool:
    held = low.buffers.get(value)
    return held is not None and behind_buffer_views(held) is behind_buffer_views(buffer)


# ------------------------------------------------------------------------------- bodies


@dataclass(frozen=True, slots=True)
class _Carried:
    """A tensor carried in memory: the argument of the body, its next value, and the buffer."""

    argument: Value
    following: Value
    buffer: Value


def _carried(
    block: Block, yielded: Sequence[Value], made: Sequence[Value], but: Container[int] = ()
) -> list[_Carried]:
    """The carries that a step changes, ``but`` for some."""
    carries = enumerate(zip(block.arguments, yielded, made, strict=False))
    return [_Carried(x, y, b) for i, (x, y, b) in carries if i not in but and x is not y]


def _run_body(
    low: BlockLowering,
    block: Block,
    carried: Sequence[_Carried],
    outputs: Sequence[Output],
    numbers: Mapping[Value, Value] | None = None,
) -> BlockLowering:
    """Lower a region: its results go to ``outputs``, and what is carried is updated.

    ``numbers``: arguments that are scalars. Old elements that are wanted at the end are put aside
    at the start, before any is overwritten.
    """
    over, direct = _places_of(block, carried)
    inner = BlockLowering(low.s, block, lower_control, over)
    for argument, scalar in (numbers or {}).items():
        inner.define_scalar(argument, scalar)
    olds = {carry.argument for carry in carried}
    wanted: list[Output] = []
    for value, buffer in outputs:
        root = behind_views(value)
        if root in olds:
            inner.copy(root, low.s.view(buffer, buffer_type(root)))
        else:
            wanted.append((value, buffer))
    later: list[Output] = []
    for carry in carried:
        if (root := behind_views(carry.following)) in olds:
            later.append((_set_aside(inner, root, carry.following), carry.buffer))
        elif carry in direct:
            wanted.append((carry.following, carry.buffer))
        else:
            later.append((carry.following, carry.buffer))
    inner.run(wanted, later)
    inner.settle()
    return inner


def _set_aside(low: BlockLowering, root: Value, value: Value) -> Value:
    """A stand-in for the value, a view of an argument, that keeps its elements of now."""
    place = low.s.alloc(buffer_type(root))
    low.copy(root, place)
    kept = Value(value.type, None, 0)
    low.buffers[kept] = low.s.view(place, buffer_type(value))
    return kept


def _places_of(
    block: Block, carried: Sequence[_Carried]
) -> tuple[dict[Value, Value], list[_Carried]]:
    """Which next values may be stored over the old ones.

    Those of the list always, for the old ones are read before; those of the dictionary, which has
    their buffers, if the operation that makes them reads each old element before it stores.
    """
    position = {op: place for place, op in enumerate(block)}
    last, late = _last_reads(block)
    readers = last_readers(block)
    over: dict[Value, Value] = {}
    direct: list[_Carried] = []
    taken: set[Value] = set()
    for carry in carried:
        root = behind_views(carry.following)
        if root.operation is None or root in taken or _is_number(root) or carry.argument in late:
            continue
        taken.add(root)
        made = [x for x in in_one_place(root, readers) if x.operation is not None]
        op = made[-1].operation
        assert op is not None
        if op.has(Trait.CONSTANT) or has_pieces(op):  # pieces are stored before
            continue
        if last.get(carry.argument, -1) < position[op]:
            direct.append(carry)
        elif last[carry.argument] == position[op] and _is_whole(carry.buffer):
            over.update((value, carry.buffer) for value in made)
    return over, direct


def _is_whole(buffer: Value) -> bool:
    return buffer.operation is None or buffer.operation.name != "loop.view"


def _last_reads(block: Block) -> tuple[dict[Value, int], set[Value]]:
    """The place of the last operation that reads each value, and values read later than that."""
    last: dict[Value, int] = {}
    late: set[Value] = set()
    for place, op in enumerate(block):
        if not op.has(Trait.TERMINATOR):
            roots = [behind_views(operand) for operand in op.operands]
            last.update((root, place) for root in roots)
            if is_for_kernels(op):
                late.update(roots)
    return last, late
