"""Exported factorisations that fail: results as in Python, and a status that says why."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets import linalg
from nets.errors import IndexOutOfBoundsError, LinAlgError
from nets.frontend.pytree import flatten
from nets.ops.loop.failures import (
    FAILURES,
    NOT_DECOMPOSED,
    NOT_POSITIVE_DEFINITE,
    SINGULAR,
    Failure,
)
from tests.frontend.library.test_export import WARNINGS

rng = np.random.default_rng(0)


def definite(*shape: int) -> Any:
    x = rng.normal(size=shape)
    return x @ np.swapaxes(x, -1, -2) + shape[-1] * np.eye(shape[-1])


def indefinite(x: Any) -> Any:
    found = x.copy()
    found[..., -1, -1] *= -1
    return found


def one_indefinite(x: Any) -> Any:
    found = x.copy()
    found[-1, -1, -1] *= -1
    return found


def singular(x: Any) -> Any:
    found = x.copy()
    found[..., 1, :] = found[..., :, 1] = 0
    return found


def not_finite(x: Any) -> Any:
    found = x.copy()
    found[..., 0, 0] = np.nan
    return found


def of_one(x: Any) -> Any:
    return linalg.cholesky(x)


def after_steps(x: Any) -> Any:
    """A factor in each step of a loop, of what gets more indefinite."""
    return nets.scan(lambda c, shift: (c + shift, linalg.cholesky(c)[0, 0]), x, np.zeros(3))


def if_it_is(x: Any) -> Any:
    """A factor in a branch that is not taken where there is none."""
    return nets.cond(x[2, 2] > 0, lambda: linalg.cholesky(x), lambda: x)


def tolerant(x: Any) -> Any:
    """What singular matrices have as others do."""
    return linalg.det(x), linalg.slogdet(x), linalg.cond(x, 1), linalg.qr(x)[1]


def triangles(x: Any) -> Any:
    return linalg.solve_triangular(x, x[0], unit_diagonal=True)


CASES: dict[str, tuple[Any, Any, Any, Failure | None]] = {
    "registers": (of_one, definite(3, 3), indefinite, NOT_POSITIVE_DEFINITE),
    "lanes": (of_one, definite(2011, 7, 7), one_indefinite, NOT_POSITIVE_DEFINITE),
    "blocks": (of_one, definite(40, 40), indefinite, NOT_POSITIVE_DEFINITE),
    "gradient": (
        nets.grad(lambda x: linalg.cholesky(x).sum()),
        definite(4, 4),
        indefinite,
        NOT_POSITIVE_DEFINITE,
    ),
    "each": (nets.vmap(of_one), definite(5, 3, 3), one_indefinite, NOT_POSITIVE_DEFINITE),
    "loop": (after_steps, definite(3, 3), indefinite, NOT_POSITIVE_DEFINITE),
    "branch": (if_it_is, definite(3, 3), indefinite, None),
    "solve_3": (lambda x: linalg.solve(x, x[0]), definite(3, 3), singular, SINGULAR),
    "solve_9": (lambda x: linalg.solve(x, x), definite(6, 9, 9), singular, SINGULAR),
    "inv_40": (linalg.inv, definite(40, 40), singular, SINGULAR),
    "back": (
        nets.grad(lambda x: linalg.solve(x, np.ones(4)).sum()),
        definite(4, 4),
        singular,
        SINGULAR,
    ),
    "triangle": (lambda x: linalg.solve_triangular(x, x[0]), definite(4, 4), singular, SINGULAR),
    "unit": (triangles, definite(4, 4), singular, None),
    "tolerant": (tolerant, definite(4, 4), singular, None),
    "eigh": (linalg.eigh, definite(5, 5), not_finite, NOT_DECOMPOSED),
    "svdvals": (linalg.svdvals, definite(9, 3, 3), not_finite, NOT_DECOMPOSED),
    "pinv": (linalg.pinv, definite(18, 18), not_finite, NOT_DECOMPOSED),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases, with parallel twins."""
    base = tmp_path_factory.mktemp("failures") / "fails"
    lowered = {name: nets.trace(case[0]).lower(case[1]) for name, case in CASES.items()}
    nets.export(base, cpu="x86-64-v3", threads=2, formats=("so", "h", "a"), **lowered)
    return base


def called(library: Path, name: str, x: Any, like: list[Any]) -> tuple[int, list[Any]]:
    """The status and the results of a function."""
    code = ctypes.CDLL(str(library.with_suffix(".so")))
    size = getattr(code, f"fails_{name}_workspace_bytes")
    size.restype = ctypes.c_size_t
    memory = np.zeros(size() + 64, np.uint8)
    start = -memory.ctypes.data % 64
    found = [np.zeros(y.shape, y.dtype) for y in like]
    pointers = [ctypes.c_void_p(y.ctypes.data) for y in (x, *found, memory[start:])]
    return getattr(code, f"fails_{name}")(*pointers), found


