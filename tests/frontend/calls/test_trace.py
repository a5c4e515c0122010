"""@nets.trace: what goes in and out, signatures, captured tensors, gradients, threads."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import pickle
import threading
import time
import weakref
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, TraceError
from nets.frontend.calls.trace import Traced, trace
from nets.frontend.derived.transforms import grad
from nets.frontend.tensor.variable import no_grad
from nets.ir.types import TENSOR_DTYPES

pytestmark = pytest.mark.both_roads

Point = namedtuple("Point", "x y")


@dataclasses.dataclass(frozen=True)
class Params:
    w: Any
    b: Any


def f32(*shape: int) -> np.ndarray:
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


class Counted:
    """A traced function that says how often it was traced."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.traced = trace(**options)(function)

    @property
    def count(self) -> int:
        return self.traced.stats()["traces"]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.traced(*args, **kwargs)


# ------------------------------------------------------------------------- in and out


def test_same_values_as_the_plain_function() -> None:
    def loss(w: Any, x: Any, y: Any) -> Any:
        return ((nets.tanh(x @ w) - y) ** 2).mean()

    w, x, y = f32(3, 2), f32(4, 3), f32(4, 2)
    plain = loss(nets.Tensor(w), nets.Tensor(x), nets.Tensor(y))
    result = trace(loss)(w, x, y)
    assert isinstance(result, nets.Tensor)
    assert result.dtype == np.float32
    assert result.numpy() == pytest.approx(plain.numpy(), rel=1e-6)


def test_nests_in_and_out() -> None:
    @trace
    def f(tree: Any, *rest: Any, **named: Any) -> Any:
        params, (x, nothing) = tree["params"], tree["pair"]
        assert nothing is None
        return {
            "z": Params(params.w + x, [rest[0] * 2, None]),
            "a": Point(named["k"]["deep"], (rest[1],)),
            "b": OrderedDict(second=x, first=x),
        }

    tree = {"params": Params(f32(3), 1.0), "pair": (f32(3), None)}
    result = f(tree, f32(2), np.float32(4), k={"deep": np.int8(3)})
    assert list(result) == ["z", "a", "b"]
    assert isinstance(result["z"], Params)
    assert isinstance(result["a"], Point)
    assert list(result["b"]) == ["second", "first"]
    assert result["z"].w.tolist() == (f32(3) + f32(3)).tolist()
    assert result["z"].b[1] is None
    assert result["a"].x.dtype == np.int8
    assert result["a"].y[0].item() == 4


def test_results_without_tensors() -> None:
    array = f32(2)

    @trace
    def f(x: Any) -> Any:
        return {"none": None, "number": 2, "flag": True, "array": array, "scalar": np.float32(1)}

    result = f(1.0)
    assert result["none"] is None
    assert (result["number"].dtype, result["number"].item()) == (np.int64, 2)
    assert result["flag"].dtype == np.bool_
    assert result["array"].tolist() == array.tolist()
    assert result["scalar"].dtype == np.float32
    assert trace(lambda: None)() is None


def test_results_share_memory_with_nothing() -> None:
    x = f32(4, 3)

    @trace
    def f(x: Any) -> Any:
        y = x + 1
        return x, x, y, y, x.T, x[1:], x.reshape(12)

    results = [x, *(t.data for t in f(x))]
    for i, a in enumerate(results):
        for b in results[:i]:
            assert not np.shares_memory(a, b)
    before = results[1].copy()
    x[:] = 0
    assert (results[1] == before).all()


def test_a_returned_tensor_is_another_one() -> None:
    x = nets.Tensor(f32(3))
    y = trace(lambda t: t)(x)
    assert y is not x
    assert not np.shares_memory(y.data, x.data)


def test_all_layouts_of_arrays() -> None:
    @trace
    def f(x: Any) -> Any:
        return x * 2

    base = f32(6, 4)
    readonly = base.copy()
    readonly.flags.writeable = False
    big_endian = base.astype(">f4")
    for x in (base, base.T, base[::2], base[::-1, ::-2], readonly, big_endian, base[:0]):
        np.testing.assert_array_equal(f(x).numpy(), np.asarray(x, np.float32) * 2)


