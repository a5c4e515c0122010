"""Patterns by hand, and of every op against derivatives at random points."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.backend.numpy.interpreter import evaluate
from nets.errors import DTypeError, GradientError, NetsError
from nets.ir.builder import Builder
from nets.ir.core import Function
from nets.ir.types import TensorType, f64
from nets.ops.definition.emitter import GraphEmitter
from nets.ops.definition.registry import REGISTRY, Array, OpDef, Sample, lookup
from nets.passes.derivatives.vjp import vjp
from nets.passes.sparsity.colouring import coloured, star_coloured
from nets.passes.sparsity.pattern import Pattern, hessian_pattern, pattern


def dense(found: Pattern) -> Array:
    assert np.all(np.diff(found.rows * found.shape[1] + found.cols) > 0)  # sorted, each once
    matrix = np.zeros(found.shape, bool)
    matrix[found.rows, found.cols] = True
    return matrix


def of(function: Callable[..., Any], *args: object) -> Array:
    return dense(pattern(nets.trace(function).lower(*args).function, 0, 0))


def hessian_of(function: Callable[..., Any], *args: object) -> Array:
    return dense(hessian_pattern(nets.trace(function).lower(*args).function, 0))


def rows(*listed: list[int], columns: int) -> Array:
    matrix = np.zeros((len(listed), columns), bool)
    for row, cols in zip(matrix, listed, strict=True):
        row[cols] = True
    return matrix


def band(size: int, *offsets: int) -> Array:
    return np.any([np.eye(size, k=k, dtype=bool) for k in offsets], axis=0)


X = np.arange(1.0, 7.0)
M = X.reshape(2, 3)
SPARSE = np.array([[0.0, 2, 0], [1, 0, 3]])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: nets.sin(x), np.eye(6)),
        (lambda x: x[::-1] * 2, np.eye(6)[::-1]),
        (lambda x: x[1::2], np.eye(6)[1::2]),
        (lambda x: x[1:] - x[:-1], band(6, 0, 1)[:5]),
        (lambda x: nets.pad(x[2:4], ((1, 3),)), np.eye(6, k=1)[[5, 1, 2, 5, 5, 5]]),
        (lambda x: x / x.sum(), np.ones((6, 6))),
        (lambda x: x[np.array([0, 0, 5])], np.eye(6)[[0, 0, 5]]),
        (
            lambda x: nets.scatter(x * 0, 0, np.array([-1, 0]), x[1:3]),
            rows([2], [], [], [], [], [1], columns=6),
        ),
        (lambda x: nets.sort(x), np.ones((6, 6))),
        (lambda x: nets.concatenate([x[4:], x[:1]]), np.eye(6)[[4, 5, 0]]),
        (lambda x: nets.stop_gradient(x) * x[0], rows(*[[0]] * 6, columns=6)),
        (lambda x: nets.sign(x) + nets.floor(x), np.zeros((6, 6))),
        (lambda x: x[nets.argmax(x)], np.ones((1, 6))),
        (lambda x: nets.where(np.arange(6) < 2, x, 1.0), np.diag([1, 1, 0, 0, 0, 0])),
        (lambda x: nets.where(x > 0, x, x[::-1]), np.eye(6) + np.eye(6)[::-1] > 0),
        (lambda x: x * np.array([1.0, 0, 1, 0, 0, 1]), np.diag([1, 0, 1, 0, 0, 1])),
    ],
)
def test_vectors(function: Callable[..., Any], expected: Array) -> None:
    assert np.array_equal(of(function, X), expected != 0)


def matrix_of(function: Callable[[Array], Array]) -> Array:
    """The pattern that a function of numbers 0 to 5 shows, which moves or joins them as sets."""
    sets = np.frompyfunc(lambda n: frozenset((int(n),)), 1, 1)(np.arange(6).reshape(2, 3))
    listed = [sorted(x) for x in np.asarray(function(sets), object).ravel()]
    return rows(*listed, columns=6)


@pytest.mark.parametrize(
    ("function", "on_sets"),
    [
        (lambda x: x.T, lambda s: s.T),
        (lambda x: x.sum(axis=0), lambda s: s[0] | s[1]),
        (lambda x: x.max(axis=1), lambda s: s[:, 0] | s[:, 1] | s[:, 2]),
        (lambda x: x.reshape(3, 2), lambda s: s.reshape(3, 2)),
        (lambda x: x.reshape(6)[1:5].reshape(2, 2), lambda s: s.reshape(6)[1:5]),
        (lambda x: x[:, 1:].T.reshape(4), lambda s: s[:, 1:].T),
        (lambda x: nets.broadcast_to(x[0], (2, 3)), lambda s: np.stack([s[0], s[0]])),
        (lambda x: x @ np.ones((3, 1)), lambda s: s[:, 0] | s[:, 1] | s[:, 2]),
        (lambda x: x @ np.array(SPARSE.T), lambda s: np.stack([s[:, 1], s[:, 0] | s[:, 2]], 1)),
        (lambda x: np.array(SPARSE.T) @ x, lambda s: np.stack([s[1], s[0], s[1]])),
        (lambda x: x @ x.T, lambda s: np.bitwise_or.outer(*[s[:, 0] | s[:, 1] | s[:, 2]] * 2)),
    ],
)
def test_matrices(function: Callable[..., Any], on_sets: Callable[[Array], Array]) -> None:
    assert np.array_equal(of(function, M), matrix_of(on_sets))


# ------------------------------------------------------------------------------ every op


def single(definition: OpDef, sample: Sample) -> Function:
    types = [TensorType(s.shape, f64 if s.dtype.is_float else s.dtype) for s in sample.operands]
    function = Function("single", types)
    b = GraphEmitter(Builder(function.body))
    result = b.emit(definition.name, *function.arguments, **sample.attributes)
    b.builder.create(lookup("return"), [result])
    return function


CHOOSE = {
    *("maximum", "minimum", "reduce_max", "reduce_min", "remainder", "fmod", "select", "pick"),
    *("gather", "max_pool", "max_pool_pick", "max_pool_put", "scatter_add", "dynamic_slice"),
    *("dynamic_update_slice", "scatter", "sort", "running", "running_linear"),
    *("zeta", "zeta_by_s", "gammainc", "gammaincc", "gammainc_by_a"),
    *("betainc", "betainc_by_a", "betainc_by_b"),
    *("qr", "eigh", "svd", "lu", "exchange_rows", "cholesky", "triangular_solve"),
    "cholesky_cotangent",
}
"""Ops whose result depends on other elements at other points, and factorisations, which say that
all of it depends on all of the matrix."""


REFUSED = {"zeta_by_s", "gammainc_by_a", "betainc_by_a", "betainc_by_b"}
"""Derivatives by parameters, which have none by them again."""


@pytest.mark.parametrize("name", [d.name for d in REGISTRY.values() if d.rules.evaluate])
@pytest.mark.sampled(3)
def test_every_op(name: str) -> None:
    definition = lookup(name)
    if definition.derivative_reason is not None:
        pytest.skip(definition.derivative_reason)
    if name in REFUSED:
        pytest.skip("its derivatives by parameters are refused")
    for sample in definition.samples:
        function = single(definition, sample)
        if not function.returned[0].type.dtype.is_float:
            continue
        for number, spec in enumerate(sample.operands):
            if spec.dtype.is_float:
                check(function, sample, number, is_equal=name not in CHOOSE)


def check(function: Function, sample: Sample, number: int, *, is_equal: bool) -> None:
    """Compare some rows."""
    found = dense(pattern(function, 0, number))
    every = np.arange(found.shape[0])
    some = np.random.default_rng(0).permutation(every)[:24]
    met = np.zeros((some.size, found.shape[1]), bool)
    for seed in range(2):
        slopes = jacobian(function, sample, number, seed, some)
        met |= (slopes != 0) & ~np.isnan(slopes)  # NaN: there is no derivative
    assert not np.any(met & ~found[some]), function
    assert not is_equal or np.array_equal(met, found[some]), function


def jacobian(function: Function, sample: Sample, number: int, seed: int, some: Array) -> Array:
    """Some rows of the derivative at a random point."""
    rng = np.random.default_rng(seed)
    point = [
        np.asarray(spec.draw(rng)).astype(x.type.dtype.numpy)
        for spec, x in zip(sample.operands, function.arguments, strict=True)
    ]
    result = function.returned[0].type
    derivative = vjp(function, [number])
    found = []
    for i in some:
        ct = np.zeros(result.shape, result.dtype.numpy)
        ct.flat[i] = 1
        found.append(evaluate(derivative, [*point, ct])[0].ravel())
    return np.array(found).reshape(some.size, point[number].size)


# -------------------------------------------------------------------------- control flow


def shift(x: Any) -> Any:
    return nets.pad(x[1:], ((0, 1),))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: nets.scan(lambda c, y: (y, c * y), x[0], x)[1], band(6, 0, -1)),
        (lambda x: nets.scan(lambda c, y: (y, c * y), x[5], x, reverse=True)[1], band(6, 0, 1)),
        (lambda x: nets.scan(lambda c, y: (c + y, c * 2.0), 0.0 * x[0], x)[1], np.tri(6, k=-1)),
        (lambda x: nets.scan(lambda c, y: (c + y, None), x[0], x[:3])[0],
         rows([0, 1, 2], columns=6)),
        (lambda x: nets.scan(lambda c, _: (c + shift(c), None), x, None, length=2)[0],
         band(6, 0, 1, 2)),
        (lambda x: nets.scan(lambda c, _: (c + shift(c), None), x, None, length=50)[0],
         np.tri(6).T),
        (lambda x: nets.scan(lambda c, _: (shift(c), None), x, None, length=9)[0],
         np.zeros((6, 6))),
        (lambda x: nets.scan(lambda c, _: (c[::-1], c), x, None, length=3)[1],
         np.concatenate([np.eye(6), np.eye(6)[::-1], np.eye(6)])),
        (lambda x: nets.fori_loop(0, 3, lambda i, c: c + x[i] * x[2 * i], x[5]),
         rows([0, 1, 2, 4, 5], columns=6)),
        (lambda x: nets.while_loop(lambda c: c.sum() < 100, lambda c: c * c[0], x),
         np.eye(6) + np.eye(6)[0] > 0),
        (lambda x: nets.while_loop(lambda c: c.sum() < 100, lambda c: c + shift(c), x),
         np.tri(6).T),
        (lambda x: nets.cond(x[0] > 0, lambda y: y, lambda y: y[::-1], x),
         np.eye(6) + np.eye(6)[::-1] > 0),
        (lambda x: nets.scan(lambda c, y: (c, nets.scan(lambda d, z: (z, d * y * z), c, x)[1]),
                             x[0], x[:2])[1],
         np.concatenate([band(6, 0, -1) | (np.arange(6) == i) for i in range(2)])),
    ],
)  # fmt: skip
def test_loops(function: Callable[..., Any], expected: Array) -> None:
    assert np.array_equal(of(function, X), np.asarray(expected) != 0)


def test_many_steps_cost_no_more_than_few() -> None:
    """Of a window over slices, and of a sum over steps of a product of neighbours."""

    def window(x: Any) -> Any:
        return nets.scan(lambda c, y: ((y, c[0]), c[0] * c[1] * y), (x[0], x[0]), x)[1].sum()

    def neighbours(x: Any) -> Any:
        return nets.fori_loop(0, x.shape[0] - 1, lambda i, c: c + x[i] * x[i + 1], x[0])

    count = 100_000
    for function, offsets in ((window, (-2, -1, 1, 2)), (neighbours, (-1, 1))):
        lowered = nets.trace(function).lower(nets.spec(f"f64[{count}]"))
        before = time.perf_counter()
        found = hessian_pattern(lowered.function, 0)
        assert time.perf_counter() - before < 5
        inner = found.rows > 2
        assert set((found.cols - found.rows)[inner]) == set(offsets)
        assert abs(found.nnz - len(offsets) * count) < 10


# ------------------------------------------------------------------------------- Hessians


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: (nets.sin(x[1:] * x[:-1])).sum(), band(6, -1, 0, 1)),
        (lambda x: (x[1:] * x[:-1]).sum(), band(6, -1, 1)),
        (lambda x: (3 * x - 1).sum(), np.zeros((6, 6))),
        (lambda x: nets.exp(x).sum(), np.eye(6)),
        (lambda x: x.sum() ** 2, np.ones((6, 6))),
        (lambda x: nets.abs(x).sum() + nets.stop_gradient(x).sum() ** 2, np.zeros((6, 6))),
        (lambda x: x[0] * x[1:].sum(), rows([1, 2, 3, 4, 5], *[[0]] * 5, columns=6)),
        (lambda x: (x.reshape(2, 3) @ np.array(SPARSE.T)).sum() * 1.0, np.zeros((6, 6))),
        (lambda x: nets.fori_loop(0, 5, lambda i, c: c + x[i] * x[i + 1], x[0]), band(6, -1, 1)),
    ],
)
def test_hessians(function: Callable[..., Any], expected: Array) -> None:
    assert np.array_equal(hessian_of(function, X), np.asarray(expected) != 0)


class Beam:
    """clnlbeam: optimal control of a beam, with x, t and u at n + 1 points."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.point = np.ones(3 * n + 3)

    def parts(self, z: Any) -> tuple[Any, Any, Any]:
        m = self.n + 1
        return z[:m], z[m : 2 * m], z[2 * m :]

    def constraints(self, z: Any) -> Any:
        x, t, u = self.parts(z)
        half = 1 / self.n / 2
        moved = x[1:] - x[:-1] - half * (nets.sin(t[1:]) + nets.sin(t[:-1]))
        turned = t[1:] - t[:-1] - half * (u[1:] + u[:-1])
        return nets.concatenate([moved, turned])

    def lagrangian(self, z: Any, y: Any) -> Any:
        _, t, u = self.parts(z)
        half = 1 / self.n / 2
        bent = 350 * (nets.cos(t[1:]) + nets.cos(t[:-1]))
        cost = half * (u[1:] ** 2 + u[:-1] ** 2 + bent)
        return cost.sum() + (y * self.constraints(z)).sum()

    def jacobian_entries(self) -> set[tuple[int, int]]:
        n, m = self.n, self.n + 1
        moved = {(i, j + k) for i in range(n) for j in (i, i + 1) for k in (0, m)}
        return moved | {(n + i, j + k) for i in range(n) for j in (i, i + 1) for k in (m, 2 * m)}


