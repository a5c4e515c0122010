"""Programs that were once compiled wrongly, cut down to what mattered."""

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.ir.parser import parse_function
from nets.ops.definition.registry import lookup
from tests.passes.lowered import Program, tensor
from tests.property.compiled import Way
from tests.property.programs import arguments
from tests.property.results import assert_native, assert_same

FOUND = {
    # The vector behind the last element repeated it, after the result had replaced an operand.
    "a result in place of an operand": """
        func @f(%x: tensor<33x33xu16>, %y: tensor<33x33xu16>)
            -> (tensor<u16>, tensor<33x33xu16>, tensor<33x33xu16>) {
          %0 = matmul %x, %y : tensor<33x33xu16>
          %1 = bitwise_invert %x : tensor<33x33xu16>
          %2 = reduce_min %1 {axes = [0, 1]} : tensor<u16>
          %3 = bitwise_xor %1, %0 : tensor<33x33xu16>
          %4 = matmul %1, %y : tensor<33x33xu16>
          return %2, %3, %4 : tensor<u16>, tensor<33x33xu16>, tensor<33x33xu16>
        }""",
    # The totals of the columns read %2 after the result of the rows had taken its place.
    "totals across rows whose results replace what they read": """
        func @f(%x: tensor<4x16x64xf32>, %y: tensor<4x64x64xf32>)
            -> (tensor<64xf32>, tensor<4x16x64xf32>) {
          %0 = matmul %x, %y : tensor<4x16x64xf32>
          %1 = negative %x : tensor<4x16x64xf32>
          %2 = matmul %1, %y : tensor<4x16x64xf32>
          %3 = reduce_sum %0 {axes = [2]} : tensor<4x16xf32>
          %4 = broadcast %3 {axes = [0, 1]} : tensor<4x16x64xf32>
          %5 = add %0, %4 : tensor<4x16x64xf32>
          %6 = multiply %0, %2 : tensor<4x16x64xf32>
          %7 = reduce_sum %6 {axes = [0, 1]} : tensor<64xf32>
          %8 = matmul %5, %y : tensor<4x16x64xf32>
          %9 = add %8, %0 : tensor<4x16x64xf32>
          return %7, %9 : tensor<64xf32>, tensor<4x16x64xf32>
        }""",
    # The first transpose was never stored: nothing but the second one read it.
    "a transpose of a transpose": """
        func @f(%x: tensor<16x13xf64>) -> (tensor<16x16xf64>, tensor<16x13xf64>) {
          %0 = negative %x : tensor<16x13xf64>
          %1 = transpose %0 {axes = [1, 0]} : tensor<13x16xf64>
          %2 = matmul %x, %1 : tensor<16x16xf64>
          %3 = transpose %1 {axes = [1, 0]} : tensor<16x13xf64>
          %4 = constant {value = dense<[2, -1]>} : tensor<2xi64>
          %5 = gather %3, %4 {axis = 0} : tensor<2x13xf64>
          %6 = scatter_add %3, %4, %5 {axis = 0} : tensor<16x13xf64>
          return %2, %6 : tensor<16x16xf64>, tensor<16x13xf64>
        }""",
    # A result took the place of a transpose, and the product read the transpose's source.
    "a result in place of a transpose": """
        func @f(%x: tensor<2x1xf64>) -> (tensor<2x2xf64>, tensor<1x2xf64>) {
          %0 = transpose %x {axes = [1, 0]} : tensor<1x2xf64>
          %1 = matmul %x, %0 : tensor<2x2xf64>
          %2 = negative %0 : tensor<1x2xf64>
          %3 = matmul %2, %1 : tensor<1x2xf64>
          return %1, %3 : tensor<2x2xf64>, tensor<1x2xf64>
        }""",
    # Canonicalize turned the reduction in a fusion into a constant of another shape.
    "a reduction of a constant": """
        func @f(%x: tensor<5x1xf64>) -> (tensor<5x1xf64>, tensor<5xbool>) {
          %0 = constant {value = dense<0.5>} : tensor<f64>
          %1 = broadcast %0 {axes = []} : tensor<5x1xf64>
          %2 = less %x, %1 : tensor<5x1xbool>
          %3 = select %2, %x, %1 : tensor<5x1xf64>
          %4 = constant {value = dense<false>} : tensor<bool>
          %5 = broadcast %4 {axes = []} : tensor<5x1xbool>
          %6 = bitwise_and %5, %2 : tensor<5x1xbool>
          %7 = reduce_all %6 {axes = [1]} : tensor<5xbool>
          return %3, %7 : tensor<5x1xf64>, tensor<5xbool>
        }""",
}

PIPELINES = ("default", "none", "dce", "fuse,canonicalize", "fuse,fold,cse,canonicalize,fuse")


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("name", FOUND)
@pytest.mark.sampled(4)
def test_found(name: str, pipeline: str) -> None:
    function = parse_function(FOUND[name], lookup)
    arrays = arguments(function, np.random.default_rng(0), special=False)
    for vector_bytes in (16, 32):
        native = Way(pipeline, vector_bytes=vector_bytes).compile(function)
        assert_native(function, arrays, native(arrays))


@pytest.mark.parametrize("pipeline", ["default", "none"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((1,), 0), ((4, 1), 1), ((1, 4), 0), ((3, 4), 0), ((40, 4), 0), ((4, 7), 1)]
)
def test_no_sum_is_minus_zero(shape: tuple[int, ...], axis: int, pipeline: str) -> None:
    p = Program(tensor(*shape))
    function = p.done(p.b.sum(p.arguments[0], (axis,)))
    x = np.full(shape, -0.0, np.float32)
    assert_same(evaluate(function, [x]), Way(pipeline).compile(function)([x]))


def test_arrays_of_the_other_byte_order() -> None:
    p = Program(tensor(2, 3))
    function = p.done(p.b.neg(p.arguments[0]))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    swapped = x.astype(x.dtype.newbyteorder())
    assert_same(evaluate(function, [x]), Way().compile(function)([swapped]))
