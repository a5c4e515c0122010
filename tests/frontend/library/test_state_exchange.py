"""Names of the state in Python, and its way from Python's objects to a library and back."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.errors import ArgumentError, DTypeError, LoadError, MissingKeyError, ShapeError

X = np.random.default_rng(1).normal(size=(6, 4)).astype("float32")


def step_of(models: list[Any], optimizer: Any) -> Callable[..., Any]:
    """A training step of models one behind the other, which rebuild their input."""

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        found = x
        for model in models:
            found = model(found)
        loss = ((found - x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    return step


def keys_of(folder: Path, **functions: Any) -> dict[str, tuple[str, str]]:
    """The key of each member, its owner and its entry there."""
    exported = nets.export(folder / "named", formats=("so",), cpu="x86-64-v3", **functions)
    members = nets.load(exported.files[0]).description.members
    return {member.key: (member.owner, member.entry) for member in members}


def network() -> Any:
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 4))


WEIGHTS = {"0.weight", "0.bias", "2.weight", "2.bias"}


class Wrapped(nn.Module):
    """A module whose parts have names, and whose methods are traced."""

    def __init__(self) -> None:
        self.body = network()
        self.norm = nn.BatchNorm1d(4)
        self.optimizer = optim.SGD(self.body.parameters(), lr=0.1)

    def forward(self, x: Any) -> Any:
        return self.norm(self.body(x))

    def fit(self, x: Any) -> Any:
        return step_of([self], self.optimizer)(x)


class Trainer:
    """An object of the user's that holds modules, alone and in lists."""

    def __init__(self, modules: list[Any]) -> None:
        self.parts = modules
        self.optimizer = optim.SGD([p for m in modules for p in m.parameters()], lr=0.1)

    def fit(self, x: Any) -> Any:
        return step_of(self.parts, self.optimizer)(x)


everywhere = network()
everywhere_optimizer = optim.SGD(everywhere.parameters(), lr=0.1)


def test_what_the_only_module_holds_is_called_as_in_its_state_dict(tmp_path: Path) -> None:
    model = network()
    optimizer = optim.Adam(model.parameters())
    keys = keys_of(tmp_path, fit=nets.trace(step_of([model], optimizer)).lower(X))
    moments = {f"optimizer.state.{i}.{m}" for i in range(4) for m in ("exp_avg", "exp_avg_sq")}
    assert WEIGHTS | moments < set(keys)
    assert keys["0.weight"] == ("models.0", "0.weight")
    assert keys["optimizer.state.1.step"] == ("optimizer", "state.1.step")
    saved = optimizer.state_dict()
    assert saved["state"][3]["exp_avg"].shape == (4,)
    assert {"optimizer.param_groups.0.lr", "optimizer.param_groups.0.betas"} < set(keys)
    assert saved["param_groups"][0].keys() > {"lr", "betas"}


def test_modules_are_found_where_they_may_be(tmp_path: Path) -> None:
    @nets.trace
    def fit(x: Any) -> Any:
        return step_of([everywhere], everywhere_optimizer)(x)

    assert set(keys_of(tmp_path, fit=fit.lower(X))) > WEIGHTS
    wrapped = Wrapped()
    names = set(wrapped.state_dict())
    keys = keys_of(tmp_path, fit=nets.trace(wrapped.fit).lower(X))
    assert {f"body.{name}" for name in WEIGHTS} <= names & set(keys)
    assert {"norm.running_mean", "norm.running_var"} <= names & set(keys)
    assert {owner for owner, _ in keys.values()} == {"model", "optimizer"}
    alone = Trainer([network()])
    keys = keys_of(tmp_path, fit=nets.trace(alone.fit).lower(X))
    assert set(keys) > WEIGHTS
    assert keys["2.bias"] == ("parts.0", "2.bias")


def test_two_modules_are_told_apart(tmp_path: Path) -> None:
    two = Trainer([network(), network()])
    keys = keys_of(tmp_path, fit=nets.trace(two.fit).lower(X))
    assert {f"parts.{i}.{name}" for i in (0, 1) for name in WEIGHTS} < set(keys)
    assert keys["parts.1.0.bias"] == ("parts.1", "0.bias")


def closure(model: Any, w: Any = None) -> Any:
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return nets.trace(lambda x: step_of([model], optimizer)(x) + (0 if w is None else w.sum()))


def test_two_that_functions_call_by_one_name_are_told_apart(tmp_path: Path) -> None:
    first, second = closure(network()), closure(network())
    keys = keys_of(tmp_path, first=first.lower(X), second=second.lower(X))
    assert {f"{owner}.{name}" for owner in ("model", "model_2") for name in WEIGHTS} < set(keys)
    assert {"optimizer.param_groups.0.lr", "optimizer_2.param_groups.0.lr"} < set(keys)


def test_what_one_function_finds_inside_another_ones_module(tmp_path: Path) -> None:
    wrapped = Wrapped()
    body = wrapped.body
    score = nets.trace(lambda x: body(x))
    keys = keys_of(tmp_path, score=score.lower(X), fit=nets.trace(wrapped.fit).lower(X))
    assert {f"body.{name}" for name in WEIGHTS} < set(keys)
    assert {owner for owner, _ in keys.values()} == {"model", "optimizer"}