def test_every_dtype() -> None:
    for dtype in TENSOR_DTYPES:
        x = np.array([0, 1], dtype.numpy)
        assert trace(lambda x: x)(x).dtype == x.dtype
        assert trace(lambda x: x)(x[1]).shape == ()


# ------------------------------------------------------------------------- signatures


def test_one_trace_per_signature() -> None:
    f = Counted(lambda x: x * 2)
    for _ in range(3):
        f(f32(3))
        f(nets.Tensor(f32(3)))
    assert f.count == 1
    f(f32(4))
    f(f32(3).astype(np.float64))
    assert f.count == 3


def test_a_python_number_does_not_retrace() -> None:
    f = Counted(lambda x, s: x * s)
    for value in (1.0, 2.5, float("nan"), 1e300):
        result = f(f32(3), value)
        assert result.dtype == np.float32
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(result.numpy(), f32(3) * np.float32(value))
    assert f.count == 1
    assert f(f32(3), 2).dtype == np.float32
    assert f.count == 2
    f(f32(3), True)
    assert f.count == 3


def test_numpy_scalars_are_strong() -> None:
    f = Counted(lambda x, s: x * s)
    assert f(f32(3), np.float64(2)).dtype == np.float64
    assert f(f32(3), np.array(2.0)).dtype == np.float64
    assert f.count == 1
    assert f(f32(3), 2.0).dtype == np.float32
    assert f.count == 2


def test_keyword_and_positional_are_one_signature() -> None:
    f = Counted(lambda x, y, z=1.0: x - y * z)
    results = [f(5.0, 3.0), f(5.0, y=3.0), f(y=3.0, x=5.0)]
    assert [r.item() for r in results] == [2, 2, 2]
    assert f.count == 1
    assert f(5.0, 3.0, z=2.0).item() == f(5.0, 3.0, 2.0).item() == -1
    assert f.count == 2


def test_the_order_of_keys_is_seen() -> None:
    f = Counted(lambda p: [p["a"] - p["b"], next(iter(p.values())) * 1])
    assert [x.item() for x in f({"a": 3.0, "b": 1.0})] == [2, 3]
    assert [x.item() for x in f({"b": 1.0, "a": 3.0})] == [2, 1]
    assert [x.item() for x in f({"a": 4.0, "b": 1.0})] == [3, 4]
    assert f.count == 2


def test_the_structure_is_a_signature() -> None:
    f = Counted(lambda p: p[0] + p[1])
    f([1.0, 2.0])
    f((1.0, 2.0))
    assert f.count == 2


def test_defaults_stay_python_values() -> None:
    @trace
    def f(x: Any, axis: int = -1, *, flag: bool = True) -> Any:
        return x.sum(axis) if flag else x

    assert f(f32(2, 3)).shape == (2,)


def test_static_arguments() -> None:
    f = Counted(lambda x, n, mode="add": x + n if mode == "add" else x * n, static_argnums=1,
                static_argnames=("mode",))  # fmt: skip
    assert f(1.5, 2).item() == 3.5
    assert f(2.5, 2).item() == 4.5
    assert f(2.5, n=2).item() == 4.5
    assert f.count == 1
    assert f(1.5, 2, mode="mul").item() == f(1.5, 2, "mul").item() == 3
    assert f.count == 2
    assert f(1.5, 2.0).item() == 3.5
    assert f(1.5, True).item() == 2.5
    assert f.count == 4


EQUAL: list[Any] = [0, False, 0.0, -0.0, complex(0, 0), complex(0, -0.0), np.float32(0), np.int8(0)]