@pytest.mark.parametrize("n", [5, 200, 1000])
def test_a_beam_has_the_pattern_that_is_known(n: int) -> None:
    """Within a time that hardly grows with it: on an idle core of Zen 3, 2 ms and 15 ms."""
    beam = Beam(n)
    constraints = nets.trace(beam.constraints).lower(beam.point).function
    lagrangian = nets.trace(beam.lagrangian).lower(beam.point, np.ones(2 * n)).function
    before = time.perf_counter()
    jacobian, hessian = pattern(constraints, 0, 0), hessian_pattern(lagrangian, 0)
    columns, stars = coloured(jacobian), star_coloured(hessian)
    assert time.perf_counter() - before < 2
    assert set(zip(jacobian.rows.tolist(), jacobian.cols.tolist(), strict=True)) == (
        beam.jacobian_entries()
    )
    bent = np.arange(n + 1, 3 * n + 3)
    assert np.array_equal(hessian.rows, bent)
    assert np.array_equal(hessian.cols, bent)
    assert (columns.count, columns.by_rows, stars.count) == (4, False, 1)


# --------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("function", "args", "error", "message"),
    [
        (lambda n: n * 1.0, (np.arange(3),), DTypeError, "argument n of .* not floating-point"),
    ],
)
def test_errors(
    function: Callable[..., Any], args: tuple[Any, ...], error: type[NetsError], message: str
) -> None:
    with pytest.raises(error, match=message):
        of(function, *args)


def test_open_sizes_have_no_one_pattern() -> None:
    size = nets.dim(1, 9)
    traced = nets.trace(lambda x: x * 2, dims={"x": "n", "n": size})
    lowered = traced.lower(nets.spec("f64[n]", n=size))
    with pytest.raises(GradientError, match="no one pattern"):
        pattern(lowered.function, 0, 0)


def test_a_hessian_is_of_a_scalar() -> None:
    with pytest.raises(GradientError, match="scalar"):
        hessian_of(lambda x: x, X)
