"""Layers, optimisers and schedules: errors that name the layer, and what PyTorch takes as well."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn
from nets.errors import ArgumentError, IndexOutOfBoundsError, MissingKeyError, ShapeError


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.ModuleList([nn.Identity(), nn.Linear(12, 4)])

    def forward(self, x: Any) -> Any:
        for part in self.inner:
            x = part(x)
        return x


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), Block())

    def forward(self, x: Any) -> Any:
        return self.encoder(x)


@pytest.mark.parametrize("traced", [False, True])
def test_shape_errors_name_the_layer_and_its_weight(traced: bool) -> None:
    model = Model()
    call = nets.trace(lambda x: model(x)) if traced else model
    with pytest.raises(ShapeError) as caught:
        call(np.ones((5, 8), "float32"))
    assert "in model.encoder.2.inner.1 (Linear) with weight (4, 12), bias (4,)" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    with pytest.raises(ShapeError, match=r"in the layer \(Conv2d\) with weight \(3, 2, 2, 2\)"):
        nn.Conv2d(2, 3, 2)(np.ones((1, 5, 4, 4), "float32"))


def test_a_plain_tensor_over_a_parameter_is_refused() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight
    for value in (nets.zeros((2, 2)), np.zeros((2, 2)), 1.0):
        with pytest.raises(ArgumentError, match=r"weight\.data = …, or another"):
            layer.weight = value  # type: ignore[assignment]
    with pytest.raises(TypeError):
        layer.weight = layer.weight * 2  # type: ignore[assignment]
    assert layer.weight is before
    layer.weight = nn.Parameter(np.ones((2, 2), "float32"))
    layer.bias = None
    assert layer(np.ones(2, "float32")).tolist() == [2, 2]
    with nets.no_grad():
        layer.weight -= 1
    assert layer.weight.tolist() == [[0, 0], [0, 0]]


def test_buffers_of_arrays() -> None:
    module = nn.Module()
    module.register_buffer("mean", np.ones(3, "float32"))
    module.register_buffer("count", 0)
    module.register_buffer("absent", None)
    assert list(module.state_dict()) == ["mean", "count"]
    assert isinstance(vars(module)["mean"], nets.Tensor)
    with pytest.raises(nets.errors.NetsError):
        module.register_buffer("name", "text")


def names(module: nn.Module) -> list[str]:
    return [f"{name}:{type(child).__name__}" for name, child in module.named_children()]


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_containers_change_like_lists(kind: str) -> None:
    parts = [nn.Linear(2, 2), nn.ReLU(), nn.Tanh()]
    made: Any = nn.Sequential(*parts) if kind == "Sequential" else nn.ModuleList(parts)
    made[1] = nn.GELU()
    assert names(made) == ["0:Linear", "1:GELU", "2:Tanh"]
    made[-1] = nn.Sigmoid()
    made.insert(1, nn.ReLU())
    assert names(made) == ["0:Linear", "1:ReLU", "2:GELU", "3:Sigmoid"]
    del made[2]
    assert names(made) == ["0:Linear", "1:ReLU", "2:Sigmoid"]
    made.extend([nn.Tanh(), nn.Identity()])
    assert type(made.pop()) is nn.Identity
    del made[1:3]
    assert names(made) == ["0:Linear", "1:Tanh"]
    assert len(made) == 2
    assert list(made.state_dict()) == ["0.weight", "0.bias"]
    assert names(copy.deepcopy(made)) == names(made)
    for change in (
        lambda: made.__setitem__(2, nn.ReLU()),
        lambda: made.__delitem__(-3),
        lambda: made[5],
    ):
        with pytest.raises(IndexOutOfBoundsError, match="holds 2 modules"):
            change()
    with pytest.raises(ArgumentError, match="holds modules"):
        made[0] = 3
    assert names(made) == ["0:Linear", "1:Tanh"]


def test_names_that_are_no_numbers_stay() -> None:
    made = nn.Sequential({"first": nn.ReLU(), "second": nn.Tanh()})
    made.insert(1, nn.GELU())
    assert names(made) == ["first:ReLU", "1:GELU", "second:Tanh"]
    del made[0]
    assert names(made) == ["0:GELU", "second:Tanh"]


def test_a_traced_function_follows_a_changed_container() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Identity())
    traced = nets.trace(lambda x: model(x))
    x = np.array([-2.0, 1.0], "float32")
    assert traced(x).tolist() == [0, 1]
    model[0] = nn.Identity()
    assert traced(x).tolist() == [-2, 1]
    del model[0]
    model.insert(0, nn.ReLU())
    assert traced(x).tolist() == [0, 1]


def optimizer(groups: int = 2) -> nets.optim.Optimizer:
    made = [{"params": [nn.Parameter(np.ones(2))], "lr": 1.0 + i} for i in range(groups)]
    return nets.optim.SGD(made, lr=0.1, momentum=0.9)


def test_schedules_take_one_value_per_group() -> None:
    one = optimizer()
    nets.optim.OneCycleLR(one, max_lr=[1.0, 2.0], total_steps=10)
    assert [g["lr"] for g in one.param_groups] == pytest.approx([1 / 25, 2 / 25])
    two = optimizer()
    nets.optim.LambdaLR(two, [lambda n: 0.5, lambda n: 0.25])
    assert [g["lr"] for g in two.param_groups] == [0.5, 0.5]
    three = optimizer()
    plateau = nets.optim.ReduceLROnPlateau(three, patience=0, min_lr=[0.5, 0.125])
    for _ in range(4):
        plateau.step(1.0)
    assert [g["lr"] for g in three.param_groups] == [0.5, 0.125]
    with pytest.raises(ArgumentError, match="max_lr has 3 entries; the optimiser has 2"):
        nets.optim.OneCycleLR(optimizer(), max_lr=[1.0] * 3, total_steps=10)


def test_missing_keys_say_which_there_are() -> None:
    made = optimizer()
    with pytest.raises(MissingKeyError, match="no hyperparameter 'rate', only params, lr"):
        made.param_groups[0]["rate"]
    assert made.param_groups[0].get("rate") is None
    with pytest.raises(MissingKeyError, match="'param_groups'; this one has 'model'"):
        made.load_state_dict({"model": 1})
    with pytest.raises(MissingKeyError, match="'params'; this one has 'parameters'"):
        made.add_param_group({"parameters": []})
    schedule = nets.optim.StepLR(made, 3)
    with pytest.raises(KeyError, match="last_epoch"):
        schedule.load_state_dict({"epoch": 1})