@pytest.mark.parametrize(
    "hold",
    [
        lambda x: x,
        lambda x: (1, x),
        lambda x: ((x,), "a"),
        lambda x: Point(x, 0),
        lambda x: frozenset({x}),
        lambda x: Params(x, (x, x)),
        lambda x: (Params(1, frozenset({(x,)})),),
    ],
    ids=["alone", "tuple", "nested", "named", "set", "dataclass", "deep"],
)
def test_static_values_that_are_equal_are_not_the_same(hold: Callable[[Any], Any]) -> None:
    """By their class and the sign of zero, however deep they stand."""
    seen: list[Any] = []
    f = Counted(lambda x, n: (seen.append(n), x)[1], static_argnums=1)
    for number in EQUAL * 2:
        f(1.0, hold(number))
        assert repr(seen[-1]) == repr(hold(number))
    assert f.count == len(EQUAL)


def test_static_by_name_and_number_and_rest() -> None:
    @trace(static_argnums=-1)
    def f(x: Any, n: int) -> Any:
        return [x] * n

    @trace(static_argnums=(1, 2))
    def g(*args: Any) -> Any:
        return args[0] if args[1] == "first" else args[3]

    @trace(static_argnames="which")
    def h(**kwargs: Any) -> Any:
        return kwargs[kwargs["which"]]

    assert len(f(1.0, 3)) == len(f(1.0, n=3)) == 3
    assert g(1.0, "first", None, 2.0).item() == 1
    assert g(1.0, "last", None, 2.0).item() == 2
    assert h(a=1.0, b=2.0, which="b").item() == 2


def test_options_are_checked() -> None:
    def f(x: Any, y: Any) -> Any:
        return x

    for options in (
        {"static_argnums": 2},
        {"static_argnums": "x"},
        {"static_argnames": "z"},
        {"static_argnames": 1.5},
        {"donate_argnums": 5},
        {"static_argnums": 0, "donate_argnames": "x"},
        {"threads": 0},
        {"threads": "2"},
        {"numerics": "sloppy"},
    ):
        with pytest.raises(ArgumentError):
            trace(**options)(f)  # type: ignore[call-overload]
    donating = trace(donate_argnums=(0,), donate_argnames="y", threads=1, numerics="fast")(f)
    assert donating(1.0, 2.0).item() == 1


