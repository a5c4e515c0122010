"""Sweeps: functions go to the workers of multiprocessing, joblib and Dask, and errors come back."""

from __future__ import annotations

import functools
import importlib.util
import multiprocessing
import os
import pickle
import random
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.errors import PickleError, ShapeError

X = np.linspace(-1, 1, 6)
SCALE = nets.Tensor(2.0)


@nets.trace
def swung(x: Any, k: Any) -> Any:
    return nets.fori_loop(0, 20, lambda i, s: s - 0.01 * k * nets.sin(s), x).sum()


def cubed(x: Any) -> Any:
    return (x**3).sum()


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 2)

    @nets.trace
    def forward(self, x: Any) -> Any:
        return self.head(x)


@pytest.fixture
def cloudpickle() -> Any:
    return pytest.importorskip("cloudpickle")


# -------------------------------------------------------------------- functions by their code


def local_functions() -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
    """Functions that no module has, with arguments."""
    factor, array = nets.Tensor(4.0), np.arange(6.0)
    layer = nn.Linear(6, 2)

    def plain(x: Any, y: Any = 3.0) -> Any:
        return (x * factor * array).sum() * y

    @nets.custom_vjp
    def ruled(x: Any) -> Any:
        return nets.sin(x)

    ruled.defvjp(lambda x: (ruled(x), x), lambda x, ct: (ct * nets.cos(x) * 2,))

    class Spring:
        def __init__(self) -> None:
            self.k = nets.Tensor(array)

        @nets.trace
        def force(self, x: Any) -> Any:
            return -self.k * x

        def energy(self, x: Any) -> Any:
            return (self.k * x * x).sum() / 2

    spring = Spring()
    return {
        "traced": (nets.trace(plain), (X,)),
        "lambda": (nets.trace(lambda x: x * 2), (X,)),
        "partial": (functools.partial(nets.trace(plain), y=2.0), (X,)),
        "traced partial": (nets.trace(functools.partial(plain, y=2.0)), (X,)),
        "gradient": (nets.grad(plain), (X,)),
        "traced gradient": (nets.trace(nets.value_and_grad(plain)), (X,)),
        "gradient of traced": (nets.grad(nets.trace(plain)), (X,)),
        "vmap of gradient": (nets.vmap(nets.grad(lambda x: x * x * factor)), (X,)),
        "jacobian": (nets.jacfwd(lambda x: x * array), (X,)),
        "checkpoint": (nets.checkpoint(plain), (X,)),
        "rule": (nets.grad(lambda x: ruled(x).sum()), (X,)),
        "sparse": (lambda x: nets.sparse_jacobian(lambda y: y[1:] * y[:-1])(x).todense(), (X,)),
        "method": (spring.force, (X,)),
        "traced method": (nets.trace(spring.energy), (X,)),
        "module": (nets.trace(lambda x: layer(x)), (X.astype("float32"),)),
    }


def bits(found: Any) -> list[bytes]:
    leaves = found if isinstance(found, tuple) else (found,)
    return [np.asarray(x.numpy() if isinstance(x, nets.Tensor) else x).tobytes() for x in leaves]


def test_functions_without_a_name_go_by_their_code(cloudpickle: ModuleType) -> None:
    for name, (function, arguments) in local_functions().items():
        found = pickle.loads(cloudpickle.dumps(function))
        assert found is not function, name
        assert bits(found(*arguments)) == bits(function(*arguments)), name


def test_functions_of_modules_go_by_name(cloudpickle: ModuleType) -> None:
    for function in (swung, nets.grad(cubed), nets.vmap(nets.grad(cubed)), Model.forward):
        assert pickle.loads(cloudpickle.dumps(function)) is function
    here = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(here)
    try:
        assert pickle.loads(cloudpickle.dumps(swung)) is not swung
        assert pickle.loads(pickle.dumps(swung)) is swung
    finally:
        cloudpickle.unregister_pickle_by_value(here)


