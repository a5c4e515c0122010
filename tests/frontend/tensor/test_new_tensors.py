"""Functions give another tensor than their argument, also where they find nothing to do.

Every public function, method and layer is called with arguments that may leave nothing to be
done: numbers and shapes that fit whatever is asked for, and tensors of every kind. What a call
refuses is left out; each name must take some of them.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.frontend.tensor import functions
from nets.nn import functional

RNG = np.random.default_rng(0)
ARRAYS = [
    np.array(RNG.uniform(0.5, 2, shape)).astype(dtype)
    for shape, dtypes in [((2, 3), "dB?"), ((1,), "d"), ((), "d"), ((0, 2), "d"), ((1, 1, 1), "f")]
    for dtype in dtypes
]

CONVERSIONS = {"as_tensor", "asarray"}
"""Give their argument back where it is a tensor, as NumPy's do with arrays."""

WITHOUT_TENSOR = {"arange", "eye", "linspace", "ones", "zeros", "from_dlpack"}
"""Take sizes, bounds, or what another library made."""

VIEWS = {
    *("slice", "flip", "broadcast_arrays", "broadcast_to", "expand_dims", "flatten", "reshape"),
    *("matrix_transpose", "moveaxis", "permute_dims", "squeeze", "swapaxes", "transpose"),
    *("split", "ravel", "diag", "einsum", "T", "mT", "__getitem__", "__iter__"),
    *("view", "view_as", "reshape_as", "permute", "unsqueeze", "expand", "expand_as", "t"),
    *("swapdims", "select", "narrow", "chunk", "split_with_sizes", "tensor_split", "unbind"),
    *("unflatten", "movedim", "contiguous", "to", "type_as", "cpu", "double", "float", "long"),
    *("int", "short", "char", "byte", "bool", "diagonal", "rot90", "fliplr", "flipud", "hsplit"),
    *("vsplit", "dsplit", "unstack", "atleast_1d", "atleast_2d", "atleast_3d"),
}
"""Names under which NumPy gives, or may give, the memory of the argument."""


SPECIAL: dict[str, Callable[[Any], list[tuple[Any, ...]]]] = {
    "chunk": lambda x: [(x, 1), (x, 2)],
    "mv": lambda x: [(x, np.ones(x.shape[-1]))],
    "mm": lambda x: [(x, x.T)],
    "bmm": lambda x: [(x, x.mT)],
    "unfold": lambda x: [(x, -1, 1, 1)],
    "unflatten": lambda x: [(x, 0, (1, -1))],
    "movedim": lambda x: [(x, 0, 0)],
    "index_copy": lambda x: [(x, 0, [0], x[:1]), (x, 0, [], x[:0])],
    "index_fill": lambda x: [(x, 0, [0], 1)],
    "index_add": lambda x: [(x, 0, [0], x[:1])],
    "scatter": lambda x: [(x, 0, np.zeros(x.shape, int), x)],
    "scatter_add": lambda x: [(x, 0, np.zeros(x.shape, int), x)],
    "scatter_reduce": lambda x: [(x, 0, np.zeros(x.shape, int), x, "amax")],
    "bincount": lambda x: [(nets.Tensor([1, 2]),)],
    "index_put": lambda x: [(x, ([0],), 1)],
    "put": lambda x: [(x, [0], x.flatten()[:1])],
    "masked_fill": lambda x: [(x, x > 0, 1)],
    "masked_select": lambda x: [(x, np.ones(x.shape, bool))],
    "addmm": lambda x: [(x, np.ones((2, 1)), np.ones((1, 3)))],
    "addbmm": lambda x: [(x, np.ones((1, 2, 1)), np.ones((1, 1, 3)))],
    "baddbmm": lambda x: [(x, np.ones((1, 1, 1)), np.ones((1, 1, 1)))],
    "addmv": lambda x: [(x, np.ones((1, 1)), np.ones(1))],
    "addr": lambda x: [(x, np.ones(2), np.ones(3))],
    "select_scatter": lambda x: [(x, x[0], 0, 0)],
    "diag_embed": lambda x: [(x,)],
    "narrow": lambda x: [(x, 0, 0, 1), (x, 0, 0, x.shape[0])],
}
"""Calls of what takes arguments that the others do not."""


def more_arguments(x: Any) -> Iterator[tuple[Any, ...]]:
    """What may follow a tensor: numbers, shapes, orders, dtypes, and the tensor once more."""
    yield from [(), (0,), (1,), ((),), (None, None), ((), ()), (0, 0), (1, 1)]
    yield from [(x.shape,), (tuple(range(x.ndim)),), (x.dtype,), ([0],), (slice(None),)]
    yield from [(x,), (x, x), (x.shape, x), (0, x)]


