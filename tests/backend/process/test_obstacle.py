"""Machines and installations without native code: what runs there, and what they say."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.process import callable as native
from nets.backend.process import obstacle
from nets.extension import in_use
from nets.machine.machine import Machine

X = np.array([1.0, 2.0])

PROGRAM = """
import json, sys, warnings

hidden = {hidden!r}
for name in hidden:
    sys.modules[name] = None

import numpy as np
import nets
from nets import nn, optim

x, y = np.linspace(-1, 1, 24, dtype="f").reshape(8, 3), np.arange(8) % 2
scale = np.ones(3, "f")
world = dict(rate=0.5, seen=0)
nets.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Dropout(0.25), nn.Linear(5, 2))
optimizer = optim.Adam(model.parameters(), lr=0.05)

@nets.trace
def step(x, y):
    loss = nn.functional.cross_entropy(model(x * scale), y) * world["rate"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    world["seen"] += 1
    return loss

losses = []
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for number in range(4):
        losses.append(step(x, y).item())
        scale[0] = 1 + number  # what NumPy writes is read by the next call
        if number == 2:
            world["rate"] = 1.5
    low = nets.trace(nets.value_and_grad(lambda v: (v * v).sum())).lower(np.ones(3))
    slope = low.compile()(np.arange(3.0))[1].tolist()
print(json.dumps(dict(
    losses=losses, seen=world["seen"], slope=slope,
    state={{name: array.tolist() for name, array in model.state_dict().items()}},
    traced=low.ir("traced"), optimized=low.ir("optimized"),
    said=[f"{{w.category.__name__}}: {{w.message}}" for w in said],
)))
"""

HIDDEN = (
    *("nets._runtime", "nets._dispatch", "llvmlite", "cffi", "_cffi_backend"),
    *("resource", "fcntl"),  # which there are on Unix alone
)


def trained(backend: str, *hidden: str) -> dict[str, Any]:
    """What the program gives in a fresh process that lacks these modules."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(hidden=hidden)],
        capture_output=True,
        text=True,
        env={**os.environ, "NETS_BACKEND": backend, "NETS_CPU": "x86-64-v3"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.long
def test_a_program_runs_without_what_is_written_in_c_as_with_it_and_says_so_once() -> None:
    reference, found = trained("numpy"), trained("", *HIDDEN)
    assert reference.pop("said") == []
    (said,) = found.pop("said")
    assert said.startswith("BackendWarning: programs run on the reference interpreter")
    assert "install a C compiler" in said
    assert "NETS_BACKEND=numpy" in said
    assert found == reference


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A machine that is asked anew, and again when the test is over."""
    obstacle.obstacle.cache_clear()
    obstacle.backend_here.cache_clear()
    yield monkeypatch
    obstacle.obstacle.cache_clear()
    obstacle.backend_here.cache_clear()


WORDS = {
    "nets._runtime": "nets was installed without its parts in C: install a C compiler",
    "_cffi_backend": "pip install cffi",
    "llvmlite": "pip install llvmlite",
}


@pytest.mark.parametrize("missing", WORDS)
def test_says_what_to_install(missing: str, here: pytest.MonkeyPatch) -> None:
    here.setattr(obstacle, "is_installed", lambda module: module != missing)
    here.delenv("NETS_BACKEND", raising=False)
    double = nets.trace(lambda x: x * 2)
    with pytest.warns(nets.errors.BackendWarning, match=re.escape(WORDS[missing])) as said:
        assert double(X).tolist() == [2, 4]
    assert [warning.filename for warning in said] == [__file__]
    assert double(X[:1]).tolist() == [2]  # where a warning would be an error
    low = double.lower(X)
    for wanted in (lambda: low.compile("native"), lambda: low.compilation.native):
        with pytest.raises(nets.errors.CompileError, match=re.escape(WORDS[missing])) as caught:
            wanted()
        assert "NETS_BACKEND=numpy" in str(caught.value)
    here.setenv("NETS_BACKEND", "llvm")
    with pytest.raises(nets.errors.CompileError, match="there is no native code here"):
        nets.trace(lambda x: x * 3)(X)
    here.setenv("NETS_BACKEND", "numpy")
    assert nets.trace(lambda x: x * 3)(X).tolist() == [3, 6]


def test_other_processors_and_systems(here: pytest.MonkeyPatch) -> None:
    assert obstacle.obstacle() is None
    assert obstacle.backend_here() == "llvm"
    here.setattr(obstacle, "cpu_level", lambda: 0)
    here.setattr(platform, "machine", lambda: "riscv64")
    obstacle.obstacle.cache_clear()
    assert "no code for this CPU (riscv64)" in str(obstacle.obstacle())
    here.setattr("sys.platform", "darwin")
    here.setattr(platform, "system", lambda: "Darwin")
    obstacle.obstacle.cache_clear()
    assert obstacle.obstacle() == "native code runs on Linux, and this is Darwin"


def test_stages_are_shown_where_no_code_can_run(here: pytest.MonkeyPatch) -> None:
    def refused(*which: object) -> Machine:
        raise nets.errors.CompileError("LLVM cannot be loaded")

    here.setattr("nets.backend.llvm.target.machine_of", refused)
    low = nets.trace(lambda x: x * 2).lower(X)
    with pytest.raises(nets.errors.CompileError, match="cannot be loaded"):
        low.ir("loops")
    here.setattr(obstacle, "is_installed", lambda module: module != "llvmlite")
    obstacle.obstacle.cache_clear()
    assert "loop.return" in nets.trace(lambda x: x * 2).lower(X).ir("loops")


def test_the_level_of_a_cpu_is_known_without_the_runtime(here: pytest.MonkeyPatch) -> None:
    with_it = native.cpu_level()
    assert native._level_of(native._flags()) == with_it
    assert native._level_of(frozenset(["sse4_2"])) == 0
    v2 = frozenset(["sse4_2", "ssse3", "popcnt", "avx2"])
    assert native._level_of(v2) == 2
    v3 = v2 | {"fma", "bmi1", "bmi2", "abm", "avx512f"}
    assert native._level_of(v3) == 3
    assert native._level_of(v3 | {"avx512bw", "avx512cd", "avx512dq", "avx512vl"}) == 4


@pytest.mark.skipif(os.environ.get("NETS_REQUIRE_C") != "1", reason="NETS_REQUIRE_C is not set")
def test_the_suite_runs_with_what_is_written_in_c() -> None:
    assert obstacle.obstacle() is None
    assert in_use()
