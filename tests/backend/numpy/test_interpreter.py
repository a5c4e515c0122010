"""The reference interpreter: arguments, memory, regions, errors."""

import gc
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import nets.ops  # noqa: F401  (fills the registry)
from nets.backend.numpy.interpreter import evaluate, evaluate_op
from nets.errors import (
    ArgumentError,
    DTypeError,
    IndexOutOfBoundsError,
    ShapeError,
    VerifyError,
)
from nets.ir.builder import Builder
from nets.ir.core import Block, Function, Operation, Region, Value
from nets.ir.location import Location
from nets.ir.sizes import symbol
from nets.ir.types import BufferType, TensorType, Type, f32, i64
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import Array, lookup

VECTOR = TensorType((3,), f32)
X = np.array([1.0, 2.0, 3.0], np.float32)


def start(*types: Type) -> tuple[GraphEmitter, list[Value], Function]:
    """An empty function of x, y, …, its arguments, and an emitter at its end."""
    function = Function("f", types, ["x", "y", "z"][: len(types)])
    return GraphEmitter(Builder(function.body)), function.arguments, function


def fusion(b: GraphEmitter, x: Value, depth: int) -> Value:
    """exp(x) inside ``depth`` nested fusions."""
    name: str = "exp"
    regions: tuple[Region, ...] = ()
    for _ in range(depth):
        block = Block([x.type])
        inner = Builder(block)
        op = inner.create(lookup(name), block.arguments, regions=regions)
        inner.create(lookup("yield"), op.results)
        name, regions = "fusion", (Region(block),)
    return b.builder.create(lookup(name), [x], regions=regions).result


def test_results_in_order() -> None:
    b, (x, y), function = start(VECTOR, VECTOR)
    b.emit_all("return", b.add(x, y), y, b.mul(x, x))
    total, again, square = evaluate(function, [X, 2 * X])
    assert total.tolist() == [3, 6, 9]
    assert again.tolist() == [2, 4, 6]
    assert square.tolist() == [1, 4, 9]


def test_results_are_fresh_and_contiguous() -> None:
    b, (x,), function = start(TensorType((2, 3), f32))
    constant = b.constant(1.0, f32)
    b.emit_all("return", x, x, b.transpose(x, (1, 0)), b.reshape(x, (6,)), constant)
    array = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    results = evaluate(function, [array])
    for i, result in enumerate(results):
        assert result.flags.c_contiguous
        assert result.flags.writeable
        result[...] = -1
        assert not any(np.any(other == -1) for other in results[i + 1 :])
    assert array[1, 2] == 5
    assert evaluate(function, [array])[4] == 1


def test_wrong_arguments() -> None:
    b, (x, y), function = start(VECTOR, TensorType((), i64))
    b.emit_all("return", x, y)
    number = np.array(1)
    with pytest.raises(ArgumentError, match="f takes 2 arrays, not 1"):
        evaluate(function, [X])
    with pytest.raises(DTypeError, match=r"x is tensor<3xf32>; an array of float64 does not fit"):
        evaluate(function, [X.astype(np.float64), number])
    with pytest.raises(ShapeError, match=r"x is tensor<3xf32>; an array of shape \(2,\)"):
        evaluate(function, [X[:2], number])
    with pytest.raises(ShapeError, match=r"x is tensor<3xf32>; an array of shape \(3, 1\)"):
        evaluate(function, [X[:, None], number])
    with pytest.raises(ShapeError, match=r"y is tensor<i64>; an array of shape \(1,\)"):
        evaluate(function, [X, number[None]])


def test_other_byte_order_and_layouts_are_read_rightly() -> None:
    b, (x,), function = start(VECTOR)
    b.emit_all("return", b.neg(x))
    for array in (X.astype(">f4"), X[::-1].copy()[::-1], np.repeat(X, 2)[::2]):
        (result,) = evaluate(function, [array])
        assert result.tolist() == [-1, -2, -3]
        assert result.dtype == np.dtype("=f4")