def first_calls(function: Callable[..., Any], x: Any) -> Iterator[tuple[Any, ...]]:
    """Arguments to try, the tensor among them at the place a function may want it."""
    name = getattr(function, "__name__", "")
    if name == "full":
        yield (x.shape, x)
    elif name == "einsum":
        letters = "abcd"[: x.ndim]
        yield from [(letters, x), (f"{letters}->{letters}", x), ("...", x)]
    elif name == "check_positions":
        yield (x, 9)
    elif name == "dynamic_update_slice":
        yield (x, x, (0,) * x.ndim)
    elif name in ("concatenate", "stack", "cat"):
        yield from [([x],), ([x], 0), ([x], None)]
    elif name in SPECIAL:
        with contextlib.suppress(nets.errors.NetsError, IndexError):
            yield from SPECIAL[name](x)
    else:
        yield from ((x, *more) for more in more_arguments(x))


def tensors(result: Any) -> list[nets.Tensor]:
    if isinstance(result, (list, tuple)):
        return [tensor for part in result for tensor in tensors(part)]
    return [result] if isinstance(result, nets.Tensor) else []


def accepted(function: Callable[..., Any], x: nets.Tensor) -> Iterator[Any]:
    """The results of the calls that are not refused."""
    for arguments in first_calls(function, x):
        try:
            yield function(*arguments)
        except Exception:
            continue


def change(x: nets.Tensor, number: int) -> None:
    """Give a tensor other elements, in one of the two ways there are, by turns."""
    if x.dtype == np.bool_:
        x[...] = 1 - x
    elif number % 2:
        x[...] = x + 1
    else:
        x *= 3


def is_another(function: Callable[..., Any], x: nets.Tensor, is_view: bool) -> int:
    """The number of results seen, after checking that none is x nor changes it."""
    seen = 0
    for result in accepted(function, x):
        for tensor in tensors(result):
            seen += 1
            assert tensor is not x
            if is_view:
                continue  # what is written to it reaches x, as in NumPy
            value = x._value
            change(tensor, seen)
            assert x._value is value
    return seen


def check(function: Callable[..., Any], is_view: bool = False) -> None:
    seen = 0
    for array in ARRAYS:
        seen += is_another(function, nets.Tensor(array), is_view)
        if array.dtype == np.float64:
            seen += is_another(function, nets.Tensor(array, requires_grad=True), is_view)
    assert seen, "none of the arguments fits"


PUBLIC = sorted(set(functions.__all__) - CONVERSIONS - WITHOUT_TENSOR - {"numel"})


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.sampled(3)
def test_functions(name: str) -> None:
    check(getattr(nets, name), name in VIEWS)


NEEDING_MORE = {
    *(
        *("batch_norm", "conv2d", "conv_transpose2d", "cross_entropy", "linear_cross_entropy"),
        *("nll_loss", "adaptive_avg_pool3d"),
    ),
    *("adaptive_max_pool3d", "affine_grid", "avg_pool3d", "conv3d", "conv_transpose3d", "ctc_loss"),
    *("cosine_embedding_loss", "dropout3d", "grid_sample", "instance_norm", "lp_pool3d"),
    *("max_pool3d", "max_unpool1d", "max_unpool2d", "max_unpool3d", "unfold", "upsample_bilinear"),
}
"""Functions of several tensors, none of which could be the result."""


@pytest.mark.parametrize("name", sorted(set(functional.__all__) - NEEDING_MORE))
@pytest.mark.sampled(3)
def test_functional(name: str) -> None:
    check(getattr(functional, name))


WITHOUT_RESULT = {
    *("numel", "nelement", "dim", "ndimension", "is_contiguous", "is_floating_point", "equal"),
    *("is_complex", "is_signed", "element_size", "retain_grad", "new_tensor"),
    *("to_device", "allclose"),
}
"""Methods that give no tensor, or one that has nothing of theirs."""

METHODS = [
    name
    for name, member in inspect.getmembers(nets.Tensor)
    if inspect.isfunction(member)
    and (not name.startswith("_") or name in ("__pos__", "__abs__", "__pow__", "__getitem__"))
    and name not in ("backward", "item", "numpy", "tolist", "zero_grad")
    and not name.endswith("_")  # what gives the tensor itself
    and name not in WITHOUT_RESULT
]


@pytest.mark.parametrize("name", METHODS)
def test_methods(name: str) -> None:
    check(getattr(nets.Tensor, name), name in VIEWS)


@pytest.mark.parametrize("name", ["T", "mT", "grad"])
def test_properties(name: str) -> None:
    check(lambda x: getattr(x, name), is_view=True)


