"""vjp: text on the smallest programs, values against differences, both halves, refusals, size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.errors import GradientError
from nets.ir.builder import Builder
from nets.ir.core import Function, Value
from nets.ir.location import Location
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ir.types import TensorType, f64, i64
from nets.ir.verifier import verify_function
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import OpDef, Trait, lookup
from nets.passes.derivatives.vjp import split_vjp, value_and_vjp, vjp
from nets.passes.manager import Options
from nets.passes.simplify.dce import dce

Arrays = Sequence[Any]


def parsed(text: str) -> Function:
    return parse_function(text, lookup)


TANH = """
func @f(%x: tensor<3xf64>, %y: tensor<3xf64>) -> tensor<3xf64> {
  %0 = tanh %x : tensor<3xf64>
  %1 = multiply %0, %y : tensor<3xf64>
  return %1 : tensor<3xf64>
}
"""

NETWORK = """
func @loss(%x: tensor<4x3xf64>, %w: tensor<3x2xf64>, %b: tensor<2xf64>) -> (tensor<f64>, tensor<4x2xf64>) {
  %0 = matmul %x, %w : tensor<4x2xf64>
  %1 = broadcast %b {axes = [1]} : tensor<4x2xf64>
  %2 = add %0, %1 : tensor<4x2xf64>
  %3 = tanh %2 : tensor<4x2xf64>
  %4 = multiply %3, %3 : tensor<4x2xf64>
  %5 = reduce_sum %4 {axes = [0, 1]} : tensor<f64>
  return %5, %3 : tensor<f64>, tensor<4x2xf64>
}
"""  # noqa: E501


def arrays_for(types: Sequence[Any], seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=t.static_shape).astype(t.dtype.numpy) for t in types]


def differences(function: Function, arrays: Arrays, cts: Arrays, which: int) -> Any:
    step = 1e-6
    gradient = np.zeros_like(arrays[which])
    for place in np.ndindex(gradient.shape):
        sides = []
        for sign in (1, -1):
            moved = [x.copy() for x in arrays]
            moved[which][place] += sign * step
            results = evaluate(function, moved)
            sides.append(sum((r * ct).sum() for r, ct in zip(results, cts, strict=True)))
        gradient[place] = (sides[0] - sides[1]) / (2 * step)
    return gradient


def test_the_text_of_a_gradient() -> None:
    assert print_function(vjp(parsed(TANH), [1])) == (
        "func @f_vjp(%x: tensor<3xf64>, %y: tensor<3xf64>, %ct: tensor<3xf64>) -> tensor<3xf64> {\n"
        "  %0 = tanh %x : tensor<3xf64>\n"
        "  %1 = multiply %0, %y : tensor<3xf64>\n"
        "  %2 = multiply %ct, %0 : tensor<3xf64>\n"
        "  return %2 : tensor<3xf64>\n"
        "}\n"
    )


@pytest.mark.parametrize("wrt", [[0], [1], [2], [2, 0], [0, 1, 2]])
def test_values_against_differences(wrt: list[int]) -> None:
    function = parsed(NETWORK)
    gradient = vjp(function, wrt)
    verify_function(gradient)
    assert gradient.name == "loss_vjp"
    assert [a.hint for a in gradient.arguments] == ["x", "w", "b", "ct_0", "ct_1"]
    arrays = arrays_for([a.type for a in function.arguments])
    cts = arrays_for([v.type for v in function.returned], seed=1)
    found = evaluate(gradient, [*arrays, *cts])
    assert len(found) == len(wrt)
    for have, which in zip(found, wrt, strict=True):
        np.testing.assert_allclose(have, differences(function, arrays, cts, which), rtol=1e-7)


def test_the_function_itself_stays_as_it_was() -> None:
    function = parsed(NETWORK)
    before = print_function(function)
    for transform in (vjp, value_and_vjp, split_vjp):
        transform(function, [0, 2])
    assert print_function(function) == before
    verify_function(function)


def test_results_first_then_gradients() -> None:
    function = parsed(NETWORK)
    both = value_and_vjp(function, [2, 1])
    verify_function(both)
    assert both.name == "loss_value_and_vjp"
    arrays = arrays_for([a.type for a in function.arguments])
    cts = arrays_for([v.type for v in function.returned], seed=1)
    found = evaluate(both, [*arrays, *cts])
    expected = [*evaluate(function, arrays), *evaluate(vjp(function, [2, 1]), [*arrays, *cts])]
    for have, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(have, want)


def test_second_order() -> None:
    function = parsed(TANH)
    first = vjp(function, [0])
    second = vjp(first, [0])
    verify_function(second)
    x, y, ct, ct2 = arrays_for([TensorType((3,), f64)] * 4)
    (found,) = evaluate(second, [x, y, ct, ct2])
    t = np.tanh(x)
    np.testing.assert_allclose(found, ct2 * ct * y * -2 * t * (1 - t * t))


def test_independent_and_integer_values_have_no_cotangent() -> None:
    function = parsed(
        """
        func @f(%x: tensor<3xf64>, %y: tensor<3xf64>, %i: tensor<2xi64>)
            -> (tensor<2xf64>, tensor<i64>, tensor<3xf64>) {
          %0 = gather %x, %i {axis = 0} : tensor<2xf64>
          %1 = argmax %x {axis = 0} : tensor<i64>
          return %0, %1, %x : tensor<2xf64>, tensor<i64>, tensor<3xf64>
        }
        """
    )
    gradient = vjp(function, [1, 0])
    verify_function(gradient)
    x, y = np.arange(3.0), np.ones(3)
    i = np.array([2, -1])
    found = evaluate(gradient, [x, y, i, np.array([5.0, 6.0]), np.array(9), np.full(3, 0.5)])
    assert found[0].tolist() == [0.0, 0.0, 0.0]
    assert found[1].tolist() == [0.5, 0.5, 11.5]
    with pytest.raises(GradientError, match="argument i of f is a tensor<2xi64>"):
        vjp(function, [2])


def test_no_zeros_are_built_and_nothing_off_the_way_is_visited() -> None:
    function = parsed(
        """
        func @f(%x: tensor<3xf64>, %y: tensor<3xf64>) -> tensor<3xf64> {
          %0 = exp %y : tensor<3xf64>
          %1 = sin %0 : tensor<3xf64>
          %2 = floor %x : tensor<3xf64>
          %3 = add %2, %1 : tensor<3xf64>
          %4 = add %x, %3 : tensor<3xf64>
          return %4 : tensor<3xf64>
        }
        """
    )
    gradient = vjp(function, [0])
    assert len(gradient.body) == len(function.body)
    assert gradient.returned[0] is gradient.arguments[2]


def test_a_value_used_twice_adds_up_in_a_fixed_order() -> None:
    function = parsed(NETWORK)
    texts = {print_function(vjp(function, [0, 1, 2])) for _ in range(3)}
    assert len(texts) == 1
    square = parsed(
        """
        func @f(%x: tensor<f64>) -> tensor<f64> {
          %0 = multiply %x, %x : tensor<f64>
          return %0 : tensor<f64>
        }
        """
    )
    assert evaluate(vjp(square, [0]), [np.array(3.0), np.array(1.0)]) == [np.array(6.0)]


def test_gradient_operations_carry_the_location_of_their_primal() -> None:
    function = Function("f", [TensorType((2,), f64)], ["x"])
    here = Location("model.py", 7)
    b = GraphEmitter(Builder(function.body, location=here))
    y = b.emit("tanh", function.arguments[0])
    b.builder.create(lookup("return"), [y])
    gradient = vjp(function, [0])
    assert {str(op.location) for op in gradient.body if op.name != "return"} == {str(here)}


class Opaque:
    """Doubles x in a way nobody can differentiate."""

    operands = ("x",)
    no_derivative = "it is a test"

    def infer(x: Any) -> Any:  # type: ignore[misc]
        return x


def opaque_function(build: Callable[[GraphEmitter, Value], Value]) -> Function:
    function = Function("f", [TensorType((2,), f64), TensorType((2,), f64)], ["x", "y"])
    b = GraphEmitter(Builder(function.body, location=Location("model.py", 3)))
    b.builder.create(lookup("return"), [build(b, function.arguments[0])])
    return function


def test_the_way_through_an_op_without_derivative_is_refused_at_its_line() -> None:
    definition = OpDef("opaque", Opaque, Trait.PURE, (), (), 0)

    def build(b: GraphEmitter, x: Value) -> Value:
        return b.add(b.builder.create(definition, [x]).result, b.neg(x))

    function = opaque_function(build)
    with pytest.raises(GradientError, match="opaque has no derivative: it is a test") as caught:
        vjp(function, [0])
    assert "model.py:3" in str(caught.value)
    assert "stop_gradient" in str(caught.value)
    assert len(vjp(function, [1]).returned) == 1

    def stopped(b: GraphEmitter, x: Value) -> Value:
        quiet = b.emit("stop_gradient", x)
        return b.add(b.builder.create(definition, [quiet]).result, b.neg(x))

    assert vjp(opaque_function(stopped), [0])


# ------------------------------------------------------------------------------- halves


def run_halves(function: Function, wrt: list[int], arrays: Arrays, cts: Arrays) -> list[Any]:
    split = split_vjp(function, wrt)
    verify_function(split.forward)
    verify_function(split.backward)
    outputs = evaluate(split.forward, arrays)
    kept = [(arrays if kind == "argument" else outputs)[i] for kind, i in split.residuals]
    return [*outputs[: len(function.returned)], *evaluate(split.backward, [*kept, *cts])]


@pytest.mark.parametrize("wrt", [[0], [1, 2], [0, 1, 2], []])
def test_both_halves_together_are_value_and_vjp(wrt: list[int]) -> None:
    function = parsed(NETWORK)
    arrays = arrays_for([a.type for a in function.arguments])
    cts = arrays_for([v.type for v in function.returned], seed=1)
    found = run_halves(function, wrt, arrays, cts)
    expected = evaluate(value_and_vjp(function, wrt), [*arrays, *cts])
    for have, want in zip(found, expected, strict=True):
        np.testing.assert_array_equal(have, want)


def test_residuals_are_arguments_results_and_little_else() -> None:
    split = split_vjp(parsed(NETWORK), [0, 1, 2])
    assert (split.forward.name, split.backward.name) == ("loss_forward", "loss_backward")
    # x and w for matmul; tanh's result, which the function returns anyway.
    assert split.residuals == (("argument", 0), ("argument", 1), ("result", 1))
    assert len(split.forward.returned) == 2


def test_copies_and_constants_are_made_again() -> None:
    function = parsed(
        """
        func @f(%x: tensor<4x3xf64>, %b: tensor<3xf64>) -> tensor<4x3xf64> {
          %0 = exp %b : tensor<3xf64>
          %1 = broadcast %0 {axes = [1]} : tensor<4x3xf64>
          %2 = constant {value = dense<f64: 2.0>} : tensor<f64>
          %3 = broadcast %2 {axes = []} : tensor<4x3xf64>
          %4 = multiply %x, %1 : tensor<4x3xf64>
          %5 = multiply %4, %3 : tensor<4x3xf64>
          return %5 : tensor<4x3xf64>
        }
        """.replace("{value = dense<f64: 2.0>}", constant_text())
    )
    split = split_vjp(function, [0])
    assert split.residuals == (("result", 1),)
    assert str(split.forward.returned[1].type) == "tensor<3xf64>"
    arrays = arrays_for([a.type for a in function.arguments])
    ct = np.ones((4, 3))
    found = run_halves(function, [0], arrays, [ct])
    np.testing.assert_array_equal(found[1], evaluate(vjp(function, [0]), [*arrays, ct])[0])


def constant_text() -> str:
    """The attributes of the constant 2.0 as the printer writes them."""
    function = Function("f")
    b = GraphEmitter(Builder(function.body))
    b.builder.create(lookup("return"), [b.constant(2.0, f64)])
    line = print_function(function).splitlines()[1]
    return line[line.index("{") : line.index("}") + 1]


# --------------------------------------------------------------------------------- size


def long_chain(length: int) -> Function:
    function = Function("chain", [TensorType((2,), f64)], ["x"])
    b = GraphEmitter(Builder(function.body))
    x = y = function.arguments[0]
    for i in range(length):
        y = b.emit("tanh", y) if i % 2 else b.add(y, x)
    b.builder.create(lookup("return"), [y])
    return function


@pytest.mark.long
def test_thousands_of_operations() -> None:
    function = long_chain(3_000)
    gradient = dce(vjp(function, [0]), Options())
    split = split_vjp(function, [0])
    x, ct = np.array([0.1, -0.2]), np.ones(2)
    outputs = evaluate(split.forward, [x])
    kept = [([x] if kind == "argument" else outputs)[i] for kind, i in split.residuals]
    expected = evaluate(gradient, [x, ct])
    np.testing.assert_array_equal(evaluate(split.backward, [*kept, ct])[0], expected[0])


def test_a_diamond_stays_linear() -> None:
    function = Function("diamond", [TensorType((), f64)], ["x"])
    b = GraphEmitter(Builder(function.body))
    y = function.arguments[0]
    for _ in range(200):
        y = b.add(y, y)
    b.builder.create(lookup("return"), [y])
    gradient = vjp(function, [0])
    assert len(gradient.body) <= 2 * len(function.body)
    assert evaluate(gradient, [np.array(1.0), np.array(1.0)]) == [np.array(2.0**200)]


def test_integer_arguments_stay_arguments() -> None:
    function = Function("f", [TensorType((2,), i64), TensorType((2,), f64)], ["i", "x"])
    b = GraphEmitter(Builder(function.body))
    i, x = function.arguments
    b.builder.create(lookup("return"), [b.mul(b.cast(i, f64), x)])
    gradient = vjp(function, [1])
    (found,) = evaluate(gradient, [np.array([3, 4]), np.ones(2), np.ones(2)])
    assert found.tolist() == [3.0, 4.0]
