"""Native code touches its buffers and nothing else: calls next to forbidden pages.

The calls are made by ``tests.backend.touching`` in a process of its own, which an access out of
bounds kills.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nets.errors import IndexOutOfBoundsError
from tests.backend.touching import FAR, of_indices
from tests.property.compiled import Way
from tests.property.programs import arguments

ROOT = Path(__file__).parents[3]


def run(*parts: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.backend.touching", *parts]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("parts", ["strided indices", "lengths matrices", "corpus"])
@pytest.mark.sampled(3)
def test_nothing_out_of_bounds_is_touched(parts: str) -> None:
    found = run(*parts.split())
    last = found.stdout.splitlines()[-1:]
    assert last == ["done"], f"status {found.returncode} at {last}\n{found.stderr[-2000:]}"
    assert found.returncode == 0


def test_a_read_behind_the_end_kills_the_process() -> None:
    found = run("beyond")
    assert found.stdout == "one element behind the end\n"
    assert found.returncode < 0


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("pipeline", ["default", "none"])
def test_far_indices_raise(axis: int, pipeline: str) -> None:
    function = of_indices(axis)
    native = Way(pipeline, threads=2).compile(function)
    inputs = arguments(function, np.random.default_rng(0), special=False)
    for far in FAR:
        inputs[1] = np.array([0] * 8 + [far])
        with pytest.raises(IndexOutOfBoundsError, match=f"out of bounds for axis {axis}"):
            native(inputs)
    inputs[1] = np.zeros(9, np.int64)
    native(inputs)
