"""cse: what counts as equal."""

import numpy as np
import pytest

from nets.ir import types as t
from nets.ir.builder import Builder
from nets.ir.core import Function
from nets.ir.parser import parse_function
from nets.ir.printer import print_function
from nets.ir.verifier import verify_function
from nets.ops.definition.registry import Array, lookup
from nets.passes.manager import Options
from nets.passes.simplify.cse import cse


def constants_left(*arrays: Array) -> int:
    """How many constants remain of these."""
    function = Function("f")
    builder = Builder(function.body)
    made = [builder.create(lookup("constant"), (), {"value": array}).result for array in arrays]
    builder.create(lookup("return"), made)
    cse(function, Options())
    verify_function(function)
    for value, array in zip(function.returned, arrays, strict=True):
        op = value.operation
        assert op is not None
        assert op.attributes["value"].tobytes() == array.tobytes()
    return sum(1 for op in function.body) - 1


def test_constants_are_compared_by_every_bit() -> None:
    zeros = np.zeros(1000)
    other = zeros.copy()
    other[777] = 1e-300
    assert constants_left(zeros, zeros.copy(), zeros.reshape(10, 100).T.reshape(1000)) == 1
    assert constants_left(zeros, other) == 2
    assert constants_left(zeros, -zeros) == 2
    assert constants_left(zeros, zeros.reshape(10, 100)) == 2
    assert (
        constants_left(np.zeros(3, np.int32), np.zeros(3, np.uint32), np.zeros(3, np.float32)) == 3
    )
    assert constants_left(np.array([np.nan]), np.array([np.nan])) == 1
    assert constants_left(np.array([np.nan]), -np.array([np.nan])) == 2
    assert constants_left(np.zeros((0, 3)), np.zeros((3, 0))) == 2


@pytest.mark.parametrize(("first", "second"), [(0.0, -0.0), (1, 1.0), (1, True), (0, False)])
def test_numbers_of_other_types_differ(first: float, second: float) -> None:
    function = Function("f")
    builder = Builder(function.body)
    for value in (first, second, first):
        builder.create(lookup("loop.const"), (), {"dtype": t.f64, "value": value})
    builder.create(lookup("loop.return"), ())
    cse(function, Options())
    assert sum(1 for op in function.body if op.name == "loop.const") == 2


def test_siblings_do_not_see_each_other() -> None:
    text = """\
func @f(%z: buffer<8xf32>) {
  %0 = loop.const {dtype = index, value = 8} : index
  loop.for %0, %0 {step = 1} (%i: index) {
    %1 = loop.const {dtype = f32, value = 1.0} : f32
    loop.store %1, %z, %i {offset = 0, strides = [1]} : f32, buffer<8xf32>, index
    loop.yield
  } : index, index
  loop.for %0, %0 {step = 1} (%j: index) {
    %2 = loop.const {dtype = f32, value = 1.0} : f32
    loop.store %2, %z, %j {offset = 0, strides = [1]} : f32, buffer<8xf32>, index
    loop.yield
  } : index, index
  %3 = loop.const {dtype = f32, value = 1.0} : f32
  loop.store %3, %z, %0 {offset = 0, strides = [1]} : f32, buffer<8xf32>, index
  loop.return
}
"""
    function = parse_function(text, lookup)
    assert print_function(cse(function, Options())) == text
    verify_function(function)
