"""simplify_control: loops and branches do, carry and keep only what they must."""

from __future__ import annotations

from collections.abc import Sequence

from nets.ir.builder import Builder
from nets.ir.clone import Mapping, clone_into
from nets.ir.core import Block, Function, Operation, Region, Trait, Value
from nets.ir.dissolve import dissolve_all
from nets.ir.sizes import Dim
from nets.ir.types import TensorType, i64
from nets.ops.definition.emitter import GraphEmitter, tensor_type
from nets.passes.forms import TENSOR
from nets.passes.manager import Options, register_pass
from nets.passes.simplify.patterns import filling, is_constant, made_by
from nets.passes.simplify.sources import drop_unused, sources, sources_over_steps


@register_pass("simplify_control", requires=(TENSOR,))
def simplify_control(function: Function, options: Options) -> Function:
    """Move invariant code out of loops; drop carries, stacks and operands that nobody needs.

    Requires: tensor IR, not fused.
    Ensures: the same results, bit for bit. Nothing is left that only says how a program is
    differentiated. Constants that regions use stand in them; no operand is
    passed twice or in vain; what a loop carries changes and is needed; what it stacks is used. In
    a loop no arithmetic is the same in every step. What is no longer used is left for dce.
    """
    programs = dissolve_all(function, Trait.ONCE)
    for block in reversed(programs):  # what leaves an inner loop may leave the next one
        for op in block:
            if op.has(Trait.CONTROL):
                _simplify(op)
    return function


def _simplify(op: Operation) -> None:
    if "xs" in op.attributes:
        _pass_slices_by(op)
    if "carries" in op.attributes:
        _stop_carrying(op)
    _drop_unneeded(op)
    if "carries" in op.attributes:
        _hoist(op)
    if "xs" in op.attributes:
        _count_steps(op)
    _sink_constants(op)
    _merge_operands(op)
    _drop_unused_operands(op)


# ------------------------------------------------------------------------------- editing


def _body(op: Operation) -> Block:
    """The region that gives the next carries: the last one."""
    return op.regions[-1].block


def _drop_operands(op: Operation, dropped: Sequence[int], first: int = 0) -> None:
    """Remove operands, which come ``first`` places behind their arguments, and unused arguments."""
    kept = [x for i, x in enumerate(op.operands) if i - first not in dropped]
    op.set_operands(kept)
    for region in op.regions:
        region.block.drop_arguments(dropped)
    if "carries" in op.attributes:
        carries: int = op.attributes["carries"]
        counts = {"carries": carries - sum(i < carries for i in dropped)}
        if "xs" in op.attributes:
            rows: int = op.attributes["xs"]
            counts["xs"] = rows - sum(carries <= i < carries + rows for i in dropped)
        op.attributes = {**op.attributes, **counts}


def _giving_results(op: Operation) -> Sequence[Region]:
    """The regions that yield the results: all of a branch, the body of a loop."""
    return op.regions[-1:] if "carries" in op.attributes else op.regions


def _drop_results(op: Operation, dropped: Sequence[int]) -> None:
    """Remove results and what is yielded for them."""
    op.drop_results(dropped)
    for region in _giving_results(op):
        end = region.block.terminator
        assert end is not None
        end.set_operands([x for i, x in enumerate(end.operands) if i not in dropped])


def _add_invariant(op: Operation, value: Value, hint: str = "") -> list[Value]:
    """Pass a further value to the regions; the argument of each."""
    op.set_operands([*op.operands, value])
    return [region.block.add_argument(value.type, hint) for region in op.regions]


# ------------------------------------------------------------------------------- carries


def _stop_carrying(op: Operation) -> None:
    """Carries that stay what they are become the same in every step."""
    count: int = op.attributes["carries"]
    yielded, arguments = _body(op).yielded, _body(op).arguments
    constant = [
        i
        for i in range(count)
        if yielded[i] is arguments[i] or _are_equal_constants(op.operands[i], yielded[i])
    ]
    for i in constant:
        op.results[i].replace_uses(op.operands[i])
        made = _add_invariant(op, op.operands[i], arguments[i].hint)
        for region, argument in zip(op.regions, made, strict=True):
            region.block.arguments[i].replace_uses(argument)


def _are_equal_constants(x: Value, y: Value) -> bool:
    first, second = filling(x), filling(y)
    return first is not None and second is not None and first.tobytes() == second.tobytes()


def _drop_unneeded(op: Operation) -> None:
    """Remove results nobody uses, carries that only those depend on, and the code for them."""
    count: int = op.attributes.get("carries", 0)
    needed = _needed_carries(op) if count else set()
    dropped = [i for i, x in enumerate(op.results) if not x.uses and i not in needed]
    if not dropped:
        return
    _drop_results(op, dropped)
    for region in op.regions:
        drop_unused(region.block)
    if carries := [i for i in dropped if i < count]:
        _drop_operands(op, carries)


def _needed_carries(op: Operation) -> set[int]:
    """Carries that a result that is used, a condition or an effect depends on."""
    body = _body(op)
    needed = [x for result, x in zip(op.results, body.yielded, strict=True) if result.uses]
    needed += _seen_by_effects(body)
    for region in op.regions[:-1]:
        block = region.block
        found = sources(block, [*block.yielded, *_seen_by_effects(block)])
        needed += [body.arguments[x.index] for x in found if x.owner is block]
    live = sources_over_steps(op, needed)
    return {x.index for x in body.arguments[: op.attributes["carries"]] if x in live}


def _seen_by_effects(block: Block) -> list[Value]:
    """What the operations of a block need that do something besides giving results."""
    return [x for op in block if op.has_effects for x in op.operands]


# --------------------------------------------------------------------------------- stacks


