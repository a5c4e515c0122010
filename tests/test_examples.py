"""Runs every program under examples/ as a user does, and looks for what it promises to print."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

PROMISED = {
    "black_scholes": "at most ",
    "bundle_adjustment": "its values and the blocks: the same bits",
    "digits": "C program: trained 1320 steps: every loss and weight the same bits as in Python",
    "digits_cnn": "held-out accuracy 9",
    "digits_distributed": "weights on 1 of 1 ranks: one SHA-256",
    "export_filter": "loaded: the same bits",
    "heat_equation": "largest error 0.0",
    "inverse_kinematics": "hand at (-0.500, 1.200)",
    "lstm": "held-out accuracy 9",
    "lynx_and_hare": "u' = (0.5",
    "neural_ode": "their bits are the same",
    "parameter_study": "10 sets without Dask: the same bits",
    "pendulum": "length 1.30",
    "physics_informed": "largest error on a grid of 3321 points: 0.00",
    "quadrotor_mpc": "the flights of Python and C: the same bits",
    "spirals": "% of 600 points are on their arm",
    "three_hump_camel": "ends at (-0.000, +0.000)",
    "train_digits": "the exported library gives the same digits",
    "transformer": "characters are foretold by the 16 before them",
    "xor": "1 xor 1 = 0.00",
}
"""Part of what each prints when it did its work."""

NEEDS = {
    "digits": ("sklearn", "tqdm"),
    "digits_cnn": ("sklearn",),
    "digits_distributed": ("sklearn",),
    "lstm": ("sklearn",),
    "parameter_study": ("distributed",),
    "train_digits": ("sklearn",),
}
NEEDS_COMPILER = {"digits", "export_filter", "quadrotor_mpc"}
DRAWS = {
    "digits_cnn": "png",
    "lstm": "png",
    "lynx_and_hare": "png",
    "three_hump_camel": "png",
    "transformer": "png",
    "xor": "gif",
}
"""Examples that draw a picture of their name, and its kind."""

SHORT = {"black_scholes", "export_filter"}
"""What ``make test`` runs: one that prints, one that exports."""

TAKES_FOLDER = NEEDS_COMPILER | DRAWS.keys() | {"train_digits"}


def test_every_example_is_run() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == PROMISED.keys()


@pytest.mark.parametrize(
    "name", [pytest.param(x, marks=() if x in SHORT else pytest.mark.long) for x in PROMISED]
)
def test_example(name: str, tmp_path: Path) -> None:
    for module in NEEDS.get(name, ()):
        pytest.importorskip(module)
    if name in NEEDS_COMPILER and not (os.environ.get("CC") or shutil.which("cc")):
        pytest.skip("there is no C compiler")
    folder = [str(tmp_path / "out")] if name in TAKES_FOLDER else []
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), *folder],
        # One thread each, for the tests themselves run side by side.
        env=os.environ | {"NETS_CACHE_DIR": str(tmp_path / "cache"), "NETS_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert PROMISED[name] in done.stdout
    if name in DRAWS and importlib.util.find_spec("matplotlib"):
        picture = tmp_path / "out" / f"{name}.{DRAWS[name]}"
        assert 1_000 < picture.stat().st_size < 100_000


def test_a_study_without_dask_names_the_extra() -> None:
    code = """
import runpy, sys
sys.modules["distributed"] = None
runpy.run_path(sys.argv.pop(), {}, "__main__")
"""
    command = [sys.executable, "-c", code, str(EXAMPLES / "parameter_study.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert done.stderr == 'this example needs Dask: pip install "nets-compiler[sweeps]"\n'


@pytest.mark.long
def test_the_bar_of_the_demo_moves(capsys: pytest.CaptureFixture[str]) -> None:
    for module in NEEDS["digits"]:
        pytest.importorskip(module)
    place = importlib.util.spec_from_file_location("digits_demo", EXAMPLES / "digits.py")
    assert place is not None
    assert place.loader is not None
    demo = importlib.util.module_from_spec(place)
    place.loader.exec_module(demo)
    demo.train(lambda x, y: x + y, [(1.0, 2.0)] * 120)
    out = capsys.readouterr().out
    assert all(f" {count}/120 " in out for count in (50, 100, 120))
