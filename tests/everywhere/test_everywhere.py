"""One library for every x86-64: each CPU runs the best code it can, with the bits of Python.

AVX-512 is not among what is run here: neither qemu's CPUs nor most machines have it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import nets
from nets import nn, optim
from nets.backend.process.callable import cpu_level
from nets.frontend.calls.lowered import Lowered
from nets.frontend.calls.trace import Traced
from nets.frontend.library.function_export import checks_of
from nets.ir.core import Function
from nets.ir.types import bool_
from tests.backend.loops import loop_function
from tests.everywhere import c_program
from tests.everywhere.__main__ import in_process, kept
from tests.everywhere.programs import Program, programs

QUICK = (
    *("mathematics_float32", "products_float32", "convolution_float32", "reductions_float32"),
    *("arithmetic_float64", "integers", "indexing", "loops", "random_numbers", "adam"),
)
"""What the tests look at; ``python -m tests.everywhere`` looks at all."""

REFUSAL = "this CPU lacks instructions of x86-64-v"

CPUS = {
    "qemu64": 0,
    "core2duo": 0,
    "Nehalem": 2,
    "IvyBridge": 2,
    "Haswell": 3,
    "EPYC": 3,
    "Skylake-Server": 3,
}
"""Of qemu, and the level of x86-64 that each has there: AVX-512 is none that qemu knows."""


def some() -> dict[str, Program]:
    return {name: program for name, program in programs().items() if name in QUICK}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program, with a library for all levels."""
    if shutil.which("cc") is None:
        pytest.skip("no cc")
    return c_program.compiled(c_program.write(tmp_path_factory.mktemp("all"), some()))


def emulator(cpu: str) -> list[str]:
    if shutil.which("qemu-x86_64") is None:
        pytest.skip("no qemu-x86_64")
    return ["qemu-x86_64", "-cpu", cpu]


def expected() -> dict[str, str]:
    return {name: hash for name, hash in kept().items() if name in QUICK}


def test_every_program_has_a_hash() -> None:
    assert kept().keys() == programs().keys()


@pytest.mark.parametrize("cpu", ["x86-64-v2", ""])
@pytest.mark.long
def test_in_process(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CPU", cpu)
    assert in_process([*QUICK]) == expected()


def test_in_c(program: Path) -> None:
    assert c_program.printed([program]) == expected()


@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.sampled(4)
def test_in_c_on(cpu: str, program: Path) -> None:
    found = c_program.printed([*emulator(cpu), program])
    if CPUS[cpu]:
        assert found == expected()
    else:
        assert set(found.values()) == {f"{REFUSAL}2"}


@pytest.mark.parametrize("level", [2, 3, 4])
@pytest.mark.sampled(3)
def test_a_library_of_one_level_runs_from_there_on(level: int, tmp_path: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no cc")
    wanted = {name: program for name, program in some().items() if name == "adam"}
    source = c_program.write(tmp_path, wanted, cpu=f"x86-64-v{level}")
    program = c_program.compiled(source)
    for cpu in ("core2duo", "Nehalem", "Haswell"):
        found = c_program.printed([*emulator(cpu), program])
        runs = CPUS[cpu] >= level
        assert found["adam"] == (expected()["adam"] if runs else f"{REFUSAL}{level}"), cpu


# ------------------------------------------------------------------------ levels of exports


def double(x: nets.Tensor) -> nets.Tensor:
    return x + x


LOWERED = nets.trace(double).lower(nets.spec("f32[3]"))
X = np.array([1, 2, 3], np.float32)


def levels_of(path: Path) -> list[int]:
    return [form.level for form in nets.load(f"{path}.so").description.forms]


@pytest.mark.parametrize(
    ("cpu", "levels"),
    [
        (None, [2, 3, 4]),
        ("native", None),
        ("x86-64-v2", [2]),
        ("znver3", [3]),
        (("x86-64-v3", "x86-64-v2"), [2, 3]),
        (["nehalem", "x86-64-v4"], [2, 4]),
    ],
)
def test_levels_that_are_asked_for(cpu: object, levels: list[int] | None, tmp_path: Path) -> None:
    path = tmp_path / "doubles"
    nets.export(path, cpu=cpu, double=LOWERED)
    library = nets.load(f"{path}.so")
    here = cpu_level()
    wanted = levels or [here]
    assert levels_of(path) == wanted
    assert library.cpu_level == max(level for level in wanted if level <= here)
    assert library.double(X).tolist() == [2, 4, 6]
    text = path.with_suffix(".h").read_text()
    assert all(f"x86-64-v{level}" in text for level in wanted)


def test_the_setting_counts_where_no_cpu_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETS_CPU", "x86-64-v2")
    nets.export(tmp_path / "doubles", double=LOWERED)
    assert levels_of(tmp_path / "doubles") == [2]


@pytest.mark.parametrize("cpu", [(), [3], ("x86-64-v3", "haswell"), 3, {"x86-64-v3": 1, 2: 2}])
def test_levels_that_are_none(cpu: object, tmp_path: Path) -> None:
    with pytest.raises(nets.errors.ArgumentError, match=r"cpu (is a name|names each level once)"):
        nets.export(tmp_path / "doubles", cpu=cpu, double=LOWERED)


def test_weights_stand_there_once_for_all_levels(tmp_path: Path) -> None:
    """Large ones, which LLVM does not see, and small ones."""
    draw = np.random.default_rng(0)
    large, small = draw.standard_normal((64, 300)), draw.standard_normal((1, 64))
    lowered = nets.trace(lambda x: (x * small) @ large).lower(nets.spec("f64[1, 64]"))
    nets.export(tmp_path / "weights", f=lowered, formats=("o",))
    code = (tmp_path / "weights.o").read_bytes()
    assert [code.count(data.tobytes()) for data in (large, small)] == [1, 1]


MOST_OF_LEVELS = 2.5
"""Times the library for x86-64-v3 that the one for all levels may be."""


def network() -> dict[str, Lowered]:
    """A training step of two layers, and what they predict."""
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = optim.Adam(model.parameters())
    x, kinds = np.zeros((32, 64), "float32"), np.zeros(32, "int64")
    predict = nets.trace(lambda x: nets.argmax(model(x), axis=1))
    return {"fit": step_of(model, optimizer).lower(x, kinds), "predict": predict.lower(x)}


def images() -> dict[str, Lowered]:
    """A training step of a network of convolutions: much code, few weights."""
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))
    step = step_of(model, optim.SGD(model.parameters(), lr=0.1))
    return {"fit": step.lower(np.zeros((16, 1, 8, 8), "float32"), np.zeros(16, "int64"))}


