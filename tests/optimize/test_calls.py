"""Where solvers are called from: outside traces, inside, under vmap, in C; what is refused."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import ArgumentError, ControlFlowError, DTypeError, ShapeError
from nets.frontend.pytree import flatten
from nets.optimize import OptimizeResult, least_squares, minimize, root
from tests.optimize.problems import rosenbrock, rosenbrock_residuals

START = np.array([-1.2, 1.0])


def bits(nest: Any) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in flatten(nest)[0]]


def banana(x: Any, a: Any) -> Any:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (a - x[0]) ** 2


def residuals(x: Any, a: Any) -> Any:
    return nets.stack([10 * (x[1] - x[0] ** 2), a - x[0]])


SOLVERS = {
    "BFGS": lambda x, a: minimize(banana, x, (a,)),
    "L-BFGS": lambda x, a: minimize(banana, x, (a,), "L-BFGS"),
    "Newton-CG": lambda x, a: minimize(banana, x, (a,), "Newton-CG"),
    "trust-ncg": lambda x, a: minimize(banana, x, (a,), "trust-ncg"),
    "lm": lambda x, a: least_squares(residuals, x, args=(a,)),
    "newton": lambda x, a: root(residuals, x, (a,)),
    "broyden1": lambda x, a: root(residuals, x, (a,), "broyden1"),
}

EXACT = {"L-BFGS", "Newton-CG", "trust-ncg"}
"""Those without matrix products, which the reference leaves to NumPy."""


@pytest.mark.sampled(3)
@pytest.mark.parametrize("name", SOLVERS)
def test_bits_are_those_of_the_reference_and_of_each_entry(name: str) -> None:
    solve = SOLVERS[name]
    low = nets.trace(solve).lower(START, 1.0)
    alone = [solve(START, a) for a in (1.0, 2.0)]
    assert bits(low.compile()(START, 1.0)) == bits(alone[0])
    reference = nets.evaluate(low, START, 1.0)
    if name in EXACT:
        assert bits(reference) == bits(alone[0])
    np.testing.assert_allclose(reference.x, alone[0].x, rtol=1e-8)
    stacked = nets.vmap(lambda a: solve(START, a))(np.array([1.0, 2.0]))
    for i, found in enumerate(alone):
        assert bits([np.asarray(leaf)[i] for leaf in flatten(stacked)[0]]) == bits(found)
    assert stacked.message == [found.message for found in alone]


def test_it_is_traced_once_for_a_function_and_types(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NETS_LOG", "trace")

    def scaled(x: Any, scale: Any) -> Any:
        return (scale * (x - 1) ** 2).sum()

    for scale in (2.0, 3.0, 4.0):
        minimize(scaled, START, scale, options={"gtol": 1e-5})
    assert capsys.readouterr().err.count("nets trace: minimize(") == 1
    minimize(scaled, START, 2.0, options={"gtol": 1e-7})
    minimize(scaled, START[:1], 2.0)
    assert capsys.readouterr().err.count("nets trace: minimize(") == 2


def test_derivatives_that_are_made_anew_are_taken_anew() -> None:
    def square(x: Any) -> Any:
        return ((x - 1) ** 2).sum()

    def slopes(sign: float) -> Any:
        return lambda x: sign * 2 * (x - 1)

    right, wrong = slopes(1.0), slopes(-1.0)
    for jac, status in ((right, 0), (wrong, 2), (right, 0), (slopes(-1.0), 2)):
        assert minimize(square, START, jac=jac).status.item() == status


def test_what_the_function_reads_is_seen_at_each_call() -> None:
    target = nets.Tensor([1.0, 2.0])
    settings = {"power": 2}

    def reading(x: Any) -> Any:
        return ((x - target) ** settings["power"]).sum()

    np.testing.assert_allclose(minimize(reading, START).x, [1, 2], atol=1e-6)
    target[0] = 5.0
    np.testing.assert_allclose(minimize(reading, START).x, [5, 2], atol=1e-6)
    settings["power"] = 4
    assert np.abs(minimize(reading, START).x.numpy() - [5, 2]).max() > 1e-6


C = """
#include "solvers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static void show(const double *x, int count) {
    for (int i = 0; i < count; i++) {
        uint64_t u;
        memcpy(&u, x + i, 8);
        printf("%016llx ", (unsigned long long)u);
    }
}
int main(void) {
    const double start[2] = {-1.2, 1.0}, a = 1.5;
    double x[2], fun, jac[2];
    int64_t status, nfev, njev, nit, nhev;
    size_t bytes = solvers_fit_workspace_bytes();
    void *workspace = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    if (solvers_fit(start, &a, x, &status, &nfev, &njev, &fun, jac, &nit, &nhev, workspace) != 0)
        return 1;
    show(x, 2);
    show(&fun, 1);
    show(jac, 2);
    printf("%d %d %d", (int)status, (int)nit, (int)nhev);
    free(workspace);
    return 0;
}
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    low = nets.trace(SOLVERS["trust-ncg"]).lower(START, 1.5)
    nets.export(folder / "solvers", cpu="x86-64-v3", fit=low)
    return folder


def test_a_library_gives_the_same_nest_of_the_same_bits(exported: Path) -> None:
    found = nets.load(exported / "solvers.so").fit(START, 1.5)
    assert bits(found) == bits(dataclasses.asdict(SOLVERS["trust-ncg"](START, 1.5)))