def test_sizes_that_arrays_tell_agree() -> None:
    n = symbol("n")
    b, (x, y), function = start(TensorType((n,), f32), TensorType((n, 2), f32))
    b.emit_all("return", b.neg(x), b.neg(y))
    assert evaluate(function, [X, np.ones((3, 2), np.float32)])[0].tolist() == [-1, -2, -3]
    with pytest.raises(ShapeError, match="n is 3 in x and 4 in y"):
        evaluate(function, [X, np.ones((4, 2), np.float32)])
    with pytest.raises(ShapeError, match=r"y is tensor<\?n x2xf32>; an array of shape \(3, 3\)"):
        evaluate(function, [X, np.ones((3, 3), np.float32)])


def test_an_array_is_forgotten_after_its_last_use() -> None:
    b, (x,), function = start(VECTOR)
    value = x
    for _ in range(6):
        value = b.neg(value)
    b.emit_all("return", value)
    alive: list[weakref.ref[Array]] = []
    most = 0

    def observe(op: Operation, results: Sequence[Array]) -> None:
        nonlocal most
        alive.extend(weakref.ref(result) for result in results)
        most = max(most, sum(ref() is not None for ref in alive))

    gc.disable()
    try:
        evaluate(function, [X], observe)
    finally:
        gc.enable()
    assert most == 2  # the operand and the result of one operation


def test_the_observer_sees_nested_operations_first() -> None:
    b, (x,), function = start(VECTOR)
    b.emit_all("return", b.neg(fusion(b, x, 2)))
    seen: list[tuple[str, list[float]]] = []
    evaluate(function, [X * 0], lambda op, results: seen.append((op.name, results[0].tolist())))
    assert [name for name, _ in seen] == ["exp", "fusion", "fusion", "negative"]
    assert seen[2][1] == [1, 1, 1]


def test_regions_may_nest_deeply() -> None:
    b, (x,), function = start(VECTOR)
    result = fusion(b, x, 2000)
    b.emit_all("return", result)
    assert evaluate(function, [X * 0])[0].tolist() == [1, 1, 1]
    assert result.operation is not None
    assert evaluate_op(result.operation, [X * 0])[0].tolist() == [1, 1, 1]


def test_long_programs_take_linear_time_and_no_recursion() -> None:
    b, (x,), function = start(VECTOR)
    value = x
    for _ in range(10_001):
        value = b.neg(value)
    b.emit_all("return", value)
    assert evaluate(function, [X])[0].tolist() == [-1, -2, -3]


def test_an_error_of_an_operation_names_the_users_line() -> None:
    b, (x, i), function = start(VECTOR, TensorType((2,), i64))
    here = Path(__file__)
    b.builder.location = Location(str(here), 3)
    b.emit_all("return", b.emit("gather", x, i, axis=0))
    assert evaluate(function, [X, np.array([-1, 0])])[0].tolist() == [3, 1]
    with pytest.raises(IndexOutOfBoundsError, match=f"at .*{here.name}:3"):
        evaluate(function, [X, np.array([0, 3])])


def test_what_cannot_be_evaluated() -> None:
    function = Function("f", [BufferType((3,), f32)], ["x"])
    Builder(function.body).create(lookup("loop.return"), [])
    with pytest.raises(VerifyError, match="x is a buffer<3xf32>; only tensors"):
        evaluate(function, [X])
    b, _, function = start()
    b.builder.create(lookup("loop.const"), [], {"dtype": f32, "value": 1.0})
    with pytest.raises(VerifyError, match=r"loop\.const has no reference"):
        evaluate(function, [])
    b, (x,), function = start(VECTOR)
    b.neg(x)
    with pytest.raises(VerifyError, match="without a terminator"):
        evaluate(function, [X])


def test_no_floating_point_warning_leaks() -> None:
    b, (x,), function = start(VECTOR)
    b.emit_all("return", b.div(x, b.zero(x)), b.emit("log", b.neg(x)), b.cast(x, i64))
    with np.errstate(all="raise"):
        quotient, logarithm, whole = evaluate(function, [X * np.float32(np.nan)])
    assert np.isnan(quotient).all()
    assert np.isnan(logarithm).all()
    assert whole.tolist() == [0, 0, 0]
