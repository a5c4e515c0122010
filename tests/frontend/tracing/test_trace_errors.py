"""What tracing refuses: the class of each error, the user's line, and what is left behind."""

from __future__ import annotations

import inspect
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
    LeakedTracerError,
    MutatedArgumentError,
    NetsError,
    NumberError,
    ShapeError,
    TraceError,
    UnsupportedObjectError,
)
from nets.frontend.calls.trace import trace
from nets.frontend.derived.transforms import grad
from nets.frontend.tensor.scope import current_scope
from nets.ir.location import user_location

pytestmark = pytest.mark.both_roads


def f32(*shape: int) -> np.ndarray:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def refused(error: type[NetsError], function: Callable[..., Any], *args: Any) -> str:
    """The text of the error that a call of the traced function raises; nothing is left behind."""
    traced = trace(function)
    with pytest.raises(error) as caught:
        traced(*args)
    assert type(caught.value) is error
    assert current_scope() is None
    assert not traced.specialisations
    return str(caught.value)


# ------------------------------------------------------------------------ control flow


def uses_if(x: Any) -> Any:
    if x.sum() > 0:  # the line
        return x
    return -x


def uses_while(x: Any) -> Any:
    while x < 3:  # the line
        x = x + 1
    return x


def uses_and(x: Any) -> Any:
    return x > 0 and x < 1  # the line


def uses_not(x: Any) -> Any:
    return not x  # the line


def uses_int(x: Any) -> Any:
    return x * int(x)  # the line


def uses_float(x: Any) -> Any:
    return x * float(x)  # the line


def uses_range(x: Any) -> Any:
    return [x for _ in range(x)]  # the line


def uses_item(x: Any) -> Any:
    return x * x.item()  # the line


def uses_numpy(x: Any) -> Any:
    return x * x.numpy()  # the line


def uses_tolist(x: Any) -> Any:
    return x.tolist()  # the line


def uses_asarray(x: Any) -> Any:
    return np.asarray(x)  # the line


def uses_format(x: Any) -> Any:
    return x * len(f"{x:.3f}")  # the line


def uses_numpy_function(x: Any) -> Any:
    return np.linalg.eigvals(x)  # the line


@pytest.mark.parametrize(
    "function",
    [
        uses_if, uses_while, uses_and, uses_not, uses_int, uses_float, uses_range, uses_item,
        uses_numpy, uses_tolist, uses_asarray, uses_format, uses_numpy_function,
    ],
)  # fmt: skip
def test_python_may_not_ask_for_values(function: Callable[..., Any]) -> None:
    argument = 2 if function is uses_range else 2.0
    text = refused(ControlFlowError, function, argument)
    assert "tensor<" in text, "the type of the value"
    assert __file__ in text
    lines, first = inspect.getsourcelines(function)
    offset = next(i for i, line in enumerate(lines) if line.endswith("# the line\n"))
    assert f"{__file__}:{first + offset}" in text
    assert "^" in text, "the sub-expression is underlined"


def test_control_flow_errors_say_what_to_write() -> None:
    assert "nets.where" in refused(ControlFlowError, uses_if, f32(3))
    text = refused(ControlFlowError, uses_int, 2)
    assert "'x'" in text
    assert "static argument" in text


def test_what_is_known_while_tracing_may_be_asked() -> None:
    @trace
    def f(x: Any) -> Any:
        assert len(x) == x.shape[0] == 3
        assert x.ndim == 2
        assert x.size == 6
        assert x.dtype == np.float32
        rows = [row.sum() for row in x]
        return nets.stack(rows) if x.shape[0] > 2 else x

    assert f(f32(3, 2)).shape == (3,)
    assert "tensor" in repr(f(f32(3, 2)))


# ------------------------------------------------------------------------------- leaks

kept: list[Any] = []
hidden: Any = queue.SimpleQueue()


def leaky(x: Any) -> Any:
    hidden.put(x * 2)  # made here
    return x


