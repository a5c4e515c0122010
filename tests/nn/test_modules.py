"""Modules: what they hold, their state and printed form, modes, initial values, gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.errors import PrecisionWarning
from nets.nn import functional as F


class Shared(nn.Module):
    """Two names for one layer, a buffer, and a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(2, 2)
        self.again = self.first
        self.parts = nn.ModuleList([nn.ReLU(), nn.Linear(2, 1, bias=False)])
        self.register_buffer("count", nets.Tensor(0))
        self.register_buffer("scratch", nets.Tensor(1.0), persistent=False)

    def forward(self, x: Any) -> nets.Tensor:
        for part in (self.first, *self.parts):
            x = part(x)
        return nets.as_tensor(x)


def test_names() -> None:
    model = Shared()
    assert [name for name, _ in model.named_parameters()] == [
        "first.weight",
        "first.bias",
        "parts.1.weight",
    ]
    assert list(model.state_dict()) == [
        "count",
        "first.weight",
        "first.bias",
        "again.weight",
        "again.bias",
        "parts.1.weight",
    ]
    assert [name for name, _ in model.named_buffers()] == ["count", "scratch"]
    assert len(list(model.modules())) == 5
    assert isinstance(model.first.weight, nn.Parameter)
    assert model(np.ones((3, 2), "float32")).shape == (3, 1)


def test_printed_form() -> None:
    model = nn.Sequential(
        {"body": nn.Sequential(nn.Linear(784, 128), nn.ReLU()), "head": nn.Linear(128, 10)}
    )
    assert list(model[:1].state_dict()) == ["body.0.weight", "body.0.bias"]
    assert repr(nn.MaxPool2d(3, 2)) == "MaxPool2d(3, stride=2)"
    assert repr(nn.Conv2d(1, 2, 3, stride=2, bias=False)).startswith(
        "Conv2d(1, 2, kernel_size=(3, 3), stride=2, bias=False)"
    )
    assert repr(model).splitlines() == [
        "Sequential()                 101,770",
        "├─ body: Sequential()        100,480",
        "│  ├─ 0: Linear(784, 128)    100,480",
        "│  └─ 1: ReLU()",
        "└─ head: Linear(128, 10)       1,290",
    ]


def test_state_is_copied_and_checked() -> None:
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    state = model.state_dict()
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.weight.data, model.weight.data)
    state["weight"][0, 0] = 9.0
    assert model.weight[0, 0].item() != 9.0
    before = model.state_dict()
    for bad in (
        {"weight": state["weight"]},
        state | {"extra": 1.0},
        {"weight": np.zeros((2, 2)), "bias": np.zeros(3)},
    ):
        with pytest.raises((nets.errors.ArgumentError, nets.errors.ShapeError)):
            model.load_state_dict(bad)
    np.testing.assert_equal(model.state_dict(), before)
    model.load_state_dict({"bias": np.ones(2)}, strict=False)
    assert model.bias is not None
    assert model.bias.tolist() == [1.0, 1.0]


def test_modes_copies_and_dtypes() -> None:
    model = Shared()
    copied = model.copy().eval().double()
    assert not any(module.training for module in copied.modules())
    assert all(module.training for module in model.modules())
    assert copied.first is copied.again
    assert {p.dtype.name for p in copied.parameters()} == {"float64"}
    assert {p.dtype.name for p in model.parameters()} == {"float32"}
    model.requires_grad_(False)
    assert not any(p.requires_grad for p in model.parameters())
    seen: list[nn.Module] = []
    model.apply(seen.append)
    assert seen[-1] is model


def test_names_of_the_original_are_taken() -> None:
    assert nn.Linear(input_dim=3, output_dim=2).weight.shape == (2, 3)  # type: ignore[call-arg]
    assert nn.Softmax(axis=1).dim == 1  # type: ignore[call-arg]
    with pytest.raises(nets.errors.ArgumentError, match="two names"):
        nn.Linear(3, out_features=2, output_dim=2)  # type: ignore[call-arg]
    network = nn.DNN([4, 8, 3], activation_hidden=nn.Tanh(), softmax=True)
    assert [type(m).__name__ for m in network] == ["Linear", "Tanh", "Linear", "Softmax"]
    np.testing.assert_allclose(network(np.ones((2, 4), "float32")).data.sum(1), 1, rtol=1e-6)