def test_what_holds_nothing_arrives_once(cloudpickle: ModuleType) -> None:
    fixed = nets.trace(lambda x: helper(x) * 2)

    def helper(x: Any) -> Any:
        return nets.sin(x) + np.pi

    def arrives() -> Any:
        return pickle.loads(cloudpickle.dumps((lambda x: fixed(x), fixed)))[1]

    first = arrives()
    assert arrives() is first is not fixed
    assert bits(first(X)) == bits(fixed(X))
    assert arrives().stats()["traces"] == 1
    helper.__defaults__ = ()
    kept = helper

    def helper(x: Any) -> Any:
        return kept(x) + 1

    other = arrives()
    assert other is not first
    assert bits(other(X)) == bits((nets.sin(X) + np.pi + 1) * 2)


def test_what_holds_something_arrives_with_it(cloudpickle: ModuleType) -> None:
    factor, options, calls = nets.Tensor(4.0), {"power": 2}, 0
    layer = nn.Linear(6, 1)

    def counted(x: Any) -> Any:
        nonlocal calls
        calls += 1
        return x

    kinds = [lambda x: x * factor, lambda x: x ** options["power"], counted, lambda x: layer(x)]
    for kind in kinds:
        data = cloudpickle.dumps(nets.trace(kind))
        assert pickle.loads(data) is not pickle.loads(data)
    factor.data = np.array(5.0)
    assert pickle.loads(cloudpickle.dumps(nets.trace(kinds[0])))(2.0).item() == 10
    found, model = pickle.loads(cloudpickle.dumps((nets.trace(kinds[3]), layer)))
    model.weight.data = model.weight.data * 0
    assert found(X.astype("float32")).item() == model.bias.item()


def test_programs_that_arrive_share_their_code() -> None:
    compiled = swung.lower(X, 2.0).compile()
    first, second = (pickle.loads(pickle.dumps(compiled)) for _ in range(2))
    assert first._executable is second._executable
    assert bits(first(X, 3.0)) == bits(second(X, 3.0)) == bits(swung(X, 3.0))
    other = pickle.loads(pickle.dumps(swung.lower(X, 2.0).compile(threads=2)))
    assert other._executable is not first._executable


def test_a_function_that_names_itself(cloudpickle: ModuleType) -> None:
    @nets.trace
    def power(x: Any, n: int) -> Any:
        return x if n == 1 else x * power(x, n - 1)

    power = nets.trace(power.__wrapped__, static_argnums=1)
    assert pickle.loads(cloudpickle.dumps(power))(3.0, 4).item() == 81


def test_errors_name_the_line_of_functions_that_went_by_their_code(
    cloudpickle: ModuleType,
) -> None:
    held = nets.Tensor(np.ones((2, 3)))

    def helper(x: Any) -> Any:
        return x @ held

    kinds = {
        "x @ held": lambda x: helper(x) + 1,
        "x @ x": lambda x: x @ x @ held,
        "y @ y": lambda x: nets.map(lambda y: y @ y, x[None]),
    }
    for text, kind in kinds.items():
        for make in (nets.trace, nets.jacfwd):
            found = pickle.loads(cloudpickle.dumps(make(kind)))
            with pytest.raises(ShapeError, match=re.escape(text)) as caught:
                found(np.ones((3, 4)))
            assert caught.value.location.file == __file__


# ----------------------------------------------------------------------------- processes


def on(function: Callable[..., Any], *arguments: Any) -> tuple[list[bytes], bool]:
    """The bits of a result, and whether this process has loaded LLVM."""
    return bits(function(*arguments)), "llvmlite.binding" in sys.modules


def refused(x: Any) -> Any:
    return nets.sin(x) @ x


refused_traced = nets.trace(refused)