def step_of(model: nn.Module, optimizer: optim.Optimizer) -> Traced[..., nets.Tensor]:
    criterion = nn.CrossEntropyLoss()

    @nets.trace
    def fit(x: nets.Tensor, kinds: nets.Tensor) -> nets.Tensor:
        optimizer.zero_grad()
        loss = criterion(model(x), kinds)
        loss.backward()
        optimizer.step()
        return loss

    return fit


def adam() -> dict[str, Lowered]:
    return {"adam": programs()["adam"].lowered}


@pytest.mark.parametrize(
    "functions",
    [
        adam,
        pytest.param(network, marks=pytest.mark.long),
        pytest.param(images, marks=pytest.mark.long),
    ],
)
def test_a_library_of_all_levels_is_not_much_larger_than_one(
    functions: Callable[[], dict[str, Lowered]], tmp_path: Path
) -> None:
    """The code of v2 among it, where multiply-additions are functions."""
    sizes = {}
    for cpu in ("x86-64-v3", None):
        path = tmp_path / f"size_{cpu}"
        nets.export(path, cpu=cpu, formats=("so",), **functions())
        sizes[cpu] = path.with_suffix(".so").stat().st_size
    assert sizes[None] <= MOST_OF_LEVELS * sizes["x86-64-v3"]


# --------------------------------------------------------------------------------- profiles

NOFMA = "strict-nofma"


