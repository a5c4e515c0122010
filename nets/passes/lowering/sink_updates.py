"""Updates: results of a function that take the place of one of its arguments in memory.

The attribute ``in_place`` of a function lists them: pairs of the number of a result and the number
of an argument of the same type. So a training step stores new parameters where the old ones were.

An argument may be overwritten when three things are certain. Nothing reads its old elements later.
No check can fail later, since a call that is refused leaves its arguments as they are. And no loop
of the program (a ``scan``, a ``while_loop``) follows or makes the update: such a loop may run for a
long time, and a call that is interrupted in it leaves its arguments as they are, too.

The pass moves operations so that this holds for as many updates as possible.
"""

from __future__ import annotations

from collections.abc import Iterator

from nets.errors import VerifyError
from nets.ir.core import Function, Operation, Trait, Value
from nets.passes.forms import TENSOR
from nets.passes.lowering.in_place import behind_views
from nets.passes.manager import Options, register_pass
from nets.passes.spaces.kernel_operands import is_for_kernels


def update_pairs(function: Function) -> dict[int, int]:
    """The attribute ``in_place`` as a dict: from the number of a result to that of the argument.

    VerifyError where the attribute is not a list of such pairs.
    """
    pairs: dict[int, int] = {}
    for pair in function.attributes.get("in_place", ()):
        if not _is_pair(function, pair) or pair[0] in pairs or pair[1] in pairs.values():
            raise VerifyError(
                f"in_place of {function.name} lists {pair}, which is no pair of its own"
            )
        pairs[pair[0]] = pair[1]
    return dict(sorted(pairs.items()))


def _is_pair(function: Function, pair: object) -> bool:
    """Whether it is a result and an argument of one type, by number."""
    match pair:
        case (int(result), int(argument)):
            returned, arguments = function.returned, function.arguments
            return (
                0 <= result < len(returned)
                and 0 <= argument < len(arguments)
                and returned[result].type == arguments[argument].type
            )
        case _:
            return False


@register_pass("sink_updates", requires=(TENSOR,))
def sink_updates(function: Function, options: Options) -> Function:
    """Move each update behind everything that reads its argument, and behind every check, every
    effect and every loop of the program.

    Operations that depend on an update move with it. Where one of these reads the argument, may
    fail, has an effect or is a loop, they cannot move, and the update stays where it is.

    Requires: the tensor dialect.
    Ensures: the same operations, in another order.
    """
    pairs = update_pairs(function)
    if not pairs:
        return function
    checks = [op for op in function.body if _may_fail(op) or op.has_effects or may_last(op)]
    for result, argument in pairs.items():
        root = behind_views(function.returned[result])
        if root.operation is not None and not root.operation.has(Trait.CONSTANT):
            readers = set(_readers(function.arguments[argument]))
            _sink(root.operation, readers | set(checks))
    return function


def _sink(op: Operation, others: set[Operation]) -> None:
    """Move ``op`` and what depends on it behind the last of ``others``, unless that is of those."""
    moved: dict[Operation, None] = {op: None}
    candidate: list[Operation] = []
    last: Operation | None = None
    before_last = 0
    after = op.next
    while after is not None and not after.has(Trait.TERMINATOR):
        if any(operand.operation in moved for operand in after.operands):
            moved[after] = None
            candidate.append(after)
        elif after in others:
            last, before_last = after, len(moved)
        after = after.next
    if last is None or any(later in others for later in candidate):
        return
    block = op.block
    assert block is not None
    place = last.next
    # What stands behind the last one already stays: it may need what is made in between.
    for each in list(moved)[:before_last]:
        block.remove(each)
        block.insert(each, place)


def _readers(argument: Value) -> Iterator[Operation]:
    """The operations that read the memory of an argument, through views and transposes."""
    pending = [argument]
    while pending:
        for user in pending.pop().users:
            yield user
            if user.has(Trait.ALIAS) or is_for_kernels(user):
                pending += user.results


def may_last(op: Operation) -> bool:
    """Is it, or does it hold, a loop of the program?"""
    return op.has(Trait.REPEATS) or any(inner.has(Trait.REPEATS) for inner in op.walk_regions())


def _may_fail(op: Operation) -> bool:
    return op.has(Trait.CHECKED) or any(inner.has(Trait.CHECKED) for inner in op.walk_regions())
