"""Updates: results of a function that take the place of one of its arguments in memory.

The attribute ``in_place`` of a function lists them: pairs of the number of a result and the number
of an argument of the same type. So a training step stores new parameters where the old ones were.

An argument may be overwritten when three things are certain. Nothing reads its old elements later.
No check can fail later, since a call that is refused leaves its arguments as they are. And no loop
of the program (a ``scan``, a ``while_loop``) follows or makes the update: such a loop may run for a
long time, and a call that is interrupted in it leaves its arguments as they are, too.

``sink_updates`` moves operations so that this holds for as many updates as possible. An update for
which it does not hold is stored in memory of its own, and copied at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nets.errors import VerifyError
from nets.ir.core import Function, Operation, Trait, Value
from nets.passes.lowering.in_place import behind_views
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


# ------------------------------------------------------------------------------- order


def sink_updates(function: Function) -> None:
    """Move each update behind everything that reads its argument, and behind every check, every
    effect and every loop of the program.

    Operations that depend on an update move with it. Where one of these reads the argument, may
    fail, has an effect or is a loop, they cannot move, and the update stays where it is.
    """
    pairs = update_pairs(function)
    if not pairs:
        return
    checks = [op for op in function.body if _may_fail(op) or op.has_effects or may_last(op)]
    for result, argument in pairs.items():
        root = behind_views(function.returned[result])
        if root.operation is not None and not root.operation.has(Trait.CONSTANT):
            readers = set(_readers(function.arguments[argument]))
            _sink(root.operation, readers | set(checks))


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


# ------------------------------------------------------------------------------ memory


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

    def settle(self, loops: Function) -> tuple[list[tuple[Value, Value]], Operation | None]:
        """Let updates take the place of their arguments where that is right.

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
            if last_read >= (end + 1 if is_certain else start) or last_check >= start:
                copied.append((buffer, argument))
                continue
            first = min(first, start)
            assert buffer.operation is not None
            buffer.replace_uses(argument)
            buffer.operation.erase()
            _erase(copies)
        return copied, order[first] if first < len(order) else None

    def _touches(self, order: Sequence[Operation]) -> tuple[dict[Value, list[int]], int]:
        """The places that touch each buffer and argument, and the last check; −1 for none."""
        roots = {buffer: buffer for pair in self.places.items() for buffer in pair}
        touched: dict[Value, list[int]] = {buffer: [] for buffer in roots}
        last_check = -1
        for place, outer in enumerate(order):
            for op in (outer, *outer.walk_regions()):
                if op.name == "loop.check":
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
