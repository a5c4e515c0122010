"""The same program under the switches of Python, of the environment and of nets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import numpy as np, nets
loss = nets.trace(lambda p, x, i: (nets.softmax(nets.tanh(x @ p["w"]) + p["b"])[i] ** 2).sum())
p = {"w": np.linspace(-1, 1, 15).reshape(5, 3), "b": np.zeros(3)}
x, i = np.linspace(0, 1, 20).reshape(4, 5), np.array([0, 2])
value, gradient = nets.value_and_grad(loss)(p, x, i)
t = nets.Tensor(x, requires_grad=True)
loss({k: nets.Tensor(a, requires_grad=True) for k, a in p.items()}, t, i).backward()
low = loss.lower(p, x, i)
for stage in ("traced", "optimized", "loops"):
    assert str(nets.parse_ir(low.ir(stage))).strip() == low.ir(stage).strip(), stage
reference, = nets.evaluate(low.ir("traced"), p["b"], p["w"], x, i)
np.testing.assert_allclose(value.numpy(), reference, rtol=1e-14)
np.testing.assert_allclose(low.compile("numpy")(p, x, i).numpy(), reference, rtol=1e-14)
for bad in (lambda: loss(p, x, np.array([9])), lambda: nets.trace(bool)(1.0)):
    try:
        bad()
    except nets.errors.NetsError as error:
        print(type(error).__name__)
print(f"{value.item():.10f} {gradient['w'].numpy().std():.10f} {t.grad.numpy().std():.10f}")
"""
PRINTED = "IndexOutOfBoundsError\nControlFlowError\n"

MODES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "-OO": (("-OO",), {}),  # what -O does, and more
    "-X dev": (("-X", "dev"), {}),
    "C locale": ((), {"LC_ALL": "C", "PYTHONUTF8": "0"}),
    "verify": ((), {"NETS_VERIFY": "2"}),
    "check": ((), {"NETS_CHECK": "1", "NETS_CACHE": "0"}),
    "numpy": ((), {"NETS_BACKEND": "numpy"}),
}


def run(cache: Path, options: tuple[str, ...], environment: dict[str, str]) -> str:
    """What the program prints with no variable set but these: no HOME, LANG or TMPDIR."""
    command = [sys.executable, "-W", "error", *options, "-c", PROGRAM]
    kept = {"NETS_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def expected(cache: Path) -> str:
    return run(cache, (), {})


@pytest.mark.parametrize(("options", "environment"), MODES.values(), ids=MODES)
@pytest.mark.sampled(6)
def test_mode(
    options: tuple[str, ...], environment: dict[str, str], cache: Path, expected: str
) -> None:
    assert expected.startswith(PRINTED)
    assert run(cache, options, environment) == expected