def test_a_program_in_c_gets_the_same_bits(exported: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no cc")
    (exported / "main.c").write_text(C)
    command = ["cc", "-std=c11", "-Wall", "-Werror", f"-I{exported}", str(exported / "main.c")]
    command += [str(exported / "solvers.a"), "-lpthread", "-o", str(exported / "main")]
    subprocess.run(command, check=True)
    done = subprocess.run([exported / "main"], capture_output=True, text=True, check=True)
    found = SOLVERS["trust-ncg"](START, 1.5)
    numbers = [*found.x.numpy(), found.fun.numpy(), *found.jac.numpy()]
    words = [f"{np.float64(x).view(np.uint64):016x}" for x in numbers]
    counts = [str(n.item()) for n in (found.status, found.nit, found.nhev)]
    assert done.stdout.split() == [*words, *counts]


METHOD_ERRORS: list[tuple[Any, type[Exception], str]] = [
    (lambda: minimize(rosenbrock, np.array([1, 2])), DTypeError, r"x0 is i64\[2\]"),
    (lambda: minimize(rosenbrock, np.zeros(0)), ArgumentError, "has no elements"),
    (lambda: minimize(rosenbrock, [np.zeros(1), np.zeros(1, "f4")]), DTypeError, r"x0\[1\] is f32"),
    (lambda: minimize(lambda x: x, START), ShapeError, r"a floating-point scalar, not f64\[2\]"),
    (lambda: minimize(lambda x: [x], START), ArgumentError, "returns a scalar, not a list"),
    (lambda: minimize(lambda x: nets.argmax(x), START), DTypeError, "scalar, not i64"),
    (lambda: minimize("f", START), ArgumentError, "fun is a function, not a str"),
    (lambda: minimize(rosenbrock, START, method="CG"), ArgumentError, "has the methods BFGS"),
    (lambda: minimize(rosenbrock, START, bounds=[(0, 1)] * 2), ArgumentError, "has no bounds"),
    (lambda: minimize(rosenbrock, START, constraints=[{}]), ArgumentError, "no constraints"),
    (lambda: minimize(rosenbrock, START, callback=print), ArgumentError, "has no callback"),
    (lambda: minimize(rosenbrock, START, options={"eps": 1}), ArgumentError, "no option 'eps'"),
    (lambda: minimize(rosenbrock, START, options={"gtol": -1}), ArgumentError, "from 0 on, not -1"),
    (lambda: minimize(rosenbrock, START, options={"maxiter": 1.5}), ArgumentError, "an integer"),
    (lambda: minimize(rosenbrock, START, options={"c1": 0.95}), ArgumentError, "c1 < c2 < 1"),
    (
        lambda: minimize(rosenbrock, START, method="trust-ncg", options={"eta": 0.5}),
        ArgumentError,
        "eta < 0.25",
    ),
    (lambda: minimize(rosenbrock, START, options=[1]), ArgumentError, "options are a dict"),
    (lambda: minimize(rosenbrock, START, jac="2-point"), ArgumentError, "jac is a function or"),
    (lambda: minimize(rosenbrock, START, jac=lambda x: x[:1]), ShapeError, r"jac gives f64\[1\]"),
    (lambda: minimize(rosenbrock, START, jac=lambda x: (x,)), ArgumentError, "jac gives a nest"),
    (lambda: minimize(rosenbrock, START, jac=True), ArgumentError, "a pair of value and gradient"),
    (
        lambda: minimize(rosenbrock, START, method="trust-ncg", hess=lambda x: x),
        ShapeError,
        r"hess gives f64\[2\], which should have the shape \(2, 2\)",
    ),
    (
        lambda: minimize(rosenbrock, START, method="Newton-CG", hessp=lambda x, p: p[0]),
        ShapeError,
        "hessp gives",
    ),
    (lambda: least_squares(lambda x: x[:1], START), ShapeError, "as many residuals as unknowns"),
    (lambda: least_squares(lambda x: nets.argmax(x), START), DTypeError, "floating-point tensors"),
    (lambda: least_squares(rosenbrock_residuals, START, method="trf"), ArgumentError, "is 'lm'"),
    (lambda: least_squares(rosenbrock_residuals, START, loss="huber"), ArgumentError, "'linear'"),
    (lambda: least_squares(rosenbrock_residuals, START, bounds=(0, 1)), ArgumentError, "no bounds"),
    (lambda: root(lambda x: x[:1], START), ShapeError, "as many equations as unknowns"),
    (lambda: root(lambda x: None, START), ArgumentError, "returns nothing"),
    (lambda: root(rosenbrock_residuals, START, method="hybr"), ArgumentError, "methods newton"),
    (lambda: root(rosenbrock_residuals, START, tol=-1.0), ArgumentError, "from 0 on"),
    (
        lambda: nets.trace(lambda a: minimize(banana, START, (a,)).message)(1.0),
        ControlFlowError,
        "known only when the compiled function runs",
    ),
]


@pytest.mark.parametrize(("call", "error", "words"), METHOD_ERRORS)
def test_what_is_refused(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        call()
    assert "test_calls.py" in str(caught.value)  # the user's line


def test_what_results_look_like() -> None:
    shown = repr(minimize(banana, START, (1.0,), "trust-ncg"))
    assert shown.splitlines()[0] == "message: 'Optimization terminated successfully.'"
    assert "hess_inv" not in shown
    seen = []

    @nets.trace
    def traced(a: Any) -> Any:
        found = minimize(banana, START, (a,), "trust-ncg")
        seen.append(repr(found))
        assert isinstance(found, OptimizeResult)
        return found.success, found

    success, found = traced(1.0)
    assert success.item()
    assert isinstance(found, OptimizeResult)
    assert "traced" in seen[0]
    assert "message" not in seen[0]
