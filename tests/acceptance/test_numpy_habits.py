"""What somebody who knows NumPy types without looking anything up, eager and traced."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ControlFlowError, DTypeError, NetsError, ShapeError, UnsupportedObjectError

BOOLS = np.array([True, False, True, False]), np.array([True, True, False, False])
X = np.arange(24.0).reshape(2, 3, 4) - 7


def same(found: Any, expected: Any) -> None:
    """The same values, shape and dtype."""
    expected = np.asarray(expected)
    assert isinstance(found, nets.Tensor)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found.numpy(), expected)


def both(function: Callable[..., Any], *arrays: np.ndarray) -> None:
    """Eager and traced results are NumPy's."""
    with np.errstate(all="ignore"):
        expected = function(*arrays)
    same(function(*map(nets.Tensor, arrays)), expected)
    same(nets.trace(function)(*arrays), expected)


# ------------------------------------------------------------------------- operators


@pytest.mark.parametrize(
    "name", ["add", "mul", "floordiv", "mod", "pow", "lshift", "rshift", "and_", "xor", "lt"]
)
def test_arithmetic_of_bools(name: str) -> None:
    both(getattr(operator, name), *BOOLS)


def test_bools_that_have_no_difference() -> None:
    for refused in (operator.sub, lambda x, _: -x):
        with pytest.raises(DTypeError):
            refused(*map(nets.Tensor, BOOLS))


def test_divmod() -> None:
    for found, expected in zip(divmod(7, nets.Tensor([2, -3])), divmod(7, np.array([2, -3])),
                               strict=True):  # fmt: skip
        same(found, expected)


def test_a_root_of_minus_infinity_is_that_of_pow() -> None:
    x = np.array([-np.inf, -0.0, 4.0])
    same(nets.Tensor(x) ** 0.5, [np.inf, 0.0, 2.0])
    same(nets.trace(lambda x: x**0.5)(x), [np.inf, 0.0, 2.0])


@pytest.mark.parametrize("name", ["sum", "prod", "mean", "var", "std", "max", "min"])
def test_numpys_reductions_take_tensors(name: str) -> None:
    reduce = getattr(np, name)
    x = nets.Tensor(X, requires_grad=True)
    for options in ({}, {"axis": 1}, {"axis": (0, -1), "keepdims": True}):
        found = reduce(x, **options)
        assert found.requires_grad
        np.testing.assert_allclose(found.numpy(), reduce(X, **options), rtol=1e-15)
        traced = nets.trace(lambda x, options=options: reduce(x, **options))(X)
        np.testing.assert_allclose(traced.numpy(), reduce(X, **options), rtol=1e-15)
    with pytest.raises(UnsupportedObjectError, match="takes no out"):
        reduce(x, out=np.zeros(()))


def test_results_keep_the_dtype_numpy_gives() -> None:
    small = np.array([[3, 4]], np.uint8)
    same(nets.vecdot(small, small), np.vecdot(small, small))
    same(nets.vecdot(*BOOLS), np.vecdot(*BOOLS))
    same(nets.pad(BOOLS[0], 1), np.pad(BOOLS[0], 1))
    same(nets.pad(small, 1, 2.9), np.pad(small, 1, constant_values=2.9))
    same(nets.pad(small, 1, mode="constant"), np.pad(small, 1, mode="constant"))
    with pytest.raises(NetsError, match="no mode"):
        nets.pad(small, 1, mode="edges")


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_of_large_integers_are_exact(name: str) -> None:
    unsigned = np.array([2**63, 2**53 + 1, 0, 5, 2**64 - 1], np.uint64)
    signed = np.array([-1, 2**53, 0, 6, -1])
    compare = getattr(operator, name)
    both(compare, unsigned, signed)
    both(compare, signed, unsigned)
    both(lambda x: compare(x, 2**63), unsigned)
    both(lambda x: compare(x, 2**70), signed)


def test_names_of_dtypes_that_mean_two_things() -> None:
    for name in ("i8", "u8"):
        with pytest.raises(DTypeError, match="8 bytes in NumPy"):
            nets.Tensor([1], dtype=name)
        assert nets.Tensor([1], dtype=np.dtype(name)).dtype == np.dtype(name)
    assert nets.Tensor([1], dtype="i4").dtype == np.int32
    assert nets.Tensor([1], dtype="f32").dtype == np.float32


def test_bounds_may_be_tensors() -> None:
    same(nets.arange(nets.Tensor(3)), np.arange(3))
    same(nets.linspace(nets.Tensor(0.0), 1, 3), np.linspace(0, 1, 3))
    for count in (nets.arange, lambda n: nets.one_hot(n)):
        with pytest.raises(ControlFlowError):
            nets.trace(count)(3)
    same(nets.trace(lambda n: nets.linspace(0, n, 3))(3.0), np.linspace(0, 3.0, 3))
    with pytest.raises(DTypeError, match="no dtype"):
        nets.linspace("a", 1)


# --------------------------------------------------------------------------- indices