def test_initial_values() -> None:
    nets.manual_seed(0)
    layer = nn.Linear(100, 50)
    assert layer.bias is not None
    for p in (layer.weight, layer.bias):
        assert 0.08 < np.abs(p.data).max() <= 0.1
    again = nn.Linear(100, 50)
    assert not np.array_equal(again.weight.data, layer.weight.data)
    nets.manual_seed(0)
    np.testing.assert_array_equal(nn.Linear(100, 50).weight.data, layer.weight.data)
    w = nets.zeros((200, 100))
    init = nn.init
    assert init.xavier_uniform_(w).data.std() == pytest.approx(math.sqrt(2 / 300), rel=0.03)
    assert init.xavier_normal_(w).data.std() == pytest.approx(math.sqrt(2 / 300), rel=0.03)
    relu = init.kaiming_normal_(w, nonlinearity="relu", mode="fan_out")
    assert relu.data.std() == pytest.approx(0.1, rel=0.03)
    assert init.kaiming_uniform_(w).data.std() == pytest.approx(math.sqrt(0.02), rel=0.03)
    assert np.abs(init.trunc_normal_(w, std=2.0).data).max() <= 2
    assert init.eye_(nets.zeros((2, 3))).tolist() == [[1, 0, 0], [0, 1, 0]]
    assert init.fans((8, 4, 3, 3)) == (36, 72)
    for shape in ((3, 5), (5, 3), (4, 2, 3)):
        rows = init.orthogonal_(nets.zeros(shape), gain=2.0).data.reshape(shape[0], -1)
        product = rows.T @ rows if shape[0] > rows.shape[1] else rows @ rows.T
        np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=1e-12)
    assert init.calculate_gain("leaky_relu", 1.0) == 1.0
    assert nn.Embedding(4, 3, padding_idx=1).weight[1].tolist() == [0, 0, 0]


def test_dropout() -> None:
    nets.manual_seed(1)
    layer = nn.Dropout(0.25)
    x = nets.ones((200, 50), "float32", requires_grad=True)
    found = layer(x)
    kept = found.data != 0
    assert abs(kept.mean() - 0.75) < 0.02
    np.testing.assert_allclose(found.data[kept], 1 / 0.75, rtol=1e-6)
    nets.sum(found).backward()
    np.testing.assert_allclose(np.asarray(x.grad), found.data)
    assert F.dropout(x, 1.0).data.max() == 0
    traced = nets.trace(lambda x: layer(x))
    first, second = traced(x), traced(x)
    assert not np.array_equal(first.data, second.data)
    layer.eval()  # which the trace notices
    np.testing.assert_array_equal(traced(x).data, x.data)
    with pytest.raises(nets.errors.ArgumentError):
        F.dropout(x, 1.5)