def test_tensors_by_themselves_and_gradients(tmp_path: Path) -> None:
    w, table = nets.Tensor([1.0, 2.0], requires_grad=True), {"a": [nets.Tensor([3.0])]}

    def accumulate(x: Any) -> Any:
        (w * x).sum().backward()
        table["a"][0].data = table["a"][0] + 1
        return w.grad

    keys = keys_of(tmp_path, accumulate=nets.trace(accumulate).lower(np.ones(2)))
    assert keys == {name: ("", name) for name in ("w", "w.grad", "table.a.0")}


def test_a_tensor_called_like_an_entry_of_a_module(tmp_path: Path) -> None:
    model, bias = nn.Linear(4, 4), nets.Tensor(np.zeros(4, "float32"))
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def fit(x: Any) -> Any:
        bias.data = bias + 1
        return step_of([model], optimizer)(x) + bias.sum()

    keys = keys_of(tmp_path, fit=nets.trace(fit).lower(X))
    assert {"bias", "model.bias", "model.weight"} < set(keys)


@pytest.mark.long
def test_keys_of_what_was_pickled(tmp_path: Path) -> None:
    two, generator = Trainer([network(), network()]), nets.random.Generator(3)

    def fit(x: Any) -> Any:
        return two.fit(x + nets.random.normal(x.shape, key=generator.next_key()))

    low = nets.trace(fit).lower(X)
    keys = keys_of(tmp_path, fit=low)
    assert keys["generator.key"] == ("generator", "key")
    assert keys_of(tmp_path, fit=pickle.loads(pickle.dumps(low))) == keys


# ----------------------------------------------------------------------------- exchange


class Session:
    """A network with dropout and batch norm, its optimiser, and the step that trains it."""

    def __init__(self, seed: int, make: Callable[..., Any] = optim.Adam) -> None:
        nets.manual_seed(seed)
        self.model = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.25), nn.Linear(8, 4)
        )
        self.optimizer = make(self.model.parameters(), lr=0.05)
        self.step = nets.trace(step_of([self.model], self.optimizer))

    def losses(self, count: int = 3) -> list[float]:
        return [self.step(X).item() for _ in range(count)]


def momentum(parameters: Any, lr: float) -> Any:
    return optim.SGD(parameters, lr=lr, momentum=0.9)


@pytest.mark.parametrize("make", [optim.Adam, momentum, optim.RMSprop])
@pytest.mark.long
def test_training_goes_on_in_c_and_again_in_python(tmp_path: Path, make: Any) -> None:
    there, here = Session(1, make), Session(2, make)
    exported = nets.export(tmp_path / "on", fit=there.step.lower(X), formats=("so",))
    library = nets.load(exported.files[0])
    here.losses(2)
    saved = exported.state_from(here.model, here.optimizer, file=tmp_path / "here.state")
    assert (tmp_path / "here.state").read_bytes() == saved
    expected = here.losses(4)
    library.state.load(saved)
    assert [library.fit(X).item() for _ in range(4)] == expected
    after = library.state.save()
    more = here.losses(3)
    library.state_to(there.model, there.optimizer)
    assert there.losses(3) == more
    exported.state_to(tmp_path / "here.state", here.model, here.optimizer)
    assert here.losses(4) == expected
    exported.state_to(after, here.model, here.optimizer)
    assert here.losses(3) == more
    library.state_from(here.optimizer, here.model)
    assert here.losses(3) == [library.fit(X).item() for _ in range(3)]


@pytest.mark.long
def test_state_dicts_and_files_of_weights(tmp_path: Path) -> None:
    session = Session(3)
    exported = nets.export(tmp_path / "dict", fit=session.step.lower(X), formats=("so",))
    library = nets.load(exported.files[0])
    session.losses(2)
    nets.data.save(tmp_path / "w.safetensors", session.model.state_dict())
    weights = nets.data.load(tmp_path / "w.safetensors")
    library.state.load_state_dict(weights, strict=False)
    found = library.state.state_dict()
    assert all(np.array_equal(found[key], value) for key, value in weights.items() if key in found)
    nets.data.save(tmp_path / "all.safetensors", found)
    library.state.reset()
    library.state.load_state_dict(nets.data.load(tmp_path / "all.safetensors"))
    assert all(map(np.array_equal, library.state.state_dict().values(), found.values()))
    before = library.state.save()
    for wrong, error in [
        ({"0.weight": np.zeros((8, 5), "float32")}, ShapeError),
        ({"0.weight": np.zeros((8, 4))}, DTypeError),
        ([], ArgumentError),
    ]:
        with pytest.raises(error):
            library.state.load_state_dict(wrong, strict=False)
    with pytest.raises(ArgumentError, match=r"missing \['0.bias'"):
        library.state.load_state_dict({})
    with pytest.raises(ArgumentError, match=r"not known \['more'\]"):
        library.state.load_state_dict(found | {"more": X})
    assert library.state.save() == before


