"""dynamic_slice and dynamic_update_slice against NumPy, in loops, with derivatives and errors."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from single_op import check_derivatives, run

import nets
from nets.errors import ControlFlowError, DTypeError, NetsError, ShapeError


def place_of(start: int, size: int, dim: int) -> int:
    """JAX's rule: from the end where negative, then clamped."""
    return min(max(start + dim if start < 0 else start, 0), dim - size)


def window(shape: tuple, sizes: tuple, starts: tuple) -> tuple[slice, ...]:
    firsts = [place_of(*each) for each in zip(starts, sizes, shape, strict=True)]
    return tuple(slice(first, first + n) for first, n in zip(firsts, sizes, strict=True))


@pytest.mark.parametrize("size", [0, 1, 2, 4, 5])
def test_every_start_of_a_row(size: int) -> None:
    x, update = np.arange(5.0), -1.0 - np.arange(size)
    for start in (*range(-7, 8), -(2**63), 2**63 - 1):
        here = window((5,), (size,), (start,))
        assert np.array_equal(run("dynamic_slice", x, np.int64(start), shape=(size,)), x[here])
        expected = x.copy()
        expected[here] = update
        assert np.array_equal(run("dynamic_update_slice", x, update, np.int64(start)), expected)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((3, 5), (2, 3)),
        ((3, 5), (3, 2)),
        ((3, 5), (1, 5)),
        ((2, 3, 4), (1, 2, 4)),
        ((2, 0), (1, 0)),
    ],
)
def test_windows_of_several_axes(shape: tuple, sizes: tuple) -> None:
    rng = np.random.default_rng(1)
    x, update = rng.normal(size=shape), rng.normal(size=sizes)
    read = nets.trace(lambda x, *i: nets.dynamic_slice(x, i, sizes))
    write = nets.trace(lambda x, u, *i: nets.dynamic_update_slice(x, u, i))
    for starts in product((-4, -1, 0, 1, 9), repeat=len(shape)):
        here = window(shape, sizes, starts)
        expected = x.copy()
        expected[here] = update
        assert np.array_equal(read(x, *starts), x[here])
        assert np.array_equal(write(x, update, *starts), expected)
        assert np.array_equal(nets.dynamic_slice(x, starts, sizes), x[here])
        assert np.array_equal(nets.dynamic_update_slice(x, update, starts), expected)
    at = [np.int64(1) for _ in shape]
    check_derivatives("dynamic_slice", x, *at, shape=sizes)
    check_derivatives("dynamic_update_slice", x, update, *at)


STARTS: list[Any] = [
    2,
    (2,),
    [np.int8(2)],
    np.int64(2),
    np.array([2]),
    np.array(2, "u8"),
    nets.Tensor(2),
    nets.Tensor([2]),
    [nets.Tensor(2)],
]


@pytest.mark.parametrize("starts", STARTS, ids=repr)
def test_forms_of_starts(starts: Any) -> None:
    x = np.arange(6, dtype="i4")
    assert nets.dynamic_slice(x, starts, 3).tolist() == [2, 3, 4]
    traced = nets.trace(lambda x: nets.dynamic_slice(x, starts, [3]))
    assert traced(x).tolist() == [2, 3, 4]
    assert traced(x).dtype == "i4"


def test_starts_that_fit_no_64_bits_are_clamped() -> None:
    x = np.arange(5.0)
    assert nets.dynamic_slice(x, 2**70, (2,)).tolist() == [3, 4]
    assert nets.dynamic_slice(x, -(2**70), (2,)).tolist() == [0, 1]
    assert nets.dynamic_slice(x, np.uint64(2**64 - 1), (2,)).tolist() == [3, 4]
    assert nets.trace(lambda i: nets.dynamic_slice(x, i, (2,)))(np.uint64(2**63)).tolist() == [3, 4]


def test_a_0d_tensor_has_no_starts() -> None:
    assert nets.dynamic_slice(3.0, (), ()).item() == 3
    assert nets.trace(lambda x: nets.dynamic_update_slice(x, 2.0, ()))(np.float32(1)).item() == 2


