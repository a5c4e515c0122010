"""Printing and parsing are inverse: print → parse → print gives the same bytes."""

import hashlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nets.ops  # noqa: F401  (fills the registry)
from nets.ir import types as t
from nets.ir.builder import Builder
from nets.ir.core import Function, Module
from nets.ir.dense import DIGEST_BYTES
from nets.ir.location import Location
from nets.ir.parser import parse_function, parse_module
from nets.ir.printer import function_digest, print_function, print_module
from nets.ir.sizes import least, symbol
from nets.ir.types import TENSOR_DTYPES, BufferType, ScalarType, TensorType, VectorType
from nets.ops.definition.registry import lookup

LOSS = """\
func @loss(%x: tensor<32x784xf32>, %y: tensor<32x10xf32>, %w: tensor<784x10xf32>, \
%b: tensor<10xf32>) -> tensor<f32> {
  %0 = matmul %x, %w : tensor<32x10xf32>
  %1 = broadcast %b {axes = [1]} : tensor<32x10xf32>
  %2 = add %0, %1 : tensor<32x10xf32>
  %3 = subtract %2, %y : tensor<32x10xf32>
  %4 = multiply %3, %3 : tensor<32x10xf32>
  %5 = reduce_sum %4 {axes = [0, 1]} : tensor<f32>
  return %5 : tensor<f32>
}
"""

REGIONS = """\
func @g(%x: tensor<?n x4xf32>) -> (tensor<?n x4xf32>, tensor<?n x4xf32>) {
  %0, %1 = fusion %x (%a: tensor<?n x4xf32>) {
    %2 = exp %a : tensor<?n x4xf32>
    %3 = negative %2 : tensor<?n x4xf32>
    yield %2, %3 : tensor<?n x4xf32>, tensor<?n x4xf32>
  } : tensor<?n x4xf32>, tensor<?n x4xf32>
  return %0, %1 : tensor<?n x4xf32>, tensor<?n x4xf32>
}
"""

LOOPS = """\
func @h(%x: buffer<8xf32>, %z: buffer<8xf32>) attributes {inputs = 1, checks = []} {
  %0 = loop.const {dtype = index, value = 0} : index
  %1 = loop.const {dtype = index, value = 8} : index
  loop.for %0, %1 {step = 4} (%i: index) {
    %2 = loop.load %x, %i {lanes = 4, offset = 0, strides = [1]} : vector<4xf32>
    %3 = loop.alloc {offset = -1} : buffer<2x3xbool>
    loop.store %2, %z, %i {offset = 0, strides = [1]} : vector<4xf32>, buffer<8xf32>, index
    loop.yield
  } : index, index
  loop.return
}
"""

NOTHING = "func @nothing() {\n  return\n}\n"


@pytest.mark.parametrize("text", [LOSS, REGIONS, LOOPS, NOTHING])
def test_text_reads_back(text: str) -> None:
    assert print_function(parse_function(text, lookup)) == text


def test_several_functions() -> None:
    text = "\n".join([LOSS, REGIONS, LOOPS])
    module = parse_module(text, lookup)
    assert list(module.functions) == ["loss", "g", "h"]
    assert str(module) == text
    assert str(module.functions["g"]) == REGIONS


def test_free_form() -> None:
    """Comments, line breaks and spaces are the writer's choice."""
    text = """// what it does
      func@f(%x:tensor<f32>)->tensor<f32>{ // here
      %y = negative%x:tensor<f32> return %y:tensor<f32>}"""
    assert print_function(parse_function(text, lookup)) == (
        "func @f(%x: tensor<f32>) -> tensor<f32> {\n"
        "  %0 = negative %x : tensor<f32>\n"
        "  return %0 : tensor<f32>\n"
        "}\n"
    )


def returning(value: Any, name: str = "f") -> Function:
    """A function that returns a constant array."""
    function = Function(name)
    builder = Builder(function.body)
    constant = builder.create(lookup("constant"), (), {"value": value})
    builder.create(lookup("return"), constant.results)
    return function