@pytest.fixture(scope="module")
def without_fma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C program whose library multiplies and then adds, on two levels."""
    if shutil.which("cc") is None:
        pytest.skip("no cc")
    names = ("mathematics_float32", "products_float32", "adam")
    wanted = {name: found for name, found in some().items() if name in names}
    levels = ("x86-64-v2", "x86-64-v3")
    folder = tmp_path_factory.mktemp("nofma")
    return c_program.compiled(c_program.write(folder, wanted, cpu=levels, numerics=NOFMA))


@pytest.mark.long
def test_results_without_fma_in_c(without_fma: Path) -> None:
    found = c_program.printed([without_fma])
    assert found == {name: kept(NOFMA)[name] for name in found}
    assert len(found) == 3
    library = c_program.described(without_fma.with_name("everywhere.a"))
    assert (library.numerics, library.contract) == (NOFMA, 2)


@pytest.mark.parametrize("cpu", ["Nehalem", "Haswell"])
@pytest.mark.long
def test_results_without_fma_in_c_on(cpu: str, without_fma: Path) -> None:
    found = c_program.printed([*emulator(cpu), without_fma])
    assert found == {name: kept(NOFMA)[name] for name in found}


@pytest.mark.parametrize("cpu", ["x86-64-v2", ""])
@pytest.mark.long
def test_results_without_fma_in_process(cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_CPU", cpu)
    monkeypatch.setenv("NETS_NUMERICS", NOFMA)
    names = ["products_float64", "loops", "adam"]
    assert in_process(names) == {name: kept(NOFMA)[name] for name in names}


def test_profiles_differ_where_products_are_summed() -> None:
    same = {name for name in kept() if kept("strict")[name] == kept(NOFMA)[name]}
    assert {"arithmetic_float32", "integers", "indexing", "small_integers"} <= same
    assert same.isdisjoint({"products_float32", "convolution_float64", "mathematics_float64"})


def cubes(x: nets.Tensor) -> nets.Tensor:
    return x @ x @ x


MATRIX = np.random.default_rng(0).standard_normal((9, 9))


def test_a_function_is_traced_for_a_profile(tmp_path: Path) -> None:
    """It may be chosen there, in the environment, and at last in the export."""
    plain, other = nets.trace(cubes), nets.trace(numerics=NOFMA)(cubes)
    results = {str(f(MATRIX).numpy().tobytes()) for f in (plain, other)}
    assert len(results) == 2
    lowered = plain.lower(MATRIX), other.lower(MATRIX)
    for numerics, f, profile in (
        (None, lowered[0], "strict"),
        (None, lowered[1], NOFMA),
        (NOFMA, lowered[0], NOFMA),
        ("strict", lowered[1], "strict"),
    ):
        nets.export(tmp_path / "cubes", cpu="x86-64-v2", numerics=numerics, f=f)
        library = nets.load(tmp_path / "cubes.so")
        assert library.description.numerics == profile
        wanted = (plain if profile == "strict" else other)(MATRIX).numpy()
        assert library.f(MATRIX).tobytes() == wanted.tobytes()
    with pytest.raises(nets.errors.ArgumentError, match="strict and strict-nofma; export takes"):
        nets.export(tmp_path / "cubes", f=lowered[0], g=lowered[1])
    with pytest.raises(nets.errors.ArgumentError, match='numerics is "strict" or "strict-nofma"'):
        nets.export(tmp_path / "cubes", numerics="loose", f=lowered[0])


def test_gradients_have_the_profile_of_their_function(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(function: object) -> bytes:
        return bytes(nets.grad(function)(MATRIX).numpy().tobytes())

    total = nets.trace(lambda x: cubes(x).sum())
    other = nets.trace(numerics=NOFMA)(lambda x: cubes(x).sum())
    assert found(total) != found(other)
    monkeypatch.setenv("NETS_NUMERICS", NOFMA)
    assert found(nets.trace(lambda x: cubes(x).sum())) == found(other)


# ------------------------------------------------------------------------- checks of levels


def with_checks(*checks: tuple[int, str]) -> Function:
    """Loops that check something, and say so by that message."""
    function, s = loop_function([], [])
    for code, _ in checks:
        s.check(s.const(True, bool_), code)
    s.emit("return")
    function.attributes["checks"] = tuple((code, text, "", "index") for code, text in checks)
    return function


def codes(function: Function) -> list[int]:
    return [op.attributes["code"] for op in function.walk() if op.name == "loop.check"]


def test_a_code_means_the_same_at_every_level() -> None:
    forms = [with_checks((1, "a"), (2, "b")), with_checks((1, "b"), (2, "c"), (3, "a"), (4, "b"))]
    found = checks_of(forms)
    assert [(code, text) for code, text, *_ in found] == [(1, "a"), (2, "b"), (3, "c")]
    assert [codes(form) for form in forms] == [[1, 2], [2, 3, 1, 2]]


def test_codes_stay_where_all_levels_have_them() -> None:
    forms = [with_checks((1, "a"), (2, "a")) for _ in range(2)]
    assert [code for code, *_ in checks_of(forms)] == [1, 2]
    assert [codes(form) for form in forms] == [[1, 2], [1, 2]]
