"""Views: which functions give them, and that writes through them reach every name."""

from __future__ import annotations

import copy
import gc
import queue
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import (
    DonatedError,
    GradientError,
    LeakedTracerError,
    MutatedArgumentError,
    ReadOnlyError,
    ShapeError,
)
from tests.frontend.tensor.small_stack import LONG, on_a_small_stack

SQUARE = np.arange(9.0).reshape(3, 3)


def shares(view: Callable[[Any], Any], array: Any) -> bool:
    """Does a write through the view reach the tensor?"""
    tensor = nets.Tensor(array)
    made = view(tensor)
    made[...] = -1.0
    return bool((tensor.numpy() == -1.0).any())


VIEWS = {
    "row": lambda x: x[1],
    "rows": lambda x: x[::-2],
    "column": lambda x: x[:, -1],
    "new axis": lambda x: x[None, 1],
    "everything": lambda x: x[...],
    "no slice at all": lambda x: x[()],
    "an element, as an array": lambda x: x[1, 1, ...],
    "T": lambda x: x.T,
    "mT": lambda x: x.mT,
    "T, cut": lambda x: x.T[0],
    "reshape": lambda x: x.reshape(-1),
    "the same shape": lambda x: x.reshape(3, 3),
    "reshape of rows": lambda x: x[1:].reshape(-1),
    "reshape of a flip": lambda x: x[::-1, ::-1].reshape(-1),
    "swapaxes": lambda x: x.swapaxes(0, 1),
    "squeeze of nothing": lambda x: x.squeeze(),
    "transpose": lambda x: x.transpose(),
}
COPIES = {
    "integers": lambda x: x[[0, 1]],
    "integers beside a slice": lambda x: x[1:, [0, 1]],
    "mask": lambda x: x[x > 2],
    "an array of one index": lambda x: x[np.array(1)],
    "reshape after T": lambda x: x.T.reshape(-1),
    "reshape of columns": lambda x: x[:, :2].reshape(-1),
    "flatten": lambda x: x.flatten(),
    "arithmetic": lambda x: x + 0,
    "an element": lambda x: x[1, 1] + np.zeros(1) * 0,
    "repeat": lambda x: x.repeat(1, 0),
    "take": lambda x: x.take(np.array([0, 1, 2]), 0),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_those_of_numpy(name: str) -> None:
    array = SQUARE.copy()
    VIEWS[name](array)[...] = -1.0
    assert (array == -1.0).any()
    tensor = nets.Tensor(SQUARE)
    VIEWS[name](tensor)[...] = -1.0
    np.testing.assert_array_equal(tensor.numpy(), array)


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_those_of_numpy(name: str) -> None:
    assert not np.shares_memory(COPIES[name](SQUARE), SQUARE)
    assert not shares(COPIES[name], SQUARE)


@pytest.mark.parametrize(
    ("mine", "numpys"),
    [
        (lambda x: nets.flip(x, 0), lambda x: np.flip(x, 0)),
        (lambda x: nets.moveaxis(x, 0, 1), lambda x: np.moveaxis(x, 0, 1)),
        (lambda x: nets.split(x, 3)[1], lambda x: np.split(x, 3)[1]),
        (lambda x: nets.permute_dims(x, (1, 0)), lambda x: np.transpose(x, (1, 0))),
        (lambda x: nets.matrix_transpose(x), lambda x: np.matrix_transpose(x)),
        (lambda x: nets.einsum("ij->ji", x), lambda x: np.einsum("ij->ji", x)),
        (lambda x: nets.einsum("ii->i", x), lambda x: np.einsum("ii->i", x)),
        (lambda x: nets.expand_dims(x, 1), lambda x: np.expand_dims(x, 1)),
        (lambda x: nets.tile(x, (1, 1)), lambda x: np.tile(x, (1, 1))),
        (lambda x: nets.concatenate([x]), lambda x: np.concatenate([x])),
        (lambda x: nets.stack([x]), lambda x: np.stack([x])),
    ],
)
def test_functions_share_as_numpys_do(
    mine: Callable[[Any], Any], numpys: Callable[[Any], Any]
) -> None:
    array, tensor = SQUARE.copy(), nets.Tensor(SQUARE)
    numpys(array)[0] = 7.0
    mine(tensor)[0] = 7.0
    np.testing.assert_array_equal(tensor.numpy(), array)


def random_path(rng: np.random.Generator, x: Any, array: Any) -> tuple[Any, Any]:
    """A tensor and an array after the same steps, which are views."""
    for _ in range(rng.integers(1, 4)):
        kind = rng.integers(3)
        if kind == 0:
            axes = tuple(map(int, rng.permutation(array.ndim)))
            x, array = nets.transpose(x, axes), np.transpose(array, axes)
        elif kind == 1:
            cut = tuple(slice(None, None, int(rng.choice([1, 2, -1]))) for _ in array.shape)
            x, array = x[cut], array[cut]
        elif array.size % 2 == 0:
            sizes = [(2, array.size // 2), (array.size // 2, 2, 1), (1, array.size)]
            shape = sizes[rng.integers(3)]
            x, array = x.reshape(shape), array.reshape(shape)
    return x, array


def test_reshape_copies_exactly_where_numpy_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        base = np.arange(24.0).reshape(2, 3, 4)
        root = nets.Tensor(base)
        view, array = random_path(rng, root, base)
        view[...], array[...] = -1.0, -1.0
        np.testing.assert_array_equal(root.numpy(), base)


def test_iteration_gives_views() -> None:
    x = nets.Tensor(SQUARE)
    for row in x:
        row += 1
    np.testing.assert_array_equal(x.numpy(), SQUARE + 1)


def test_an_element_is_a_number_of_its_own() -> None:
    x = nets.Tensor([1.0, 2.0])
    first = x[0]
    first += 1
    assert x.tolist() == [1.0, 2.0]
    x[0] += 1
    assert x.tolist() == [2.0, 2.0]


def test_every_alias_sees_a_write() -> None:
    x = nets.Tensor(SQUARE)
    row, column, flat = x[1], x.T[1], x.reshape(9)
    row *= 10
    assert column.tolist() == [1.0, 40.0, 7.0]
    flat[4] = -5.0
    assert row.tolist() == [30.0, -5.0, 50.0]
    x.data = np.zeros((3, 3))
    assert row.tolist() == column.tolist() == [0.0, 0.0, 0.0]
    column.data = [1, 2, 3]
    assert x.tolist() == [[0.0, 1.0, 0.0], [0.0, 2.0, 0.0], [0.0, 3.0, 0.0]]
    with pytest.raises(ShapeError, match="cannot take data"):
        column.data = [1.0]


def test_assigning_to_an_attribute_that_is_a_view() -> None:
    x = nets.Tensor(SQUARE)
    x.T += [1.0, 2.0, 3.0]
    x.mT *= 2
    np.testing.assert_array_equal(x.numpy(), 2 * SQUARE + [[2.0], [4.0], [6.0]])
    x.T = nets.zeros((3, 3))
    assert not x.any()


def test_broadcast_views_are_read_only() -> None:
    x = nets.Tensor([1.0, 2.0])
    wide = nets.broadcast_to(x, (3, 2))
    x[0] = 5.0
    assert wide[2].tolist() == [5.0, 2.0]
    for write in (lambda: wide.__iadd__(1), lambda: wide.T.__setitem__(0, 1.0)):
        with pytest.raises(ReadOnlyError, match=r"test_views\.py"):
            write()
    copied = copy.copy(wide)
    copied += 1
    assert x.tolist() == [5.0, 2.0]


def test_copies_of_views_are_tensors_of_their_own() -> None:
    x = nets.Tensor(SQUARE)
    for made in (copy.copy(x[0]), copy.deepcopy(x[0]), nets.Tensor(x[0]), x[0].detach()):
        made += 1
        assert type(made) is nets.Tensor
    np.testing.assert_array_equal(x.numpy(), SQUARE)


def test_masks_take_views_of_the_same_tensor() -> None:
    x = nets.Tensor(SQUARE)
    x[x > 4] = x[0, 1:2]
    np.testing.assert_array_equal(x.numpy(), np.where(SQUARE > 4, 1.0, SQUARE))
    x[True] = x[0]
    np.testing.assert_array_equal(x.numpy(), [[0.0, 1.0, 2.0]] * 3)
    traced = nets.trace(lambda y: x.__setitem__(y > 4, x[0, 2, ...]))
    traced(SQUARE)
    np.testing.assert_array_equal(x.numpy(), np.where(SQUARE > 4, 2.0, [[0.0, 1.0, 2.0]] * 3))


# ---------------------------------------------------------------------------- gradients


def test_gradients_of_what_is_written_and_of_what_is_not() -> None:
    x, y = nets.Tensor(SQUARE, requires_grad=True), nets.Tensor(2.0, requires_grad=True)
    z = x * 1
    row = z[0]
    row *= y
    (z * SQUARE).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), SQUARE * [[2.0], [1.0], [1.0]])
    assert y.grad.item() == (SQUARE[0] ** 2).sum()
    np.testing.assert_array_equal(z.grad.numpy(), SQUARE)


def test_views_keep_gradients_of_their_own() -> None:
    x = nets.Tensor(SQUARE, requires_grad=True)
    row = x[0]
    assert row.requires_grad
    assert not row.is_leaf
    (row * 3).sum().backward()
    assert row.grad.tolist() == [3.0, 3.0, 3.0]
    with nets.no_grad():
        row -= 1
    assert row.grad.tolist() == [3.0, 3.0, 3.0]
    assert x.is_leaf
    assert row.requires_grad
    (row * 2).sum().backward()
    assert x.grad[0].tolist() == [5.0, 5.0, 5.0]


def test_a_view_made_under_no_grad_is_constant_until_it_is_written() -> None:
    x, y = nets.Tensor(SQUARE, requires_grad=True), nets.Tensor(1.0, requires_grad=True)
    z = x * 1
    with nets.no_grad():
        row = z[0]
    z[0] = z[0] * 2
    assert not row.requires_grad
    row += y
    row.sum().backward()
    assert y.grad.item() == 3.0
    assert not x.grad.any()


def test_optimisers_and_views() -> None:
    x = nets.Tensor(np.ones((2, 2)), requires_grad=True)
    row = x[0]
    optimizer = nets.optim.SGD([x], lr=0.5)
    for expected in (0.5, 0.0):
        optimizer.zero_grad()
        row.sum().backward()
        optimizer.step()
        assert row.tolist() == [expected, expected]


# -------------------------------------------------------------------------------- traces


def test_a_traced_function_writes_through_views_of_its_state() -> None:
    x = nets.Tensor(np.zeros((2, 3)))
    before = x[1]

    @nets.trace
    def step(y: Any) -> Any:
        for row in x:
            row += y
        x.T[0] = 7.0
        before[1:] *= 2
        return before.sum(), x

    for call in range(1, 4):
        total, result = step(1.0)
        plain = [7.0, [2.0, 6.0, 14.0][call - 1], [2.0, 6.0, 14.0][call - 1]]
        assert before.tolist() == x[1].tolist() == plain
        assert total.item() == sum(plain)
        assert result is x
    assert step.stats()["traces"] == 1


def test_views_as_arguments_take_the_native_road() -> None:
    x = nets.Tensor(SQUARE)
    row = x[0]
    double = nets.trace(lambda y: y * 2)
    double(row)
    before = double.stats()["python_calls"]
    x[0] = 4.0
    assert double(row).tolist() == [8.0, 8.0, 8.0]
    assert double.stats()["python_calls"] == before


def test_native_updates_of_a_root_reach_its_views() -> None:
    x = nets.Tensor(np.zeros((2, 2)))

    @nets.trace
    def step() -> None:
        x[0] += 1

    step()
    row = x[0]
    for expected in (2.0, 3.0, 4.0):
        step()
        assert row.tolist() == [expected, expected]
    kept = row * 1
    step()
    step()
    assert kept.tolist() == [4.0, 4.0]
    assert row.tolist() == [6.0, 6.0]


def test_a_name_of_a_view_may_be_bound_to_another_one() -> None:
    x = nets.Tensor(SQUARE)
    holder = {"row": x[0]}
    traced = nets.trace(lambda y: y * holder["row"])
    assert traced(1.0).tolist() == [0.0, 1.0, 2.0]
    holder["row"] = x[1]
    assert traced(1.0).tolist() == [3.0, 4.0, 5.0]


def test_a_training_step_over_views() -> None:
    x = nets.Tensor(np.ones((2, 2)), requires_grad=True)
    row = x[0]

    def step(y: Any) -> Any:
        x.zero_grad()
        loss = (row * y).sum() + (x[1] * 2).sum()
        loss.backward()
        with nets.no_grad():
            for r, g in zip(x, x.grad, strict=True):
                r -= 0.25 * g
        return loss

    traced = nets.trace(step)
    losses = [traced(np.array([1.0, 2.0])).item() for _ in range(3)]
    assert losses == [7.0, 3.75, 0.5]
    assert row.tolist() == [0.25, -0.5]
    assert x.is_leaf


def test_arguments_are_left_as_they_are() -> None:
    def change(x: Any) -> Any:
        row = x[0]
        row += 1
        return x

    with pytest.raises(MutatedArgumentError, match=r"row \+= 1"):
        nets.trace(change)(SQUARE)


@pytest.mark.parametrize("inside", [False, True])
def test_branches_refuse_writes_through_views(inside: bool) -> None:
    x = nets.Tensor(np.zeros((2, 2)))
    row = x[0]

    def write(y: Any) -> Any:
        (x[0] if inside else row)[...] = y
        return y

    traced = nets.trace(lambda y: nets.cond(y > 0, write, lambda y: y, y))
    with pytest.raises(MutatedArgumentError, match="return what is new"):
        traced(1.0)
    assert not x.any()
    assert not row.any()


@pytest.mark.parametrize("number", [1, -1])
def test_a_traced_number_gives_a_view_as_any_number(number: int) -> None:
    def change(x: Any, i: Any) -> Any:
        x = x * 1
        row = x[i]
        row += 10
        x[:, i] *= 2
        return x

    wanted = change(SQUARE, number)
    np.testing.assert_array_equal(nets.trace(change)(SQUARE, number).numpy(), wanted)


def test_loops_write_through_views_of_what_they_carry() -> None:
    def body(i: Any, x: Any) -> Any:
        x = x * 1
        row = x[i]
        row += i
        x.T[i] -= 1
        return x

    def loop(x: Any) -> Any:
        return nets.fori_loop(0, 3, body, x)

    wanted = loop(nets.Tensor(SQUARE)).numpy()
    np.testing.assert_array_equal(nets.trace(loop)(SQUARE).numpy(), wanted)
    gradient = nets.grad(lambda x: (loop(x) ** 2).sum())(SQUARE)
    np.testing.assert_array_equal(gradient.numpy(), 2 * wanted)


def test_a_transform_inside_a_trace_writes_through_a_view() -> None:
    x = nets.Tensor(np.ones((2, 2)))
    row = x[0]

    def loss(y: Any) -> Any:
        row[...] = row + 1
        return (y * row).sum()

    traced = nets.trace(lambda y: (nets.grad(loss)(y), row * 1))
    for expected in (2.0, 3.0):
        assert [r.tolist() for r in traced(np.ones(2))] == [[expected] * 2] * 2
        assert x.tolist() == [[expected] * 2, [1.0] * 2]


def test_views_of_a_trace_that_is_over() -> None:
    x = nets.Tensor(SQUARE)
    hidden: Any = queue.SimpleQueue()

    def leak(y: Any) -> Any:
        hidden.put(x[0])
        hidden.put((y * 1)[0])
        return y

    nets.trace(leak)(SQUARE)
    x[0] = 1.0
    for view in (hidden.get(), hidden.get()):
        with pytest.raises(LeakedTracerError):
            view + 1


def test_a_failing_trace_leaves_views_alone() -> None:
    x = nets.Tensor(SQUARE)
    row = x[0]

    def fail(y: Any) -> Any:
        row[...] = y
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        nets.trace(fail)(1.0)
    assert row.tolist() == [0.0, 1.0, 2.0]
    np.testing.assert_array_equal(x.numpy(), SQUARE)


def test_the_gradient_of_a_view_in_a_trace_is_that_of_its_root() -> None:
    row = nets.Tensor(SQUARE, requires_grad=True)[0]

    def step(x: Any) -> Any:
        return row.grad * x

    with pytest.raises(GradientError, match="the tensor it was made of"):
        nets.trace(step)(1.0)


def test_donated_roots_and_donated_views() -> None:
    x = nets.Tensor(SQUARE)
    row = x[0]
    donating = nets.trace(lambda y: y + 1, donate_argnums=0)
    for _ in range(3):
        assert donating(x[1]).tolist() == [4.0, 5.0, 6.0]
    donating(x)
    assert repr(row) == "tensor(donated)"
    with pytest.raises(DonatedError):
        row + 1


def test_exports_read_views_from_their_roots(tmp_path: Path) -> None:
    x = nets.Tensor(np.zeros((2, 2)))
    row = x[0]

    @nets.trace
    def step() -> Any:
        x.T[0] += 1
        return row * 1

    nets.export(str(tmp_path / "lib"), formats=("so",), step=step.lower())
    lib = nets.load(str(tmp_path / "lib.so"))
    assert [np.asarray(lib.step())[0] for _ in range(3)] == [1.0, 2.0, 3.0]


# -------------------------------------------------------------------------------- memory


@on_a_small_stack
@pytest.mark.long
def test_long_chains_of_views() -> None:
    x = nets.Tensor(np.zeros(3001))
    whole = x
    for _ in range(3000):
        x = x[1:]
    x += 1
    assert whole[3000].item() == 1.0
    y = nets.Tensor(np.zeros((2, 3)))
    for _ in range(LONG):
        y = nets.flip(y.reshape(6), 0).reshape(2, 3)
    del y
    gc.collect()


def test_a_view_keeps_its_root_and_nobody_keeps_a_view() -> None:
    x = nets.Tensor(SQUARE)
    row, ghost = x[0], weakref.ref(x)
    del x
    assert ghost() is not None
    row += 1
    del row
    assert ghost() is None