def test_digests_are_those_of_the_text_and_of_the_bytes_of_large_arrays() -> None:
    small, large = np.arange(40.0), np.arange(DIGEST_BYTES // 8, dtype=np.float64)
    text = print_function(returning(small))
    assert function_digest(returning(small)) == hashlib.sha256(text.encode()).hexdigest()
    other = large.copy()
    other[-1] += 1
    functions = [returning(x) for x in (large, other, large.reshape(2, -1), large.astype("i8"))]
    digests = [function_digest(function) for function in functions]
    assert len({*digests}) == len(digests)
    strided = np.stack([large, other], axis=1)[:, 0]
    assert function_digest(returning(strided)) == digests[0]


def read_back(value: Any) -> Any:
    """The array after print and parse; checks that printing again gives the same text."""
    text = print_function(returning(value))
    again = parse_function(text, lookup)
    assert print_function(again) == text
    first = again.body.first
    assert first is not None
    return first.attributes["value"]


def same_bits(x: Any, y: Any) -> bool:
    return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()


SPECIAL = [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324, 1e-45, 0.1, 1 / 3, -3.4e38, 16777217.0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [1, 5, 11])
def test_special_floats(dtype: str, count: int) -> None:
    with np.errstate(over="ignore"):
        array = np.array(SPECIAL[-count:] + SPECIAL[: 11 - count]).astype(dtype)
    assert same_bits(read_back(array), array)


@pytest.mark.parametrize("dtype", TENSOR_DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (3,), (2, 3), (0, 4), (4, 0), (1, 1, 1), (5, 7)])
@pytest.mark.sampled(4)
def test_every_dtype_and_shape(dtype: t.DType, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    data = rng.bytes(math.prod(shape) * dtype.itemsize)
    array = np.frombuffer(data, dtype.numpy if not dtype.is_bool else "u1").reshape(shape)
    array = np.asarray(array & 1, np.bool_) if dtype.is_bool else array
    assert same_bits(read_back(array), array)
    filled = np.full(shape, array.reshape(-1)[0] if array.size else 0, dtype.numpy)
    assert same_bits(read_back(filled), filled)


@pytest.mark.parametrize("shape", [(), (3,), (40,)])
def test_nan_with_sign_and_payload(shape: tuple[int, ...]) -> None:
    array = np.full(shape, 0xFFC12345, np.uint32).view(np.float32)
    assert same_bits(read_back(array), array)
    mixed = np.array([1.0, np.copysign(np.nan, -1)])
    assert 'dense<"000000000000f03f000000000000f8ff">' in print_function(returning(mixed))
    assert same_bits(read_back(mixed), mixed)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=16))
def test_every_float32_reads_back(bits: list[int]) -> None:
    array = np.array(bits, np.uint32).view(np.float32)
    assert same_bits(read_back(array), array)


def test_layouts_and_byte_orders() -> None:
    array = np.arange(60.0).reshape(3, 4, 5)
    for view in (array.T, array[::-1, ::2], array.astype(">f8"), array[:2, :2, 0].astype(">i2")):
        native = view.astype(view.dtype.newbyteorder("="))
        assert same_bits(read_back(view), native)


def test_large_arrays_live_in_a_table_and_equal_ones_are_shared() -> None:
    array = np.arange(100, dtype=np.int16)
    module = Module.of([returning(array, "f"), returning(array.copy(), "g")])
    text = print_module(module)
    assert text.count("dense<@c0>") == 2
    assert text.endswith('62006300"\n#-}\n')
    assert text.count("@c0: ") == 1
    again = parse_module(text, lookup)
    assert print_module(again) == text
    for function in again.functions.values():
        assert function.body.first is not None
        assert same_bits(function.body.first.attributes["value"], array)


def test_filled_arrays_are_one_element() -> None:
    text = print_function(returning(np.zeros((1000, 1000), np.float32)))
    assert "dense<0.0>} : tensor<1000x1000xf32>" in text
    mixed = np.zeros(5)
    mixed[3] = -0.0
    assert "dense<[0.0, 0.0, 0.0, -0.0, 0.0]>" in print_function(returning(mixed))


