"""The data model: what is yielded, and arguments and results that come and go."""

import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.ir.core import Block, Function, Value
from nets.ir.parser import parse_function
from nets.ops.definition.registry import lookup

SCAN = """
func @f(%c: tensor<f32>, %d: tensor<f32>, %x: tensor<3xf32>) -> (tensor<f32>, tensor<3xf32>) {
  %0, %1, %2 = scan %c, %d, %x {carries = 2, xs = 1, length = 3, reverse = false}
      (%a: tensor<f32>, %b: tensor<f32>, %row: tensor<f32>) {
    %3 = add %a, %row : tensor<f32>
    yield %3, %b, %3 : tensor<f32>, tensor<f32>, tensor<f32>
  } : tensor<f32>, tensor<f32>, tensor<3xf32>
  return %0, %2 : tensor<f32>, tensor<3xf32>
}
"""


@pytest.fixture
def function() -> Function:
    return parse_function(SCAN, lookup)


def numbers(values: list[Value] | tuple[Value, ...]) -> list[int]:
    return [value.index for value in values]


def test_what_a_block_yields_are_the_operands_of_its_terminator(function: Function) -> None:
    scan = function.body.first
    assert scan is not None
    body = scan.regions[0].block
    (add, end) = body
    assert body.yielded == (add.result, body.arguments[1], add.result) == end.operands
    assert function.body.yielded == function.returned == (scan.results[0], scan.results[2])
    body.remove(end)
    assert body.yielded == ()
    assert Block().yielded == ()


def test_results_that_go_leave_the_others_in_order(function: Function) -> None:
    scan = function.body.first
    assert scan is not None
    first, _, last = scan.results
    scan.drop_results([1])
    assert scan.results == (first, last)
    assert numbers(scan.results) == [0, 1]
    with pytest.raises(AssertionError):
        scan.drop_results([0])
    assert scan.results == (first, last)


def test_arguments_that_go_leave_the_others_in_order(function: Function) -> None:
    scan = function.body.first
    assert scan is not None
    body = scan.regions[0].block
    a, b, row = body.arguments
    with pytest.raises(AssertionError):
        body.drop_arguments([1])
    (_, end) = body
    end.set_operands([end.operands[0], end.operands[2]])
    body.drop_arguments([1])
    assert body.arguments == [a, row]
    assert numbers(body.arguments) == [0, 1]
    body.set_arguments([row, a, b])
    assert numbers([row, a, b]) == [0, 1, 2]
