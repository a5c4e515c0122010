"""Exported functions that print: to a callback in C, and in Python where nets loads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets

X = np.array([1.0, 2.5, 4.0], "float32")


def decay(x: Any, steps: Any) -> Any:
    nets.debug_print("start {} */ of {n}", x, n=steps)

    def body(i: Any, c: Any) -> Any:
        nets.debug_print("step {} {:.2f}", i, c)
        return c / 2

    return nets.fori_loop(0, 2, body, x)


def invert(mask: Any) -> Any:
    nets.debug_print("mask {} {}", mask, mask.sum())
    nets.debug_print("no values")
    return ~mask


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("prints") / "loud"
    nets.export(
        base,
        cpu="x86-64-v3",
        decay=nets.trace(decay).lower(X, np.int16(7)),
        quiet=nets.trace(lambda x: x + 1).lower(X),
        invert=nets.trace(invert).lower(np.zeros((2, 2), bool)),
    )
    return base


PROGRAM = r"""
#include "loud.h"
#include <stdio.h>

static void show(
    void *user, int32_t site, const char *text, int32_t count, const loud_printed *values) {
    printf("%s%d [%s]", (const char *)user, (int)site, text);
    for (int i = 0; i < count; i++) {
        int64_t size = 1;
        for (int axis = 0; axis < values[i].rank; axis++) {
            size *= values[i].shape[axis];
        }
        printf(" %d:", (int)values[i].rank);
        for (int64_t k = 0; k < size; k++) {
            switch (values[i].dtype) {
            case LOUD_F32: printf(" %g", ((const float *)values[i].data)[k]); break;
            case LOUD_I64: printf(" %d", (int)((const int64_t *)values[i].data)[k]); break;
            case LOUD_I16: printf(" %d", (int)((const int16_t *)values[i].data)[k]); break;
            case LOUD_BOOL: printf(" %d", (int)((const uint8_t *)values[i].data)[k]); break;
            default: printf(" ?"); break;
            }
        }
    }
    printf("\n");
}

int main(void) {
    static char memory[4096 + 64];
    void *workspace = memory + (64 - (size_t)(uintptr_t)memory % 64) % 64;
    float x[3] = {1, 2.5f, 4}, out[3];
    int16_t steps = 7;
    uint8_t mask[4] = {1, 0, 0, 1}, inverted[4];
    char user[] = "site ";
    if (loud_decay_workspace_bytes() > 4096 || loud_invert_workspace_bytes() > 4096) return 1;
    if (loud_decay(x, &steps, out, workspace) != 0 || out[2] != 1) return 2;
    loud_set_print(show, user);
    if (loud_decay(x, &steps, out, workspace) != 0 || out[2] != 1) return 3;
    if (loud_invert(mask, inverted, workspace) != 0 || inverted[1] != 1) return 4;
    if (loud_quiet(x, out, workspace) != 0) return 5;
    loud_set_print(NULL, NULL);
    if (loud_invert(mask, inverted, workspace) != 0) return 6;
    return 0;
}
"""

EXPECTED = """\
site 0 [start {0} */ of {1}] 1: 1 2.5 4 0: 7
site 1 [step {0} {1:.2f}] 0: 0 1: 1 2.5 4
site 1 [step {0} {1:.2f}] 0: 1 1: 0.5 1.25 2
site 2 [mask {0} {1}] 2: 1 0 0 1 0: 2
site 3 [no values]
"""


@pytest.mark.parametrize("language", ["c", "c++"])
@pytest.mark.parametrize("kind", ["a", "so"])
@pytest.mark.sampled(3)
def test_a_program_prints_through_its_callback(library: Path, language: str, kind: str) -> None:
    compiler, standard = {"c": ("cc", "c11"), "c++": ("c++", "c++17")}[language]
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    folder = library.parent
    source = folder / f"main.{'c' if language == 'c' else 'cpp'}"
    source.write_text(PROGRAM)
    program = folder / f"main_{language}_{kind}"
    warnings = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    command = [compiler, f"-std={standard}", *warnings, f"-I{folder}", str(source)]
    command += [f"{library}.{kind}", f"-Wl,-rpath,{folder}", "-o", str(program)]
    subprocess.run(command, check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, EXPECTED)


def test_a_loaded_library_prints_as_the_function_does(
    library: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = nets.load(f"{library}.so")
    for _ in range(2):
        decay(nets.Tensor(X), nets.Tensor(np.int16(7)))
        invert(nets.Tensor(np.eye(2, dtype=bool)))
        expected = capsys.readouterr().out
        assert expected.count("\n") == 6
        loaded.decay(X, np.int16(7))
        loaded.invert(np.eye(2, dtype=bool))
        assert capsys.readouterr().out == expected


def test_the_header_lists_the_sites(library: Path) -> None:
    header = library.with_suffix(".h").read_text()
    for line in (
        r'0 decay: "start {0} *\/ of {1}"',
        '1 decay: "step {0} {1:.2f}"',
        '2 invert: "mask {0} {1}"',
        '3 invert: "no values"',
    ):
        assert f" *   {line}\n" in header


def test_a_library_that_prints_nothing_has_no_callback(tmp_path: Path) -> None:
    nets.export(tmp_path / "still", formats=("h", "o"), f=nets.trace(lambda x: x + 1).lower(X))
    assert "print" not in (tmp_path / "still.h").read_text()
    assert b"set_print" not in (tmp_path / "still.o").read_bytes()


def test_a_step_with_state_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weight = nets.Tensor([1.0, 2.0])

    def step(x: Any) -> Any:
        nets.debug_print("weight {}", weight)
        weight[...] = weight * x
        nets.debug_print("now {}", weight)
        return weight.sum()

    nets.export(tmp_path / "step", step=nets.trace(step).lower(np.float64(2)))
    capsys.readouterr()
    loaded = nets.load(tmp_path / "step.so")
    loaded.step(2.0)
    loaded.step(2.0)
    lines = ["weight [1. 2.]", "now [2. 4.]", "weight [2. 4.]", "now [4. 8.]"]
    assert capsys.readouterr().out.splitlines() == lines
