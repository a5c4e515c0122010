"""``python -m nets compile``: from a module to a library."""

from pathlib import Path

import numpy as np
import pytest

import nets
from nets.tools.command_line import main

MODULE = """
import nets

@nets.trace
def energy(x, y):
    return (x * y).sum()

class Model:
    @staticmethod
    def double(x):
        return x * 2

limit = 3
"""


@pytest.fixture(autouse=True)
def module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The name of a module in the current folder."""
    name = f"module_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_a_traced_function(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    specs = ["--spec", "f32[3]", "--spec", "f32[3]"]
    assert main(["compile", f"{module}:energy", *specs, "-o", "build/energy"]) == 0
    assert str(Path("build/energy.so")) in capsys.readouterr().out
    x = np.arange(3, dtype=np.float32)
    assert nets.load("build/energy.so").energy(x, x) == 5


def test_a_plain_function_under_another_name(module: str) -> None:
    options = ["--spec", "f64[2]", "--name", "twice", "--cpu", "x86-64-v3", "-o", "lib"]
    assert main(["compile", f"{module}:Model.double", *options]) == 0
    assert nets.load("lib.so").twice(np.ones(2)).tolist() == [2, 2]


def test_for_some_cpus_in_a_profile(module: str) -> None:
    options = ["--spec", "f64[2]", "--cpu", "x86-64-v3,x86-64-v2", "--numerics", "strict-nofma"]
    assert main(["compile", f"{module}:Model.double", *options, "-o", "lib"]) == 0
    about = nets.load("lib.so").description
    assert [form.level for form in about.levels] == [2, 3]
    assert about.numerics == "strict-nofma"


def test_for_another_system(module: str) -> None:
    options = ["--spec", "f64[2]", "--target", "thumbv7em-none-eabihf", "--cpu", "cortex-m7"]
    assert main(["compile", f"{module}:Model.double", *options, "-o", "lib"]) == 0
    assert "cortex-m7" in Path("lib.h").read_text()
    assert not Path("lib.so").exists()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("{}", "write MODULE:FUNCTION"),
        ("nowhere_at_all:f", "no module 'nowhere_at_all'"),
        ("{}:missing", "has no missing"),
        ("{}:limit", "not a function"),
    ],
)
def test_refuses_what_is_not_there(
    module: str, function: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compile", function.format(module), "-o", "x"]) == 2
    assert message in capsys.readouterr().err


def test_refuses_wrong_types(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", f"{module}:energy", "--spec", "f99[3]", "-o", "x"]) == 2
    assert main(["compile", f"{module}:energy", "--spec", "f32[3]", "-o", "x"]) == 1
    assert "y" in capsys.readouterr().err
