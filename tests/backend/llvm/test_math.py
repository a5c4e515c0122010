"""The math library: errors below 2 ULP, special values, and the same bits for any lanes.

``python -m benchmarks.accuracy`` does the same on every float32 and 10⁸ float64.
"""

import functools

import numpy as np
import pytest

from nets.backend.llvm import math
from nets.config import PROFILES
from nets.errors import CompileError
from nets.ir.types import DType, f32, f64, i32
from nets.machine.machine import Machine
from nets.machine.table import V2, V3, V4
from nets.ops.definition.registry import Array
from tests.backend.kernels import MathKernel
from tests.backend.references import reference, ulps

INF, NAN, PI = float("inf"), float("nan"), 3.141592653589793
CASES = [(name, dtype) for name in math.FUNCTIONS for dtype in (f32, f64)]
BOUND = 2.0

# Where results overflow, turn subnormal or vanish; where branches of the code meet; arguments
# very near to multiples of π/2 (for f32 and f64 the nearest ones there are).
NOTABLE = (
    *(0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 0.625, 0.921875, 3.92, 6.0, 0.7071067811865476),
    *(88.72283, 88.72284, 87.33654, 103.27893, 103.97208, 104.0, 16.635532, 17.32868),
    *(9.010913, 9.02, 0.30012, 1.9627851, 0.29761899, 0.9999999),
    *(
        709.782712893384,
        709.7827128933841,
        708.3964185322641,
        745.1332191019411,
        745.13321910194122,
    ),
    *(36.7368005696771, 0.34657359, 1.0397207, 1e5, 99999.99, 1e9, 999999999.5, 1e22, 1e300),
    *(16367173.0 * 2.0**72, 6381956970095103.0 * 2.0**797, 1.5707963267948966, 3.141592653589793),
    *(1.1754943508222875e-38, 1e-40, 1.4e-45, 2.2250738585072014e-308, 1e-310, 5e-324),
    *(3.4028234663852886e38, 1.7976931348623157e308, 16777216.0, 16777217.0, 2.0**53, 2.0**53 + 2),
)


@functools.cache
def kernel(
    function: str, dtype: DType, lanes: int, machine: Machine = V3, numerics: str = "strict"
) -> MathKernel:
    return MathKernel(function, dtype, lanes, machine, numerics)


def notable(dtype: DType) -> Array:
    """The notable numbers, their neighbours, both signs, and the ends."""
    with np.errstate(over="ignore"):
        middle = np.array(NOTABLE).astype(dtype.numpy)
        some = [np.nextafter(middle, dtype.numpy.type(end)) for end in (-INF, INF)]
    positive = np.concatenate([middle, *some, np.array([INF, NAN], dtype.numpy)])
    return np.concatenate([positive, -positive])


