"""Native arithmetic against the loop interpreter: every op, dtype and special number.

Scalars and vectors of every width must give the same bits, and nothing may kill the process.
"""

import numpy as np
import pytest

from nets.ir.clone import clone_function
from nets.ir.core import Function, Value
from nets.ir.types import TENSOR_DTYPES, DType, bool_, f32, f64, i64, index
from nets.ops.loop.arithmetic import COMPARISONS
from nets.ops.loop.loop_builder import LoopBuilder
from nets.passes.loops.vectorize import vectorize
from nets.passes.manager import Options
from tests.backend.loops import at, buffer, interpret, loop, loop_function, pairs
from tests.backend.native import Native
from tests.machines import of_width
from tests.property.results import assert_same

ALL = ("add", "sub", "mul", "div", "rem", "max", "min")
LOGICAL = ("and", "or", "xor")
UNARY = ("neg", "abs")
ROUNDING = ("sqrt", "floor", "ceil", "round", "trunc")


def results_of(s: LoopBuilder, dtype: DType, x: Value, y: Value) -> None:
    """The scalars of everything that can be done with x and y."""
    binary: tuple[str, ...] = ALL
    unary: tuple[str, ...] = UNARY
    if dtype.is_bool:
        binary, unary = ("max", "min", *LOGICAL), ("not",)
    elif dtype.is_float:
        # The interpreter's fmod is the C library's; np.remainder differs in the sign of zeros.
        binary, unary = tuple(name for name in ALL if name != "rem"), (*UNARY, *ROUNDING)
    else:
        binary, unary = (*ALL, *LOGICAL, "shl", "shr"), (*UNARY, "not")
    found = [s.binary(name, x, y) for name in binary]
    found += [s.unary(name, x) for name in unary]
    found += [s.compare(name, x, y) for name in COMPARISONS]
    found.append(s.select(s.compare("lt", y, x), x, y))
    return found + [s.cast(x, other) for other in TENSOR_DTYPES if other != dtype]


def elementwise(dtype: DType, count: int) -> Function:
    """A loop over pairs that stores each of ``results_of``."""
    _, s = loop_function([], [])
    zero = s.const(0, dtype)
    types = [value.type.dtype for value in results_of(s, dtype, zero, zero)]
    inputs = [buffer(dtype, count), buffer(dtype, count)]
    function, s = loop_function(inputs, [buffer(type, count) for type in types])

    def body(s: LoopBuilder, i: Value) -> list[Value]:
        x, y = (s.load(argument, at(i)) for argument in function.arguments[:2])
        for value, out in zip(results_of(s, dtype, x, y), function.arguments[2:], strict=True):
            s.store(value, out, at(i))

    loop(s, "for", 0, count, body)
    s.emit("return")
    return function


@pytest.mark.parametrize("dtype", TENSOR_DTYPES, ids=str)
@pytest.mark.sampled(3)
def test_every_op(dtype: DType) -> None:
    x, y = pairs(dtype)
    function = elementwise(dtype, x.size)
    status, expected = interpret(function, [x, y])
    assert status == 0
    for vector_bytes in (0, 32):
        widened = vectorize(clone_function(function), Options(of_width(vector_bytes)))
        assert_same(expected, Native(widened).run(x, y)[1], vector_bytes)


@pytest.mark.parametrize("dtype", [f32, f64], ids=str)
def test_remainder_of_floats(dtype: DType) -> None:
    x, y = pairs(dtype)
    function, s = loop_function([buffer(dtype, x.size)] * 2, [buffer(dtype, x.size)])

    def body(s: LoopBuilder, i: Value) -> None:
        x, y, out = function.arguments
        s.store(s.binary("rem", s.load(x, at(i)), s.load(y, at(i))), out, at(i))

    loop(s, "for", 0, x.size, body)
    s.emit("return")
    with np.errstate(all="ignore"):
        expected = np.remainder(x, y)
    for vector_bytes in (0, 16, 32):
        widened = vectorize(clone_function(function), Options(of_width(vector_bytes)))
        assert_same([expected], Native(widened).run(x, y)[1])


def test_division_by_constants() -> None:
    values = np.array([0, 1, -1, 5, -5, 63, 64, -64, -65, 2**62, -(2**63)])
    divisors = (1, 2, 8, 3, -1, -8, 0, 2**62)
    outputs = [buffer(i64, values.size)] * (2 * len(divisors))
    function, s = loop_function([buffer(i64, values.size)], outputs)

    def body(s: LoopBuilder, i: Value) -> None:
        x, *outs = function.arguments
        value = s.cast(s.load(x, at(i)), index)
        for number, divisor in enumerate(divisors):
            for offset, name in enumerate(("div", "rem")):
                result = s.binary(name, value, s.const(divisor, index))
                s.store(s.cast(result, i64), outs[2 * number + offset], at(i))

    loop(s, "for", 0, values.size, body)
    s.emit("return")
    _, expected = interpret(function, [values])
    for vector_bytes in (0, 32):
        widened = vectorize(clone_function(function), Options(of_width(vector_bytes)))
        assert_same(expected, Native(widened).run(values)[1])


def test_a_bool_in_memory_is_any_byte() -> None:
    """Other bytes than 0 and 1 read as true and are never written."""
    function, s = loop_function([buffer(bool_, 40)], [buffer(bool_, 40)])

    def body(s: LoopBuilder, i: Value) -> None:
        x, out = function.arguments
        s.store(s.load(x, at(i)), out, at(i))

    loop(s, "for", 0, 40, body)
    s.emit("return")
    strange = np.arange(40, dtype=np.uint8) % 7
    for vector_bytes in (0, 32):
        widened = vectorize(clone_function(function), Options(of_width(vector_bytes)))
        _, (out,) = Native(widened).run(strange.view(np.bool_))
        np.testing.assert_array_equal(out.view(np.uint8), strange != 0)


def test_math_is_the_same_in_every_lane() -> None:
    x = np.linspace(0.1, 3, 21, dtype=np.float32)
    function, s = loop_function([buffer(f32, 21)], [buffer(f32, 21)] * 2)

    def body(s: LoopBuilder, i: Value) -> None:
        x, out, power = function.arguments
        value = s.load(x, at(i))
        s.store(s.math("tanh", s.math("exp", value)), out, at(i))
        s.store(s.math("pow", value, value), power, at(i))

    loop(s, "for", 0, 21, body)
    s.emit("return")
    scalar = Native(function).run(x)[1]
    np.testing.assert_allclose(scalar[1], x**x, rtol=1e-6)
    for vector_bytes in (16, 32, 64):
        widened = vectorize(clone_function(function), Options(of_width(vector_bytes)))
        assert_same(scalar, Native(widened).run(x)[1])