def test_a_tensor_used_after_its_trace() -> None:
    kept.clear()
    trace(leaky)(f32(3))
    kept.append(hidden.get())
    uses: list[Callable[[], Any]] = [
        lambda: kept[0] + 1,
        lambda: nets.tanh(kept[0]),
        lambda: trace(lambda x: x + kept[0])(1.0),
        lambda: trace(lambda x: kept[0])(1.0),
        lambda: trace(lambda x: x)(kept[0]),
        lambda: trace(lambda x: x).lower(kept[0]),
        lambda: grad(lambda x: (x * kept[0]).sum())(1.0),
        lambda: bool(kept[0]),
    ]
    for use in uses:
        with pytest.raises(LeakedTracerError, match="trace") as caught:
            use()
        assert __file__ in str(caught.value)
        assert current_scope() is None
    with pytest.raises(LeakedTracerError, match=r"hidden\.put\(x \* 2\)"):
        kept[0] + 1
    assert "tensor<3xf32>" in repr(kept[0])


def test_a_tensor_of_an_inner_trace_used_in_the_outer() -> None:
    def f(x: Any) -> Any:
        inner = []

        def g(y: Any) -> Any:
            inner.append(y * 2)
            return y * y

        return grad(g)(x) + inner[0]

    refused(LeakedTracerError, f, 1.0)


def test_a_tensor_used_in_another_thread() -> None:
    errors: list[Exception] = []

    def f(x: Any) -> Any:
        def use() -> None:
            try:
                x + 1
            except Exception as error:
                errors.append(error)

        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
        return x

    trace(f)(1.0)
    assert [type(e) for e in errors] == [LeakedTracerError]
    assert "another thread" in str(errors[0])


# --------------------------------------------------------------------------- mutation


def test_arguments_stay_as_they_are() -> None:
    def assign(x: Any) -> Any:
        x[0] = 1.0
        return x

    def assign_in_nest(p: Any) -> Any:
        p["w"][0] = 1.0
        return p["w"] * 2

    def add_in_place(x: Any) -> Any:
        x += 1
        return x

    assert "argument x of assign" in refused(MutatedArgumentError, assign, f32(3))
    assert "x += 1" in refused(MutatedArgumentError, add_in_place, f32(3))
    text = refused(MutatedArgumentError, assign_in_nest, {"w": f32(3)})
    assert "argument p['w']" in text
    assert 'p["w"][0] = 1.0' in text

    def harmless(x: Any) -> Any:
        y = x * 2
        y[0] = 1.0
        y += x
        return x + y

    assert trace(harmless)(f32(3)).shape == (3,)


def test_tensors_of_an_outer_trace_take_what_a_nested_one_gives_them() -> None:
    def f(x: Any) -> Any:
        y = x * 2

        def g(z: Any) -> Any:
            y[0] = z
            return (y * z).sum()

        slope = grad(g)(x[0])
        return y.sum() + slope

    assert trace(f)(np.ones(2)).item() == 1 + 2 + (2 + 2)
    assert trace(grad(f))(np.ones(2)).tolist() == [1 + 2, 2 + 2]


# -------------------------------------------------------------------------- type rules


def test_shape_errors_name_the_expression() -> None:
    def f(x: Any, w: Any) -> Any:
        y = x + 1
        return y @ w

    text = refused(ShapeError, f, f32(4, 3), f32(2, 5))
    assert __file__ in text
    assert "y @ w" in text
    assert "^^^^^" in text

    def g(x: Any, y: Any) -> Any:
        return nets.tanh(x + y)

    text = refused(ShapeError, g, f32(3), f32(4))
    assert "(3,)" in text
    assert "(4,)" in text
    refused(ShapeError, lambda x: x.reshape(7), f32(3))
    refused(AxisError, lambda x: x.sum(axis=5), f32(3))


def test_dtype_errors_name_the_expression() -> None:
    text = refused(DTypeError, lambda x: nets.bitwise_and(x, x), f32(3))
    assert "bitwise_and(x, x)" in text


# --------------------------------------------------------------------------- arguments


