"""The smallest loops give the bits of the fastest ones."""

from itertools import product
from typing import Any

import numpy as np
import pytest

from nets.ir.core import Function
from nets.ir.types import DType, TensorType, f32, f64, i16, i64
from nets.ops.definition.registry import Array, lookup
from tests.passes.lowered import Program, operations, tensor
from tests.property.compiled import Way
from tests.property.results import assert_native, assert_same

SMALL = Way(optimize="size")


def check(function: Function, arrays: list[Array]) -> None:
    """Small and fast code, and the reference."""
    fast, small = (way.compile(function)(arrays) for way in (Way(), SMALL))
    assert_native(function, arrays, small)
    assert_same(fast, small, function)


def reduction(name: str, shape: tuple[int, ...], axes: tuple[int, ...], dtype: DType) -> Function:
    p = Program(tensor(*shape, dtype=dtype))
    return p.done(p.b.emit(name, *p.arguments, axes=axes))


def special(shape: tuple[int, ...], dtype: DType) -> Array:
    """Numbers, most of them zeros of either sign, an infinity and a NaN."""
    generator = np.random.default_rng(len(shape))
    if not dtype.is_float:
        return generator.integers(-9, 9, shape).astype(dtype.numpy)
    numbers = generator.choice([0.0, -0.0, 1.5, -2.5, 1e-40, 3e5], shape)
    if numbers.size > 70:
        numbers.flat[69], numbers.flat[11] = -np.inf, np.nan
    return numbers.astype(dtype.numpy)


@pytest.mark.parametrize("dtype", [f32, f64, i16], ids=str)
@pytest.mark.parametrize("length", [0, 1, 2, 10, 32, 63, 64, 65, 200, 1500])
@pytest.mark.sampled(7)
def test_sums_and_extremes_of_every_length(length: int, dtype: DType) -> None:
    names = ("reduce_sum", "reduce_prod", *("reduce_max", "reduce_min") * (length > 0))
    for name, (shape, axes) in product(names, (((3, length), (1,)), ((length, 2), (0,)))):
        check(reduction(name, shape, axes, dtype), [special(shape, dtype)])


@pytest.mark.parametrize("dtype", [f32, f64, i64], ids=str)
@pytest.mark.parametrize("length", [1, 63, 65, 700])
@pytest.mark.sampled(5)
def test_places_of_extremes(length: int, dtype: DType) -> None:
    for name in ("argmax", "argmin"):
        p = Program(tensor(2, length, dtype=dtype))
        function = p.done(p.b.emit(name, *p.arguments, axis=1))
        check(function, [special((2, length), dtype)])
        check(function, [np.full((2, length), -np.inf if dtype.is_float else 7, dtype.numpy)])


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((1, 3, 5, 4), f32), ((2, 3, 900, 4), f32), ((2, 2, 256, 1), f64), ((1, 2, 257, 3), f64)],
    ids=str,
)
@pytest.mark.parametrize("transposed", list(product((False, True), repeat=2)), ids=str)
@pytest.mark.sampled(5)
def test_products(
    shape: tuple[int, int, int, int], dtype: DType, transposed: tuple[bool, bool]
) -> None:
    batch, m, k, n = shape
    shapes = [(batch, m, k), (batch, k, n)]
    given = [
        (b, j, i) if back else (b, i, j) for (b, i, j), back in zip(shapes, transposed, strict=True)
    ]
    p = Program(*(tensor(*s, dtype=dtype) for s in given))
    operands = [
        p.b.transpose(x, (0, 2, 1)) if back else x
        for x, back in zip(p.arguments, transposed, strict=True)
    ]
    generator = np.random.default_rng(m)
    check(
        p.done(p.b.emit("matmul", *operands)),
        [generator.standard_normal(s).astype(dtype.numpy) for s in given],
    )


def along(
    steps: tuple[int, int],
    low: tuple[int, int],
    high: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
) -> dict[str, Any]:
    return {"steps": steps, "low": low, "high": high, "dilation": dilation, "groups": groups}


PADDED = along((1, 1), (1, 1), (1, 1))


@pytest.mark.parametrize(
    ("x", "w", "attributes"),
    [
        ((2, 3, 4, 5), (2, 3, 3, 3), PADDED),
        ((1, 70, 3, 3), (2, 70, 3, 3), PADDED),
        ((2, 4, 12, 13), (6, 2, 5, 6), along((3, 2), (2, 0), (1, 5), (2, 1), 2)),
        ((1, 2, 3, 700), (1, 2, 1, 2), along((1, 1), (0, 0), (0, 0))),
        ((1, 2, 9, 9), (2, 2, 2, 2), along((4, 3), (1, 1), (1, 1))),
    ],
)
@pytest.mark.sampled(3)
def test_convolutions(x: tuple[int, ...], w: tuple[int, ...], attributes: dict[str, Any]) -> None:
    infer = lookup("conv").rules.infer
    y = infer(TensorType(x, f32), TensorType(w, f32), **attributes).static_shape
    generator = np.random.default_rng(len(y))
    for name, first, second, extra in (
        ("conv", x, w, {}),
        ("conv_input", y, w, {"shape": x[2:]}),
        ("conv_weight", x, y, {"shape": w[2:]}),
    ):
        p = Program(tensor(*first), tensor(*second))
        function = p.done(p.b.emit(name, *p.arguments, **attributes, **extra))
        arrays = [generator.standard_normal(s).astype("f4") for s in (first, second)]
        check(function, arrays)


def test_no_kernel_and_no_copy_of_a_body_is_left() -> None:
    p = Program(tensor(8, 500), tensor(500, 8))
    product_ = p.b.emit("matmul", *p.arguments)
    compilation = SMALL.compilation(p.done(p.b.emit("exp", product_)))
    assert not operations(compilation.loops, "loop.gemm")
    assert len(operations(compilation.loops, "loop.math")) == 1
    assert len(operations(compilation.loops, "loop.fma")) == 1
    assert "minsize optsize" in compilation.llvm()
