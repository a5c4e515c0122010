"""Control flow on traced values: scan, fori_loop, while_loop, cond and map, as in JAX.

Inside a trace a body is traced once, to a region of one operation, and stays a loop or a branch
down to native code. What it uses from outside is captured and becomes an operand. Outside a trace
the same functions are plain Python, whose operations take part in eager gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from nets.errors import ArgumentError, DTypeError, ShapeError
from nets.frontend.pytree import TreeDef, expression, flatten
from nets.frontend.tensor.dimension import (
    Dimension,
    at_least_zero,
    is_open,
    plain,
    size_bounds,
)
from nets.frontend.tensor.dispatch import (
    as_tensor,
    cast,
    fitted,
    limits_of,
    note_bounds,
    promote,
    resized,
)
from nets.frontend.tensor.functions import arange, stack
from nets.frontend.tensor.inner import is_weak, with_weakness
from nets.frontend.tensor.scope import current_scope
from nets.frontend.tensor.tensor import Tensor
from nets.frontend.tracing.carries import Carry, Nest
from nets.frontend.tracing.loop_lengths import known_integer, scan_length, slot_count
from nets.frontend.tracing.program import Program, lift_results, stage
from nets.frontend.tracing.regions import emit_control
from nets.frontend.tracing.signature import Input, declared
from nets.frontend.tracing.spec import short
from nets.ir.core import Value
from nets.ir.location import user_location
from nets.ir.types import TensorType, bool_, gives_way
from nets.ops.definition.emitter import tensor_type

C = TypeVar("C")


def scan(
    f: Callable[[Any, Any], tuple[object, object]],
    init: Nest,
    xs: Nest = None,
    length: int | None = None,
    reverse: bool = False,
    unroll: int = 1,
    *,
    checkpoints: int | None = None,
) -> tuple[Any, Any]:
    """Run ``carry, y = f(carry, x)`` over the slices of ``xs`` along their first axis, from the
    carry ``init`` on.

    Gives the last carry and the nest of ``y`` stacked along a new first axis. ``xs`` is a nest
    whose leaves have equal first axes, or None with a ``length``. With ``reverse`` it runs from the
    last slice to the first; ``y`` stands at the place of its slice. Differentiable in reverse.
    ``unroll`` is accepted and has no effect.

    With ``checkpoints`` reverse mode keeps at most so many carries, whatever the number of steps,
    and runs steps again (Griewank and Walther, Revolve, 2000): one step at most r times, where
    ``(checkpoints + r)! / (checkpoints! r!)`` is at least the number of steps. It counts in traces;
    outside, the tape of eager gradients keeps everything.

    ArgumentError where f returns no pair, or a carry of another nest; ShapeError or DTypeError
    where a leaf of the carry changes its type, or leaves of ``xs`` differ in length.
    """
    slots = slot_count(checkpoints)
    leaves, tree = flatten(xs)
    slices = [as_tensor(leaf) for leaf in leaves]
    steps = scan_length(slices, tree, length)
    if current_scope() is not None:
        return _Staged("scan", f, init, slots).scan(slices, tree, steps, reverse)
    carry = Carry("scan", "init", init)
    order = range(steps)[:: -1 if reverse else 1]
    added: list[list[Tensor]] = []
    nest = None
    for step in order:
        given = _pair(f(carry.nest(), tree.unflatten([x[step] for x in slices])))
        carry.advance(given[0])
        row, nest = flatten(given[1])
        added.append([as_tensor(leaf) for leaf in row])
    if nest is None:
        return _empty_scan(f, init, slices, tree)
    if reverse:
        added.reverse()
    return carry.nest(), nest.unflatten([stack(list(rows)) for rows in zip(*added, strict=True)])


def map(f: Callable[[Any], Any], xs: Nest) -> Any:
    """``f`` of each slice of ``xs`` along the first axis, stacked: a scan without a carry."""
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


def fori_loop(
    lower: object,
    upper: object,
    body: Callable[[Any, C], C],
    init: C,
    *,
    checkpoints: int | None = None,
) -> C:
    """``body(i, …body(lower + 1, body(lower, init)))`` for i from ``lower`` below ``upper``.

    Differentiable in reverse where the bounds are numbers. Where one is a traced tensor it is a
    ``while_loop``, which with ``checkpoints`` is so, too. ``checkpoints`` and errors are those of
    ``scan``.
    """
    slots = slot_count(checkpoints)
    bounds = [known_integer(bound) for bound in (lower, upper)]
    if None in bounds:
        return _counted_while(lower, upper, body, init, slots)
    first, end = (bound for bound in bounds if bound is not None)
    if current_scope() is None:
        carry = Carry("fori_loop", "init", init)
        for i in range(first, end):
            carry.advance(body(i, carry.nest()))
        found: C = carry.nest()
        return found
    count = at_least_zero(end - first) if is_open((first, end)) else max(0, end - first)
    steps = arange(0, count)
    if all(isinstance(bound, int | Dimension) for bound in (lower, upper)):
        steps = with_weakness(steps, True)
    _, most = size_bounds(count)

    def step(carry: C, i: Tensor) -> tuple[C, None]:
        note_bounds(i, (0, max(0, most - 1)))
        is_first = isinstance(first, int) and first == 0
        return body(i if is_first else i + first, carry), None

    staged = _Staged("fori_loop", step, init, slots)
    last, _ = staged.scan([steps], flatten(0)[1], count, reverse=False)
    result: C = last
    return result


def while_loop(
    cond: Callable[[C], Any],
    body: Callable[[C], C],
    init: C,
    *,
    checkpoints: int | None = None,
) -> C:
    """``value = body(value)`` from ``init`` on, as long as ``cond(value)``.

    ``cond`` gives a bool scalar, ``body`` the nest of ``init`` with the same types. DTypeError or
    ShapeError where ``cond`` gives something else.

    The number of steps is not known, so inside a trace there is a derivative in reverse only with
    ``checkpoints`` (else GradientError): so many carries are kept, and steps run again (Wang, Moin
    and Iaccarino, 2009). It has the bits of the ``fori_loop`` of as many steps. There is no second
    derivative in reverse.
    """
    slots = slot_count(checkpoints)
    if current_scope() is not None:
        return _staged_while(cond, body, init, slots)
    carry = Carry("while_loop", "init", init)
    while _predicate("the condition of while_loop", cond(carry.nest())).item():
        carry.advance(body(carry.nest()))
    found: C = carry.nest()
    return found


def cond(
    pred: Any, true_fun: Callable[..., Any], false_fun: Callable[..., Any], *operands: Any
) -> Any:
    """``true_fun(*operands)`` where ``pred`` is true, else ``false_fun(*operands)``.

    ``pred`` is a scalar; a number is true unless it is 0. Inside a trace both functions are traced
    and one of them runs; they return the same nest with the same types. Differentiable in reverse.

    ShapeError for a predicate that is no scalar; ArgumentError, ShapeError or DTypeError where the
    functions return different nests, shapes or dtypes.
    """
    predicate = as_tensor(pred)
    if predicate.shape != ():
        raise ShapeError(
            f"the predicate of cond is a scalar, not {short(predicate.type)}", user_location()
        )
    predicate = cast(predicate, bool_)
    if current_scope() is None:
        return (true_fun if predicate.item() else false_fun)(*operands)
    return _staged_cond(predicate, (true_fun, false_fun), operands)


# ------------------------------------------------------------------------- what they take


def _pair(given: object) -> tuple[object, object]:
    if not isinstance(given, tuple) or len(given) != 2:
        raise ArgumentError(
            f"the function of scan returns a pair (carry, y), not a {type(given).__name__}",
            user_location(),
        )
    return given


def _predicate(what: str, given: Any) -> Tensor:
    leaves, _ = flatten(given)
    tensor = as_tensor(leaves[0]) if len(leaves) == 1 and leaves[0] is given else None
    if tensor is None:
        raise ArgumentError(f"{what} is a bool, not a {type(given).__name__}", user_location())
    if tensor.shape != () or not tensor.type.dtype.is_bool:
        error = ShapeError if tensor.type.dtype.is_bool else DTypeError
        raise error(f"{what} is a scalar of dtype bool, not {short(tensor.type)}", user_location())
    return tensor


# --------------------------------------------------------------------------- inside a trace


def _empty_scan(
    f: Callable[[Any, Any], tuple[object, object]],
    init: Nest,
    slices: Sequence[Tensor],
    tree: TreeDef,
) -> tuple[object, object]:
    """A scan of no steps, whose function is traced to learn what it would give."""
    staged = _Staged("scan", f, init)
    carry = staged.carry.tensors

    def body(tensors: list[Tensor]) -> tuple[list[Value], TreeDef]:
        return lift_results(staged.scan(slices, tree, 0, reverse=False))

    program = stage("scan", (), body, (f,), once=False)
    returned = program.function.returned[: program.tree.leaf_count]
    types = [tensor_type(value) for value in returned]
    last = [fitted(x, type.dtype) for x, type in zip(carry, types, strict=False)]
    stacks = [np.zeros(type.static_shape, type.dtype.numpy) for type in types[len(carry) :]]
    found: tuple[Any, Any] = program.tree.unflatten([*last, *(as_tensor(x) for x in stacks)])
    return found


def _counted_while(
    lower: Any, upper: Any, body: Callable[[Any, C], C], init: C, slots: int | None
) -> C:
    """A fori_loop whose bounds are known only when it runs."""
    start, last = promote(lower, upper)
    least, largest = limits_of(last.type.dtype)

    def step(state: tuple[Tensor, C]) -> tuple[Tensor, C]:
        i, value = state
        note_bounds(i, (least, largest - 1))  # for it is below ``last``
        return i + 1, body(i, value)

    return while_loop(lambda state: state[0] < last, step, (start, init), checkpoints=slots)[1]


class _Staged:
    """A scan to be staged: its function, its carry, and how many carries reverse mode keeps."""

    def __init__(
        self,
        loop: str,
        f: Callable[[Any, Any], tuple[Any, Any]],
        init: Nest,
        slots: int | None = None,
    ) -> None:
        self.loop, self.f, self.slots = loop, f, slots
        self.carry = Carry(loop, "init", init)
        self._stacks: TreeDef | None = None

    def scan(
        self, slices: Sequence[Tensor], tree: TreeDef, length: int, reverse: bool
    ) -> tuple[Any, Any]:
        """Stage the loop in the current scope; the last carry and the stacks."""
        slices = [resized(x, (length, *x.shape[1:])) for x in slices]
        rows = [_row(x) for x in slices]
        program = _settled(self.carry, lambda: self._program(rows, tree))
        carry = self.carry
        attributes = {
            "carries": len(carry.tensors),
            "xs": len(rows),
            "length": plain(length),
            "reverse": bool(reverse),
        }
        operands = [*carry.tensors, *slices]
        results = emit_control("scan", operands, attributes, [program], checkpoints=self.slots)
        last, stacks = carry.like(results[: len(carry.tensors)]), results[len(carry.tensors) :]
        assert self._stacks is not None
        return carry.tree.unflatten(last), self._stacks.unflatten(stacks)

    def _program(self, rows: Sequence[tuple[TensorType, bool]], tree: TreeDef) -> Program:
        carry = self.carry
        inputs = _inputs(
            [
                ("carry", carry.tree, [(x.type, is_weak(x)) for x in carry.tensors]),
                ("x", tree, rows),
            ]
        )

        def body(tensors: list[Tensor]) -> tuple[list[Value], TreeDef]:
            count = len(carry.tensors)
            nest = carry.tree.unflatten(tensors[:count])
            given, added = _pair(self.f(nest, tree.unflatten(tensors[count:])))
            leaves, self._stacks = flatten(added)
            return lift_results([*carry.matched(given), *leaves])

        return stage(self.loop, inputs, body, once=False)


def _row(x: Tensor) -> tuple[TensorType, bool]:
    return x.type.with_shape(x.type.shape[1:]), is_weak(x)


def _inputs(
    parts: Sequence[tuple[str, TreeDef, Sequence[tuple[TensorType, bool]]]],
) -> list[Input]:
    """The arguments of a body, from the nests of its parameters."""
    places = [(root, path) for root, tree, _ in parts for path in tree.paths()]
    return declared(places, [entry for _, _, entries in parts for entry in entries])


def _settled(carry: Carry, program: Callable[[], Program]) -> Program:
    """The program of a body for a carry whose Python numbers have the dtypes the body gives."""
    while True:
        found = program()
        given = [tensor_type(x) for x in found.function.returned[: len(carry.tensors)]]
        before = [x.type for x in carry.tensors]
        if given == before:
            return found
        # Each round settles a number for good, for what was cast gives way no more.
        carry.tensors = [
            x if x.type == type else with_weakness(fitted(x, type.dtype), False)
            for x, type in zip(carry.tensors, given, strict=True)
        ]


def _staged_while(
    condition: Callable[[C], object], body: Callable[[C], C], init: C, slots: int | None
) -> C:
    carry = Carry("while_loop", "init", init)

    def program(run: Callable[[Any], list[Tensor]]) -> Program:
        inputs = _inputs([("carry", carry.tree, [(x.type, is_weak(x)) for x in carry.tensors])])
        return stage(
            "while_loop",
            inputs,
            lambda tensors: lift_results(run(carry.tree.unflatten(tensors))),
            once=False,
        )

    advance = _settled(carry, lambda: program(lambda nest: carry.matched(body(nest))))
    test = program(lambda nest: [_predicate("the condition of while_loop", condition(nest))])
    if test.updates:
        last: C = _flagged_while(condition, body, carry.nest(), slots)
        return last
    count = {"carries": len(carry.tensors)}
    results = emit_control("while", carry.tensors, count, [test, advance], checkpoints=slots)
    found: C = carry.tree.unflatten(carry.like(results))
    return found


def _flagged_while(
    condition: Callable[[Any], object],
    body: Callable[[Any], object],
    init: object,
    slots: int | None,
) -> Any:
    """A while_loop whose condition changes something: it is computed at the end of each step."""

    def test(value: object) -> Tensor:
        return _predicate("the condition of while_loop", condition(value))

    def step(state: tuple[Tensor, Any]) -> tuple[Tensor, Any]:
        value = body(state[1])
        return test(value), value

    start = (test(init), init)
    return while_loop(lambda state: state[0], step, start, checkpoints=slots)[1]


def _staged_cond(
    predicate: Tensor, branches: Sequence[Callable[..., object]], operands: Sequence[object]
) -> object:
    leaves, tree = flatten(list(operands))
    tensors = [as_tensor(leaf) for leaf in leaves]
    inputs = _inputs([("operands", tree, [(x.type, is_weak(x)) for x in tensors])])
    found = [_Branch(branch, inputs, tree) for branch in branches]
    first, second = found
    if first.tree != second.tree:
        raise ArgumentError(
            f"the functions of cond return different nests: {first.tree} and {second.tree}",
            user_location(),
        )
    first.agree_with(second)
    second.agree_with(first)
    programs = [branch.program() for branch in found]
    results = emit_control("cond", [predicate, *tensors], {}, programs, free=1)
    rows = zip(results, first.weak, second.weak, strict=True)
    return first.tree.unflatten([with_weakness(x, one and other) for x, one, other in rows])


class _Branch:
    """A function of cond, traced once to learn what it gives and once more for good."""

    def __init__(
        self, function: Callable[..., Any], inputs: Sequence[Input], operands: TreeDef
    ) -> None:
        self.function, self.inputs, self.operands = function, inputs, operands
        self.types: list[TensorType] = []
        self.weak: list[bool] = []
        self.tree: TreeDef = operands
        self._staged: Program | None = None
        self._staged = stage("cond", inputs, self._body, once=False)

    def _body(self, tensors: list[Tensor]) -> tuple[list[Value], TreeDef]:
        leaves, self.tree = flatten(self.function(*self.operands.unflatten(tensors)))
        given = [as_tensor(leaf) for leaf in leaves]
        if self._staged is None:
            self.types, self.weak = [x.type for x in given], [is_weak(x) for x in given]
        given = [fitted(x, type.dtype) for x, type in zip(given, self.types, strict=True)]
        return lift_results(given)

    def agree_with(self, other: _Branch) -> None:
        """Take on the dtypes of the other one for Python numbers; refuse other differences."""
        for i, (own, its) in enumerate(zip(self.types, other.types, strict=True)):
            if own == its:
                continue
            kinds = own.dtype.kind, its.dtype.kind
            if own.shape == its.shape and self.weak[i] and gives_way(*kinds):
                self.types[i] = its
                self._staged = self._staged and stage("cond", self.inputs, self._body, once=False)
            elif own.shape != its.shape or not (other.weak[i] and gives_way(*kinds[::-1])):
                error = DTypeError if own.shape == its.shape else ShapeError
                path = expression("result", self.tree.paths()[i])
                raise error(
                    f"the functions of cond return different types: {path} is {short(own)} and "
                    f"{short(its)}",
                    user_location(),
                )

    def program(self) -> Program:
        assert self._staged is not None
        return self._staged
