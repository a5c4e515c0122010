"""Exported training steps: state that the caller owns, from C and from Python."""

from __future__ import annotations

import ctypes
import functools
import itertools
import math
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.backend.library.manifest import Argument, laid_out
from nets.errors import ArgumentError, IndexOutOfBoundsError
from tests.frontend.library.test_export import WARNINGS, bits

rng = np.random.default_rng(0)
X = rng.normal(size=(6, 4)).astype("float32")
Y = np.array([0, 2, 1, 1, 0, 2])


class Training:
    def __init__(self) -> None:
        nets.manual_seed(3)
        self.model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))
        optimizer = optim.Adam(self.model.parameters(), lr=0.05)
        criterion = nn.CrossEntropyLoss()

        @nets.trace
        def train_step(x: Any, y: Any) -> Any:
            optimizer.zero_grad()
            loss = criterion(self.model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        self.train_step = train_step
        self.predict = nets.trace(lambda x: self.model(x))

    def losses(self, count: int) -> list[Any]:
        return [self.train_step(X, Y).numpy() for _ in range(count)]

    def scores(self) -> Any:
        self.model.eval()
        found = self.predict(X[:2]).numpy()
        self.model.train()
        return found


@pytest.fixture
def training() -> Training:
    return Training()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training exports before its first step; tests put their programs beside it."""
    training, folder = Training(), tmp_path_factory.mktemp("fit")
    train_step = training.train_step.lower(X, Y)
    training.model.eval()
    predict = training.predict.lower(X[:2])
    training.model.train()
    nets.export(folder / "fit", cpu="x86-64-v3", train_step=train_step, predict=predict)
    return folder / "fit.so"


PROGRAM = r"""
#include "fit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static const float x[24] = {NUMBERS};
static const int64_t y[6] = {0, 2, 1, 1, 0, 2}, wrong[6] = {0, 2, 1, 1, 0, 3};
static void show(float v) {
    uint32_t u;
    memcpy(&u, &v, 4);
    printf("%08x ", (unsigned)u);
}
int main(void) {
    fit_state state;
    fit_state *odd = (fit_state *)((char *)&state + 1);
    float loss, scores[6];
    size_t size = fit_train_step_workspace_bytes() + fit_predict_workspace_bytes();
    void *workspace = aligned_alloc(64, (size / 64 + 1) * 64);
    void *saved = malloc(fit_state_bytes());
    if (fit_init_state(NULL) != -1 || fit_init_state(odd) != -2) return 1;
    if (fit_init_state(&state) != 0 || fit_state_bytes() != sizeof state) return 2;
    if (fit_train_step(NULL, x, y, &loss, workspace) != -1) return 3;
    if (fit_train_step(odd, x, y, &loss, workspace) != -2) return 4;
    for (int i = 0; i < 3; i++) {
        if (fit_train_step(&state, x, y, &loss, workspace) != 0) return 5;
        show(loss);
    }
    if (fit_save_state(&state, saved) != 0 || fit_save_state(&state, NULL) != -1) return 6;
    if (fit_train_step(&state, x, wrong, &loss, workspace) <= 0) return 7;
    if (memcmp(&state, saved, sizeof state) != 0) return 8;
    for (int i = 0; i < 2; i++) fit_train_step(&state, x, y, &loss, workspace);
    if (fit_load_state(&state, saved) != 0) return 9;
    if (fit_train_step(&state, x, y, &loss, workspace) != 0) return 10;
    show(loss);
    if (fit_predict(&state, x, scores, workspace) != 0) return 11;
    for (int i = 0; i < 6; i++) show(scores[i]);
    free(saved);
    free(workspace);
    return 0;
}
""".replace("NUMBERS", ",".join(f"{float(v).hex()}f" for v in X.ravel()))


@pytest.mark.parametrize("language", ["c", "c++", "valgrind"])
@pytest.mark.sampled(3)
def test_c_programs_train_with_the_bits_of_python(
    training: Training, library: Path, language: str
) -> None:
    compiler = "c++" if language == "c++" else "cc"
    for needed in (compiler, "valgrind") if language == "valgrind" else (compiler,):
        if shutil.which(needed) is None:
            pytest.skip(f"no {needed}")
    folder = library.parent
    source = folder / ("main.cpp" if language == "c++" else "main.c")
    source.write_text(PROGRAM)
    standard = "-std=c++17" if language == "c++" else "-std=c11"
    command = [compiler, standard, *WARNINGS, "-g", f"-I{folder}", str(source)]
    subprocess.run([*command, str(folder / "fit.a"), "-o", str(folder / "main")], check=True)
    runner = ["valgrind", "-q", "--error-exitcode=99"] if language == "valgrind" else []
    done = subprocess.run(
        [*runner, str(folder / "main")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    expected = "".join(map(bits, training.losses(4))) + bits(training.scores())
    assert done.stdout == expected


def test_a_loaded_library_holds_the_state(training: Training, library: Path) -> None:
    loaded = nets.load(library)
    state = loaded.state
    assert {"model_0_weight", "model_3_bias"} < set(state)
    assert not any("grad" in name for name in state)
    assert state["model_0_weight"].tolist() == training.model[0].weight.tolist()
    first = [loaded.train_step(X, Y) for _ in range(3)]
    saved = state.save()
    second = [loaded.train_step(X, Y) for _ in range(3)]
    assert np.array_equal([*first, *second], training.losses(6))
    assert np.array_equal(loaded.predict(X[:2]), training.scores())
    state.load(saved)
    assert np.array_equal([loaded.train_step(X, Y) for _ in range(3)], second)
    with pytest.raises(IndexOutOfBoundsError):
        loaded.train_step(X, Y + 1)
    state.reset()
    assert np.array_equal([loaded.train_step(X, Y) for _ in range(3)], first)
    state["model_3_weight"][...] = 0
    state["model_3_bias"][...] = [1, 2, 3]
    assert loaded.predict(X[:2]).tolist() == [[1, 2, 3]] * 2
    with pytest.raises(ArgumentError, match="bytes"):
        state.load(b"short")
    assert len(nets.load(library).state.save()) == loaded.description.state_bytes


def test_members_of_every_kind(tmp_path: Path) -> None:
    w = nets.Tensor([1.0, 2.0], requires_grad=True)
    flags = nets.Tensor(np.array([True, False, True]))
    nothing = nets.Tensor(np.zeros((0, 3), "float32"))
    count = nets.Tensor(np.int8(0))
    table = nets.Tensor(np.arange(3.0))

    @nets.trace
    def accumulate(x: Any) -> Any:
        (w * x).sum().backward()
        flags.data = ~flags
        nothing.data = nothing + 1
        count.data = count + 1
        return w.grad, table.sum()

    @nets.trace
    def seen() -> Any:
        return {"flags": flags, "count": count, "table": table}

    x = np.array([1.0, 10.0])
    exported = nets.export(
        tmp_path / "kinds", accumulate=accumulate.lower(x), seen=seen.lower(), formats=("so", "h")
    )
    loaded = nets.load(exported.files[0])
    for i in range(1, 4):
        found, total = loaded.accumulate(x)
        assert found.tolist() == [i, 10 * i]
        assert total == 3
    assert loaded.seen()["flags"].tolist() == [False, True, False]
    assert loaded.seen()["count"] == 3
    loaded.state["table"][...] = 1
    assert loaded.seen()["table"].tolist() == [1, 1, 1]
    assert set(loaded.state) == {"w", "w_grad", "flags", "nothing", "count", "table"}


C_TYPES = {
    "bool": ctypes.c_bool,
    **{f"i{bits}": getattr(ctypes, f"c_int{bits}") for bits in (8, 16, 32, 64)},
    **{f"u{bits}": getattr(ctypes, f"c_uint{bits}") for bits in (8, 16, 32, 64)},
    "f32": ctypes.c_float,
    "f64": ctypes.c_double,
}


def test_members_lie_where_c_puts_them() -> None:
    """Each dtype first and last, in front of and behind each other; the end is padded, too."""
    shapes: list[tuple[int, ...]] = [(), (1,), (3,), (2, 3), (0,)]
    for first, last in itertools.product(C_TYPES, repeat=2):
        for number, middle in enumerate(C_TYPES):
            names = [first, middle, last][: 1 + number % 3]
            members = [
                Argument(f"m{i}", dtype, shapes[(number + i) % len(shapes)])
                for i, dtype in enumerate(names)
            ]
            fields = [(m.name, C_TYPES[m.dtype] * max(math.prod(m.shape), 1)) for m in members]
            structure = type("structure", (ctypes.Structure,), {"_fields_": fields})
            found, size = laid_out(members)
            assert size == ctypes.sizeof(structure), members
            for member in found:
                assert member.offset == getattr(structure, member.name).offset, members


def test_without_updates_there_is_no_state(tmp_path: Path) -> None:
    w = nets.Tensor([1.0, 2.0])
    exported = nets.export(tmp_path / "plain", f=nets.trace(lambda x: x * w).lower(np.ones(2)))
    loaded = nets.load(exported.files[0])
    assert not loaded.state
    assert "state(" not in exported.files[-1].read_text()
    assert loaded.f(np.ones(2)).tolist() == [1, 2]


class Frozen(nn.Module):
    """A network whose first part is not trained."""

    def __init__(self) -> None:
        self.backbone = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.scales = [nn.Parameter(np.ones(8, "float32"), requires_grad=False)]
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(8, 3)
        self.temperature = nets.Tensor(np.float32(1))
        self.backbone.requires_grad_(False)

    def forward(self, x: Any) -> Any:
        return self.head(self.dropout(self.backbone(x) * self.scales[0])) / self.temperature

    def train(self, mode: bool = True) -> Any:
        super().train(mode)
        self.backbone.eval()
        return self


def train_frozen(model: Frozen, teacher: Any = None) -> tuple[Any, Any]:
    """A step that trains the head, and moves the teacher along; and a prediction."""
    optimizer = optim.Adam(model.head.parameters(), lr=0.05)
    criterion = nn.CrossEntropyLoss()

    @nets.trace
    def fit(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        if teacher is not None:
            teacher.weight.data = 0.9 * teacher.weight + 0.1 * model.head.weight
        return loss

    return fit, nets.trace(lambda x: model(x) if teacher is None else teacher(model.backbone(x)))


@pytest.mark.long
def test_a_frozen_backbone_is_constant(tmp_path: Path) -> None:
    nets.manual_seed(5)
    model = Frozen().train()
    fit, predict = train_frozen(model)
    step = fit.lower(X, Y)
    model.eval()
    nets.export(tmp_path / "head", fit=step, predict=predict.lower(X), formats=("so",))
    model.train()
    loaded = nets.load(tmp_path / "head.so")
    names = set(loaded.state)
    assert {"model_head_weight", "model_head_bias", "optimizer_param_groups_0_tensors_lr"} <= names
    assert {"default_generator_key", "default_generator_counter", "model_temperature"} <= names
    assert not [name for name in names if "backbone" in name or "scales" in name or "grad" in name]
    assert not [name for name in names if name.startswith("tensor_")]
    for _ in range(3):
        assert bits(loaded.fit(X, Y)) == bits(fit(X, Y).numpy())
    model.eval()
    assert bits(loaded.predict(X)) == bits(predict(X).numpy())
    expected = bits(loaded.predict(X))
    model.backbone[0].weight.data = model.backbone[0].weight * 0
    assert bits(loaded.predict(X)) == expected


@pytest.mark.long
def test_what_a_step_writes_is_state_though_it_needs_no_gradient(tmp_path: Path) -> None:
    model = Frozen().train()
    teacher = nn.Linear(8, 3)
    teacher.requires_grad_(False)
    fit, predict = train_frozen(model, teacher)
    nets.export(tmp_path / "two", fit=fit.lower(X, Y), predict=predict.lower(X), formats=("so",))
    loaded = nets.load(tmp_path / "two.so")
    assert "teacher_weight" in loaded.state
    assert "teacher_bias" not in loaded.state
    for _ in range(3):
        assert bits(loaded.fit(X, Y)) == bits(fit(X, Y).numpy())
    assert bits(loaded.predict(X)) == bits(predict(X).numpy())


@pytest.mark.long
def test_weights_that_require_a_gradient_are_state_though_nothing_writes_them(
    tmp_path: Path,
) -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5))
    table = nets.Tensor(np.arange(8.0))
    draw = nets.trace(lambda x: model(x) + table)
    nets.export(tmp_path / "draw", draw=draw.lower(X), formats=("so",))
    loaded = nets.load(tmp_path / "draw.so")
    generator = {"default_generator_key", "default_generator_counter"}
    assert set(loaded.state) == {"model_0_weight", "model_0_bias", "table"} | generator
    assert bits(loaded.draw(X).astype("float32")) == bits(draw(X).numpy().astype("float32"))


settings: Any = ModuleType("settings")
settings.generator_of_a_module = nets.random.Generator(4)


class Noisy:
    """Generators where objects may have them."""

    shared = nets.random.Generator(1)

    def __init__(self) -> None:
        self.own = nets.random.Generator(2)
        self.listed = [nets.random.Generator(3)]

    def draw(self, x: Any, generator: Any) -> Any:
        generators = (self.own, self.listed[0], self.shared, generator)
        for each in generators:
            x = x + nets.random.normal(x.shape, key=each.next_key())
        return x + nets.random.uniform(x.shape) + settings.generator_of_a_module.key[0]


@pytest.mark.long
def test_keys_are_named_after_their_generators(tmp_path: Path) -> None:
    noisy = Noisy()
    draw = nets.trace(functools.partial(noisy.draw, generator=nets.random.Generator(5)))
    nets.export(tmp_path / "noise", draw=draw.lower(X), formats=("so",))
    loaded = nets.load(tmp_path / "noise.so")
    generators = ("own", "listed_0", "shared", "generator", "default_generator")
    expected = {f"{name}_{part}" for name in generators for part in ("key", "counter")}
    assert set(loaded.state) == expected | {"settings_generator_of_a_module_key"}
    for _ in range(2):
        assert bits(loaded.draw(X)) == bits(draw(X).numpy())
