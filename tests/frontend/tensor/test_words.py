"""NumPy's words: each gives what NumPy gives, at once and from one compiled program."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import (
    ArgumentError,
    AxisError,
    ControlFlowError,
    CopyError,
    DivisionByZeroError,
    DTypeError,
    IndexOutOfBoundsError,
    NetsError,
    ShapeError,
)
from nets.frontend.tensor.words import NAMES

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 4))
B = RNG.normal(size=(2, 3, 4)).astype("float32")
V, W = RNG.normal(size=5), np.array([1.5, -0.5, 2.25])
N = np.array([2, 0, 3, 1, 2])
M = np.array([[1, 0, -2], [0, 4, 0]], "int16")
HOLES = np.where(RNG.random((3, 4)) < 0.3, np.nan, A)
UP = np.array([0.5, 1.0, 2.5, 3.0, 4.5])
ARRAYS = (A, B, V, W, N, M, HOLES, UP)

Case = Callable[..., Any]

SMOOTH: list[Case] = [
    lambda p, a, v: p.vstack((a, a[0])),
    lambda p, a, v: p.hstack((a, a)),
    lambda p, a, v: p.dstack((a, a)),
    lambda p, a, v: p.column_stack((v, v * 2)),
    lambda p, a, v: p.block([[a, a[:, :1]], [a[:1, :3], a[:1, 1:3]]]),
    lambda p, a, v: p.insert(a, 1, 2.5, axis=1),
    lambda p, a, v: p.insert(a, [0, 3, 3], a[:, :3], axis=1),
    lambda p, a, v: p.insert(v, 2, a[0]),
    lambda p, a, v: p.delete(a, [0, -1], axis=1),
    lambda p, a, v: p.resize(v, (2, 4)),
    lambda p, a, v: p.repeat(a, [1, 0, 3, 2], axis=1),
    lambda p, a, v: p.array_split(v, 3),
    lambda p, a, v: p.hsplit(a, 2),
    lambda p, a, v: p.vsplit(a, [1]),
    lambda p, a, v: p.unstack(a, axis=1),
    lambda p, a, v: p.rot90(a, 1),
    lambda p, a, v: p.rot90(a, -1),
    lambda p, a, v: p.flipud(a),
    lambda p, a, v: p.fliplr(a),
    lambda p, a, v: p.ravel(a, order="F"),
    lambda p, a, v: p.rollaxis(a, 1),
    lambda p, a, v: p.atleast_3d(v, a),
    lambda p, a, v: p.diagonal(a, 1),
    lambda p, a, v: p.diag(v, -2),
    lambda p, a, v: p.diag(a, -1),
    lambda p, a, v: p.diagflat(a[:2, :2], 1),
    lambda p, a, v: p.linspace(v[:2], v[2:4], 4, axis=1),
    lambda p, a, v: p.linspace(v[0], 2.0, 3, endpoint=False),
    lambda p, a, v: p.logspace(v[:2], 1.5, 3),
    lambda p, a, v: p.geomspace(v[:2] ** 2 + 1, 8.0, 4),
    lambda p, a, v: p.diff(a, 2, axis=0),
    lambda p, a, v: p.diff(v, prepend=0.5, append=v[:2]),
    lambda p, a, v: p.ediff1d(v, to_end=[7.0]),
    lambda p, a, v: p.gradient(a),
    lambda p, a, v: p.gradient(v, np.array([0.0, 1.0, 1.5, 3.0, 4.0]), edge_order=2),
    lambda p, a, v: p.trapezoid(a, dx=0.5, axis=0),
    lambda p, a, v: p.trapezoid(v, np.array([0.0, 1.0, 1.5, 3.0, 4.0])),
    lambda p, a, v: p.average(a, 1, weights=np.array([1.0, 2.0, 3.0, 0.5]), returned=True),
    lambda p, a, v: p.cov(a, ddof=0),
    lambda p, a, v: p.cov(v, fweights=np.array([1, 2, 1, 3, 1])),
    lambda p, a, v: p.cov(a, rowvar=False, aweights=np.array([0.5, 1.0, 2.0])),
    lambda p, a, v: p.corrcoef(a),
    lambda p, a, v: p.ptp(a, 1),
    lambda p, a, v: p.pad(a, 1, "edge"),
    lambda p, a, v: p.pad(a, ((0, 5), (4, 1)), "reflect"),
    lambda p, a, v: p.pad(v, (6, 7), "symmetric", reflect_type="odd"),
    lambda p, a, v: p.pad(v, (6, 7), "reflect", reflect_type="odd"),
    lambda p, a, v: p.pad(a, ((1, 0), (0, 9)), "wrap"),
    lambda p, a, v: p.pad(v, (2, 3), "linear_ramp", end_values=(1, -2)),
    lambda p, a, v: p.pad(a, 2, "mean", stat_length=2),
    lambda p, a, v: p.pad(a, 1, "maximum"),
    lambda p, a, v: p.pad(a, {1: (2, 1)}, "constant", constant_values=((1, 2), (3, 4))),
    lambda p, a, v: p.polyval(v, a),
    lambda p, a, v: p.polyadd(v, a[0]),
    lambda p, a, v: p.polymul(v, a[0]),
    lambda p, a, v: p.polyder(v, 2),
    lambda p, a, v: p.polyint(v, 2, k=[1.0, 2.0]),
    lambda p, a, v: p.vander(v, 3),
    lambda p, a, v: p.polyfit(np.arange(5.0), v, 2),
    lambda p, a, v: p.interp(a, np.array([-1.0, 0.0, 0.7, 1.0, 1.2]), v, left=9.0),
    lambda p, a, v: p.inner(a, a),
    lambda p, a, v: p.vdot(a, a),
    lambda p, a, v: p.kron(a, v[:2]),
    lambda p, a, v: p.cross(a[:, :3], v[:3]),
    lambda p, a, v: p.convolve(v, a[0], "same"),
    lambda p, a, v: p.correlate(a[0], v, "full"),
    lambda p, a, v: p.correlate(v, a[0], "same"),
    lambda p, a, v: p.einsum(a, [0, 1], a, [2, 1], [0, 2]),
    lambda p, a, v: p.select([a > 0.5, a > 0], [a, a * 2], 7),
    lambda p, a, v: p.choose(np.array([0, 1, 1, 0]), [a[0], a[1]]),
    lambda p, a, v: p.piecewise(v, [v < 0, v > 1], [lambda x: -x, 3.0, lambda x: x * x]),
    lambda p, a, v: p.apply_over_axes(p.sum, a, [0, 1]),
    lambda p, a, v: p.take(v, [7, -9], mode="wrap"),
    lambda p, a, v: p.nansum(a, 0, keepdims=True),
    lambda p, a, v: p.nanvar(a, 1, ddof=1),
]
"""Functions of a matrix and a vector with derivatives by both."""

OTHER: list[Case] = [
    lambda p, *x: p.tri(3, 4, 1, "int8"),
    lambda p, *x: p.identity(3),
    lambda p, *x: p.meshgrid(x[2], x[3], indexing="ij", sparse=True),
    lambda p, *x: p.meshgrid(x[2], x[3]),
    lambda p, *x: p.indices((2, 3)),
    lambda p, *x: p.fromfunction(lambda i, j: i * 10 + j, (2, 3)),
    lambda p, *x: p.tril_indices(3, 1, 4),
    lambda p, *x: p.triu_indices_from(x[0]),
    lambda p, *x: p.diag_indices(3),
    lambda p, *x: p.mask_indices(3, p.triu, 1),
    lambda p, *x: p.count_nonzero(x[5], 1, keepdims=True),
    lambda p, *x: p.unravel_index(x[4] * 3, (3, 4)),
    lambda p, *x: p.ravel_multi_index((x[4], x[4] + 1), (3, 4), mode="wrap"),
    lambda p, *x: p.choose(x[4], [x[2], x[2] + 1], mode="clip"),
    lambda p, *x: p.isclose(x[6], x[6] + 1e-9, equal_nan=True),
    lambda p, *x: p.isin(x[5], [0, 4]),
    lambda p, *x: p.isin(x[5], x[4], invert=True),
    lambda p, *x: p.isin(x[4] * 31, np.arange(0, 300, 3)),
    lambda p, *x: p.isin(x[6], np.append(HOLES, np.arange(70.0))),
    lambda p, *x: p.interp(x[0], x[7], x[2], period=5.5),
    lambda p, *x: p.nancumprod(x[6], 0),
    lambda p, *x: p.pad(x[0], 2, "median", stat_length=3),
    lambda p, *x: p.diff(x[5] > 0),
    lambda p, *x: p.average(x[5], weights=x[5] + 3),
    lambda p, *x: [getattr(p, f"nan{n}")(x[6], 1) for n in ("sum", "prod", "mean", "std", "max")],
    lambda p, *x: [getattr(p, f"nan{n}")(x[6]) for n in ("min", "argmax", "argmin", "cumsum")],
    lambda p, *x: [getattr(p, f"nan{n}")(x[5], 0) for n in ("sum", "mean", "max", "argmin")],
    lambda p, *x: p.round(x[0], 2),
    lambda p, *x: p.round(x[5] * 13, -1),
    lambda p, *x: p.around(x[1], -1),
    lambda p, *x: p.pad(x[5], ((1, 2), (0, 3)), "linear_ramp", end_values=20),
    lambda p, *x: p.convolve(x[4], x[5][0]),
    lambda p, *x: p.interp(x[6], x[7], x[2], right=-3.0),
    lambda p, *x: p.kron(x[5], x[4][:2]),
    lambda p, *x: p.polysub(x[4], x[5][0]),
    lambda p, *x: p.linspace(x[4][:2], 9, 3, dtype="int32"),
    lambda p, *x: p.where(x[5] > 0, x[5], 0),
    lambda p, *x: p.apply_along_axis(p.diff, 1, x[1]),
    lambda p, *x: p.gradient(x[1], 0.5, axis=2),
    lambda p, *x: p.delete(x[4], slice(None, None, 2)),
    lambda p, *x: p.trapezoid(x[5]),
]
"""Functions of all arrays, of other dtypes and kinds."""


def leaves(nest: Any) -> list[Any]:
    return [y for x in nest for y in leaves(x)] if isinstance(nest, (list, tuple)) else [nest]


def same(found: Any, wanted: Any, note: str) -> None:
    assert len(found) == len(wanted), note
    for x, y in zip(found, wanted, strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape), note
        bound = 1e-6 if y.dtype == np.float32 else 1e-12
        np.testing.assert_allclose(x, y, rtol=bound, atol=bound, err_msg=note)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("cases", "arrays"), [(SMOOTH, (A, V)), (OTHER, ARRAYS)], ids=["smooth", "other"]
)
def test_the_words_are_numpys(cases: list[Case], arrays: tuple[Any, ...]) -> None:
    wanted = [leaves(case(np, *arrays)) for case in cases]
    tensors = [nets.Tensor(x) for x in arrays]
    for i, case in enumerate(cases):
        same(leaves(case(nets, *tensors)), wanted[i], f"case {i}")
    traced = nets.trace(lambda *x: [leaves(case(nets, *x)) for case in cases])(*arrays)
    for i, found in enumerate(traced):
        same(found, wanted[i], f"case {i}, traced")


def smooth(a: Any, v: Any) -> list[Any]:
    return [leaf for case in SMOOTH for leaf in leaves(case(nets, a, v))]


@pytest.mark.long
def test_derivatives() -> None:
    nets.check_grads(smooth, (A, V), order=1)


@pytest.mark.long
def test_a_batch_is_one_call_after_the_other() -> None:
    several = np.stack([A, -A, A + 0.1]), np.stack([V, V * 2, V - 1])
    batched = nets.trace(nets.vmap(smooth))(*several)
    one = nets.trace(smooth)
    for k in range(3):
        same([x[k] for x in batched], one(several[0][k], several[1][k]), f"entry {k}")


# ------------------------------------------------------------------- shapes that elements decide


def test_positions_that_elements_decide() -> None:
    x = nets.Tensor(M)
    same(nets.nonzero(x), np.nonzero(M), "nonzero")
    same(nets.where(x), np.nonzero(M), "where")
    same([nets.argwhere(x)], [np.argwhere(M)], "argwhere")
    same([nets.flatnonzero(x)], [np.flatnonzero(M)], "flatnonzero")
    same([nets.compress([True, False, True], x, 1)], [M[:, [0, 2]]], "compress")
    same([nets.extract(x > 0, x)], [M[M > 0]], "extract")
    for f in (nets.nonzero, nets.where, nets.argwhere, nets.flatnonzero):
        with pytest.raises(ControlFlowError, match="size="):
            nets.trace(f)(M)


@pytest.mark.parametrize("size", [0, 2, 5])
def test_positions_of_a_size(size: int) -> None:
    def found(x: Any) -> list[Any]:
        both = nets.nonzero(x, size=size, fill_value=(7, -1))
        return [*both, nets.flatnonzero(x, size=size), nets.argwhere(x, size=size)]

    rows, columns = (
        np.concatenate([at[:size], np.full(max(size - 3, 0), fill)])
        for at, fill in zip(np.nonzero(M), (7, -1), strict=True)
    )
    flat = np.concatenate([np.flatnonzero(M)[:size], np.zeros(max(size - 3, 0), int)])
    wanted = [rows, columns, flat, np.stack([flat // 3, flat % 3], 1)]
    same(found(nets.Tensor(M)), wanted, "eager")
    same(nets.trace(found)(M), wanted, "traced")


@pytest.mark.parametrize("total", [5, 8, 11])
def test_repeats_that_are_known_when_run(total: int) -> None:
    def found(x: Any, times: Any) -> Any:
        return nets.repeat(x, times, total_repeat_length=total)

    whole = np.repeat(V, N)
    wanted = np.concatenate([whole[:total], np.full(max(total - len(whole), 0), V[-1])])
    same([found(nets.Tensor(V), N)], [wanted], "eager")
    same([nets.trace(found)(V, N)], [wanted], "traced")
    with pytest.raises(ControlFlowError, match="total_repeat_length"):
        nets.trace(nets.repeat)(V, N)


def test_sizes_that_a_call_tells() -> None:
    modes = ("edge", "wrap", "symmetric", "reflect")
    cases = [lambda p, v, mode=mode: p.pad(v, (3, 7), mode) for mode in modes]
    cases += [lambda p, v: p.diff(v), lambda p, v: p.vstack((v, v)), lambda p, v: p.nanvar(v)]
    cases += [lambda p, v: p.rot90(p.column_stack((v, v))), lambda p, v: p.diag(v)]
    found = nets.trace(
        lambda v: [case(nets, v) for case in cases], dims={"v": {0: "n"}, "n": nets.dim(1, 40)}
    )
    for size in (1, 2, 5, 9):
        v = np.arange(1.0, size + 1)
        same(found(v), [case(np, v) for case in cases], f"{size} elements")


# ------------------------------------------------------------------------------ what is refused

REFUSED: list[tuple[type[NetsError], str, Callable[[], Any]]] = [
    (ArgumentError, "mode", lambda: nets.pad(A, 1, "edges")),
    (ArgumentError, "option", lambda: nets.pad(A, 1, "edge", constant_values=(1, 2))),
    (ShapeError, "more than all", lambda: nets.pad(A, (0, -4))),
    (ShapeError, "no element", lambda: nets.pad(A[:0], 1, "edge")),
    (ShapeError, "two axes", lambda: nets.diagonal(V)),
    (ShapeError, "twice", lambda: nets.diagonal(A, axis1=0, axis2=-2)),
    (AxisError, "axis 2", lambda: nets.unstack(A, axis=2)),
    (IndexOutOfBoundsError, "position 4", lambda: nets.delete(A, 4, 1)),
    (IndexOutOfBoundsError, "all axes", lambda: nets.unravel_index(12, (3, 4))),
    (IndexOutOfBoundsError, "choice", lambda: nets.choose([2], [[1], [2]])),
    (ShapeError, "negative number", lambda: nets.repeat(V, [1, 1, -1, 1, 1])),
    (DivisionByZeroError, "zero", lambda: nets.average(V, weights=V * 0)),
    (ArgumentError, "need an axis", lambda: nets.average(A, weights=W)),
    (ArgumentError, "NaN alone", lambda: nets.nanargmax(np.array([math.nan]))),
    (ShapeError, "3 samples", lambda: nets.gradient(V[:2], edge_order=2)),
    (ShapeError, "twice", lambda: nets.gradient(A, axis=(1, -1))),
    (ArgumentError, "not negative", lambda: nets.cov(V, fweights=-N)),
    (ArgumentError, "not negative", lambda: nets.cov(V, aweights=-N)),
    (DTypeError, "integers", lambda: nets.cov(V, fweights=N + 0.5)),
    (ShapeError, "with elements", lambda: nets.convolve(V, V[:0])),
    (ShapeError, "3 elements", lambda: nets.cross(A, A)),
    (ShapeError, "as many places", lambda: nets.interp(V, V, W)),
    (DTypeError, "floating", lambda: nets.finfo("int8")),
    (ArgumentError, "kind", lambda: nets.isdtype("int8", "integer")),
    (ArgumentError, "cpu", lambda: nets.zeros(3, device="gpu")),
    (CopyError, "copy", lambda: nets.asarray([1.0], copy=False)),
    (CopyError, "copy", lambda: nets.reshape(nets.Tensor(A).T, (-1,), copy=False)),
    (DTypeError, "no dtype", lambda: nets.astype(V, complex)),
]


@pytest.mark.parametrize(("error", "words", "call"), REFUSED)
def test_what_is_refused(error: type[NetsError], words: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=words):
        call()


# -------------------------------------------------------------------- the standard's inspection


def test_the_namespace_tells_of_itself() -> None:
    x = nets.asarray([1, 2], dtype=nets.float32)
    assert x.__array_namespace__(api_version="2024.12") is nets
    with pytest.raises(ArgumentError, match="1066"):
        x.__array_namespace__(api_version="1066")
    assert (x.device, x.itemsize, x.nbytes, x.to_device("cpu")) == ("cpu", 4, 8, x)
    info = nets.__array_namespace_info__()
    assert info.devices() == [info.default_device()] == ["cpu"]
    assert info.default_dtypes()["integral"] is nets.int64
    assert info.dtypes(kind=("bool", "real floating")) == {
        "bool": nets.bool,
        "float32": nets.float32,
        "float64": nets.float64,
    }
    assert info.capabilities()["max dimensions"] == 64


def test_dtypes_promote_as_numpys() -> None:
    assert nets.result_type(nets.int8, nets.Tensor([1], dtype="uint8"), 3) == np.int16
    assert nets.result_type(nets.float32, 2.5) == np.float32
    assert nets.can_cast("int32", nets.float64)
    assert not nets.can_cast(nets.Tensor(1.5), "float32")
    assert nets.can_cast(nets.Tensor(1.5), "float32", "same_kind")
    assert nets.isdtype(nets.uint8, ("bool", "integral"))
    assert not nets.isdtype(nets.bool, "numeric")
    assert (nets.finfo(nets.float32).bits, nets.iinfo("int8").max) == (32, 127)
    assert nets.finfo(nets.Tensor(1.0)).eps == np.finfo(float).eps


def test_memory_is_shared_where_a_copy_is_refused() -> None:
    array = np.zeros(3)
    shared, copied = nets.asarray(array, copy=False), nets.from_dlpack(array, copy=True)
    array[0] = 7
    assert shared.tolist() == [7, 0, 0]
    assert copied.tolist() == [0, 0, 0]
    assert nets.asarray(shared) is shared
    assert nets.asarray(shared, copy=True) is not shared
    same([nets.Tensor(A).T.reshape(3, 4)], [A.T.reshape(3, 4)], "reshape")


def test_numpys_functions_on_tensors_are_these() -> None:
    x = nets.Tensor(A, requires_grad=True)
    assert np.allclose(x, A) is True
    assert isinstance(np.pad(x, 1, "reflect"), nets.Tensor)
    assert isinstance(np.meshgrid(x[0], x[1], indexing="ij"), tuple)
    np.trace(x).backward()
    assert np.array_equal(x.grad, np.eye(3, 4))
    with pytest.raises(NetsError, match="takes no out"):
        np.nansum(x, out=np.zeros(()))


def test_names_are_found_where_they_are_said_to_be() -> None:
    for name in NAMES:
        assert name in nets.__all__
        getattr(nets, name)
