"""The eager tensor: making, printing, converting, comparing, copying; and what it refuses."""

from __future__ import annotations

import copy
import math
import operator
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import (
    ControlFlowError,
    DTypeError,
    GradientError,
    IndexOutOfBoundsError,
    LeakedTracerError,
    NetsError,
    ReadOnlyError,
    ShapeError,
    TraceError,
    UnsupportedObjectError,
)
from nets.frontend.tensor.scope import Scope, enter
from nets.ir.core import Function
from nets.ir.types import DType, TensorType, f32, f64


def traced(shape: tuple[int, ...] = (), dtype: DType = f64) -> tuple[Scope, nets.Tensor]:
    """A scope, and its one argument as a tensor."""
    scope = Scope(Function("f", [TensorType(shape, dtype)], ["x"]))
    return scope, nets.Tensor._of(scope.function.arguments[0])


# ---------------------------------------------------------------------------------- making


@pytest.mark.parametrize(
    ("data", "dtype", "shape"),
    [
        ([1, 3], "int64", (2,)),
        ([1.0, 3], "float64", (2,)),
        ([True], "bool", (1,)),
        (2.5, "float64", ()),
        ([], "float64", (0,)),
        ([[], []], "float64", (2, 0)),
        (np.float32(2), "float32", ()),
        (range(3), "int64", (3,)),
        (np.arange(6, dtype=">i4").reshape(2, 3), "int32", (2, 3)),
        (np.arange(6.0).reshape(2, 3).T, "float64", (3, 2)),
        (np.arange(6.0)[::-2], "float64", (3,)),
        (np.broadcast_to(np.float32(1), (2, 2)), "float32", (2, 2)),
        (memoryview(b"ab"), "uint8", (2,)),
        ([[1, 2], (3, 4)], "int64", (2, 2)),
    ],
)
def test_a_tensor_has_the_dtype_and_shape_numpy_gives(
    data: Any, dtype: str, shape: tuple[int, ...]
) -> None:
    t = nets.Tensor(data)
    assert (t.dtype.name, t.shape, t.ndim, t.size) == (dtype, shape, len(shape), math.prod(shape))
    np.testing.assert_array_equal(t.data, np.array(data))
    assert t.dtype.isnative


def test_a_dtype_can_be_asked_for() -> None:
    assert nets.Tensor([1, 2], dtype=np.float32).dtype == np.float32
    assert nets.Tensor([1, 2], dtype="f32").dtype == np.float32
    assert nets.Tensor([1.9, -1.9, np.nan, 1e30], dtype=np.int8).tolist() == [1, -1, 0, 127]
    assert nets.Tensor(nets.Tensor([0, 2]), dtype=bool).tolist() == [False, True]


def test_the_data_is_copied() -> None:
    x = np.ones(3)
    t = nets.Tensor(x)
    x[0] = 5.0
    assert t.tolist() == [1.0, 1.0, 1.0]
    y = t.numpy()
    y[1] = 7.0
    assert t.tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(ValueError, match="read-only"):
        t.data[0] = 3.0
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(t)[0] = 3.0