def test_retraces_are_explained(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETS_LOG", "retrace")

    @trace(static_argnames="n")
    def model(params: Any, x: Any, s: Any = 1.0, n: int = 1) -> Any:
        return params["w"][0] + s

    def narrated(*args: Any, **kwargs: Any) -> str:
        model(*args, **kwargs)
        return capsys.readouterr().err

    params = {"w": [f32(3)]}
    assert narrated(params, f32(32, 10), 1.0, n=1) == ""
    assert narrated(params, f32(32, 10), 2.0, n=1) == ""
    heading = "nets retrace: model: "
    assert narrated(params, f32(16, 10), 2.0, n=1) == heading + "x: f32[32,10] → f32[16,10]\n"
    assert narrated(params, f32(32, 10), 2, n=1) == heading + "s: Python float → Python int\n"
    assert narrated(params, f32(32, 10), np.float32(1), n=1) == heading + (
        "s: Python float → f32[]\n"
    )
    assert narrated(params, f32(32, 10), 1.0, n=2) == heading + "n: 1 (static) → 2 (static)\n"
    assert narrated({"w": [f32(3), 1.0]}, f32(32, 10), 1.0, n=1) == heading + (
        "params['w'][1]: not given → Python float\n"
    )
    assert narrated({"w": (f32(3),)}, f32(32, 10), 1.0, n=1) == heading + (
        "the containers of the arguments are others\n"
    )


def test_traces_are_narrated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETS_LOG", "trace")
    trace(abs)(f32(3))
    assert capsys.readouterr().err == "nets trace: abs(x: f32[3])\n"


# -------------------------------------------------------------------- what is traceable


def test_metadata() -> None:
    @trace
    def documented(x: Any) -> Any:
        """What it does."""
        return x

    assert documented.__name__ == "documented"
    assert documented.__doc__ == "What it does."
    assert "documented" in repr(documented)
    assert isinstance(documented, Traced)


def test_callables_of_all_kinds() -> None:
    class Doubler:
        def __call__(self, x: Any) -> Any:
            return x * 2

    def add(x: Any, y: Any) -> Any:
        return x + y

    assert trace(lambda x: x + 1)(1.0).item() == 2
    assert trace(Doubler())(2.0).item() == 4
    assert trace(functools.partial(add, y=3.0))(2.0).item() == 5
    assert trace(abs)(-2.0).item() == 2
    assert trace(nets.tanh)(0.0).item() == 0


def test_methods_are_bound_to_static_objects() -> None:
    class Model:
        def __init__(self, w: float) -> None:
            self.w = nets.Tensor(w)
            self.calls = 0

        @trace
        def predict(self, x: Any, scale: float = 1.0) -> Any:
            self.calls += 1
            return self.w * x * scale

        @trace(static_argnums=(0, 2))
        def repeat(self, x: Any, n: int) -> Any:
            return [self.w * x] * n

    a, b = Model(2.0), Model(3.0)
    assert [a.predict(1.0).item(), b.predict(1.0).item(), a.predict(2.0).item()] == [2, 3, 4]
    assert (a.calls, b.calls) == (2, 1)
    assert a.predict.stats()["traces"] == b.predict.stats()["traces"] == 1
    assert len(a.repeat(1.0, 2)) == len(a.repeat(1.0, n=2)) == 2
    assert "predict" in repr(a.predict)
    gone = weakref.ref(b)
    assert len(Model.predict._instances) == 2
    del b
    gc.collect()
    assert gone() is None
    assert len(Model.predict._instances) == 1


def test_methods_of_containers_take_them_as_argument() -> None:
    @dataclasses.dataclass
    class Linear:
        w: Any

        @trace
        def __call__(self, x: Any) -> Any:
            return self.w * x

        @trace
        def apply(self, x: Any) -> Any:
            return self.w * x

    assert [Linear(float(i)).apply(2.0).item() for i in range(3)] == [0, 2, 4]
    assert len(Linear.apply.specialisations) == 1


def test_pickled_and_copied_by_name() -> None:
    assert pickle.loads(pickle.dumps(module_level)) is module_level
    assert copy.deepcopy(module_level) is module_level


@trace
def module_level(x: Any) -> Any:
    return x


def test_generators_and_coroutines_are_refused() -> None:
    def generator(x: Any) -> Any:
        yield x

    async def coroutine(x: Any) -> Any:
        return x

    async def both(x: Any) -> Any:
        yield x

    for function in (generator, coroutine, both):
        with pytest.raises(TraceError, match=function.__name__):
            trace(function)
    with pytest.raises(ArgumentError, match="takes a function, not int"):
        trace(3)  # type: ignore[call-overload]


def test_a_traced_function_inside_another_is_inlined() -> None:
    inner = Counted(lambda x, n=2: x * n)

    @trace
    def outer(x: Any) -> Any:
        return inner(x) + inner(x, 3)

    assert outer(f32(3)).tolist() == pytest.approx((f32(3) * 5).tolist())
    assert not inner.traced.specialisations
    assert outer.lower(f32(3)).ir("traced").count("multiply") == 2


def test_recursion_on_static_values() -> None:
    @trace(static_argnames="n")
    def power(x: Any, n: int) -> Any:
        return 1.0 if n == 0 else x * power(x, n - 1)

    assert power(2.0, n=10).item() == 1024


# --------------------------------------------------------------------------- captures


def test_captured_tensors_are_read_at_each_call() -> None:
    w = nets.Tensor(f32(3))
    f = Counted(lambda x: x * w)
    assert f(2.0).tolist() == (f32(3) * 2).tolist()
    w[0] = 5.0
    assert f(2.0).tolist()[0] == 10
    w.data = np.ones(3)
    assert f(2.0).tolist() == [2, 2, 2]
    assert f.count == 1


def test_captured_arrays_are_read_at_each_call() -> None:
    array = np.ones(2)
    f = Counted(lambda x: x * array)
    assert f(2.0).tolist() == [2, 2]
    array[:] = 7
    assert f(3.0).tolist() == [21, 21]
    assert f.count == 1


def test_a_captured_tensor_of_another_shape_retraces(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    w = nets.Tensor(f32(3))
    f = Counted(lambda x: x * w)
    f(1.0)
    w._value = nets.Tensor(f32(4))._value
    assert f(1.0).shape == (4,)
    assert f.count == 2
    assert f(1.0).shape == (4,)
    assert f.count == 2


def test_a_name_bound_to_another_tensor_retraces(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETS_LOG", "retrace")
    w, params = nets.Tensor(1.0), {"layers": [{"w": nets.Tensor(2.0)}]}

    def helper(x: Any) -> Any:
        return x * w

    f = Counted(lambda x: helper(x) * params["layers"][0]["w"])
    assert f(1.0).item() == 2
    w = nets.Tensor(10.0)
    assert f(1.0).item() == 20
    assert "a captured tensor was replaced by another one" in capsys.readouterr().err
    params["layers"][0] = {"w": nets.Tensor(3.0)}
    assert f(1.0).item() == 30
    params = {"layers": [{"w": nets.Tensor(4.0)}]}
    assert f(1.0).item() == 40
    assert f.count == 4
    assert f(1.0).item() == 40
    w.data = 1.0
    assert f(1.0).item() == 4
    assert f.count == 4
    del params["layers"]
    with pytest.raises(KeyError):
        f(1.0)


shared = nets.Tensor(1.0)


def test_a_global_or_attribute_bound_to_another_tensor_retraces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Model:
        def __init__(self) -> None:
            self.inner = [self]
            self.w = nets.Tensor(2.0)

        @trace
        def predict(self, x: Any) -> Any:
            return self.w * x * shared

    model = Model()
    assert model.predict(1.0).item() == 2
    model.w = model.w + 1
    assert model.predict(1.0).item() == 3
    monkeypatch.setitem(globals(), "shared", nets.Tensor(2.0))
    assert model.predict(1.0).item() == 6
    gradient = grad(lambda x: model.predict(x))
    assert gradient(1.0).item() == 6
    model.w = model.w + 1
    assert gradient(1.0).item() == 8


def test_the_code_of_the_same_program_is_used_again() -> None:
    w = nets.Tensor(1.0)
    f = trace(lambda x: x * w)
    f(1.0)
    (place,) = f.specialisations.values()
    before = place.specialisation
    w = nets.Tensor(5.0)
    assert f(1.0).item() == 5
    assert place.specialisation is not before
    assert place.specialisation._executable is before._executable


def test_a_captured_tensor_is_one_argument() -> None:
    w = nets.Tensor(f32(3))
    lowered = trace(lambda captured_0: w * w + captured_0).lower(1.0)
    assert lowered.argument_names == ["captured_0", "captured_0_2"]
    assert lowered.captures == (w,)


def test_tensors_made_inside_are_constants() -> None:
    f = trace(lambda x: x + nets.Tensor([1.0, 2.0]) + nets.ones(2))
    assert f(1.0).tolist() == [3, 4]
    assert f.lower(1.0).argument_names == ["x"]


# -------------------------------------------------------------------------- gradients


def compare_gradients(function: Callable[..., Any], *arrays: Any) -> None:
    """Gradients through the traced function are those of eager operations."""
    found = []
    for call in (function, trace(function)):
        tensors = [nets.Tensor(a, requires_grad=True) for a in arrays]
        before = [t * 2 for t in tensors]
        result = call(*before)
        (result * result).sum().backward()
        found.append([result.numpy(), *(t.grad.numpy() for t in (*tensors, *before))])
    for eager, traced in zip(*found, strict=True):
        np.testing.assert_allclose(traced, eager, rtol=1e-6)


def test_one_node_in_eager_gradients() -> None:
    compare_gradients(lambda w, x: nets.tanh(x @ w) * 3, f32(3, 2), f32(4, 3))
    compare_gradients(lambda x: x, f32(3))
    compare_gradients(lambda x, y: x.sum() * y, f32(3), f32(2))
    compare_gradients(lambda x, y: y, f32(3), f32(2))
    compare_gradients(lambda x: nets.softmax(x) + nets.exp(x), np.linspace(0, 1, 5))


def test_gradients_of_some_results() -> None:
    @trace
    def f(x: Any, y: Any) -> Any:
        return {"a": x * y, "b": x * 2, "n": nets.argmax(x), "c": 1.0}

    x = nets.Tensor([1.0, 2.0], requires_grad=True)
    result = f(x, np.array([3.0, 4.0]))
    assert [result[key].requires_grad for key in "abnc"] == [True, True, False, False]
    result["a"].sum().backward()
    assert x.grad.tolist() == [3, 4]
    (result["b"] + result["a"]).sum().backward()
    assert x.grad.tolist() == [8, 10]
    assert result["n"].item() == 1


def test_gradients_of_nested_parameters_in_other_dtypes() -> None:
    params = {"w": nets.Tensor(f32(3), requires_grad=True), "step": nets.Tensor(3)}
    result = trace(lambda p: (p["w"] * p["step"]).sum())(params)
    result.backward()
    assert params["w"].grad.tolist() == [3, 3, 3]
    assert params["w"].grad.dtype == np.float32
    assert params["step"].grad is None


def test_gradients_of_captured_tensors() -> None:
    w = nets.Tensor(f32(3), requires_grad=True)
    f = Counted(lambda x: (w * w * x).sum())
    f(2.0).backward()
    assert w.grad.tolist() == pytest.approx((4 * f32(3)).tolist())
    w.zero_grad()
    with no_grad():
        assert not f(2.0).requires_grad
    w.requires_grad = False
    assert not f(2.0).requires_grad
    assert f.count == 1


def test_an_input_changed_between_forward_and_backward() -> None:
    x, w = np.array([1.0, 2.0]), nets.Tensor([3.0, 4.0], requires_grad=True)
    result = trace(lambda x, w: (x * w).sum())(x, w)
    x[:] = 0
    result.backward()
    assert w.grad.tolist() == [1, 2]


def test_integers_that_require_gradients_run_eagerly() -> None:
    x = nets.Tensor([1, 2], requires_grad=True)
    trace(lambda x: (x * x).sum())(x).backward()
    assert x.grad.tolist() == [2, 4]
    assert x.grad.dtype == np.float64


def test_calls_of_calls() -> None:
    f = trace(lambda x: x * x)
    x = nets.Tensor(2.0, requires_grad=True)
    y = x
    for _ in range(3):
        y = f(y)
    y.backward()
    assert x.grad.item() == 8 * 2**7


def test_no_gradient_where_no_operand_requires_one() -> None:
    result = trace(lambda x: x * 2)(nets.Tensor(f32(3)))
    assert not result.requires_grad
    assert result.is_leaf


# ------------------------------------------------------------------ threads, size, time


def test_many_threads_make_one_trace() -> None:
    started = threading.Barrier(8)

    def slow(x: Any) -> Any:
        time.sleep(0.02)
        return x * 2

    f, results = Counted(slow), []

    def run(i: int) -> None:
        started.wait()
        results.append(f(np.full(3, float(i))).tolist() == [2.0 * i] * 3)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8
    assert f.count == 1


def test_threads_trace_independently() -> None:
    results = {}

    def run(i: int) -> None:
        f = trace(lambda x: sum((x * k for k in range(i + 20)), x))
        results[i] = f(1.0).item()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: 1 + sum(range(i + 20)) for i in range(6)}


@pytest.mark.one_road
def test_ten_thousand_operations() -> None:
    def chain(x: Any) -> Any:
        for _ in range(1_700):
            x = x * 0.5 + 1.0
        return x

    lowered = trace(chain).lower(np.ones(3))
    assert len(lowered.function.body) > 10_000