def test_unsupported_arguments_are_named() -> None:
    def f(params: Any, *rest: Any, **named: Any) -> Any:
        return params

    class Thing:
        pass

    text = refused(UnsupportedObjectError, f, {"layers": [f32(1), "relu"]})
    assert "argument params['layers'][1]: no tensor can be made of 'relu'" in text
    assert __file__ in text
    for bad in (
        Thing(), object(), len, np.array([object()]), np.array([None]),
        np.ma.masked_array([1.0], [True]), {1, 2}, b"bytes", Thing,
    ):  # fmt: skip
        assert "argument rest_1" in refused(UnsupportedObjectError, f, 1.0, 2.0, bad)
    for bad in (1j, np.zeros(2, complex), np.float16(1), np.zeros(2, "f2"), np.array(["a"]),
                np.zeros(2, "f4,i4"), np.array(["2020"], "M8[Y]")):  # fmt: skip
        assert "argument params" in refused(DTypeError, f, bad)
    assert "argument params" in refused(NumberError, f, 2**64)
    with pytest.raises(DTypeError, match="argument k: "):
        trace(f)(1.0, k=1j)


def test_wrong_arguments_are_told_in_pythons_words() -> None:
    @trace(static_argnames="n")
    def f(x: Any, y: Any, *, n: int = 1) -> Any:
        return x

    for args, kwargs, words in (
        ((1.0,), {}, "f() missing a required argument: 'y'"),
        ((1.0, 2.0, 3.0), {}, "f() too many positional arguments"),
        ((1.0, 2.0), {"z": 3.0}, "f() got an unexpected keyword argument 'z'"),
        ((1.0, 2.0), {"y": 3.0}, "f() multiple values for argument 'y'"),
        (("text",), {}, "f() missing a required argument: 'y'"),
    ):
        with pytest.raises(ArgumentError) as caught:
            f(*args, **kwargs)
        assert str(caught.value).startswith(words)
        assert __file__ in str(caught.value)
        assert isinstance(caught.value, TypeError)
        with pytest.raises(ArgumentError):
            f.lower(*args, **kwargs)


def test_static_arguments_are_hashable_values() -> None:
    f = trace(static_argnames="n")(lambda x, n: x)
    with pytest.raises(ArgumentError, match="hashable: unhashable type: 'list'"):
        f(1.0, [1])
    for array in (f32(2), nets.Tensor(1.0)):
        with pytest.raises(ArgumentError, match="static argument 1 of"):
            f(1.0, array)


def test_arguments_that_contain_themselves() -> None:
    loop: list[Any] = [1.0]
    loop.append(loop)
    refused(ArgumentError, lambda x: x, loop)


# ----------------------------------------------------------------------------- results


def test_results_that_are_no_tensors() -> None:
    class Thing:
        pass

    for result, shown in (("text", "str"), (Thing(), "Thing"), (len, "builtin"), ({1}, "set")):
        text = refused(UnsupportedObjectError, lambda x: {"a": [x, result]}, 1.0)  # noqa: B023
        assert "result['a'][1]" in text
        assert shown in text
    refused(UnsupportedObjectError, lambda x: 1j, 1.0)


# -------------------------------------------------------------- what goes wrong inside


def test_an_exception_of_the_user_leaves_nothing_behind() -> None:
    calls: list[Any] = []
    fails = True

    @trace
    def f(x: Any) -> Any:
        calls.append(x)
        y = x + 1
        if fails:
            raise KeyError("mine")
        return y

    with pytest.raises(KeyError, match="mine"):
        f(1.0)
    assert calls == []
    fails = False
    assert current_scope() is None
    assert (nets.Tensor(1.0) + 1).item() == 2
    assert f(1.0).item() == 2


def test_an_exception_in_an_inner_trace_leaves_the_outer_one() -> None:
    def bad(x: Any) -> Any:
        raise KeyError

    @trace
    def f(x: Any) -> Any:
        outer = current_scope()
        with pytest.raises(KeyError):
            grad(bad)(x)
        assert current_scope() is outer
        return x * 2

    assert f(2.0).item() == 4


def test_recursion_without_end() -> None:
    @trace
    def f(x: Any) -> Any:
        return f(x) + 1

    with pytest.raises(TraceError, match="recursed too deeply"):
        f(1.0)
    assert current_scope() is None

    @trace
    def g(x: Any) -> Any:
        return grad(g)(x)

    with pytest.raises(TraceError, match="recursed too deeply"):
        g(1.0)
    assert current_scope() is None


def test_user_location_is_outside_the_package() -> None:
    location = user_location()
    assert location is not None
    assert location.file == __file__
    assert location.expression() == "user_location()"
    assert str(location) == f'"{__file__}":{location.line}'