class Elsewhere:
    """What a tensor of another library on another device looks like."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("can't convert a device tensor to numpy")


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([[1, 2], [3]], UnsupportedObjectError),
        (np.array([1, "a"], object), UnsupportedObjectError),
        (None, UnsupportedObjectError),
        ({"a": 1}, UnsupportedObjectError),
        (object(), UnsupportedObjectError),
        (Elsewhere(), UnsupportedObjectError),
        (np.ma.masked_array([1, 2], [True, False]), UnsupportedObjectError),
        ([1 + 2j], DTypeError),
        (np.float16(1), DTypeError),
        (np.longdouble(1), DTypeError),
        ("text", DTypeError),
        (["a", "b"], DTypeError),
        (b"bytes", DTypeError),
        (np.array(["2020-01-01"], "datetime64[D]"), DTypeError),
        (np.zeros(2, [("a", "f4")]), DTypeError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_is_no_tensor_is_refused_at_the_users_line(data: Any, error: type[NetsError]) -> None:
    with pytest.raises(error, match=r"test_tensor\.py"):
        nets.Tensor(data)
    with pytest.raises(error, match=r"test_tensor\.py"):
        nets.Tensor([1.0]) + data
    if type(data) is np.ndarray:  # masked arrays have operators of their own
        with pytest.raises(error):
            data + nets.Tensor([1.0])


def test_dtypes_that_do_not_exist() -> None:
    for dtype in ("complex64", "float16", "no such", object, "index", "M8[s]"):
        with pytest.raises(DTypeError):
            nets.Tensor([1], dtype=dtype)
        with pytest.raises(DTypeError):
            nets.Tensor([1]).astype(dtype)


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(DTypeError, match="300"):
        nets.Tensor([1], dtype=np.uint8) + 300
    with pytest.raises(DTypeError):
        nets.Tensor([1]) + 2**70
    with pytest.raises(UnsupportedObjectError):
        nets.Tensor(2**70)
    assert (nets.Tensor([1.0], dtype="f32") * 1e300).tolist() == [math.inf]


def test_dlpack_both_ways_without_a_copy() -> None:
    x = np.arange(4.0)
    t = nets.from_dlpack(x)
    x[0] = 9.0
    assert t.tolist()[0] == 9.0
    back = np.from_dlpack(nets.Tensor([1, 2]))
    assert back.tolist() == [1, 2]
    u = nets.Tensor([1.0, 2.0])
    assert np.shares_memory(np.from_dlpack(u), u.data)
    assert np.from_dlpack(nets.zeros((2, 2))).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(UnsupportedObjectError):
        nets.from_dlpack(Elsewhere())
    with pytest.raises(DTypeError):
        nets.from_dlpack(np.zeros(2, np.complex64))


# -------------------------------------------------------------------------------- printing


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (2, "tensor(2)"),
        (1 / 3, "tensor(0.3333)"),
        ([], "tensor([])"),
        ([True, False], "tensor([ True False])"),
        ([[1.5, 2], [3, 4]], "tensor([[1.5 2. ]\n        [3.  4. ]])"),
        ([np.nan, np.inf], "tensor([nan inf])"),
        (range(2000), "tensor([   0    1    2 ... 1997 1998 1999])"),
    ],
)
def test_printed_form(data: Any, text: str) -> None:
    assert str(nets.Tensor(data)) == text
    assert repr(nets.Tensor(data)) == text


def test_printing_does_not_depend_on_numpys_options() -> None:
    with np.printoptions(precision=1, threshold=3, sign="+"):
        assert str(nets.Tensor([1 / 3] * 5)) == "tensor([0.3333 0.3333 0.3333 0.3333 0.3333])"


def test_repr_names_other_dtypes_and_format_takes_numbers() -> None:
    t = nets.Tensor([1.0], dtype="f32")
    assert str(t) == "tensor([1.])"
    assert repr(t) == "tensor([1.], dtype=float32)"
    assert (
        repr(nets.Tensor([1.0], True, "f32")) == "tensor([1.], dtype=float32, requires_grad=True)"
    )
    assert f"{t:.2f} {t}" == "1.00 tensor([1.])"


def test_html_form() -> None:
    assert "<td>1.5</td>" in nets.Tensor([[1.5, 2.0]])._repr_html_()
    assert "1×2 float64" in nets.Tensor([[1.5, 2.0]])._repr_html_()
    assert "<pre>" in nets.Tensor(np.zeros((2, 2, 2)))._repr_html_()


# ------------------------------------------------------------------------------ conversion


def test_one_element_becomes_a_number() -> None:
    t = nets.Tensor([[2.5]])
    assert (t.item(), float(t), int(t), bool(t)) == (2.5, 2.5, 2, True)
    assert isinstance(nets.Tensor(3).item(), int)
    assert [10, 20, 30][nets.Tensor(1)] == 20
    assert list(range(nets.Tensor(2))) == [0, 1]
    for f in (float, int, bool, nets.Tensor.item):
        with pytest.raises(ShapeError):
            f(nets.Tensor([1, 2]))
    with pytest.raises(DTypeError):
        operator.index(nets.Tensor(1.0))


def test_numpy_takes_tensors() -> None:
    t = nets.Tensor([[1, 2], [3, 4]])
    assert np.asarray(t).dtype == np.int64
    assert np.asarray(t, dtype=np.float32).dtype == np.float32
    assert np.array(t).flags.writeable
    assert np.stack([t, t]).shape == (2, 2, 2)
    assert nets.Tensor([t, t]).shape == (2, 2, 2)


def test_functions_and_operators_of_numpy_give_tensors() -> None:
    t, x = nets.Tensor([1.0, 2.0], requires_grad=True), np.array([3.0, 4.0])
    for found, expected in (
        (np.exp(t), np.exp([1.0, 2.0])),
        (np.add(x, t), [4.0, 6.0]),
        (np.float64(2) * t, [2.0, 4.0]),
        (x / t, [3.0, 2.0]),
        (x @ t, 11.0),
        (np.absolute(-t), [1.0, 2.0]),
        (np.invert(nets.Tensor([True])), [False]),
        (x > t, [True, True]),
    ):
        assert isinstance(found, nets.Tensor)
        np.testing.assert_allclose(found.data, expected)
    assert np.exp(t).requires_grad
    with pytest.raises(UnsupportedObjectError, match=r"np\.add with out"):
        x += t
    with pytest.raises(UnsupportedObjectError, match=r"np\.bitwise_count"):
        np.bitwise_count(t)
    with pytest.raises(UnsupportedObjectError, match=r"np\.add\.reduce"):
        np.add.reduce(t)
    scope, y = traced()
    with enter(scope):
        assert np.exp(y).is_traced


def test_length_iteration_membership() -> None:
    t = nets.Tensor([[1, 2], [3, 4]])
    assert len(t) == 2
    assert [row.tolist() for row in t] == [[1, 2], [3, 4]]
    _, b = t
    assert b.tolist() == [3, 4]
    assert 3 in t
    assert 5 not in t
    with pytest.raises(ShapeError):
        len(nets.Tensor(1))
    with pytest.raises(ShapeError):
        iter(nets.Tensor(1))


def test_tensors_are_hashed_by_identity_and_compared_by_element() -> None:
    t, u = nets.Tensor([1, 2]), nets.Tensor([1, 3])
    assert (t == u).tolist() == [True, False]
    assert (t != u).tolist() == [False, True]
    assert len({t, u, t}) == 2
    assert (np.array([1, 3]) == t).tolist() == [True, False]


def test_copies_are_independent() -> None:
    t = nets.Tensor([1.0, 2.0], requires_grad=True)
    t.sum().backward()
    shallow, deep = copy.copy(t), copy.deepcopy(t)
    t[0] = 9.0
    t.zero_grad()
    assert shallow.tolist() == deep.tolist() == [1.0, 2.0]
    assert deep.requires_grad
    assert deep.grad is not None
    assert deep.grad.tolist() == [1.0, 1.0]


def test_new_data() -> None:
    t = nets.Tensor([1.0, 2.0], requires_grad=True)
    double = t * 2
    t.data = t.data - 0.5
    assert t.tolist() == [0.5, 1.5]
    assert double.tolist() == [2.0, 4.0]
    assert t.requires_grad
    assert t.is_leaf
    with pytest.raises(ShapeError):
        t.data = np.zeros(3)


METHODS: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (lambda t: t.sum(), lambda x: x.sum()),
    (lambda t: t.sum(0), lambda x: x.sum(0)),
    (lambda t: t.sum(axis=1, keepdims=True), lambda x: x.sum(axis=1, keepdims=True)),
    (lambda t: t.mean(), lambda x: x.mean()),
    (lambda t: t.prod(-1), lambda x: x.prod(-1)),
    (lambda t: t.max(), lambda x: x.max()),
    (lambda t: t.min(1), lambda x: x.min(1)),
    (lambda t: t.argmax(1), lambda x: x.argmax(1)),
    (lambda t: t.argmin(), lambda x: x.argmin()),
    (lambda t: t.var(), lambda x: x.var()),
    (lambda t: t.std(0), lambda x: x.std(0)),
    (lambda t: t.any(), lambda x: x.any()),
    (lambda t: t.all(0), lambda x: x.all(0)),
    (lambda t: t.cumsum(1), lambda x: x.cumsum(1)),
    (lambda t: t.exp().log().sqrt().tanh(), lambda x: np.tanh(np.sqrt(np.log(np.exp(x))))),
    (lambda t: t.sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
    (lambda t: t.relu(), lambda x: np.maximum(x, 0)),
    (lambda t: t.softmax(), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    (lambda t: t.abs().pow(2), lambda x: x * x),
    (lambda t: t.round(), lambda x: x.round()),
    (lambda t: t.clip(0.5, 1), lambda x: x.clip(0.5, 1)),
    (lambda t: t.dot(t.T), lambda x: x.dot(x.T)),
    (lambda t: t.flatten(), lambda x: x.flatten()),
    (lambda t: t.reshape(3, -1), lambda x: x.reshape(3, -1)),
    (lambda t: t.swapaxes(0, 1), lambda x: x.swapaxes(0, 1)),
    (lambda t: t.expand_dims(1).squeeze(1), lambda x: x),
    (lambda t: t.repeat(2, 0), lambda x: x.repeat(2, 0)),
    (lambda t: t.take([0, 1], 1), lambda x: x.take([0, 1], 1)),
    (lambda t: t.astype("i32"), lambda x: x.astype("i4")),
]


@pytest.mark.parametrize(("method", "expected"), METHODS)
def test_methods_are_the_functions(method: Any, expected: Any) -> None:
    x = np.array([[0.3, 1.7, 0.9], [2.2, 0.1, 1.4]])
    found = method(nets.Tensor(x))
    wanted = np.asarray(expected(x))
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found.data, wanted, rtol=1e-12)


def test_weak_numbers_give_way() -> None:
    x = nets.Tensor([1.0], dtype="f32")
    assert (x * nets.as_tensor(2.0)).dtype == np.float32
    assert (x * nets.Tensor(2.0)).dtype == np.float64
    assert (x * nets.exp(nets.as_tensor(2))).dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64
    assert (nets.as_tensor(2) * 3).dtype == np.int64


# ----------------------------------------------------------------------------------- traced


def test_inside_a_trace_operations_are_staged() -> None:
    scope, x = traced((2, 3), f32)
    with enter(scope):
        y = nets.relu(x @ np.ones((3, 2), np.float32)) * 2
        z = nets.zeros(4) + nets.Tensor([1, 2, 3, 4])
    assert y.is_traced
    assert z.is_traced
    assert str(y.type) == "tensor<2x2xf32>"
    assert str(z.type) == "tensor<4xf64>"
    assert {op.name for op in scope.function.body} >= {"matmul", "select", "constant", "multiply"}
    assert all("test_tensor.py" in str(op.location) for op in scope.function.body)


def test_the_value_of_a_traced_tensor_cannot_be_had() -> None:
    scope, x = traced()
    attempts: dict[str, Callable[[], Any]] = {
        r"nets\.where": lambda: bool(x > 0),
        r"int\(\)": lambda: int(x),
        r"float\(\)": lambda: float(x),
        r"x\[i\]": lambda: [1, 2][nets.astype(x, int)],
        "in place of NumPy": lambda: np.asarray(x),
        r"item\(\)": lambda: f"{x:.2f}",
        r"numpy\(\)": lambda: x.numpy(),
        r"tolist\(\)": lambda: x.tolist(),
    }
    with enter(scope):
        for advice, attempt in attempts.items():
            with pytest.raises(ControlFlowError, match=advice) as caught:
                attempt()
            assert "test_tensor.py" in str(caught.value)
            assert "'x' of type tensor<f64>" in str(caught.value) or "tensor<" in str(caught.value)
        assert str(x) == "tensor(traced tensor<f64>)"
        assert "traced" in x._repr_html_()
        assert x.grad is None
        assert not x.requires_grad


def test_masks_and_indices_inside_a_trace() -> None:
    scope, x = traced((3,), f64)
    with enter(scope):
        assert str(x[np.array([True, False, True])].type) == "tensor<2xf64>"
        assert str(x[nets.astype(x, int)].type) == "tensor<3xf64>"
        with pytest.raises(ControlFlowError, match=r"nets\.where"):
            x[x > 0]
        x[x > 0] = 0.0
        x[nets.argmax(x)] = 1.0
        with pytest.raises(DTypeError):
            x[x]


def test_a_trace_makes_no_tensors_with_gradients() -> None:
    scope, _ = traced()
    with enter(scope), pytest.raises(TraceError):
        nets.Tensor([1.0], requires_grad=True)


def test_a_leaked_tracer_says_where_it_was_made() -> None:
    scope, x = traced()
    with enter(scope):
        y = x + 1
    for attempt in (lambda: y + 1, lambda: bool(y), lambda: y.numpy()):
        with pytest.raises(LeakedTracerError, match="made here"):
            attempt()


# --------------------------------------------------------------------------------- refusals


def test_errors_show_the_line_and_the_expression() -> None:
    x, y = nets.Tensor(np.zeros((3, 4))), nets.Tensor(np.zeros(5))
    with pytest.raises(ShapeError) as caught:
        x + y
    text = str(caught.value)
    assert "(3, 4) and (5,)" in text
    assert "x + y" in text
    assert "^^^^^" in text


def test_each_mistake_has_its_class() -> None:
    t = nets.Tensor([1, 2, 3])
    mistakes: list[tuple[type[NetsError], type[Exception], Callable[[], Any]]] = [
        (IndexOutOfBoundsError, IndexError, lambda: t[3]),
        (DTypeError, TypeError, lambda: t[0.5]),
        (DTypeError, TypeError, lambda: t.astype(float) & 1),
        (ShapeError, ValueError, lambda: t.reshape(2, 2)),
        (ShapeError, ValueError, lambda: t @ nets.Tensor([1, 2])),
        (UnsupportedObjectError, TypeError, lambda: t + object()),
        (GradientError, RuntimeError, lambda: t.sum().backward()),
        (DTypeError, TypeError, lambda: nets.Tensor([True], requires_grad=True)),
    ]
    for error, builtin, mistake in mistakes:
        with pytest.raises(error) as caught:
            mistake()
        assert isinstance(caught.value, builtin)
        assert "test_tensor.py" in str(caught.value)


def test_importing_nets_loads_no_compiler() -> None:
    late = {"llvmlite", "cffi", "_cffi_backend", "nets.backend.process.callable", "nets._dispatch"}
    code = f"import sys, nets; print({late} & set(sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert printed.stdout == "set()\n"


def test_every_public_name_is_there() -> None:
    for name in nets.__all__:
        assert name in dir(nets)
    with pytest.raises(AttributeError):
        nets.no_such_name  # noqa: B018


WRITES: dict[str, Any] = {
    "-=": lambda data, x: operator.isub(data, x),
    "+=": lambda data, x: operator.iadd(data, x),
    "*=": lambda data, x: operator.imul(data, x),
    "/=": lambda data, x: operator.itruediv(data, x),
    "**=": lambda data, x: operator.ipow(data, x),
    "[i]": lambda data, x: operator.setitem(data, 0, 5.0),
    "[:]": lambda data, x: operator.setitem(data, slice(None), x),
    "[1:][0]": lambda data, x: operator.setitem(data[1:], 0, 5.0),
    "fill": lambda data, x: data.fill(3),
    "sort": lambda data, x: data.sort(),
}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("kind", [nets.Tensor, nets.nn.Parameter])
def test_the_elements_of_a_tensor_are_not_written_to(name: str, kind: Any) -> None:
    tensor = kind(np.array([2.0, 1.0]))
    for operand in (0.5, np.ones(2), nets.Tensor([1.0, 2.0])):
        with pytest.raises(ReadOnlyError, match=r"(?s)write p.*test_tensor\.py"):
            WRITES[name](tensor.data, operand)
    assert tensor.tolist() == [2, 1]
    WRITES[name](tensor.data.copy(), np.ones(2))  # an array like any other
    WRITES[name](tensor.data * 2, np.ones(2))
    assert tensor.tolist() == [2, 1]


def test_elements_are_an_array() -> None:
    data = nets.Tensor([1.0, 2.0]).data
    assert isinstance(data, np.ndarray)
    assert repr(data) == "array([1., 2.])"
    made = (data * 2, data.copy(), np.exp(data), np.asarray(data), copy.deepcopy(data))
    for array in (*made, pickle.loads(pickle.dumps(data))):
        assert type(array) is np.ndarray
    assert type(data[0]) is type(data.sum()) is np.float64
    traced = nets.trace(lambda x: x * 2)
    assert traced(data).tolist() == traced(np.array(data)).tolist() == [2, 4]
    assert nets.trace(lambda: data * nets.ones(2))().tolist() == [1, 2]