def test_the_update_takes_the_dtype_of_the_tensor() -> None:
    given = nets.dynamic_update_slice(np.zeros(3, "f4"), [1.5], 1)
    assert given.dtype == "f4"
    assert given.tolist() == [0, 1.5, 0]
    with pytest.raises(DTypeError, match="int64 cannot hold float64"):
        nets.dynamic_update_slice(np.zeros(3, "i8"), [1.5], 1)


def test_the_tensor_itself_stays() -> None:
    x = nets.Tensor([1.0, 2.0, 3.0])
    y = nets.dynamic_update_slice(x, [9.0], 0)
    whole = nets.dynamic_slice(x, 0, (3,))
    whole += 1
    assert (x.tolist(), y.tolist()) == ([1, 2, 3], [9, 2, 3])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: nets.dynamic_slice(x, (0,), (2, 2)), ShapeError, "needs 2 start indices, not 1"),
        (lambda x: nets.dynamic_slice(x, (0, 0), (2,)), ShapeError, r"shape \(2,\) does not fit"),
        (lambda x: nets.dynamic_slice(x, (0, 0), (2, 5)), ShapeError, r"\(2, 5\) does not fit"),
        (lambda x: nets.dynamic_slice(x, (0, 0), (2, -1)), ShapeError, "does not fit"),
        (
            lambda x: nets.dynamic_slice(x, (0, 1.0), (2, 2)),
            DTypeError,
            "start index must be",
        ),
        (lambda x: nets.dynamic_slice(x, (0, True), (2, 2)), DTypeError, "start index"),
        (lambda x: nets.dynamic_slice(x, (0, x[0, 0]), (2, 2)), DTypeError, "0-d integer, not"),
        (lambda x: nets.dynamic_slice(x, [[0, 0]], (2, 2)), ShapeError, "needs 2 start indices"),
        (lambda x: nets.dynamic_slice(x, np.zeros((1, 2), int), (2, 2)), ShapeError, "1-d tensor"),
        (lambda x: nets.dynamic_slice(x, (0, 0), (2, 1.5)), DTypeError, "a size must be an int"),
        (lambda x: nets.dynamic_update_slice(x, [1.0], (0, 0)), ShapeError, r"\(1,\) does not fit"),
        (lambda x: nets.dynamic_update_slice(x, x[:, :3], (0,)), ShapeError, "needs 2 start"),
    ],
)
def test_errors(call: Any, error: type[NetsError], message: str) -> None:
    x = np.zeros((3, 4))
    for run_it in (call, nets.trace(call)):
        with pytest.raises(error, match=message) as caught:
            run_it(nets.Tensor(x))
        assert "test_dynamic_slicing.py" in str(caught.value)


def test_a_slice_at_a_traced_place_names_the_way_out() -> None:
    def write(v: nets.Tensor, i: nets.Tensor) -> None:
        v[i : i + 2] = 0

    with pytest.raises(ControlFlowError, match=r"write nets\.dynamic_slice\(x, i, \(2,\)\)"):
        nets.trace(lambda v, i: v[i : i + 2])(np.arange(6.0), 1)
    with pytest.raises(ControlFlowError, match=r"write x = nets\.dynamic_update_slice\(x, value"):
        nets.trace(write)(nets.Tensor(np.arange(6.0)), 1)


# -------------------------------------------------------------------------------- in loops


def shift(x: Any, steps: int = 5) -> Any:
    def body(i: Any, x: Any) -> Any:
        part = nets.dynamic_slice(x, (i, 1), (2, 3))
        x = nets.dynamic_update_slice(x, 2 * part, (i + 1, 0))
        return nets.dynamic_update_slice(x, part[:1] + 1, (-i, i))

    return nets.fori_loop(0, steps, body, x)


def copied_in(loops: str) -> int:
    """Loops over all 40 elements."""
    return loops.count("value = 40}")


