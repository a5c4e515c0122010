"""Matrix products: the one order of their sums, under every tile, CPU, split and layout."""

import functools
import re
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from nets.backend.llvm import gemm
from nets.backend.llvm.gemm import blocking
from nets.backend.llvm.kernel_code import KernelCode
from nets.backend.llvm.math.fused import with_functions
from nets.backend.llvm.target import assembly, host, machine_of
from nets.errors import CompileError
from nets.ir.types import DType, f32, f64, i32
from nets.machine.machine import Machine
from nets.machine.table import V2
from nets.machine.table import V3 as AVX2
from nets.machine.table import V4 as AVX512
from nets.ops.definition.registry import Array
from tests.backend.guarded import Guarded
from tests.backend.kernels import GemmKernel
from tests.machines import NEON, let_every_machine_have
from tests.property.native_order import matmul_in_order, multiply_then_add

Shape = tuple[int, int, int, int]

# Batch, m, n, k: whole tiles and tails, one row, one column, several blocks, narrow, shallow.
SHAPES: list[Shape] = [
    (1, 7, 19, 5),
    (9, 5, 9, 33),
    (1, 1, 100, 70),
    (2, 1, 21, 801),
    (2, 70, 1, 530),
    (1, 50, 10, 400),
    (1, 40, 1100, 3),
    (1, 300, 20, 30),
    (1, 33, 260, 512),
    (2, 3, 37, 41),
    (20, 3, 3, 4),
    (1, 30, 7, 9),
]

# What makes a product of any size take each of the ways that are chosen by size.
NEVER = 1 << 60
PACKED = {"_PACK_B_FROM": 0, "_PACK_ON_THE_WAY_FROM": 0, "l1_bytes": 0}
LOOSE = {"_PACK_B_FROM": NEVER, "_PACK_ON_THE_WAY_FROM": NEVER}
A_PACKED = {"_PACK_A_FROM_COLUMNS": 1, "_PACK_A_FROM_NARROW_COLUMNS": 1, "page_bytes": 1}
A_LOOSE = {"_PACK_A_FROM_COLUMNS": NEVER, "_PACK_A_FROM_NARROW_COLUMNS": NEVER}
SMALL_BLOCKS = {"kept_bytes": 1, "_B_BLOCK_COLUMNS": 1}
WAYS: list[dict[str, int]] = [
    PACKED | A_PACKED,
    PACKED | A_PACKED | SMALL_BLOCKS,
    PACKED | A_LOOSE,
    PACKED | A_LOOSE | SMALL_BLOCKS,
    LOOSE | {"distant_bytes": 0} | SMALL_BLOCKS,
    LOOSE | {"distant_bytes": NEVER} | A_PACKED,
]


def operands(shape: Shape, dtype: DType) -> tuple[Array, Array]:
    batch, m, n, k = shape
    generator = np.random.default_rng(n + k)
    y = generator.standard_normal((batch, k, n))
    x = generator.standard_normal((m, batch, k)).swapaxes(0, 1)  # more rows begin with the same
    return x.astype(dtype.numpy, order="C"), y.astype(dtype.numpy)


@functools.cache
def plain_product(shape: Shape, dtype: DType) -> Array:
    """Of the operands as they are, by a kernel that no test has changed the code of."""
    code = gemm.product_code.__wrapped__(dtype, *shape, False, False, AVX2)
    return GemmKernel(code)(*operands(shape, dtype), empty(shape, dtype))


def kernel(
    shape: Shape, dtype: DType, transpose_x: bool, transpose_y: bool, target: Machine
) -> GemmKernel:
    return GemmKernel(gemm.product_code(dtype, *shape, transpose_x, transpose_y, target), target)


def empty(shape: Shape, dtype: DType) -> Array:
    batch, m, n, _ = shape
    return np.full((batch, m, n), np.nan, dtype.numpy)


def to_nearest(value: Fraction, dtype: DType) -> float:
    """The nearest number of the dtype, ties to even."""
    double = float(value)
    if dtype == f64 or Fraction(double) == value:
        return float(dtype.numpy.type(double))
    # Rounding twice is right where the first one rounds to odd.
    if not int(np.float64(double).view(np.uint64)) & 1:
        double = float(np.nextafter(double, np.inf if value > Fraction(double) else -np.inf))
    return float(np.float32(double))


@pytest.mark.parametrize("dtype", [f32, f64])
def test_sums_are_chains_of_fused_operations_in_blocks(dtype: DType) -> None:
    block = gemm.K_BLOCK[dtype]
    shape = (1, 2, 3, 2 * block + 5)
    x, y = operands(shape, dtype)
    got = kernel(shape, dtype, False, False, AVX2)(x, y, empty(shape, dtype))
    for i, j in np.ndindex(2, 3):
        sums = []
        for start in range(0, shape[3], block):
            total = 0.0
            for k in range(start, min(start + block, shape[3])):
                exact = Fraction(float(x[0, i, k])) * Fraction(float(y[0, k, j]))
                total = to_nearest(exact + Fraction(total), dtype)
            sums.append(dtype.numpy.type(total))
        assert got[0, i, j] == sums[0] + sums[1] + sums[2]


