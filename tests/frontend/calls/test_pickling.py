"""Pickling: tensors, modules, optimisers, functions and errors go to other processes and back."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import queue
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.errors import ControlFlowError, DonatedError, LeakedTracerError, PickleError, ShapeError

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
SCALE = nets.Tensor(np.float32(2.0))


@nets.trace
def traced(x: Any, y: Any = 1.0) -> Any:
    return (x * SCALE + y).sum()


@nets.trace(static_argnames="power", threads=1)
def with_options(x: Any, power: int) -> Any:
    return x**power


def plain(x: Any) -> Any:
    return (x * x).sum()


@nets.grad
def decorated(x: Any) -> Any:
    return (x * x * x).sum()


renamed = nets.trace(plain)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(8, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.layers(x))

    @nets.trace
    def predict(self, x: Any) -> Any:
        return self(x)


class Learner:
    """A model that is trained by a traced method."""

    def __init__(self) -> None:
        self.model = Model()
        self.optimizer = nets.optim.Adam(self.model.parameters(), lr=0.1)
        self.schedule = nets.optim.StepLR(self.optimizer, 2)
        self.fast_step = nets.trace(self.step)

    def step(self, x: Any) -> Any:
        self.optimizer.zero_grad()
        loss = (self.model(x) ** 2).mean()
        loss.backward()
        self.optimizer.step()
        return loss


def again(x: Any, protocol: int = pickle.HIGHEST_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(x, protocol))


# ---------------------------------------------------------------------------- tensors


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [nets.Tensor, nn.Parameter])
def test_tensors(kind: type[nets.Tensor], protocol: int) -> None:
    t = kind(X, requires_grad=True)
    (t * t).sum().backward()
    found = again(t, protocol)
    assert type(found) is kind
    assert found.dtype == t.dtype
    assert found.requires_grad
    assert found.is_leaf
    np.testing.assert_array_equal(found.numpy(), X)
    np.testing.assert_array_equal(found.grad.numpy(), 2 * X)
    found += 1
    np.testing.assert_array_equal(t.numpy(), X)


@pytest.mark.parametrize("data", [np.zeros((0, 3), "int8"), np.array(True), np.arange(5)[::-1]])
def test_tensors_of_every_shape(data: Any) -> None:
    found = again(nets.Tensor(data))
    assert (found.dtype, found.shape) == (data.dtype, data.shape)
    np.testing.assert_array_equal(found.numpy(), data)
    assert not found.requires_grad


def test_a_tensor_that_an_operation_made_becomes_a_leaf() -> None:
    w = nets.Tensor(X, requires_grad=True)
    made = w * 2
    found = again(made)
    assert found.requires_grad
    assert found.is_leaf
    np.testing.assert_array_equal(found.numpy(), 2 * X)


def test_elements_are_the_tensors_own() -> None:
    buffers: list[Any] = []
    data = pickle.dumps(nets.Tensor(X), 5, buffer_callback=buffers.append)
    memory = [bytearray(buffer) for buffer in buffers]
    found = pickle.loads(data, buffers=memory)
    for part in memory:
        part[:] = bytes(len(part))
    np.testing.assert_array_equal(found.numpy(), X)


def test_tensors_that_have_no_elements_are_refused() -> None:
    hidden: Any = queue.SimpleQueue()

    def pickles(x: Any) -> Any:
        hidden.put(x)
        with pytest.raises(ControlFlowError, match="pickling needs the value"):
            pickle.dumps(x)
        return x

    nets.trace(pickles)(1.0)
    kept = [hidden.get()]
    with pytest.raises(LeakedTracerError):
        pickle.dumps(kept[0])
    given = nets.Tensor(X)
    nets.trace(lambda x: x + 1, donate_argnums=0)(given)
    with pytest.raises(DonatedError):
        pickle.dumps(given)


# ----------------------------------------------------- modules, optimisers, generators


LAYERS = [
    nn.Linear(2, 3),
    nn.Conv1d(2, 3, 2),
    nn.Conv2d(2, 3, 2),
    nn.ConvTranspose2d(2, 3, 2),
    nn.MaxPool2d(2),
    nn.AvgPool2d(2),
    nn.BatchNorm1d(3),
    nn.BatchNorm2d(3),
    nn.LayerNorm(3),
    nn.Embedding(4, 2),
    nn.Dropout(0.25),
    nn.Flatten(),
    nn.Identity(),
    nn.RNN(2, 3),
    nn.LSTM(2, 3),
    nn.GRU(2, 3),
    nn.MultiheadAttention(4, 2),
    nn.DNN((2, 3, 1)),
    nn.ModuleList([nn.ReLU(), nn.GELU(), nn.Softmax(1)]),
    nn.CrossEntropyLoss(),
    nn.MSELoss(),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_layers(layer: nn.Module) -> None:
    found = again(layer)
    assert repr(found) == repr(layer)
    before, after = layer.state_dict(), found.state_dict()
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


@pytest.mark.long
def test_a_model_and_its_optimiser_stay_together() -> None:
    nets.manual_seed(3)
    learner = Learner()
    learner.fast_step(X)
    learner.schedule.step()
    found = again(learner)
    held = {id(p) for group in found.optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in found.model.parameters()}
    assert found.schedule.optimizer is found.optimizer
    for one in (learner, found):
        nets.manual_seed(5)
        one.losses = [float(one.fast_step(X)) for _ in range(3)]
        one.schedule.step()
    assert learner.losses == found.losses
    assert learner.optimizer.lr == found.optimizer.lr
    after, expected = found.model.state_dict(), learner.model.state_dict()
    assert all(np.array_equal(after[name], expected[name]) for name in expected)


def test_copies_train_themselves() -> None:
    learner = Learner()
    before = learner.model.state_dict()
    copy.deepcopy(learner).fast_step(X)
    after = learner.model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_generators() -> None:
    generator = nets.random.Generator(7)
    generator.next_key()
    found = again(generator)
    np.testing.assert_array_equal(found.next_key().numpy(), generator.next_key().numpy())


def test_solvers_and_loaders() -> None:
    data = nets.data.TensorDataset(X, X[:, :1])
    loader = nets.data.DataLoader(data, batch_size=2)
    nets.manual_seed(1)
    model = nn.Linear(4, 1)
    optimizer = nets.optim.SGD(model.parameters(), lr=0.1)
    solver = nets.Solver(model, nn.MSELoss(), optimizer)
    solver.run(1, loader, verbose=False)
    other, others_loader = again((solver, loader))
    assert solver.run(3, loader, verbose=False) == other.run(3, others_loader, verbose=False)


# -------------------------------------------------------------------------- functions


def test_functions_go_by_name() -> None:
    assert again(traced) is traced
    assert again(with_options) is with_options
    assert again(decorated) is decorated
    assert again(Model.predict) is Model.predict


def test_what_has_no_name_goes_with_its_function() -> None:
    gradient = nets.value_and_grad(plain)
    assert again(gradient) is gradient  # kept by the function, which goes by name
    found = again(renamed)
    assert found.__wrapped__ is plain
    assert found(X).item() == renamed(X).item()
    np.testing.assert_array_equal(again(nets.grad(traced))(X).numpy(), np.full_like(X, 2))


def test_options_go_along() -> None:
    bound = nets.trace(Bound(3).power, static_argnums=1, threads=1)
    found = again(bound)
    assert found.binding.static == bound.binding.static
    assert found.options == {"threads": 1}
    assert found(2.0, 2).item() == 12


class Bound:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def power(self, x: Any, n: int) -> Any:
        return x**n * self.factor


def test_methods() -> None:
    model = Model().eval()
    found = again(model.predict)
    np.testing.assert_array_equal(found(X).numpy(), model.predict(X).numpy())
    assert found.__self__ is not model


@pytest.mark.parametrize("make", [nets.trace, nets.grad, nets.value_and_grad, nets.vmap])
def test_functions_without_a_name_say_what_to_do(make: Any) -> None:
    def local(x: Any) -> Any:
        return x

    for function in (local, lambda x: x):
        with pytest.raises(PickleError, match="top of a module"):
            pickle.dumps(make(function))
        with pytest.raises(pickle.PicklingError):
            pickle.dumps(make(function))
        assert copy.copy(make(function)) is not None
        assert copy.deepcopy(make(function)) is not None


# ------------------------------------------------------------------ specs, lowered, errors


@pytest.mark.parametrize("text", ["f32[2,3]", "bool[]", "i64[?n,4]"])
def test_specs(text: str) -> None:
    assert again(nets.spec(text)) == nets.spec(text)


def nest(params: Any, x: Any, *, scale: float = 1.0) -> Any:
    return {"y": (x @ params["w"] + params["b"]) * scale, "n": None, "rest": (x, 2.0)}


PARAMS = {"w": np.ones((4, 2), "float32"), "b": np.zeros(2, "float32")}


def test_lowered_functions() -> None:
    low = nets.trace(nest).lower(PARAMS, X, scale=2.0)
    found = again(low)
    assert found.ir("traced") == low.ir("traced")
    assert found.argument_names == low.argument_names
    assert found.result_names == low.result_names
    assert found.in_tree == low.in_tree
    expected, got = low.compile()(PARAMS, X, scale=3.0), found.compile()(PARAMS, X, scale=3.0)
    assert got.keys() == expected.keys()
    np.testing.assert_array_equal(got["y"].numpy(), expected["y"].numpy())
    with pytest.raises(nets.errors.ArgumentError, match="was lowered for"):
        found.compile()(PARAMS, X[:2], scale=3.0)
    with pytest.raises(nets.errors.ArgumentError, match="missing a required argument"):
        found.compile()(PARAMS)


@pytest.mark.long
def test_lowered_functions_take_their_state_along(tmp_path: Any) -> None:
    learner = Learner()
    learner.model.eval()
    low = learner.fast_step.lower(X)
    found = again(low)
    one, other = low.compile(), found.compile()
    for _ in range(3):
        assert one(X).item() == other(X).item()
    headers = []
    for folder, function in (("one", low), ("other", found)):
        (tmp_path / folder).mkdir()
        nets.export(tmp_path / folder / "lib", step=function)
        headers.append((tmp_path / folder / "lib.h").read_text())
    assert headers[0] == headers[1]


def test_compiled_functions() -> None:
    compiled = traced.lower(X, 1.0).compile(backend="numpy", threads=1)
    found = again(compiled)
    assert found.options == compiled.options
    assert found(X, 2.0).item() == compiled(X, 2.0).item()


def test_lowered_lambdas_need_no_name() -> None:
    found = again(nets.trace(lambda x: x * 2).lower(X))
    np.testing.assert_array_equal(found.compile()(X).numpy(), 2 * X)


def test_errors_keep_their_line() -> None:
    with pytest.raises(ShapeError) as caught:
        nets.zeros((2, 3)) @ nets.zeros((4, 5))
    found = again(caught.value)
    assert type(found) is ShapeError
    assert str(found) == str(caught.value)
    assert "test_pickling.py" in str(found)


class PlanError(ShapeError):
    """An error of the user's own, which takes what it likes."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}", nets.user_location())
        self.pair = first, second