def test_a_loop_changes_what_it_carries_in_place() -> None:
    x = np.random.default_rng(2).normal(size=(8, 5))
    traced = nets.trace(shift)
    assert np.array_equal(traced(x), shift(x))
    assert copied_in(traced.lower(x).ir("loops")) == 1  # into the result, before the loop


def test_a_branch_takes_its_place_from_outside() -> None:
    def body(i: Any, x: Any) -> Any:
        def write(x: Any) -> Any:
            return nets.dynamic_update_slice(x, x[:2] + 1, i)

        return nets.cond(i > 1, write, lambda x: x, x)

    x = np.arange(7.0)
    f = nets.trace(lambda x: nets.fori_loop(0, 5, body, x))
    assert np.array_equal(f(x), nets.fori_loop(0, 5, body, x))


def test_what_is_needed_later_is_copied() -> None:
    def body(i: Any, carry: Any) -> Any:
        x, y = carry
        z = nets.dynamic_update_slice(x, y[:2], i)
        return nets.dynamic_update_slice(y, z[:2], -i), z + x

    def f(x: Any, y: Any) -> Any:
        return nets.fori_loop(0, 4, body, (x, y))

    x, y = np.random.default_rng(3).normal(size=(2, 7))
    for found, expected in zip(nets.trace(f)(x, y), f(x, y), strict=True):
        assert np.array_equal(found, expected)


def test_an_update_that_overlaps_its_tensor() -> None:
    def f(x: Any, i: Any) -> Any:
        return nets.dynamic_update_slice(x, x[1:4], i)

    loop = nets.trace(lambda x: nets.fori_loop(0, 3, lambda i, x: f(x, 2 * i), x))
    x = np.arange(6.0)
    expected = x
    for i in range(3):
        expected = f(expected, 2 * i).numpy()
    assert np.array_equal(loop(x), expected)


def test_a_tensor_of_the_model_is_changed_in_place() -> None:
    cache = nets.Tensor(np.zeros((8, 5)))

    @nets.trace
    def remember(row: Any, i: Any) -> Any:
        cache[...] = nets.dynamic_update_slice(cache, row[None], (i, 0))
        return row.sum()

    for i in range(10):
        remember(np.full(5, i + 1.0), i)
    assert cache.numpy()[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7, 10]


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_through_a_loop(order: int) -> None:
    def loss(x: Any) -> Any:
        return (shift(x) ** 2).sum()

    derivative = nets.grad(loss)
    if order == 2:
        derivative = nets.grad(lambda x: (nets.grad(loss)(x) ** 2).sum())
    x = np.random.default_rng(4).normal(size=(8, 5))
    v = np.random.default_rng(5).normal(size=(8, 5))
    f = loss if order == 1 else lambda x: (nets.grad(loss)(x) ** 2).sum()
    h = 1e-6
    slope = (f(nets.Tensor(x + h * v)).item() - f(nets.Tensor(x - h * v)).item()) / (2 * h)
    np.testing.assert_allclose((derivative(x).numpy() * v).sum(), slope, rtol=1e-5)


def test_traced_and_eager_gradients_agree() -> None:
    x = np.random.default_rng(6).normal(size=(8, 5))
    leaf = nets.Tensor(x, requires_grad=True)
    (shift(leaf) ** 2).sum().backward()
    traced = nets.trace(nets.grad(lambda x: (shift(x) ** 2).sum()))
    np.testing.assert_allclose(traced(x), leaf.grad, rtol=1e-12)


def test_an_exported_library_moves_windows(tmp_path: Path) -> None:
    traced = nets.trace(lambda x, i: nets.dynamic_update_slice(x, nets.dynamic_slice(x, i, 2), -i))
    x = np.arange(6.0)
    nets.export(tmp_path / "windows", move=traced.lower(x, np.int64(0)))
    library = nets.load(tmp_path / "windows.so")
    for i in (-9, -1, 1, 3, 9):
        assert np.array_equal(library.move(x, i), traced(x, np.int64(i)))