def test_batch_norm_in_a_trace_keeps_its_statistics() -> None:
    layer = nn.BatchNorm1d(2, momentum=None, dtype="float64")
    step = nets.trace(lambda x: layer(x))
    batches = [np.arange(8.0).reshape(4, 2), np.arange(8.0).reshape(4, 2) ** 2]
    for batch in batches:
        step(batch)
    mean = np.mean([batch.mean(0) for batch in batches], axis=0)
    variance = np.mean([batch.var(0, ddof=1) for batch in batches], axis=0)
    state = layer.state_dict()
    np.testing.assert_allclose(state["running_mean"], mean, rtol=1e-6)
    np.testing.assert_allclose(state["running_var"], variance, rtol=1e-6)
    assert state["num_batches_tracked"] == 2
    layer.eval()
    expected = (batches[0] - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(step(batches[0]).data, expected, rtol=1e-5)
    np.testing.assert_array_equal(layer.state_dict()["running_mean"], state["running_mean"])


def test_gradients_of_a_whole_model() -> None:
    p, q = nn.Parameter([3.0, 0.0]), nn.Parameter([4.0])

    def reset() -> None:
        p.grad, q.grad = nets.Tensor([3.0, 0.0]), nets.Tensor([4.0])

    reset()
    assert nn.utils.clip_grad_norm_([p, q], 1.0).item() == 5.0
    np.testing.assert_allclose(np.asarray(p.grad), [0.6, 0], rtol=1e-5)
    reset()
    assert nn.utils.clip_grad_norm_([p, q], 8.0, math.inf).item() == 4.0
    assert np.asarray(q.grad).tolist() == [4.0]
    nn.utils.clip_grad_value_([p, q], 2.0)
    assert (np.asarray(p.grad).tolist(), np.asarray(q.grad).tolist()) == ([2.0, 0.0], [2.0])
    vector = nn.utils.parameters_to_vector([p, q])
    assert vector.tolist() == [3.0, 0.0, 4.0]
    nn.utils.vector_to_parameters(vector * 2, [p, q])
    assert (p.tolist(), q.tolist()) == ([6.0, 0.0], [8.0])
    assert nn.utils.one_hot([1, 0], 3).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_probabilities_of_0_and_1_have_gradients(dtype: str) -> None:
    """Sigmoids saturate; what is right then stays as it is, what is wrong is moved."""
    y = np.array([0, 1, 0, 1, 1], dtype)
    f = nets.trace(lambda p: F.binary_cross_entropy(p, y, reduction="none"))
    for loss in (f, f.__wrapped__):
        p = nets.Tensor(np.array([0, 1, 1, 0, 0.5], dtype), requires_grad=True)
        found = loss(p)
        found.backward(np.ones(5, dtype))
        np.testing.assert_allclose(found.data, [0, 0, 100, 100, math.log(2)], rtol=1e-6)
        assert p.grad is not None
        np.testing.assert_allclose(p.grad.data, [1, -1, 1e12, -1e12, -2], rtol=1e-6)


def test_clipping_inside_a_traced_step() -> None:
    def trained(traced: bool) -> Any:
        model = nn.Linear(2, 1)
        model.load_state_dict({"weight": [[3.0, -2.0]], "bias": [1.0]})
        sgd = nets.optim.SGD(model.parameters(), lr=0.1)

        def step(x: nets.Tensor) -> nets.Tensor:
            sgd.zero_grad()
            loss = nets.sum(nets.square(model(x)))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            sgd.step()
            return loss

        run = nets.trace(step) if traced else step
        return [run(nets.ones((4, 2), "float32")).item() for _ in range(3)]

    assert trained(True) == pytest.approx(trained(False), rel=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        lambda: nn.Module()(1),
        lambda: nn.Sequential(1),  # type: ignore[arg-type]
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        lambda: nn.Conv2d(4, 4, 3, groups=0),
        lambda: nn.ConvTranspose2d(4, 9, 3, groups=2),
        lambda: nn.ConvTranspose2d(4, 8, 3, groups=-1),
        lambda: nn.Conv2d(3, 4, 3)(np.zeros((1, 2, 5, 5))),
        lambda: nn.Conv2d(1, 1, 3)(np.zeros((1, 1, 2, 5))),
        lambda: nn.MaxPool2d(2, padding=2)(np.zeros((1, 1, 4, 4))),
        lambda: nn.BatchNorm2d(3)(np.zeros((2, 3))),
        lambda: nn.BatchNorm1d(3)(np.zeros((1, 3))),
        lambda: nn.LayerNorm(3)(np.zeros((2, 4))),
        lambda: nn.GroupNorm(2, 3)(np.zeros((2, 3))),
        lambda: nn.LSTM(3, 2)(np.zeros((2, 4))),
        lambda: nn.LSTM(3, 2)(np.zeros((4, 1, 3)), nets.zeros((1, 1, 2))),  # type: ignore[arg-type]
        lambda: nn.GRU(3, 2)(np.zeros((4, 1, 3)), nets.zeros((1, 2, 2))),
        lambda: nn.GRU(3, 2, proj_size=1),
        lambda: nn.RNN(3, 2, nonlinearity="sigmoid"),  # type: ignore[arg-type]
        lambda: nn.MultiheadAttention(5, 2),
        lambda: nn.DNN([3]),
        lambda: nn.MSELoss()(np.zeros(3), np.zeros(2)),
        lambda: nn.MSELoss("all")(np.zeros(3), np.zeros(3)),  # type: ignore[arg-type]
        lambda: nn.CrossEntropyLoss()(np.zeros((3, 2)), np.zeros(3)),
        lambda: nn.CrossEntropyLoss()(np.zeros((3, 2)), np.array([0, 1])),
        lambda: nn.CrossEntropyLoss()(np.zeros((3, 2)), np.array([0, 1, 2])),
        lambda: nn.Embedding(3, 2)(np.array([3])),
    ],
)
def test_what_is_refused(call: Any) -> None:
    with pytest.raises(nets.errors.NetsError, match=r"test_modules\.py"):
        call()


def test_a_norm_behind_a_residual_gets_its_gradient() -> None:
    """Traced: a total across rows is read before the gradient of the rows takes its place."""
    nets.manual_seed(0)
    norm, inner, head = nn.LayerNorm(64), nn.Linear(64, 64), nn.Linear(64, 49)
    criterion = nn.CrossEntropyLoss()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 32, 64)).astype("float32"), rng.integers(0, 49, 128)
    parameters = [p for part in (norm, inner, head) for p in part.parameters()]

    def step(x: Any) -> nets.Tensor:
        for p in parameters:
            p.zero_grad()
        loss: nets.Tensor = criterion(head(norm(x + inner(x))).reshape((128, -1)), y)
        loss.backward()
        return loss

    step(nets.Tensor(x))
    expected = [np.asarray(p.grad).copy() for p in parameters]
    nets.trace(step)(x)
    for p, gradient in zip(parameters, expected, strict=True):
        np.testing.assert_allclose(np.asarray(p.grad), gradient, rtol=1e-3, atol=1e-6)


