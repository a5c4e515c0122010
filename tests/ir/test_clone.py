"""Copies of functions have the same text and share no operation or value."""

import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.ir.builder import Builder
from nets.ir.clone import clone_function, clone_into
from nets.ir.core import Block
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import lookup

FUSION = """\
func @f(%x: tensor<4xf32>) -> tensor<4xf32> attributes {checks = [[1, "a", loc("b.py":2)]]} {
  %0, %1 = fusion %x (%a: tensor<4xf32>) {
    %2 = fusion %a (%b: tensor<4xf32>) {
      %3 = exp %b : tensor<4xf32> loc("model.py":3)
      yield %3 : tensor<4xf32>
    } : tensor<4xf32>
    yield %2, %a : tensor<4xf32>, tensor<4xf32>
  } : tensor<4xf32>, tensor<4xf32>
  %4 = add %0, %1 : tensor<4xf32>
  return %4 : tensor<4xf32>
}
"""

LOOPS = """\
func @g(%z: buffer<8xf32>) {
  %0 = loop.const {dtype = index, value = 8} : index
  loop.parallel %0, %0 (%i: index) {
    loop.for %i, %0 {step = 2} (%j: index) {
      %1 = loop.load %z, %i, %j {lanes = 1, offset = 0, strides = [1, 0]} : f32
      loop.store %1, %z, %j {offset = 0, strides = [1]} : f32, buffer<8xf32>, index
      loop.yield
    } : index, index
    loop.yield
  } : index, index
  loop.return
}
"""


@pytest.mark.parametrize("text", [FUSION, LOOPS])
def test_clone(text: str) -> None:
    function = parse_function(text, lookup)
    copy = clone_function(function)
    verify_function(copy)
    verify_function(function)
    assert print_function(copy, locations=True) == print_function(function, locations=True) == text
    assert not set(copy.walk()) & set(function.walk())


def test_values_in_place_of_others() -> None:
    function = parse_function(LOOPS, lookup)
    loop = next(op for op in function.walk() if op.name == "loop.for")
    i, eight = loop.operands
    target = Block()
    mapping = {i: eight}
    clone_into(Builder(target), [loop], mapping)
    copy = target.first
    assert copy is not None
    assert copy.operands == (eight, eight)
    inner = copy.regions[0].block
    assert [op.name for op in inner] == ["loop.load", "loop.store", "loop.yield"]
    assert inner.first is not None
    assert inner.first.operands == (function.arguments[0], eight, inner.arguments[0])