def test_errors_keep_their_attributes() -> None:
    error = PlanError(2, 3)
    error.place = "in layers.0"
    error.add_note("while the plan was made")
    found = again(again(error))
    assert type(found) is PlanError
    assert found.pair == (2, 3)
    assert found.__notes__ == ["while the plan was made"]
    assert str(found) == str(error)
    assert (found.location.file, found.location.line) == (__file__, error.location.line)
    assert found.args == error.args


# ------------------------------------------------------------------------- other processes


def run(step: Any, *args: Any) -> Any:
    return step(*args)


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as made:
        yield made


def test_a_fresh_process_gives_the_same(pool: ProcessPoolExecutor) -> None:
    learner = Learner()
    learner.model.eval()
    low = learner.fast_step.lower(X)
    sent = {
        "tensor": (run, nets.sum, nets.Tensor(X)),
        "traced": (run, traced, X),
        "gradient": (run, nets.grad(plain), X),
        "method": (run, learner.model.predict, X),
        "compiled": (run, low.compile(), X),
    }
    # A pool pickles when it has a place free, and what is called here changes its weights.
    found = {name: pool.submit(*call).result(60) for name, call in sent.items()}
    for name, (_, function, *args) in sent.items():
        expected = function(*args)
        np.testing.assert_array_equal(found[name].numpy(), expected.numpy(), err_msg=name)
    trained = pool.submit(train, learner).result(60)
    train(learner)
    ours, theirs = learner.model.state_dict(), trained.model.state_dict()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def train(learner: Learner) -> Learner:
    for _ in range(2):
        learner.fast_step(X)
    return learner


def test_errors_come_back_from_other_processes(pool: ProcessPoolExecutor) -> None:
    with pytest.raises(ShapeError, match=r"test_pickling\.py"):
        pool.submit(wrong_shape, nets.Tensor(X)).result(60)


def wrong_shape(x: Any) -> Any:
    return x @ x


def test_picklers_that_take_functions_as_they_are_get_them() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    factor = nets.Tensor(3.0)
    made = nets.trace(lambda x: x * factor)
    assert pickle.loads(cloudpickle.dumps(made))(2.0).item() == 6


def test_functions_of_nets() -> None:
    for name in nets.__all__:
        if callable(getattr(nets, name)):
            assert again(getattr(nets, name)) is getattr(nets, name)