class Scaled(nn.Module):
    """A model as users write them: attributes that its methods read, and modules below it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = 2.0
        self.layers = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

    def forward(self, x: Any) -> nets.Tensor:
        result: nets.Tensor = self.layers(x) * self.scale
        return self.in_training(result)

    def in_training(self, x: nets.Tensor) -> nets.Tensor:
        return x - 1 if self.training else x


def test_a_traced_model_follows_what_is_replaced_in_it() -> None:
    model = Scaled()
    run = nets.trace(lambda x: model(x))
    x = np.linspace(-1, 1, 6, dtype="float32").reshape(2, 3)
    changes: list[Callable[[], object]] = [
        lambda: None,
        lambda: setattr(model, "scale", 3.0),
        lambda: setattr(model.layers[0], "weight", nn.Parameter(-model.layers[0].weight.numpy())),
        lambda: setattr(model.layers, "1", nn.Tanh()),
        lambda: model.layers.append(nn.Linear(3, 2)),
        model.eval,
        model.train,  # what was traced for training is still there
        model.eval,
    ]
    for number, change in enumerate(changes):
        change()
        np.testing.assert_allclose(run(x).data, model(x).data, rtol=1e-6, err_msg=str(number))
    assert run.stats()["reasons"][0] == "Scaled.scale was 2.0 and is 3.0 now"
    assert run.stats()["traces"] == 6


def test_a_traced_step_follows_what_is_frozen_and_what_an_optimiser_gets() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    model[0].requires_grad_(False)
    optimizer = nets.optim.SGD([*model[2].parameters(), model[0].bias], lr=0.1)

    @nets.trace
    def step(x: Any) -> nets.Tensor:
        optimizer.zero_grad()
        loss = nets.mean(model(x) ** 2)
        loss.backward()
        optimizer.step()
        return loss

    x = np.ones((2, 3), "float32")
    moved = []
    for change in (
        lambda: None,
        lambda: model[0].requires_grad_(True),
        lambda: optimizer.add_param_group({"params": model[0].weight}),
        lambda: model[0].requires_grad_(False),
    ):
        change()
        for _ in range(2):  # by Python and without it
            before = model.state_dict()
            step(x)
            moved.append([not np.array_equal(a, before[k]) for k, a in model.state_dict().items()])
    frozen, one_bias, all_four = [False, False, True, True], [False, True, True, True], [True] * 4
    assert moved == [frozen] * 2 + [one_bias] * 2 + [all_four] * 2 + [frozen] * 2
    assert "a captured tensor<4x3xf32> requires a gradient now" in step.stats()["reasons"]


def test_the_mode_may_change_within_a_trace() -> None:
    model = nn.Dropout(0.5)

    @nets.trace
    def both(x: Any) -> Any:
        calm = model.eval()(x)
        return calm, model.train()(x)

    x = np.ones(100, "float32")
    for _ in range(2):
        calm, noisy = both(x)
        assert calm.data.min() == 1
        assert noisy.data.min() == 0
    assert both.stats()["traces"] == 1


def test_empty_batches() -> None:
    nothing = np.zeros((0, 3, 4), "float32")
    attended, weights = nn.MultiheadAttention(4, 2, batch_first=True)(nothing, nothing, nothing)
    assert attended.shape == (0, 3, 4)
    assert weights is not None
    assert weights.shape == (0, 3, 3)
    assert nn.GroupNorm(3, 3)(nothing).shape == (0, 3, 4)


# ------------------------------------------------------------------------------ precision


def test_doubles_meeting_a_float32_model_are_told_once() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = np.ones((2, 3))
    with pytest.warns(
        PrecisionWarning, match=r"Linear\(3, 4\) \('0' of Sequential\) has"
    ) as caught:
        model(x)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert "model.double()" in str(caught[0].message)
    assert nets.trace(model)(x).dtype == np.float64  # warnings are errors here

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 3)

        def forward(self, x: Any) -> nets.Tensor:
            return self.inner(self.inner(x))

    with pytest.warns(PrecisionWarning, match="'inner' of Twice") as caught:
        nets.trace(Twice())(x)
    assert len(caught) == 1


def test_what_keeps_its_precision_is_not_warned_about() -> None:
    x = np.ones((2, 3))
    for model, given in (
        (nn.Linear(3, 4), x.astype("float32")),
        (nn.Linear(3, 4, dtype="float64"), x),
        (nn.Linear(3, 4).double(), x),
        (nn.ReLU(), x),
        (nn.Embedding(5, 2), np.array([1, 2])),
    ):
        model(given)
