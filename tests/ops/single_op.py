"""Programs of one op, for the tests of op families: its results, its lowering, and its
derivatives by finite differences."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nets.backend.numpy import loop_interpreter
from nets.backend.numpy.interpreter import evaluate
from nets.ir.affine import Affine, linear
from nets.ir.builder import Builder
from nets.ir.core import Function, Trait, Value
from nets.ir.types import BufferType, TensorType, from_numpy
from nets.ops.definition.registry import Array, lookup
from nets.ops.loop.lowering import Lowering
from nets.passes.derivatives.vjp import carries_cotangent, vjp


def program(name: str, types: Sequence[TensorType], **attributes: Any) -> Function:
    function = Function("f", types)
    builder = Builder(function.body)
    op = builder.create(lookup(name), function.arguments, attributes)
    builder.create(lookup("return"), op.results)
    return function


def type_of(array: Array) -> TensorType:
    dtype = from_numpy(array.dtype)
    assert dtype is not None
    return TensorType(array.shape, dtype)


def run(name: str, *arrays: Array, **attributes: Any) -> Array:
    """The one result of the op, whose inferred type must be that of the array.

    Where the op has a lowering of its own, that must give the same.
    """
    arrays = tuple(map(np.asarray, arrays))
    function = program(name, [type_of(array) for array in arrays], **attributes)
    (result,) = evaluate(function, arrays)
    assert function.returned[0].type == type_of(result)
    rules = lookup(name).rules
    if rules.lower_element is not None or rules.lower_kernel is not None:
        found, status = run_lowered(name, *arrays, **attributes)
        assert status == 0
        np.testing.assert_allclose(found, result, rtol=1e-6)
    return result


def check_derivatives(name: str, *arrays: Array, orders: int = 2, **attributes: Any) -> None:
    """Compare the op's vjp, and the vjp of that, with central differences in float64.

    Along a random direction d, ⟨ct, f(x + h·d) − f(x − h·d)⟩ / 2h must be ⟨vjp(ct), d⟩.
    """
    arrays = tuple(map(np.asarray, arrays))
    rng = np.random.default_rng(len(name))
    function = program(name, [type_of(array) for array in arrays], **attributes)
    for _ in range(orders):
        wrt = [i for i, x in enumerate(function.arguments) if carries_cotangent(x.type)]
        derivative = vjp(function, wrt)
        cts = [rng.normal(size=value.type.shape) for value in function.returned]
        gradients = evaluate(derivative, [*arrays, *cts])
        steps = {i: rng.normal(size=arrays[i].shape) for i in wrt}
        expected = _slope(function, arrays, steps, cts)
        found = sum(float(np.sum(g * steps[i])) for i, g in zip(wrt, gradients, strict=True))
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)
        function, arrays = derivative, (*arrays, *cts)


def _slope(
    function: Function, arrays: Sequence[Array], steps: dict[int, Array], cts: Sequence[Array]
) -> float:
    h = 1e-6
    ahead, behind = (
        evaluate(function, [x + s * steps[i] if i in steps else x for i, x in enumerate(arrays)])
        for s in (h, -h)
    )
    rise = zip(cts, ahead, behind, strict=True)
    return sum(float(np.sum(ct * (a - b))) for ct, a, b in rise) / (2 * h)


class _Direct(Lowering):
    """Reads every operand from memory; a failed condition is check 1."""

    def __init__(self, builder: Builder, buffers: dict[Value, Value]) -> None:
        super().__init__(builder)
        self.buffers = buffers

    def read(self, operand: Value, index: tuple[Affine, ...]) -> Value:
        return self.load(self.buffers[operand], linear(index, operand.type.shape))

    def fail_unless(self, ok: Value, message: str, error: str = "IndexOutOfBoundsError") -> None:
        assert "out of bounds" in message or error != "IndexOutOfBoundsError"
        self.check(ok, 1)


def lowered(name: str, types: Sequence[TensorType], **attributes: Any) -> Function:
    """The op's ``lower`` rule as a function of the loop dialect."""
    source = program(name, types, **attributes)
    buffers = [BufferType(t.shape, t.dtype) for t in (*types, source.returned[0].type)]
    function = Function(name, buffers, attributes={"inputs": len(types)})
    *inputs, output = function.arguments
    s = _Direct(Builder(function.body), dict(zip(source.arguments, inputs, strict=True)))
    definition = lookup(name)
    if definition.traits & Trait.KERNEL:
        definition.lower_kernel(s, inputs, [output], **attributes)
    else:
        rule = definition.lower_element
        _store_each(s, output, lambda i: rule(s, i, *source.arguments, **attributes))
    s.emit("return")
    return function


def run_lowered(name: str, *arrays: Array, **attributes: Any) -> tuple[Array, int]:
    """The result and status of the op's ``lower`` rule, run by the loop interpreter."""
    arrays = tuple(map(np.asarray, arrays))
    function = lowered(name, [type_of(array) for array in arrays], **attributes)
    type = function.arguments[-1].type
    start = np.zeros(type.shape, type.dtype.numpy)
    if (updated := lookup(name).rules.updates) is not None:
        start[...] = arrays[updated]
    results = [start.copy(), start.copy()]
    statuses = [
        loop_interpreter.run(function, [*arrays, result], backwards)
        for backwards, result in enumerate(results)
    ]
    assert statuses[0] == statuses[1]
    return results[1], statuses[1]


def _store_each(s: _Direct, output: Value, element: Callable[[tuple[Affine, ...]], Value]) -> None:
    with contextlib.ExitStack() as nest:
        index: list[Affine] = []
        for size in output.type.shape:
            loop = s.for_(0, size)
            counter = nest.enter_context(s.inside(loop)).arguments[0]
            nest.callback(s.yield_)
            index.append(Affine.of(counter))
        s.store(element(tuple(index)), output, linear(tuple(index), output.type.shape))
