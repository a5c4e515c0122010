"""Runs tests/filetests/**/*.nets: input IR, the passes its top names, expected IR.

A file holds comments (``// passes: a, b``, maybe ``// options: …`` and ``// bits: close``),
functions, a line ``// expected``, and the functions after the passes. ``NETS_BLESS=1`` rewrites
what is expected. Where the result is tensor IR again, both programs are evaluated and must give
the same bits (or, with ``// bits: close``, nearly).
"""

import os
from pathlib import Path

import numpy as np
import pytest

from nets.backend.numpy.interpreter import evaluate
from nets.errors import NetsError
from nets.ir.core import Function
from nets.ir.parser import parse_module
from nets.ir.printer import print_module
from nets.ir.types import TensorType
from nets.ops.definition.registry import Array, lookup
from nets.tools.opt import header, optimize, options_of

FOLDER = Path(__file__).parent.parent / "filetests"
FILES = sorted(FOLDER.rglob("*.nets"))
SEPARATOR = "\n// expected\n"
SIMPLIFY = {"canonicalize", "fold", "cse", "dce", "settle"}
"""Passes that have nothing to do on what they have done."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FOLDER)))
def test_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETS_VERIFY", "2")
    text, _, expected = path.read_text(encoding="utf-8").partition(SEPARATOR)
    said = header(text)
    passes = tuple(said["passes"].replace(",", " ").split())
    options = options_of(said.get("options", "").replace(",", " ").split())
    before = parse_module(text, lookup)
    after = optimize(parse_module(text, lookup), passes, options)
    found = print_module(after)
    if os.environ.get("NETS_BLESS") == "1":
        path.write_text(f"{text.rstrip()}\n{SEPARATOR}{found}", encoding="utf-8")
    else:
        assert found == expected
    if SIMPLIFY.issuperset(passes):
        again = optimize(parse_module(found, lookup), passes, options)
        assert print_module(again) == found, "the passes do not leave their own result alone"
    for name, function in before.functions.items():
        compare(function, after.functions[name], said.get("bits") == "close")


def compare(before: Function, after: Function, close: bool) -> None:
    """Evaluate both on arrays full of special values."""
    if before.type != after.type or not all(is_static(value.type) for value in before.arguments):
        return
    arrays = [special(value.type, seed) for seed, value in enumerate(before.arguments)]
    try:
        wanted = evaluate(before, arrays)
    except NetsError:
        return
    for want, have in zip(wanted, evaluate(after, arrays), strict=True):
        assert want.dtype == have.dtype
        assert want.shape == have.shape
        if close:
            np.testing.assert_allclose(have, want, rtol=1e-6)
        else:
            assert bits(want) == bits(have), f"{want} became {have}"


def is_static(type: object) -> bool:
    return isinstance(type, TensorType) and type.is_static


def special(type: object, seed: int) -> Array:
    """Signed zeros, infinities, NaN, extremes and random numbers, as many as the type takes."""
    assert isinstance(type, TensorType)
    dtype, shape = type.dtype.numpy, type.static_shape
    rng = np.random.default_rng(seed)
    if type.dtype.is_float:
        values = np.array([0.0, -0.0, 1.0, -1.5, 0.3, np.inf, -np.inf, np.nan], dtype)
    elif type.dtype.is_bool:
        values = np.array([False, True])
    else:
        limits = np.iinfo(dtype)
        values = np.array([0, 1, 2, 3, limits.min, limits.max], dtype)
    return rng.choice(values, shape)


def bits(array: Array) -> bytes:
    """The bytes of an array, every NaN alike."""
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.array(np.nan, array.dtype), array)
    return array.tobytes()


def test_there_are_files() -> None:
    assert len(FILES) > 20