# Each shape is laid out by one half in f32 and by the other in f64.
LAYOUTS = (
    ((True, False, AVX512), (False, True, AVX2), (True, True, NEON), (False, False, V2)),
    ((False, True, AVX512), (True, False, AVX2), (True, True, AVX2), (False, True, V2)),
)


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.sampled(5)
def test_every_layout_cpu_and_split_gives_the_same_bits(shape: Shape, dtype: DType) -> None:
    x, y = operands(shape, dtype)
    expected = plain_product(shape, dtype)
    tolerance = 1e-4 if dtype == f32 else 1e-12
    product = x.astype(np.float64) @ y.astype(np.float64)
    np.testing.assert_allclose(expected, product, tolerance, tolerance * np.sqrt(shape[3]))
    for transpose_x, transpose_y, target in LAYOUTS[(SHAPES.index(shape) + (dtype == f64)) % 2]:
        xs = np.ascontiguousarray(x.swapaxes(1, 2)) if transpose_x else x
        ys = np.ascontiguousarray(y.swapaxes(1, 2)) if transpose_y else y
        product_of = kernel(shape, dtype, transpose_x, transpose_y, target)
        out, panels = empty(shape, dtype), product_of.code.panels
        cuts = [0, panels // 3, panels // 3, panels // 2, panels]
        addresses = xs.ctypes.data, ys.ctypes.data, out.ctypes.data
        for begin, end in reversed(list(pairwise(cuts))):
            product_of.run(*addresses, begin, end)
        assert out.tobytes() == expected.tobytes(), (transpose_x, transpose_y, target)


@pytest.mark.parametrize("dtype", [f32, f64])
def test_the_profile_without_fma_rounds_products_and_sums(dtype: DType) -> None:
    for number, shape in enumerate(SHAPES[:7]):
        x, y = operands(shape, dtype)
        code = gemm.product_code(dtype, *shape, False, False, (AVX2, AVX512, V2)[number % 3])
        product_of = GemmKernel(code, V2, "strict-nofma")
        found = product_of(x, y, empty(shape, dtype))
        expected = matmul_in_order(x, y, multiply_then_add)
        np.testing.assert_array_equal(found, expected, str(shape))
        assert "fmul" in with_functions(code.text, V2, "strict-nofma")


def check_between_guards(
    shape: Shape,
    dtype: DType,
    transpose_x: bool,
    transpose_y: bool,
    code: KernelCode,
    expected: Array,
    target: Machine = AVX2,
) -> None:
    """The product is as expected, and nothing outside the buffers touched."""
    x, y = operands(shape, dtype)
    xs = np.ascontiguousarray(x.swapaxes(1, 2)) if transpose_x else x
    ys = np.ascontiguousarray(y.swapaxes(1, 2)) if transpose_y else y
    product_of = GemmKernel(code, target)
    for at_end in (False, True):
        buffers = [Guarded(array, at_end=at_end).read_only() for array in (xs, ys)]
        out = Guarded(empty(shape, dtype), at_end=at_end)
        guarded = Guarded(np.zeros(code.workspace_bytes, np.uint8), at_end=at_end)
        product_of.workspace = guarded.address
        addresses = (*(buffer.address for buffer in buffers), out.address)
        for begin, end in pairwise([0, code.panels // 3, code.panels]):
            guarded.array[:] = 0xFF  # each piece may run in a thread of its own
            product_of.run(*addresses, begin, end)
        np.testing.assert_array_equal(out.array, expected)


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("number", range(3))
@pytest.mark.sampled(3)
def test_nothing_outside_the_buffers_is_touched(number: int, dtype: DType) -> None:
    transpose_x, transpose_y = ((False, False), (False, True), (True, False))[number]
    target = (AVX2, AVX512, V2)[(number + (dtype == f64)) % 3]
    for shape in (
        (1, 7, 19, 5),
        (2, 1, 21, 801),
        (1, 37, 1, 50),
        (2, 3, 37, 41),
        (1, 40, 270, 300),
    ):
        code = gemm.product_code(dtype, *shape, transpose_x, transpose_y, target)
        expected = plain_product(shape, dtype)
        check_between_guards(shape, dtype, transpose_x, transpose_y, code, expected, target)


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("number", range(len(WAYS)))
@pytest.mark.sampled(7)
def test_every_way_of_blocking_gives_the_same_bits(
    number: int, dtype: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (1, 27, 133, gemm.K_BLOCK[dtype] + 3)
    expected = plain_product(shape, dtype)
    target = (AVX2, AVX512)[(number + (dtype == f64)) % 2]
    for name, value in WAYS[number].items():
        if name.startswith("_"):
            monkeypatch.setattr(blocking, name, value)
        else:
            let_every_machine_have(monkeypatch, **{name: value})
    for transpose_x, transpose_y in ((False, False), (True, False), (False, True)):
        code = gemm.product_code.__wrapped__(dtype, *shape, transpose_x, transpose_y, target)
        check_between_guards(shape, dtype, transpose_x, transpose_y, code, expected)


@pytest.mark.parametrize("dtype", [f32, f64])
def test_rows_from_far_away_have_the_same_bits(
    dtype: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (2, 1, 75, gemm.K_BLOCK[dtype] + 31)
    expected = plain_product(shape, dtype)
    let_every_machine_have(monkeypatch, last_cache_bytes=0)
    code = gemm.product_code.__wrapped__(dtype, *shape, False, False, AVX512)
    assert "llvm.prefetch" in code.text
    check_between_guards(shape, dtype, False, False, code, expected)


@pytest.mark.parametrize("dtype", [f32, f64])
@pytest.mark.parametrize("m", range(1, 9))
@pytest.mark.sampled(5)
def test_strips_for_a_few_rows_give_the_same_bits(
    m: int, dtype: DType, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = gemm.K_BLOCK[dtype]
    transpose_x = bool((m + (dtype == f64)) % 2)
    shapes = ((2, 75, block + 31), (1, 2048 // dtype.itemsize, 2 * block), (1, 3, 5))
    products = [plain_product((batch, 8, n, k), dtype)[:, :m] for batch, n, k in shapes]
    let_every_machine_have(monkeypatch, distant_bytes=0)
    for (batch, n, k), expected in zip(shapes, products, strict=True):
        shape = (batch, m, n, k)
        code = gemm.product_code.__wrapped__(dtype, *shape, transpose_x, False, AVX2)
        assert "few" in code.symbol
        check_between_guards(shape, dtype, transpose_x, False, code, expected)


@pytest.mark.parametrize("cpu", ["x86-64-v3", "x86-64-v4"])
def test_sums_stay_in_registers(cpu: str) -> None:
    """LLVM's scheduler moves loads up, and where they crowd out sums, a tile takes five times as
    long: the main loop of no kernel may use vectors on the stack."""
    target = machine_of(cpu)
    for shape in ((600, 600, 512), (64, 64, 64), (8, 1024, 1024), (2, 1024, 1024), (40, 10, 50)):
        for transpose_x in (False, True) if cpu == "x86-64-v3" else (False,):
            code = gemm.product_code(f32, 1, *shape, transpose_x, False, target)
            listing = assembly(code.text.replace("define internal", "define"), target)
            assert not re.search(r"vmov.*%[xyz]mm.*\(%rsp\)", listing), shape


@pytest.mark.parametrize("dtype", [f32, f64])
def test_operands_may_lie_anywhere(dtype: DType) -> None:
    shape = (1, 40, 50, 60)
    x, y = operands(shape, dtype)
    product_of = kernel(shape, dtype, False, False, AVX2)
    expected = product_of(x, y, empty(shape, dtype))
    moved = []
    for array in (x, y, empty(shape, dtype)):
        memory = np.zeros(array.size + 1, dtype.numpy)
        memory[1:] = array.ravel()
        moved.append(memory[1:].reshape(array.shape))
    np.testing.assert_array_equal(product_of(*moved), expected)


@pytest.mark.parametrize("shape", [(1, 3, 4, 0), (2, 1, 4, 0), (3, 5, 1, 0)])
def test_sums_over_nothing_are_zero(shape: Shape) -> None:
    x, y = operands(shape, f32)
    assert not kernel(shape, f32, False, False, AVX2)(x, y, empty(shape, f32)).any()


@pytest.mark.parametrize("shape", [(0, 3, 4, 5), (1, 0, 4, 5), (1, 3, 0, 5), (0, 0, 0, 0)])
def test_empty_products_have_nothing_to_do(shape: Shape) -> None:
    assert gemm.product_code(f64, *shape, False, False, AVX2).panels == 0


def test_infinities_and_nan_spread_as_they_should() -> None:
    shape = (1, 8, 20, 30)
    x, y = operands(shape, f32)
    x[0, 1, 3], x[0, 2, 4], y[0, 7, 5] = np.inf, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        expected = x @ y
    got = kernel(shape, f32, False, False, AVX2)(x, y, empty(shape, f32))
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    np.testing.assert_array_equal(np.isinf(got), np.isinf(expected))


def test_products_share_their_microkernels() -> None:
    first = gemm.product_code(f32, 1, 60, 800, 400, False, False, AVX2)
    second = gemm.product_code(f32, 1, 66, 640, 400, False, False, AVX2)
    shared = first.texts.keys() & second.texts.keys()
    assert shared
    assert all(first.texts[symbol] == second.texts[symbol] for symbol in shared)


def test_kernels_stay_small() -> None:
    code = gemm.product_code(f32, 1, 512, 512, 512, False, False, host())
    assert len(code.text) < 80_000
    assert code.workspace_bytes < 4 << 20


def test_integers_have_no_matrix_kernel() -> None:
    with pytest.raises(CompileError):
        gemm.product_code(i32, 1, 2, 3, 4, False, False, AVX2)
