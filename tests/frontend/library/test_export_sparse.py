"""Sparse matrices as results of exported functions: their values and where they stand."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.library.manifest_reading import from_json
from nets.errors import ArgumentError, LoadError

N = 9
Z = np.linspace(-1, 1, N)
WEIGHTS = np.linspace(1, 2, N - 1)


def steps(z: Any) -> Any:
    return nets.sin(z[1:]) - z[:-1] ** 2


def energy(z: Any, weights: Any) -> Any:
    return (weights * steps(z) ** 2).sum()


JACOBIAN, HESSIAN = nets.sparse_jacobian(steps), nets.sparse_hessian(energy)


@nets.trace
def both(z: Any, weights: Any) -> Any:
    return {"jacobian": JACOBIAN(z), "hessian": HESSIAN(z, weights), "cost": energy(z, weights)}


@nets.trace
def empty(z: Any) -> Any:
    return nets.sparse_jacobian(lambda z: z[:0])(z)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> nets.Exported:
    base = tmp_path_factory.mktemp("sparse") / "beam"
    return nets.export(
        base,
        formats=("so", "a", "h", "hpp", "py"),
        jacobian=JACOBIAN.lower(Z),
        both=both.lower(Z, WEIGHTS),
        empty=empty.lower(Z),
    )


@pytest.fixture(scope="module")
def folder(exported: nets.Exported) -> Path:
    return exported.files[0].parent


PROGRAM = r"""
#include <stdio.h>
#include "beam.h"

static void show(const double *values, const int32_t *rows, const int32_t *cols,
                 const int32_t *indptr, int count, int height) {
    for (int i = 0; i < count; i++) printf("%d %d %a\n", rows[i], cols[i], values[i]);
    for (int i = 0; i <= height; i++) printf("%d ", indptr[i]);
    printf("\n");
}

int main(void) {
    static const double z[BEAM_jacobian_z_COUNT] = {Z}, weights[] = {WEIGHTS};
    static double values[beam_jacobian_nnz], a[beam_both_hessian_nnz], b[beam_both_jacobian_nnz];
    enum { BYTES = BEAM_both_WORKSPACE_BYTES + BEAM_jacobian_WORKSPACE_BYTES + 64 };
    static _Alignas(64) char workspace[BYTES];
    double cost;
    if (beam_jacobian(z, values, workspace)) return 1;
    show(values, beam_jacobian_rows(), beam_jacobian_cols(), beam_jacobian_indptr(),
         beam_jacobian_nnz, BEAM_both_weights_COUNT);
    if (beam_both(z, weights, &cost, a, b, workspace)) return 1;
    show(b, beam_both_jacobian_rows(), beam_both_jacobian_cols(), beam_both_jacobian_indptr(),
         beam_both_jacobian_nnz, BEAM_both_weights_COUNT);
    show(a, beam_both_hessian_rows(), beam_both_hessian_cols(), beam_both_hessian_indptr(),
         beam_both_hessian_nnz, BEAM_both_z_COUNT);
    return beam_empty_nnz;
}
"""


def text(matrix: Any) -> str:
    """What the program prints of a matrix."""
    triples = zip(matrix.rows, matrix.cols, np.asarray(matrix.values), strict=True)
    elements = "".join(f"{r} {c} {hexadecimal(v)}\n" for r, c, v in triples)
    return elements + " ".join(map(str, matrix.pattern.indptr)) + " \n"


def hexadecimal(value: float) -> str:
    """As C prints it."""
    sign, whole, digits, power = re.fullmatch(
        r"(-?)0x(\d)\.(\w+?)0*p([+-]\d+)", value.hex().replace(".0p", ".00p")
    ).groups()  # type: ignore[union-attr]
    return f"{sign}0x{whole}{'.' + digits if digits.strip('0') else ''}p{power}"


def test_c(folder: Path) -> None:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    source = PROGRAM.replace("{Z}", f"{{{', '.join(v.hex() for v in Z.tolist())}}}")
    source = source.replace("{WEIGHTS}", f"{{{', '.join(v.hex() for v in WEIGHTS.tolist())}}}")
    (folder / "main.c").write_text(source)
    warnings = ["-std=c11", "-Wall", "-Wextra", "-Werror"]
    command = ["cc", *warnings, "main.c", "beam.a", "-o", "main"]
    subprocess.run(command, check=True, cwd=folder)
    printed = subprocess.run(folder / "main", check=True, capture_output=True, text=True).stdout
    together = both(Z, WEIGHTS)
    expected = [JACOBIAN(Z), together["jacobian"], together["hessian"]]
    assert printed == "".join(map(text, expected))


def check(library: Any) -> None:
    found, expected = library.both(Z, WEIGHTS), both(Z, WEIGHTS)
    pairs = [(library.jacobian(Z), JACOBIAN(Z)), (library.empty(Z), empty(Z))]
    pairs += [(found[key], expected[key]) for key in ("jacobian", "hessian")]
    for have, want in pairs:
        assert have["values"].tobytes() == np.asarray(want.values).tobytes()
        assert have["shape"] == want.shape
        for key in ("rows", "cols"):
            assert have[key].dtype == np.int32
            assert not have[key].flags.writeable
            np.testing.assert_array_equal(have[key], getattr(want, key))
    assert found["cost"] == expected["cost"]


def test_load(folder: Path) -> None:
    check(nets.load(folder / "beam.so"))


def test_the_package_for_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "beam", raising=False)
    import beam  # type: ignore[import-not-found]

    check(beam)


def test_a_function_cannot_have_the_name_of_a_table(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="'f_rows' cannot name a function"):
        nets.export(tmp_path / "x", f=JACOBIAN.lower(Z), f_rows=nets.trace(steps).lower(Z))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"result": 1},
        {"nnz": 3},
        {"nnz": -1},
        {"word": "other"},
        {"shape": [8]},
        {"shape": [8, "9"]},
        {"shape": [1 << 31, 9]},
        {"more": 1},
    ],
)
def test_what_a_manifest_cannot_say(exported: nets.Exported, change: dict[str, Any]) -> None:
    data = json.loads(exported._library.to_json())
    assert from_json(json.dumps(data)) == exported._library
    data["functions"][0]["matrices"][0] |= change
    with pytest.raises(LoadError):
        from_json(json.dumps(data))