def is_activation(name: str) -> bool:
    return getattr(getattr(nn, name), "__module__", "") == "nets.nn.activation"


LAYERS = [
    nn.Identity(),
    nn.Sequential(),
    nn.Sequential(nn.Identity()),
    nn.Dropout(0.0),
    nn.Dropout(0.5).eval(),
    nn.Flatten(),
    nn.Flatten(0, 0),
    nn.AvgPool1d(1),
    nn.AvgPool2d(1),
    nn.MaxPool1d(1),
    nn.MaxPool2d(1),
    *(getattr(nn, name)() for name in nn.__all__ if is_activation(name) and name != "Threshold"),
    nn.Threshold(-9.0, 0.0),
]
"""Layers that may have nothing to do."""


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_layers(layer: nn.Module) -> None:
    check(layer, isinstance(layer, nn.Flatten))


TRACED = [np.ones((2, 3)), np.array(2.0), np.ones((1, 1, 4), np.int64), np.ones(1, bool)]


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.sampled(4)
def test_functions_in_a_trace(name: str) -> None:
    outside = [nets.Tensor(array) for array in TRACED]

    def called(*arguments: nets.Tensor) -> int:
        given = (*arguments, *outside)
        assert sum(is_another(getattr(nets, name), x, name in VIEWS) for x in given)
        return 0

    if name != "masked_select":  # which has no shape in a trace
        nets.trace(called).lower(*TRACED)


NOTHING_TO_DO: dict[str, Callable[[Any], Any]] = {
    "+x": lambda x: +x,
    "x ** 1": lambda x: x**1,
    "clip": nets.clip,
    "sum over no axes": lambda x: x.sum(axis=()),
    "astype": lambda x: x.astype(x.dtype),
    "einsum": lambda x: nets.einsum("a->a", x),
    "roll": lambda x: nets.roll(x, 0),
    "full": lambda x: nets.full(x.shape, x),
    "broadcast_arrays": lambda x: nets.broadcast_arrays(x, x)[1],
    "dropout": lambda x: functional.dropout(x, 0.0),
    "Identity": nn.Identity(),
}


@pytest.mark.parametrize("function", NOTHING_TO_DO.values(), ids=NOTHING_TO_DO.keys())
def test_gradients_pass_and_are_kept_apart(function: Callable[[Any], Any]) -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    y = function(x)
    assert y.requires_grad
    assert not y.is_leaf
    (2 * y + 3 * x).sum().backward()
    assert np.array_equal(x.grad, [5, 5])
    assert np.array_equal(y.grad, [2, 2])
    y.zero_grad()
    assert np.array_equal(x.grad, [5, 5])
    assert nets.grad(lambda v: (2 * function(v) + 3 * v).sum())(x).tolist() == [5, 5]


@pytest.mark.parametrize("function", NOTHING_TO_DO.values(), ids=NOTHING_TO_DO.keys())
def test_nothing_is_recorded_without_need(function: Callable[[Any], Any]) -> None:
    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    with nets.no_grad():
        assert not function(x).requires_grad
    constant = nets.Tensor([1.0, 2.0])
    function(constant).requires_grad = True
    assert not constant.requires_grad


NEW = {name: f for name, f in NOTHING_TO_DO.items() if name not in ("einsum", "broadcast_arrays")}
"""Those that give no views."""


@pytest.mark.parametrize("function", NEW.values(), ids=NEW.keys())
def test_arguments_and_state_of_a_traced_function_stay(function: Callable[[Any], Any]) -> None:
    state = nets.Tensor([5.0, 6.0])

    @nets.trace
    def f(x: nets.Tensor) -> nets.Tensor:
        y, z = function(x), function(state)
        y += 1
        z *= 2
        return x + y + z

    assert f(nets.Tensor([1.0, 2.0])).tolist() == [13, 17]
    assert state.tolist() == [5, 6]


LOOPS: dict[str, Callable[[Any, Any], Any]] = {
    "fori_loop": lambda f, x: nets.fori_loop(0, 2, lambda i, c: f(c), x),
    "no step": lambda f, x: nets.fori_loop(0, 0, lambda i, c: f(c), x),
    "while_loop": lambda f, x: nets.while_loop(lambda c: c.sum() < 6, f, x),
    "scan": lambda f, x: nets.scan(lambda c, _: (f(c), 0), x, length=2)[0],
}


def added_in_place(x: nets.Tensor) -> nets.Tensor:
    x += 1
    return x


@pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS.keys())
def test_loops_start_from_a_tensor_of_their_own(loop: Callable[[Any, Any], Any]) -> None:
    x = nets.Tensor([1.0, 2.0])
    assert loop(added_in_place, x) is not x
    assert x.tolist() == [1, 2]
