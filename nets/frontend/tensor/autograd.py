"""Eager reverse-mode gradients: the ``vjp`` pass run over the tape instead of over IR.

The tape is collected from the variable ``backward`` starts at, in execution order and without
recursion. Integers that require gradients take part as float64 copies, so that the derivative
rules see floating-point values only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from nets import config
from nets.errors import GradientError, ShapeError
from nets.frontend.tensor.conversion import array_of
from nets.frontend.tensor.native_ops import evaluate
from nets.frontend.tensor.variable import (
    Array,
    Recorded,
    Variable,
    carries_gradient,
    no_grad,
    variable,
)
from nets.ieee import in_ieee_mode
from nets.ir.core import Attributes, OpDefinition, Trait, Value
from nets.ir.location import Location, user_location
from nets.ir.types import DType, f64
from nets.ops.definition.emitter import Emitter
from nets.ops.definition.registry import lookup
from nets.passes.derivatives.vjp import pull_back

if TYPE_CHECKING:
    from nets.frontend.tensor.operators import Operators


class EagerEmitter(Emitter):
    """Evaluates each operation at once; the results are not recorded."""

    def emit_all(self, name: str, *operands: Value, **attributes: object) -> tuple[Value, ...]:
        return tuple(map(variable, evaluate(lookup(name), _variables(operands), attributes)))


def _variables(values: Sequence[Value]) -> list[Variable]:
    found = [x for x in values if isinstance(x, Variable)]
    assert len(found) == len(values)
    return found


def _array(x: Value) -> Array:
    assert isinstance(x, Variable)
    return x.data


def backward(root: Variable, grad: npt.ArrayLike | Operators | None) -> None:
    """Add the gradients of ``root`` (times ``grad``) to all that it was computed from."""
    if not root.requires_grad:
        raise GradientError(
            "backward() starts at a tensor that requires a gradient; this one was made from "
            "tensors without requires_grad=True, under no_grad, or by stop_gradient",
            user_location(),
        )
    seed = _seed(root, grad)
    tape = Tape(root)
    cts: dict[Value, Value] = {tape.differentiable(root): variable(seed)}
    pull_back(EagerEmitter(), tape.steps, cts, tape.wanted)
    if config.CHECK.get() == "nan":
        from nets.frontend.tensor.nan_tape import check_tape

        check_tape(tape.steps, tape.differentiable(root), variable(seed), cts, tape.wanted)
    with np.errstate(all="ignore"):
        for value, stand_in in tape.stand_ins.items():
            if stand_in in cts:
                _add_gradient(value, _array(cts[stand_in]))


def _seed(root: Variable, grad: npt.ArrayLike | Operators | None) -> Array:
    if grad is not None:
        return gradient_array(root, grad)
    if root.data.size != 1:
        raise GradientError(
            f"backward() of a tensor of shape {root.data.shape} needs its gradient as argument: "
            "only for one element is it 1",
            user_location(),
        )
    return gradient_array(root, np.ones(root.data.shape))


def gradient_array(of: Variable, grad: npt.ArrayLike | Operators) -> Array:
    """``grad`` as an array with the shape and the gradient dtype of the variable."""
    with no_grad():  # its elements are meant
        array = array_of(grad, of.type.dtype if of.type.dtype.is_float else f64)
    if array.shape != of.data.shape:
        raise ShapeError(
            f"the gradient of a tensor of shape {of.data.shape} cannot have shape {array.shape}",
            user_location(),
        )
    return array


@in_ieee_mode
def _add_gradient(value: Variable, ct: Array) -> None:
    before = 0 if value.gradient is None else value.gradient
    value.gradient = np.asarray(before + ct)  # zero added as well: it turns −0.0 into 0.0


class Record(NamedTuple):
    """A step of the tape in the eyes of the vjp pass."""

    definition: OpDefinition
    operands: Sequence[Value]
    results: Sequence[Value]
    attributes: Attributes
    location: Location | None


class Tape:
    """The recorded operations a variable depends on, in execution order.

    ``stand_ins``: for each variable that requires a gradient, the value the derivative rules see
    in its place; it is the variable itself unless that is an integer.
    """

    def __init__(self, root: Variable) -> None:
        self.stand_ins: dict[Variable, Value] = {}
        self._results: dict[Recorded, list[Variable]] = {}
        self._copies: dict[Variable, Value] = {}
        self._collect(root)
        in_order = sorted(self._results, key=lambda op: op.serial)
        self.steps = [self._record(op) for op in in_order]
        self.wanted = list(self.stand_ins.values())

    def differentiable(self, x: Variable) -> Value:
        """The variable itself, or a float64 copy of an integer one."""
        if not x.type.dtype.is_integer:
            return x
        copy = self._copies.get(x)
        if copy is None:
            copy = self._copies[x] = variable(x.data.astype(np.float64))
        return copy

    def _collect(self, root: Variable) -> None:
        """Find every variable on the way, and what made it."""
        pending = [root]
        while pending:
            x = pending.pop()
            if x in self.stand_ins:
                continue
            self.stand_ins[x] = self.differentiable(x)
            if not isinstance(x.owner, Recorded):
                continue
            results = self._results.setdefault(x.owner, [])
            results.append(x)
            if len(results) == 1:
                pending.extend(_gradient_operands(x.owner))

    def _record(self, op: Recorded) -> Record:
        """The operation with stand-ins for integers: all of an elementwise op, as they must
        have one dtype, else those that require a gradient (and not indices)."""
        every = op.has(Trait.ELEMENTWISE)
        operands = []
        for operand in op.operands:
            assert isinstance(operand, Variable)
            replaced = every or operand.requires_grad
            operands.append(self.differentiable(operand) if replaced else operand)
        originals = self._results[op]
        results = [self.stand_ins[x] for x in originals]
        attributes = op.attributes
        if any(x.type.dtype.is_integer for x in originals):
            attributes = {name: _stand_in(value) for name, value in attributes.items()}
        return Record(op.definition, operands, results, attributes, op.location)


def _gradient_operands(op: Recorded) -> Iterator[Variable]:
    for operand in op.operands:
        assert isinstance(operand, Variable)
        if operand.requires_grad:
            yield operand


def _stand_in(attribute: object) -> object:
    """An attribute in the eyes of the derivative rules: float64 for an integer dtype."""
    is_integer = isinstance(attribute, DType) and attribute.is_integer
    return f64 if is_integer else attribute


# ------------------------------------------------------------------------ custom nodes

PullBack = Callable[[list[Array | None]], Sequence[Array | None]]
"""Cotangent arrays of the results (None: zero) → those of the operands."""


class _Call(OpDefinition):
    """The definition of one recorded call: it knows its own pull-back."""

    traits = Trait.NONE
    attribute_names = ()
    implied_attributes = ()
    region_count = 0
    derivative_reason = None

    def __init__(self, name: str, operands: int, results: int, pull: PullBack) -> None:
        self.name = name
        self.operand_names = tuple(f"x{i}" for i in range(operands))
        self.results = results
        self.pull = pull

    def vjp(
        self,
        b: Emitter,
        operands: Sequence[Value],
        results: Sequence[Value],
        cts: Sequence[Value | None],
        attributes: Attributes,
        wanted: Sequence[bool],
    ) -> list[Value | None]:
        incoming: list[Array | None] = [None] * self.results
        for result, ct in zip(results, cts, strict=True):
            incoming[result.index] = None if ct is None else _array(ct)
        found = self.pull(incoming)
        return [None if ct is None else variable(ct) for ct in found]


def record_call(
    name: str,
    operands: Sequence[Variable],
    arrays: Sequence[Array],
    pull: PullBack,
    active: Sequence[bool],
) -> list[Variable]:
    """The variables of arrays that some function computed from the operands, as one tape entry.

    ``active``: whether a result depends on the operands in a way that has a gradient. ``pull`` is
    called once per backward pass that reaches a result. Integer operands that require a gradient
    get a float64 one; integer results carry none.
    """
    results = [variable(array) for array in arrays]
    definition = _Call(name, len(operands), len(results), pull)
    owner = Recorded(definition, operands, {}, user_location())
    for i, result in enumerate(results):
        is_active = active[i] and result.type.dtype.is_float
        if is_active and carries_gradient(operands, result.type, definition):
            result.requires_grad, result.owner, result.index = True, owner, i
    return results