@pytest.mark.long
def test_objects_that_cannot_be_told_are_named(tmp_path: Path) -> None:
    two = Trainer([network(), network()])
    first, second = two.parts
    exported = nets.export(tmp_path / "two", fit=nets.trace(two.fit).lower(X), formats=("so",))
    library = nets.load(exported.files[0])
    with pytest.raises(
        ArgumentError, match=r"several: give them by name, as parts\.0=…, parts\.1=…"
    ):
        library.state_from(first, two.optimizer)
    given = {"parts.0": second, "parts.1": first}
    library.state_from(two.optimizer, **given)
    found = library.state.state_dict()
    assert np.array_equal(found["parts.0.0.weight"], second[0].weight.numpy())
    assert np.array_equal(found["parts.1.0.weight"], first[0].weight.numpy())
    library.state_from(second, two.optimizer, **{"parts.0": first})
    assert np.array_equal(library.state["parts_1_0_weight"], second[0].weight.numpy())


def test_tensors_and_nests_by_name(tmp_path: Path) -> None:
    w, table = nets.Tensor([1.0, 2.0], requires_grad=True), {"a": [nets.Tensor([3.0])]}

    @nets.trace
    def accumulate(x: Any) -> Any:
        (w * x).sum().backward()
        table["a"][0].data = table["a"][0] + 1
        return w.grad, table["a"][0]

    x = np.array([1.0, 10.0])
    exported = nets.export(tmp_path / "own", accumulate=accumulate.lower(x), formats=("so",))
    library = nets.load(exported.files[0])
    accumulate(x)
    library.state.load(exported.state_from(w=w, table=table))
    accumulate(x)
    assert library.accumulate(x)[0].tolist() == [2, 20]
    library.accumulate(x)
    library.state_to(w=w, table=table)
    assert w.grad is not None
    assert w.grad.tolist() == [3, 30]
    assert table["a"][0].tolist() == [6]
    with pytest.raises(ShapeError, match=r"w has shape \(2,\)"):
        library.state_from(w=nets.Tensor([1.0], requires_grad=True))
    with pytest.raises(ArgumentError, match="requires none"):
        library.state_from(w=nets.Tensor([1.0, 2.0]))
    with pytest.raises(MissingKeyError, match=r"no 'v'; it has w, w\.grad, table\.a\.0"):
        library.state_from(v=w)


@pytest.mark.long
def test_what_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    session = Session(4)
    exported = nets.export(tmp_path / "fit", fit=session.step.lower(X), formats=("so",))
    library = nets.load(exported.files[0])
    library.fit(X)
    before, saved = library.state.save(), exported.state_from(session.model, session.optimizer)
    wider = nn.Sequential(nn.Linear(4, 9), nn.BatchNorm1d(9), nn.Dropout(0.2), nn.Linear(9, 4))
    weights = session.model.state_dict()
    for objects, said in [
        ((wider,), r"0.weight of models.0 is f32\[8, 4\], not f32\[9, 4\]"),
        ((session.model.copy().double(),), r"is f32\[8, 4\], not f64\[8, 4\]"),
        ((session.optimizer, wider), "no part of the state is that of the Sequential"),
        ((session.model, session.model), "no part of the state"),
        ((nn.Linear,), "not a type"),
        ((X,), "not a ndarray"),
        ((), "give the module"),
    ]:
        with pytest.raises(ArgumentError, match=said):
            library.state_from(*objects)
        with pytest.raises(ArgumentError, match=said):
            library.state_to(*objects)
        with pytest.raises(ArgumentError, match=said):
            exported.state_from(*objects)
    for wrong in (b"", saved[:-1], saved + b"\0", bytes(len(saved)), saved[1:] + saved[:1]):
        with pytest.raises(ArgumentError, match="state of fit"):
            exported.state_to(wrong, session.model)
        with pytest.raises(ArgumentError, match="state of fit"):
            library.state.load(wrong)
    with pytest.raises(LoadError, match=r"nothing.state cannot be read"):
        exported.state_to(tmp_path / "nothing.state", session.model)
    assert library.state.save() == before
    now = session.model.state_dict()
    assert all(np.array_equal(now[key], value) for key, value in weights.items())


def test_functions_called_like_methods(tmp_path: Path) -> None:
    w = nets.Tensor(np.zeros(2))

    def step(x: Any) -> Any:
        w.data = w + x
        return w

    low = nets.trace(step).lower(np.ones(2))
    exported = nets.export(tmp_path / "names", state_from=low, take=low, formats=("so",))
    library = nets.load(exported.files[0])
    assert library.state_from(np.ones(2)).tolist() == library.take(np.zeros(2)).tolist() == [1, 1]
    library.state_to(w=w)
    assert w.tolist() == [1, 1]


def test_a_library_without_state_says_so(tmp_path: Path) -> None:
    model = network()
    exported = nets.export(tmp_path / "none", predict=nets.trace(model).lower(X), formats=("so",))
    for call in (exported.state_from, nets.load(exported.files[0]).state_to):
        with pytest.raises(ArgumentError, match="none has no state"):
            call(model)
