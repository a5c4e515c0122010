"""Eager operations whose reference is slow: native code, its bits, and when there is none."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import nets
from nets import linalg
from nets.backend.process import obstacle
from nets.compiler.compile import Compilation
from nets.frontend.tensor import native_ops
from nets.ops.definition.registry import REGISTRY, OpDef, lookup

rng = np.random.default_rng(0)
SQUARE = rng.normal(size=(32, 32))
SYMMETRIC = SQUARE + SQUARE.T


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the operations that are compiled from now on."""
    found: list[str] = []
    native = Compilation.native

    def noted(self: Compilation) -> Any:
        found.append(self.function.name)
        return native.__get__(self, Compilation)

    monkeypatch.setattr(Compilation, "native", property(noted))
    monkeypatch.setattr(native_ops, "_programs", {})
    return found


def referred(name: str, *arrays: Any, **attributes: Any) -> Any:
    return lookup(name).evaluate(arrays, attributes)[0]


def test_large_matrices_are_compiled_once(compiled: list[str]) -> None:
    for _ in range(2):
        values, vectors = linalg.eigh(nets.Tensor(SYMMETRIC))
    packed = referred("eigh", SYMMETRIC)
    np.testing.assert_array_equal(values.numpy(), packed[0], strict=True)
    np.testing.assert_array_equal(vectors.numpy(), packed[1:], strict=True)
    linalg.eigh(nets.Tensor(np.asfortranarray(SYMMETRIC)[::-1, ::-1]))
    assert compiled == ["eigh"]
    linalg.eigh(nets.Tensor(SYMMETRIC.astype("float32")))
    assert compiled == ["eigh", "eigh"]


def test_small_ones_are_not(compiled: list[str]) -> None:
    for n in (0, 1, 3, 8):
        linalg.eigh(nets.Tensor(SYMMETRIC[:n, :n]))
    assert not compiled


def test_what_has_taken_long_is(compiled: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    x = SYMMETRIC[:9, :9]
    before = [linalg.eigvalsh(nets.Tensor(x)).numpy() for _ in range(2)]
    assert not compiled
    monkeypatch.setattr(native_ops, "_PATIENCE", 0.0)
    np.testing.assert_array_equal(linalg.eigvalsh(nets.Tensor(x)).numpy(), before[0], strict=True)
    assert compiled == ["eigvalsh"]


def test_gradients_take_it_too(compiled: list[str]) -> None:
    x = nets.Tensor(SYMMETRIC, requires_grad=True)
    linalg.eigvalsh(x)[0].backward()
    assert compiled == ["eigvalsh", "eigh"]
    assert x.grad is not None
    vector = referred("eigh", SYMMETRIC)[1:, 0]
    np.testing.assert_allclose(x.grad.numpy(), np.outer(vector, vector), atol=1e-12)


@pytest.mark.parametrize("way", ["NETS_BACKEND", "NETS_CHECK", "elsewhere"])
def test_the_reference_where_it_is_asked_for(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "elsewhere":
        monkeypatch.setattr(obstacle, "obstacle", lambda: "native code runs on Linux")
    else:
        monkeypatch.setenv(way, "numpy" if way == "NETS_BACKEND" else "1")
    values = linalg.eigh(nets.Tensor(SYMMETRIC)).eigenvalues
    np.testing.assert_array_equal(values.numpy(), referred("eigh", SYMMETRIC)[0])
    assert not compiled


def test_errors_are_those_of_the_reference(compiled: list[str]) -> None:
    spoiled = SYMMETRIC.copy()
    spoiled[0, 0] = np.nan
    with pytest.raises(nets.errors.LinAlgError, match="eigh: an element is not finite"):
        linalg.eigh(nets.Tensor(spoiled))
    assert compiled == ["eigh"]


def test_llvm_is_not_loaded_for_small_matrices() -> None:
    code = (
        "import sys, numpy as np, nets; nets.linalg.eigh(np.eye(7)); nets.linalg.inv(np.eye(20))\n"
        "assert not {'llvmlite', 'nets.compiler.compile'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_only_exact_operations_have_a_limit() -> None:
    limited = [name for name, op in REGISTRY.items() if op.native_from is not None]
    assert {"eigh", "svd", "qr", "lu", "cholesky"} <= {*limited}
    assert all(lookup(name).is_exact([]) for name in limited)

    class Inexact:
        """An op."""

        infer = lookup("erf").rules.infer
        native_from = 5

    with pytest.raises(TypeError, match="not exact"):
        OpDef("inexact", Inexact, lookup("erf").traits, (), (), 0)
