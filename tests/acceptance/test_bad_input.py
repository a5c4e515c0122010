"""Bad input: its class, the user's line and sub-expression, eager, traced and run natively."""

from __future__ import annotations

import datetime
import decimal
import queue
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import (
    ArgumentError,
    AxisError,
    ControlFlowError,
    DTypeError,
    GradientError,
    IndexOutOfBoundsError,
    LeakedTracerError,
    NegativePowerError,
    NetsError,
    ShapeError,
    TraceError,
    UnsupportedObjectError,
)

X = np.array([1.0, 2.0, 3.0])
W = np.ones((3, 4))


def refused(error: type[NetsError], call: Callable[[], object]) -> str:
    """The text of the error, which is of that class and names a line of this file."""
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    text = str(caught.value)
    assert __file__ in text
    return text


# ---------------------------------------------------------------------------- objects


class OnAnotherDevice:
    """What a tensor of a graphics card looks like from outside."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0

    def __dlpack__(self, **options: Any) -> Any:
        raise RuntimeError("not here")

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise TypeError("cannot be converted")


OBJECTS: dict[str, tuple[type[NetsError], Any]] = {
    "ragged": (UnsupportedObjectError, [[1], [1, 2]]),
    "objects": (UnsupportedObjectError, np.array([object(), None])),
    "masked": (UnsupportedObjectError, np.ma.masked_array([1, 2], [0, 1])),
    "decimal": (UnsupportedObjectError, decimal.Decimal(1)),
    "date": (UnsupportedObjectError, datetime.date(2020, 1, 1)),
    "set": (UnsupportedObjectError, {1, 2}),
    "function": (UnsupportedObjectError, len),
    "device": (UnsupportedObjectError, OnAnotherDevice()),
    "string": (DTypeError, np.array(["a", "b"])),
    "datetime": (DTypeError, np.array(["2020"], "M8[Y]")),
    "complex": (DTypeError, np.array([1j])),
    "half": (DTypeError, np.ones(2, np.float16)),
    "long double": (DTypeError, np.ones(2, np.longdouble)),
    "record": (DTypeError, np.zeros(2, [("a", int)])),
}


@pytest.mark.parametrize(("error", "thing"), OBJECTS.values(), ids=OBJECTS)
def test_what_is_no_tensor(error: type[NetsError], thing: Any) -> None:
    traced = nets.trace(lambda x: nets.as_tensor(x) + 1)
    refused(error, lambda: nets.Tensor(thing))
    refused(error, lambda: nets.Tensor(X) + thing)
    refused(error, lambda: nets.trace(lambda x: x + thing)(X))
    if not isinstance(thing, list):  # a list is a container of arguments
        assert "argument x" in refused(error, lambda: traced(thing))
        returned = refused(UnsupportedObjectError, lambda: nets.trace(lambda x: {"k": thing})(X))
        assert "result['k'] is" in returned


def test_other_libraries_arrays_in_memory_are_taken() -> None:
    class Foreign:
        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            return np.array(X, dtype)

    for found in (
        nets.Tensor(Foreign()),
        nets.trace(lambda x: x)(Foreign()),
        nets.Tensor(X) * 2 - Foreign(),
    ):
        assert found.tolist() == X.tolist()


# ----------------------------------------------------------------------------- shapes


SHAPES: dict[str, tuple[type[NetsError], Callable[[Any], Any]]] = {
    "x @ w.T": (ShapeError, lambda x: x @ nets.Tensor(W).T),
    "broadcast": (ShapeError, lambda x: x + np.ones(4)),
    "reshape": (ShapeError, lambda x: x.reshape(2, 2)),
    "concatenate": (ShapeError, lambda x: nets.concatenate([W, np.ones((2, 3))])),
    "stack": (ShapeError, lambda x: nets.stack([x, W])),
    "axis": (AxisError, lambda x: x.sum(3)),
    "einsum": (ShapeError, lambda x: nets.einsum("ij,jk", W, W)),
    "empty maximum": (ShapeError, lambda x: x[:0].max()),
    "split": (ShapeError, lambda x: nets.split(x, 2)),
    "one index too many": (IndexOutOfBoundsError, lambda x: x[0, 0]),
    "index": (IndexOutOfBoundsError, lambda x: x[3]),
    "index array": (IndexOutOfBoundsError, lambda x: x[[0, 7]]),
    "take": (IndexOutOfBoundsError, lambda x: nets.take(x, -4)),
    "NaN as index": (DTypeError, lambda x: x[np.array([np.nan])]),
    "float as index": (DTypeError, lambda x: x[x]),
    "float as axis": (DTypeError, lambda x: x.sum(1.0)),
    "minus bool": (DTypeError, lambda x: -(x > 0)),
    "bits of floats": (DTypeError, lambda x: x & 1),
    "complex": (DTypeError, lambda x: x.astype(complex)),
    "integer to the power -2": (NegativePowerError, lambda x: x.astype(int) ** -2),
}


@pytest.mark.parametrize(("error", "function"), SHAPES.values(), ids=SHAPES)
def test_operands_that_do_not_fit(error: type[NetsError], function: Callable[..., Any]) -> None:
    eager = refused(error, lambda: function(nets.Tensor(X)))
    traced = refused(error, lambda: nets.trace(function)(X))
    assert "lambda x:" in eager
    assert "^^" in eager  # the sub-expression, underlined
    assert "^^" in traced


def test_an_expression_of_several_lines_is_underlined_where_it_begins() -> None:
    text = refused(
        ShapeError,
        lambda: nets.concatenate(
            [X, W],
        ),
    )
    assert "lambda: nets.concatenate(\n" + " " * 12 + "^" * 17 in text


# --------------------------------------------------- positions known only at run time


@pytest.mark.parametrize("backend", ["llvm", "numpy"])
def test_positions_out_of_range_at_run_time(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_BACKEND", backend)
    read = nets.trace(lambda x, i: x[i])
    assert [read(X, i).item() for i in (0, 2, -1, -3)] == [1, 3, 3, 1]
    for bad in (3, -4, 2**62, -(2**63)):
        text = refused(IndexOutOfBoundsError, lambda bad=bad: read(X, bad))
        assert "read = nets.trace" in text
    assert read(X, 1).item() == 2  # nothing is broken afterwards
    refused(IndexOutOfBoundsError, lambda: read(X, np.array([0, 3])))
    refused(IndexOutOfBoundsError, lambda: nets.grad(lambda x, i: x[i].sum())(X, np.array([9])))
    refused(IndexOutOfBoundsError, lambda: read(nets.Tensor(X, requires_grad=True), 3))
    refused(IndexOutOfBoundsError, lambda: nets.trace(lambda w, i: w[i, i])(W, 3))
    refused(DTypeError, lambda: read(X, 1.0))
    refused(DTypeError, lambda: read(X, np.nan))


# ------------------------------------------------------------------------- tracing


CONTROL: dict[str, Callable[[Any], Any]] = {
    "if": lambda x: x if x[0] > 0 else -x,
    "and": lambda x: x.sum() and x,
    "chained comparison": lambda x: 0 < x.sum() < 5,
    "int": lambda x: int(x[0]),
    "float": lambda x: float(x[0]),
    "range": lambda x: list(range(x.astype(int)[0])),
    "list index": lambda x: [1, 2, 3][x.astype(int)[0]],
    "max": lambda x: max(x[0], x[1]),
    "any": lambda x: any(e > 0 for e in x),
    "in": lambda x: x[0] in [1, 2],
    "item": lambda x: x.item(),
    "numpy array": lambda x: np.asarray(x),
    "list of tensors": lambda x: nets.Tensor([x[0], x[1]]),
    "mask": lambda x: x[x > 1],
    "slice bound": lambda x: x[: x.astype(int)[0]],
    "shape": lambda x: nets.zeros(x.astype(int)[0]),
    "count of classes": lambda x: nets.one_hot(x.astype(int)),
    "format": lambda x: f"{x[0]:.2f}",
}


@pytest.mark.parametrize("function", CONTROL.values(), ids=CONTROL)
def test_control_flow_on_traced_values(function: Callable[..., Any]) -> None:
    for call in (nets.trace(function), nets.grad(function)):
        text = refused(ControlFlowError, lambda call=call: call(X))
        assert "lambda x:" in text
        assert "tensor" in text  # the type of the value


def test_traced_tensors_elsewhere() -> None:
    hidden: Any = queue.SimpleQueue()

    @nets.trace
    def keep(x: Any) -> Any:
        hidden.put(x * 2)
        return x

    keep(X)
    kept = [hidden.get()]
    for use in (
        lambda: kept[0] + 1,
        lambda: kept[0].numpy(),
        lambda: nets.trace(lambda x: x + kept[0])(X),
        lambda: nets.grad(lambda x: (x * kept[0]).sum())(X),
        lambda: keep(kept[0]),
        lambda: list(kept[0]),
    ):
        assert "hidden.put(x * 2)" in refused(LeakedTracerError, use)

    @nets.trace
    def in_a_thread(x: Any) -> Any:
        caught: list[BaseException] = []

        def work() -> None:
            try:
                x + 1
            except NetsError as error:
                caught.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        raise caught[0]

    refused(LeakedTracerError, lambda: in_a_thread(X))


def test_a_failed_trace_leaves_nothing_behind() -> None:
    fails = [True]

    @nets.trace
    def once(x: Any) -> Any:
        if fails:
            raise KeyError(fails.pop())
        return x * 2

    with pytest.raises(KeyError):
        once(X)
    assert not nets.Tensor(X).is_traced
    assert once(X).tolist() == [2, 4, 6]

    @nets.trace
    def endless(x: Any) -> Any:
        return endless(x)

    assert "recursed too deeply" in refused(TraceError, lambda: endless(X))


# ----------------------------------------------------------------------- arguments


def test_calls_that_do_not_fit() -> None:
    f = nets.trace(lambda x, y: (x * y).sum())
    low = f.lower(X, X)
    for call in (
        lambda: f(X),
        lambda: f(X, X, X),
        lambda: f(X, z=X),
        lambda: nets.grad(f, 2)(X, X),
        lambda: nets.grad(f, "x"),  # type: ignore[arg-type]
        lambda: nets.grad(3),  # type: ignore[arg-type]
        lambda: nets.grad(f, has_aux=True)(X, X),
        lambda: nets.trace(f, static_argnames="q"),
        lambda: nets.trace(f, threads=0),
        lambda: nets.trace(lambda x, n: x, static_argnums=1)(X, [1]),
        lambda: nets.vjp(f, X, X)[1]([1.0]),
        lambda: low.compile(threads="two"),  # type: ignore[arg-type]
        lambda: low.compile()(X, [X]),
        lambda: low.compile()(X.astype(np.float32), X),
        lambda: nets.gelu(X, "fast"),  # type: ignore[arg-type]
    ):
        refused(ArgumentError, call)
    assert nets.grad(f, [0, 1])(X, X)[1].tolist() == X.tolist()


def test_gradients_that_are_not_there() -> None:
    x = nets.Tensor(X, requires_grad=True)
    refused(GradientError, lambda: nets.grad(lambda x: x)(X))
    refused(GradientError, lambda: nets.grad(lambda x: (x.sum(), x.sum()))(X))
    refused(GradientError, (x * 2).backward)
    refused(GradientError, nets.Tensor(X).backward)
    refused(ShapeError, lambda: (x * 2).backward(np.ones(2)))
    refused(DTypeError, lambda: nets.grad(lambda n: n * n)(1))
    refused(DTypeError, lambda: nets.grad(lambda x: x.argmax())(X))
    refused(DTypeError, lambda: nets.Tensor([True], requires_grad=True))