@pytest.mark.parametrize("name", CASES)
def test_results_and_status(library: Path, name: str) -> None:
    function, good, spoiled, failure = CASES[name]
    traced, loaded = nets.trace(function), getattr(nets.load(library.with_suffix(".so")), name)
    for x, told in ((good, None), (spoiled(good), failure)):
        expected = [np.asarray(y) for y in flatten(traced(x))[0]]
        status, found = called(library, name, x, expected)
        assert status == (told.status if told else 0)
        for own, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(own, other, strict=True)
        if told is None:
            np.testing.assert_array_equal(flatten(loaded(x))[0][0], expected[0])
            continue
        with pytest.raises(LinAlgError, match=f"{name}: {told.sentence}"):
            loaded(x)


PROGRAM = r"""
#include "fails.h"
#include "nets_threads.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void) {
    static double x[2011 * 49], out[2011 * 49], twin[2011 * 49];
    void *workspace = aligned_alloc(64, (fails_lanes_parallel_workspace_bytes() / 64 + 1) * 64);
    for (int i = 0; i < 2011; i++)
        for (int k = 0; k < 7; k++) x[i * 49 + k * 8] = 4;
    if (fails_lanes(x, out, workspace) != 0 || out[0] != 2) return 1;
    x[9 * 49] = -1;
    int32_t status = fails_lanes(x, out, workspace);
    nets_threads *threads = nets_threads_new(2);
    int32_t parallel = fails_lanes_parallel(x, twin, workspace, nets_threads_for, threads);
    nets_threads_free(threads);
    if (status != FAILS_NOT_POSITIVE_DEFINITE || parallel != status) return 2;
    if (!isnan(out[9 * 49]) || out[8 * 49] != 2 || out[10 * 49] != 2) return 3;
    if (memcmp(out, twin, sizeof out) != 0) return 4;
    puts(fails_status_message(status));
    puts(fails_status_message(FAILS_SINGULAR));
    return 0;
}
"""


def test_a_program_in_c(library: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no cc")
    folder = library.parent
    (folder / "main.c").write_text(PROGRAM)
    command = ["cc", "-std=c11", *WARNINGS, "-D_POSIX_C_SOURCE=200809L", f"-I{folder}", "main.c"]
    command += ["fails.a", "-pthread", "-lm", "-o", "main"]
    subprocess.run(command, cwd=folder, check=True)
    done = subprocess.run([folder / "main"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [NOT_POSITIVE_DEFINITE.sentence, SINGULAR.sentence]


def test_statuses_are_those_of_the_abi() -> None:
    text = Path(__file__).parents[3].joinpath("docs/abi.md").read_text()
    for status, failure in FAILURES.items():
        assert f"{status} where" in text.replace("\n", " ")
        assert f"NAME_{failure.word}" in text


def test_the_state_is_as_it_was(tmp_path: Path) -> None:
    """Also where the program would overwrite it, and a result is made of the new one."""
    kept = nets.Tensor(np.ones((3, 3)))

    @nets.trace
    def step(x: Any) -> Any:
        kept[...] = kept + linalg.cholesky(x)
        return kept.sum(), x @ x

    good, bad = definite(3, 3), indefinite(definite(3, 3))
    nets.export(tmp_path / "kept", cpu="x86-64-v3", formats="so", step=step.lower(good))
    loaded = nets.load(tmp_path / "kept.so")
    first = loaded.step(good)
    with pytest.raises(LinAlgError, match="step: a matrix is not positive definite"):
        loaded.step(bad)
    np.testing.assert_array_equal(loaded.state["kept"], 1 + linalg.cholesky(good).numpy())
    assert loaded.step(good)[0] > first[0]


def test_index_errors_come_first(tmp_path: Path) -> None:
    """Of several checks that fail, the one after which results are undefined."""

    @nets.trace
    def both(x: Any, i: Any) -> Any:
        return linalg.cholesky(x), x[i]

    x = indefinite(definite(3, 3))
    nets.export(tmp_path / "two", cpu="x86-64-v3", formats="so", both=both.lower(x, np.array([1])))
    loaded = nets.load(tmp_path / "two.so")
    with pytest.raises(IndexOutOfBoundsError):
        loaded.both(x, np.array([7]))
    with pytest.raises(LinAlgError):
        loaded.both(x, np.array([1]))