ATTRIBUTES = {
    "flag": True,
    "count": -3,
    "large": 2**64 - 1,
    "number": 0.1,
    "whole": 1.0,
    "tiny": 5e-324,
    "zero": -0.0,
    "endless": -math.inf,
    "nothing": None,
    "text": 'quote " backslash \\ line\nbreak é \x00',
    "dtype": t.u8,
    "scalar": ScalarType(t.f32),
    "tensor": TensorType((symbol("max"), 3, symbol("x") * 2 + 1), t.bool_),
    "buffer": BufferType((), t.index),
    "sizes": (symbol("n"), symbol("x") // 2 - 1, least(symbol("n"), 3), -symbol("n") * symbol("x")),
    "dims": (("n", 0, 9, 1), ("x", 1, 4096, 8), ("max", 0, 3, 1)),
    "requirements": (("zero", symbol("n") - symbol("x"), "n must be x"),),
    "vector": VectorType(8, t.i64),
    "empty": (),
    "nested": (1, (2.0, ("three", None, (False,))), t.f64),
    "array": np.array([[1, 2], [3, 4]], np.int8),
    "arrays": (np.float32([0.5]), np.arange(50)),
}


def test_every_kind_of_attribute_reads_back() -> None:
    function = Function("f", attributes=ATTRIBUTES)
    Builder(function.body).create(lookup("return"), ())
    text = print_function(function)
    again = parse_function(text, lookup)
    assert print_function(again) == text
    for name, value in ATTRIBUTES.items():
        found = again.attributes[name]
        assert type(found) is type(value), name
        if "array" not in name:
            assert found == value, name
            assert repr(found) == repr(value), name
    assert same_bits(again.attributes["array"], ATTRIBUTES["array"])
    assert math.isnan(parse_attribute("nan"))


def parse_attribute(text: str) -> Any:
    function = parse_function(f"func @f() attributes {{a = {text}}} {{ return }}", lookup)
    return function.attributes["a"]


def test_locations_on_demand() -> None:
    function = returning(np.array(1.0))
    function.attributes["checks"] = ((1, "index", Location("a b.py", 7)),)
    first = function.body.first
    assert first is not None
    first.location = Location('odd "name".py', 12)
    plain, text = print_function(function), print_function(function, locations=True)
    assert "loc(" not in plain
    assert 'tensor<f64> loc("odd \\"name\\".py":12)\n' in text
    assert 'checks = [[1, "index", loc("a b.py":7)]]' in text
    again = parse_function(text, lookup)
    assert print_function(again, locations=True) == text
    assert again.body.first is not None
    assert str(again.body.first.location) == '"odd "name".py":12'
    assert print_function(parse_function(plain, lookup)) == plain


def test_names_of_arguments_are_unique_names() -> None:
    hints = ["x", "x", "x_1", "", "params['w'][0]", "2nd", "é", "a.b", "_", "x y", "x y"]
    function = Function("f", [TensorType((), t.f32)] * len(hints), hints)
    Builder(function.body).create(lookup("return"), ())
    text = print_function(function)
    names = [part.split(":")[0].lstrip(" (") for part in text.split("(")[1].split(", ")]
    assert names == (
        "%x %x_1 %x_1_1 %arg3 %params_w_0 %_2nd %arg6 %a.b %_ %x_y %x_y_1".split()  # noqa: SIM905
    )
    assert print_function(parse_function(text, lookup)) == text


@pytest.mark.parametrize("name", ["loss", "<lambda>", "a b", 'a"b', "Model.step", "é", "1"])
def test_names_of_functions(name: str) -> None:
    text = print_function(Function(name)).replace("{\n}", "{ return }")
    assert parse_function(text, lookup).name == name


def test_names_may_be_used_again_in_another_region() -> None:
    body = "(%i: tensor<f32>) {\n %t = negative %i : tensor<f32>\n yield %t : tensor<f32>\n}"
    text = f"""func @f(%x: tensor<f32>) -> tensor<f32> {{
      %a = fusion %x {body} : tensor<f32>
      %b = fusion %a {body} : tensor<f32>
      return %b : tensor<f32>
    }}"""
    assert parse_function(text, lookup).name == "f"