def _pass_slices_by(op: Operation) -> None:
    """A stack of the slices is what they are slices of; one of anything twice is one stack."""
    count, rows = op.attributes["carries"], op.attributes["xs"]
    body = _body(op)
    stacks: dict[Value, Value] = {
        argument: op.operands[i]
        for i, argument in enumerate(body.arguments[: count + rows])
        if i >= count
    }
    for i, value in enumerate(body.yielded):
        if i < count:
            continue
        if value in stacks:
            op.results[i].replace_uses(stacks[value])
        stacks.setdefault(value, op.results[i])


def _number(b: GraphEmitter, size: Dim) -> Value:
    """A size as an i64."""
    if isinstance(size, int):
        return b.constant(size, i64)
    return b.emit("size_of", size=size, dtype=i64)


def _count_steps(op: Operation) -> None:
    """Slices of 0, 1, 2, … are a number that is carried, and need no memory."""
    count, rows = op.attributes["carries"], op.attributes["xs"]
    length, backwards = op.attributes["length"], op.attributes["reverse"]
    for place in range(count, count + rows):
        counted = made_by(op.operands[place], "iota")
        if counted is None or counted.result.type != TensorType((length,), i64) or length == 0:
            continue
        assert op.block is not None
        outside = GraphEmitter(Builder(op.block, op, op.location))
        body, end = _body(op), _body(op).terminator
        assert end is not None
        inside = GraphEmitter(Builder(body, end, op.location))
        number = body.arguments[place]
        following = inside.add(number, inside.constant(-1 if backwards else 1, i64))
        first = _number(outside, length - 1 if backwards else 0)
        op.set_operands(_moved(op.operands, place, count, first))
        body.set_arguments(_moved(body.arguments, place, count, number))
        last = Value(number.type, op, count)
        op.results = tuple(_renumbered([*op.results[:count], last, *op.results[count:]]))
        end.set_operands([*end.operands[:count], following, *end.operands[count:]])
        count, rows = count + 1, rows - 1
        op.attributes = {**op.attributes, "carries": count, "xs": rows}


def _moved(values: Sequence[Value], place: int, to: int, new: Value) -> list[Value]:
    """The values with ``new`` at ``to`` in the place of the one at ``place``, which is no less."""
    return [*values[:to], new, *values[to:place], *values[place + 1 :]]


def _renumbered(values: list[Value]) -> list[Value]:
    for i, value in enumerate(values):
        value.index = i
    return values


# ----------------------------------------------------------------------- what is the same


def _free(op: Operation) -> int:
    """Operands in front of those the regions take."""
    return len(op.operands) - len(op.regions[0].block.arguments)


def _first_invariant(op: Operation) -> int:
    """The number of the first argument that stands for the same in every run of a region."""
    first: int = op.attributes.get("carries", 0) + op.attributes.get("xs", 0)
    return first


_MOVES = Trait.CONSTANT | Trait.INDEXING | Trait.ALIAS


def _hoist(op: Operation) -> None:
    """Compute in front of a loop what is the same in every step.

    Mere changes of index stay, for those that read through them need no memory for the result;
    copies of them go along with what reads them. But what a kernel reads moves: that is better
    arranged once.
    """
    assert op.block is not None
    builder = Builder(op.block, op, op.location)
    for number, region in enumerate(op.regions):
        arguments = region.block.arguments[_first_invariant(op) :]
        outside: Mapping = dict(zip(arguments, op.operands[_first_invariant(op) :], strict=True))
        for inner in list(region.block):
            if not _is_movable(inner) or any(x not in outside for x in inner.operands):
                continue
            clone_into(builder, [inner], outside)
            if not inner.has(_MOVES) or _is_arranged(inner):
                for result in inner.results:
                    argument = _add_invariant(op, outside[result], result.hint)[number]
                    result.replace_uses(argument)
                    outside[argument] = outside[result]
                inner.erase()


def _is_movable(op: Operation) -> bool:
    if not op.is_pure:
        return False
    return not any(inner.has(Trait.CHECKED) for inner in (op, *op.walk_regions()))


def _is_arranged(op: Operation) -> bool:
    """Whether the operation puts the elements of a tensor in the order a kernel reads them in."""
    if len(op.operands) != 1 or op.has(Trait.ALIAS):
        return False
    (source,), (result,) = op.operands, op.results
    is_whole = tensor_type(source).elements == tensor_type(result).elements
    return is_whole and any(user.has(Trait.KERNEL) for user in result.users)


def _sink_constants(op: Operation) -> None:
    """Constants, and small ones repeated, stand in the regions that use them."""
    free = _free(op)
    for i in range(_first_invariant(op), len(op.operands) - free):
        value = op.operands[i + free]
        if not is_constant(value):
            continue
        chain: list[Operation] = []
        maker = value.operation
        while maker is not None:
            chain.insert(0, maker)
            maker = maker.operands[0].operation if maker.operands else None
        for region in op.regions:
            argument = region.block.arguments[i]
            if argument.uses:
                mapping: Mapping = {}
                clone_into(Builder(region.block, region.block.first), chain, mapping)
                argument.replace_uses(mapping[value])


def _merge_operands(op: Operation) -> None:
    """Let arguments that stand for one value be one."""
    free, first = _free(op), _first_invariant(op)
    known: dict[Value, int] = {}
    for i in range(first, len(op.operands) - free):
        same = known.setdefault(op.operands[i + free], i)
        if same != i:
            for region in op.regions:
                region.block.arguments[i].replace_uses(region.block.arguments[same])


def _drop_unused_operands(op: Operation) -> None:
    carries: int = op.attributes.get("carries", 0)
    unused = [
        i
        for i in range(carries, len(op.operands) - _free(op))
        if not any(region.block.arguments[i].uses for region in op.regions)
    ]
    if unused:
        _drop_operands(op, unused, _free(op))