KEYS: tuple[Any, ...] = (
    True, False, np.array(True), np.zeros((0, 3), bool), (..., None, [0, 2]), ([0, 1], ..., [1, 3]),
    (slice(None, None, -2), None, slice(3, 0, -1)), [[1], [0]], (slice(None), X[0, :, 0] > -5), [],
    (0, slice(None), [1, -1]), np.uint8(1), (np.array([True, False]), 0),
)  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_reading(key: Any) -> None:
    x = X[:0] if isinstance(key, np.ndarray) and key.shape == (0, 3) else X
    both(lambda x: x[key], x)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_writing(key: Any) -> None:
    x = X[:0] if isinstance(key, np.ndarray) and key.shape == (0, 3) else X
    shape = x[key].shape
    for value in (5, np.arange(float(np.prod(shape))).reshape(shape), np.ones((1, *shape))):
        if shape[0] == 0 and np.ndim(value):
            continue

        def write(x: Any, value: Any = value) -> Any:
            x = x * 1
            x[key] = value
            return x

        both(write, x)


# -------------------------------------------------------------------------- in place


def test_in_place_operators_change_the_tensor_under_every_name() -> None:
    x = nets.Tensor([1.0, 2.0, 3.0])
    alias = x
    x += 1
    x *= np.array([1.0, 2.0, 3.0])
    x -= nets.Tensor(1.0)
    x /= 2
    x **= 2
    assert x is alias
    same(alias, np.array([0.5, 2.5, 5.5]) ** 2)
    bits = nets.Tensor([5, 6])
    bits <<= 1
    bits &= 12
    bits //= 4
    same(bits, np.array([2, 3]))
    square = nets.Tensor(np.eye(2))
    square @= np.full((2, 2), 3.0)
    same(square, np.full((2, 2), 3.0))


def test_in_place_operators_keep_shape_and_dtype() -> None:
    small = nets.Tensor(np.ones(2, np.float32))
    small += np.ones(2)
    assert small.dtype == np.float32
    whole = nets.Tensor([1, 2])
    with pytest.raises(DTypeError, match=r"x = x \+ y"):
        whole /= 2
    with pytest.raises(ShapeError, match=r"x = x \+ y"):
        whole += np.ones((2, 2), int)
    same(whole, np.array([1, 2]))
    array = np.ones(2)
    with pytest.raises(UnsupportedObjectError, match=r"x = x \+ t"):
        array += nets.Tensor([1.0, 2.0])


def test_gradients_pass_through_in_place_operators() -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y += x
    y *= y
    y.sum().backward()
    assert x.grad is not None
    same(x.grad, 18 * x.numpy())


@pytest.mark.parametrize("traced", [False, True])
def test_gradient_descent_as_it_is_written_by_hand(traced: bool) -> None:
    weights = [nets.Tensor([1.0, 2.0], requires_grad=True), nets.Tensor(5.0, requires_grad=True)]

    def step(rate: Any) -> Any:
        loss = ((weights[0] - 3) ** 2).sum() + weights[1] ** 2
        loss.backward()
        with nets.no_grad():
            for w in weights:
                w -= rate * w.grad
        for w in weights:
            w.zero_grad()
        return loss

    run = nets.trace(step) if traced else step
    losses = [run(0.25).item() for _ in range(3)]
    assert losses == [30.0, 7.5, 1.875]
    assert weights[0].tolist() == [2.75, 2.875]
    assert all(w.requires_grad and w.is_leaf for w in weights)


def test_a_python_number_is_replaced_not_changed() -> None:
    def total(start: Any, x: Any) -> Any:
        start += x.sum()
        start *= 2
        return start

    assert nets.trace(total)(1.0, np.ones(3)).item() == total(1.0, nets.Tensor([1.0] * 3)).item()


def test_no_gradient_passes_through_no_grad() -> None:
    def f(x: Any) -> Any:
        with nets.no_grad():
            constant = x.sum()
        return (x * constant).sum()

    x = np.array([1.0, 2.0])
    for function in (f, nets.trace(f)):
        assert nets.grad(function)(x).tolist() == [3, 3]
        t = nets.Tensor(x, requires_grad=True)
        function(t).backward()
        assert t.grad is not None
        assert t.grad.tolist() == [3, 3]


def test_whether_the_caller_records_is_no_part_of_a_program() -> None:
    f = nets.trace(lambda x: (x * x).sum())
    t = nets.Tensor([1.0, 2.0], requires_grad=True)
    with nets.no_grad():
        assert nets.grad(f)(t).tolist() == [2, 4]
        assert not f(t).requires_grad
    f(t).backward()
    assert t.grad is not None
    assert t.grad.tolist() == [2, 4]


# ----------------------------------------------------------------------------- sizes


def test_shapes_no_memory_could_hold() -> None:
    huge = 2**58
    for make in (
        lambda: nets.concatenate([nets.zeros(huge)] * 20),
        lambda: nets.zeros((huge, 1)) * nets.zeros((1, huge)),
        lambda: nets.spec(f"f32[{huge}, 4]"),
    ):
        with pytest.raises(ShapeError, match="too many elements"):
            make()
        with pytest.raises(NetsError, match="too many elements"):
            nets.trace(lambda make=make: make())()
    with pytest.raises(MemoryError):
        nets.zeros(2**45) + 1