@pytest.mark.parametrize(
    "method", ["spawn", *(pytest.param(x, marks=pytest.mark.long) for x in ("fork", "forkserver"))]
)
def test_processes(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cloudpickle: ModuleType
) -> None:
    monkeypatch.setenv("NETS_CACHE_DIR", str(tmp_path))
    model = Model()
    sent: list[tuple[Any, ...]] = [
        (nets.trace(swung.__wrapped__), X, 2.0),
        (nets.trace(nets.value_and_grad(cubed)), X),
        (swung.lower(X, 2.0).compile(), X, 3.0),
        (model.forward, X.astype("float32")),
    ]
    library = nets.load(nets.export(tmp_path / "swung", swung=swung.lower(X, 2.0)).files[0])
    (tmp_path / "swung.so").unlink()
    sent += [(library.swung, X, 2.0), local_functions()["traced gradient"]]
    expected = [bits(f(*flat(args))) for f, *args in sent]
    made = sorted(os.listdir(tmp_path))
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        asked = []
        for f, *args in sent:
            call = pickle.loads, cloudpickle.dumps((f, flat(args)))
            asked.append(pool.submit(unpacked, *call))
        found = [x.result(60) for x in asked]
        assert [x for x, _ in found] == expected
        if method == "spawn":
            assert not any(loaded for _, loaded in found)
        for function in (refused, refused_traced):
            with pytest.raises(ShapeError, match=r"test_sweeps\.py") as caught:
                pool.submit(function, np.ones((2, 3))).result(60)
            assert caught.value.location is not None
            assert "return nets.sin(x) @ x" in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == made


def flat(args: list[Any]) -> tuple[Any, ...]:
    return args[0] if len(args) == 1 and isinstance(args[0], tuple) else tuple(args)


def unpacked(loads: Callable[[bytes], Any], data: bytes) -> tuple[list[bytes], bool]:
    function, arguments = loads(data)
    return on(function, *arguments)


def test_threads_receive_and_call_at_once(cloudpickle: ModuleType) -> None:
    stop = threading.Event()
    drawing = threading.Thread(target=lambda: [random.random() for _ in iter(stop.is_set, True)])
    drawing.start()
    traced = nets.trace(lambda x, k: nets.fori_loop(0, 5, lambda i, s: s * k, x).sum(), threads=2)
    data = cloudpickle.dumps((traced, swung.lower(X, 2.0).compile()))

    def call(k: float) -> list[bytes]:
        function, compiled = pickle.loads(data)
        return bits((function(X, k), function(X[:3], k), compiled(X, k)))

    try:
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(call, [1.0, 2.0, 3.0] * 12, timeout=60))
    finally:
        stop.set()
        drawing.join()
    assert found[:3] * 12 == found
    assert found[:3] == [call(k) for k in (1.0, 2.0, 3.0)]


@pytest.mark.long
def test_joblib() -> None:
    joblib = pytest.importorskip("joblib")
    function, _ = local_functions()["traced gradient"]
    with joblib.parallel_config("loky", n_jobs=2):
        found = joblib.Parallel()(joblib.delayed(function)(x) for x in (X, X + 1, X + 2))
        assert [bits(x) for x in found] == [bits(function(x)) for x in (X, X + 1, X + 2)]
        with pytest.raises(ShapeError, match=r"test_sweeps\.py"):
            joblib.Parallel()(joblib.delayed(refused)(np.ones((2, 3))) for _ in range(2))
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="Dask is not here")
@pytest.mark.filterwarnings("default")
def test_dask() -> None:
    from distributed import Client, LocalCluster

    function, _ = local_functions()["traced gradient"]
    model = Model()
    inputs = [X + k for k in range(12)]
    with (
        LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        asked = client.map(function, inputs)
        wrong = client.submit(refused_traced, np.ones((2, 3)), pure=False)
        other = client.submit(model.forward, X.astype("float32"))
        assert [bits(x) for x in client.gather(asked)] == [bits(function(x)) for x in inputs]
        assert bits(other.result()) == bits(model.forward(X.astype("float32")))
        with pytest.raises(ShapeError, match=r"return nets.sin\(x\) @ x"):
            wrong.result()


def test_what_cannot_go_says_so_in_every_pickler(cloudpickle: ModuleType) -> None:
    history: list[Any] = []

    def noted(x: Any) -> Any:
        history.append(x)
        return x

    lowered = nets.trace(noted).lower(X)
    for pickler in (pickle, cloudpickle):
        with pytest.raises(PickleError, match="names and containers of this process"):
            pickler.dumps(lowered)