def whole(x: Array) -> Array:
    """As many of the numbers as make whole vectors of any width tested."""
    return np.ascontiguousarray(np.resize(x, -(-x.size // 16) * 16))


def arguments_of(function: str, dtype: DType) -> list[Array]:
    """Notable numbers (all pairs of them), bit patterns spread evenly, uniform numbers."""
    generator = np.random.default_rng(7)
    patterns = 1 << 16
    step = (1 << (8 * dtype.itemsize)) // patterns + 1
    integer = np.dtype(f"u{dtype.itemsize}")
    spread = (np.arange(patterns, dtype=np.uint64) * np.uint64(step)).astype(integer)
    special = notable(dtype)
    if math.FUNCTIONS[function] == 1:
        uniform = [generator.uniform(-w, w, 8192).astype(dtype.numpy) for w in (1, 8, 90, 720)]
        return [whole(np.concatenate([special, spread.view(dtype.numpy), *uniform]))]
    first, second = np.meshgrid(special, special)
    bits = generator.integers(0, 1 << (8 * dtype.itemsize), (2, 16384), integer)
    near = generator.uniform(0, 4, 16384), generator.uniform(-60, 60, 16384)
    return [
        whole(np.concatenate([s.ravel(), b.view(dtype.numpy), u.astype(dtype.numpy)]))
        for s, b, u in zip((first, second), bits, near, strict=True)
    ]


def bits_of(x: Array) -> Array:
    return x.view(np.dtype(f"u{x.itemsize}"))


@pytest.mark.parametrize("numerics", PROFILES)
@pytest.mark.parametrize(("function", "dtype"), CASES)
@pytest.mark.sampled(5)
def test_error_stays_below_the_bound(function: str, dtype: DType, numerics: str) -> None:
    arguments = arguments_of(function, dtype)
    got = kernel(function, dtype, 8, numerics=numerics)(*arguments)
    error = ulps(got, reference(function, *arguments))
    at = int(np.argmax(error))
    assert error[at] <= BOUND, (got[at], *(x[at] for x in arguments))


@pytest.mark.parametrize(("function", "dtype"), CASES)
@pytest.mark.parametrize("lanes", [1, 4, 16])
@pytest.mark.sampled(5)
def test_every_number_of_lanes_gives_the_same_bits(function: str, dtype: DType, lanes: int) -> None:
    arguments = arguments_of(function, dtype)
    expected = kernel(function, dtype, 8)(*arguments)
    got = kernel(function, dtype, lanes)(*arguments)
    np.testing.assert_array_equal(bits_of(got), bits_of(expected))


@pytest.mark.parametrize(("function", "dtype"), CASES)
@pytest.mark.sampled(5)
def test_processors_without_fma_give_the_same_bits(function: str, dtype: DType) -> None:
    arguments = [x[:: 16 if x.size > 1 << 16 else 1] for x in arguments_of(function, dtype)]
    arguments = [whole(x) for x in arguments]
    expected = kernel(function, dtype, 8)(*arguments)
    for lanes in (1, 16 // dtype.itemsize, 16):
        got = kernel(function, dtype, lanes, V2)(*arguments)
        np.testing.assert_array_equal(bits_of(got), bits_of(expected))


@pytest.mark.parametrize(("function", "dtype"), CASES)
@pytest.mark.sampled(5)
def test_all_forms_agree_where_products_are_rounded(function: str, dtype: DType) -> None:
    """The profile strict-nofma: what has to be rounded once still is, with fma or without."""
    arguments = [x[:: 16 if x.size > 1 << 16 else 1] for x in arguments_of(function, dtype)]
    arguments = [whole(x) for x in arguments]
    expected = kernel(function, dtype, 1, V2, "strict-nofma")(*arguments)
    for machine in (V2, V3, V4):
        got = kernel(function, dtype, 16, machine, "strict-nofma")(*arguments)
        np.testing.assert_array_equal(bits_of(got), bits_of(expected), str(machine))


@pytest.mark.parametrize(("function", "dtype"), CASES)
@pytest.mark.sampled(5)
def test_avx512_gives_the_same_bits(function: str, dtype: DType) -> None:
    arguments = arguments_of(function, dtype)
    expected = kernel(function, dtype, 8)(*arguments)
    for lanes in (4 if dtype == f32 else 8, 16):
        got = kernel(function, dtype, lanes, V4)(*arguments)
        np.testing.assert_array_equal(bits_of(got), bits_of(expected))


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize(
    "function",
    [
        *("sin", "tan", "tanh", "erf", "expm1", "log1p", "sinh"),
        *("arcsin", "arctan", "arcsinh", "arctanh"),
    ],
)
def test_odd_functions_keep_the_sign_of_zero_and_the_smallest_numbers(
    function: str, dtype: DType
) -> None:
    tiny = dtype.numpy.type(np.finfo(dtype.numpy).smallest_subnormal)
    x = whole(np.array([0.0, -0.0, tiny, -tiny, 5 * tiny], dtype.numpy))
    got = kernel(function, dtype, 8)(x)
    slope = 2 / np.sqrt(np.pi) if function == "erf" else 1.0
    expected = (np.rint(x / tiny * slope) * tiny).astype(dtype.numpy)
    np.testing.assert_array_equal(bits_of(got), bits_of(expected))


@pytest.mark.parametrize("dtype", [f32, f64])
def test_special_values(dtype: DType) -> None:
    table = {
        "exp": {-INF: 0, INF: INF, NAN: NAN, 0: 1},
        "expm1": {-INF: -1, INF: INF, NAN: NAN},
        "sigmoid": {-INF: 0, INF: 1, NAN: NAN, 0: 0.5},
        "tanh": {-INF: -1, INF: 1, NAN: NAN},
        "erf": {-INF: -1, INF: 1, NAN: NAN},
        "log": {-INF: NAN, -1: NAN, 0: -INF, 1: 0, INF: INF, NAN: NAN},
        "exp2": {-INF: 0, INF: INF, NAN: NAN, 0: 1, 10: 1024, -3: 0.125},
        "log2": {-INF: NAN, -1: NAN, 0: -INF, 1: 0, INF: INF, NAN: NAN, 0.125: -3, 1024: 10},
        "log10": {-INF: NAN, -1: NAN, 0: -INF, 1: 0, INF: INF, NAN: NAN, 1000: 3, 1e10: 10},
        "log1p": {-INF: NAN, -2: NAN, -1: -INF, INF: INF, NAN: NAN},
        "sin": {-INF: NAN, INF: NAN, NAN: NAN},
        "cos": {-INF: NAN, INF: NAN, NAN: NAN, 0: 1},
        "tan": {-INF: NAN, INF: NAN, NAN: NAN},
        "arcsin": {-INF: NAN, -1.5: NAN, -1: -PI / 2, 1: PI / 2, 2: NAN, INF: NAN, NAN: NAN},
        "arccos": {-INF: NAN, -1.5: NAN, -1: PI, 1: 0, 0: PI / 2, 2: NAN, INF: NAN, NAN: NAN},
        "arctan": {-INF: -PI / 2, INF: PI / 2, NAN: NAN, 1: PI / 4},
        "sinh": {-INF: -INF, INF: INF, NAN: NAN},
        "cosh": {-INF: INF, INF: INF, NAN: NAN, 0: 1},
        "arcsinh": {-INF: -INF, INF: INF, NAN: NAN},
        "arccosh": {-INF: NAN, -2: NAN, 0.5: NAN, 1: 0, INF: INF, NAN: NAN},
        "arctanh": {-INF: NAN, -2: NAN, -1: -INF, 1: INF, INF: NAN, NAN: NAN},
        "cbrt": {-INF: -INF, INF: INF, NAN: NAN, -27: -3, 1e-30: 1e-10, 729: 9},
        "rsqrt": {-INF: NAN, -1: NAN, INF: 0, 0: INF, 4: 0.5},
    }
    for function, values in table.items():
        x = np.array(list(values), dtype.numpy)
        got = kernel(function, dtype, 1)(x)
        np.testing.assert_array_equal(got, np.array(list(values.values()), dtype.numpy), function)


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("function", ["pow", "fmod", "arctan2", "hypot"])
def test_two_arguments_agree_with_c_in_every_special_case(function: str, dtype: DType) -> None:
    special = np.array(
        [0, 0.5, 1, 1.5, 2, 3, 4, 1e30, 2.0**24 + 2, 2.0**53 + 2, 1e-30, INF, NAN], dtype.numpy
    )
    special = np.concatenate([special, -special])
    x, y = (whole(s.ravel()) for s in np.meshgrid(special, special))
    with np.errstate(all="ignore"):
        expected = getattr(np, {"pow": "power"}.get(function, function))(x, y)
    got = kernel(function, dtype, 8)(x, y)
    zero_or_end = ~np.isfinite(expected) | (expected == 0) | (np.abs(expected) == 1)
    exact = np.ones_like(zero_or_end) if function == "fmod" else zero_or_end
    np.testing.assert_array_equal(got[exact], expected[exact])
    signed = exact & ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(got[signed]), np.signbit(expected[signed]))


def test_fmod_is_exact_for_the_largest_quotients() -> None:
    for dtype in (f32, f64):
        info = np.finfo(dtype.numpy)
        large = np.array([info.max, info.max / 3, 1e30], dtype.numpy)
        small = np.array([info.smallest_subnormal * 7, info.smallest_normal * 3, 0.3], dtype.numpy)
        x, y = (whole(a.ravel()) for a in np.meshgrid(large, small))
        np.testing.assert_array_equal(kernel("fmod", dtype, 8)(x, y), np.fmod(x, y))


def test_unknown_functions_are_refused() -> None:
    for function, dtype, lanes in (
        ("cot", f32, 8),
        ("exp", i32, 8),
        ("exp", f32, 0),
        ("gcd", f32, 1),
    ):
        with pytest.raises(CompileError):
            math.definition(function, dtype, lanes)
