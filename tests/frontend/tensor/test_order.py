"""Sorting, order statistics, counts, scatters and segments: NumPy's results, PyTorch's by hand.

Each list of cases is run eagerly and, as one program, traced.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nets
from nets.errors import (
    ArgumentError,
    ControlFlowError,
    DTypeError,
    IndexOutOfBoundsError,
    NetsError,
    ShapeError,
    UnsupportedObjectError,
)

Case = tuple[Callable[..., Any], Callable[..., Any]]

RNG = np.random.default_rng(11)
X = RNG.standard_normal((4, 6))
HOLES = np.where(RNG.random((4, 6)) < 0.3, np.nan, X)
FEW = RNG.integers(-2, 4, (4, 6))


def results(found: Any) -> list[Any]:
    return list(found) if isinstance(found, tuple) else [found]


def check(cases: list[Case], *operands: Any, rtol: float = 0.0) -> None:
    """The functions of nets give what those of NumPy give, in one traced program as well."""

    def every(*arguments: Any) -> list[Any]:
        return [part for own, _ in cases for part in results(own(*arguments))]

    with np.errstate(all="ignore"):
        expected = [part for _, other in cases for part in results(other(*operands))]
    tensors = [nets.Tensor(operand) for operand in operands]
    for way in (every, nets.trace(every)):
        for i, (mine, wanted) in enumerate(zip(way(*tensors), expected, strict=True)):
            wanted = np.asarray(wanted)
            assert (mine.shape, mine.dtype) == (wanted.shape, wanted.dtype), i
            np.testing.assert_allclose(mine.numpy(), wanted, rtol, err_msg=str(i))


@pytest.mark.parametrize("x", [X, HOLES.astype("f4"), FEW, FEW > 0, X[:, :0]], ids=range(5))
@pytest.mark.sampled(2)
def test_sorts(x: np.ndarray[Any, Any]) -> None:
    def backwards(x: Any, axis: int) -> Any:
        back = np.argsort(np.flip(x, axis), axis, kind="stable")
        return x.shape[axis] - 1 - np.flip(back, axis)

    cases: list[Case] = [
        (nets.lexsort, lambda x: np.lexsort(list(x))),
        (lambda x: nets.sort(x, dim=0).values, lambda x: np.sort(x, 0)),
    ]
    for axis in (0, 1, -1, None):
        cases.append(
            (lambda x, a=axis: nets.sort(x, axis=a), lambda x, a=axis: np.sort(x, a, kind="stable"))
        )
        cases.append(
            (
                lambda x, a=axis: nets.argsort(x, axis=a),
                lambda x, a=axis: np.argsort(x, a, kind="stable"),
            )
        )
    cases += [
        (
            lambda x, a=axis: nets.argsort(x, axis=a, descending=True),
            lambda x, a=axis: backwards(x, a),
        )
        for axis in (0, 1)
    ]
    check(cases, x)


def test_a_few_of_many_are_found_by_blocks() -> None:
    x = np.round(RNG.standard_normal((2, 9001)), 1).astype("f4")
    x[:, ::700] = np.nan
    both = nets.trace(lambda x: (nets.topk(x, 40), nets.topk(x, 3, largest=False)))(x)
    up = np.argsort(x, kind="stable")
    down = 9000 - np.argsort(x[:, ::-1], kind="stable")[:, ::-1]
    np.testing.assert_array_equal(both[0].indices.numpy(), down[:, :40])
    np.testing.assert_array_equal(both[1].indices.numpy(), up[:, :3])
    np.testing.assert_array_equal(both[1].values.numpy(), np.sort(x)[:, :3])


@pytest.mark.filterwarnings("ignore:All-NaN:RuntimeWarning")  # of NumPy
def test_order_statistics() -> None:
    methods = (
        *("linear", "lower", "higher", "nearest", "midpoint", "inverted_cdf", "hazen", "weibull"),
        *("averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf"),
        *("median_unbiased", "normal_unbiased"),
    )
    q = np.array([[0.0, 0.3, 1.0]])
    cases: list[Case] = [
        (lambda x, h: nets.median(x), lambda x, h: np.median(x)),
        (lambda x, h: nets.median(h, axis=0), lambda x, h: np.median(h, 0)),
        (lambda x, h: nets.nanmedian(h, 1), lambda x, h: np.nanmedian(h, 1)),
        (
            lambda x, h: nets.median(x, axis=(0, 1), keepdims=True),
            lambda x, h: np.median(x, (0, 1), keepdims=True),
        ),
        (lambda x, h: nets.percentile(x, 30, 0), lambda x, h: np.percentile(x, 30, 0)),
        (lambda x, h: nets.quantile(h, 0.4, 0), lambda x, h: np.quantile(h, 0.4, 0)),
        (lambda x, h: nets.quantile(x, 1), lambda x, h: np.quantile(x, 1)),
    ]
    for m in methods:
        cases.append(
            (
                lambda x, h, m=m: nets.quantile(x, q, 1, m),
                lambda x, h, m=m: np.quantile(x, q, 1, method=m),
            )
        )
        cases.append(
            (
                lambda x, h, m=m: nets.nanquantile(h, 0.37, 0, m),
                lambda x, h, m=m: np.nanquantile(h, 0.37, 0, method=m),
            )
        )
    check(cases, X, HOLES, rtol=1e-12)
    assert nets.quantile(nets.Tensor([1.0, np.inf]), 1.0).item() == np.inf  # NumPy: NaN


def test_searches_and_counts() -> None:
    edges, weights = np.array([-1.0, 0, 0, 1.5]), np.abs(X)
    ids = FEW.reshape(-1) + 2
    cases: list[Case] = []
    for side in ("left", "right"):
        cases.append(
            (
                lambda x, w, i, s=side: nets.searchsorted(edges, x, s),
                lambda x, w, i, s=side: np.searchsorted(edges, x, s),
            )
        )
        cases.append(
            (
                lambda x, w, i, s=side: nets.digitize(x, edges[::-1].copy(), s == "left"),
                lambda x, w, i, s=side: np.digitize(x, edges[::-1], s == "left"),
            )
        )
    cases += [
        (
            lambda x, w, i, o=options: nets.histogram(x, **o),
            lambda x, w, i, o=options: np.histogram(x, **o),
        )
        for options in ({}, {"bins": 3, "range": (-1.0, 1.0)}, {"bins": edges, "density": True})
    ]
    cases += [
        (
            lambda x, w, i: nets.histogram(x, weights=w),
            lambda x, w, i: np.histogram(x, weights=w),
        ),
        (
            lambda x, w, i: nets.bincount(i, length=9),
            lambda x, w, i: np.bincount(i, minlength=9),
        ),
        (
            lambda x, w, i: nets.bincount(i, w.reshape(-1), length=2),
            lambda x, w, i: np.bincount(i, w.reshape(-1))[:2],
        ),
        (
            lambda x, w, i: nets.searchsorted(nets.sort(x), x[:, :2], right=True),
            lambda x, w, i: (np.sort(x)[:, None, :] <= x[:, :2, None]).sum(-1),
        ),
    ]
    check(cases, X, weights, ids, rtol=1e-12)
    np.testing.assert_array_equal(nets.bincount(ids).numpy(), np.bincount(ids))
    np.testing.assert_array_equal(nets.histogram(X, "auto")[0].numpy(), np.histogram(X, "auto")[0])


@pytest.mark.parametrize("x", [FEW, np.round(HOLES), FEW[:0], FEW > 0], ids=range(4))
@pytest.mark.sampled(2)
def test_distinct_elements(x: np.ndarray[Any, Any]) -> None:
    expected = np.unique(x, True, True, True)
    for mine, wanted in zip(nets.unique(x, True, True, True), expected, strict=True):
        np.testing.assert_array_equal(mine.numpy(), wanted)
    for mine, wanted in zip(nets.unique_all(x), np.unique_all(x), strict=True):
        np.testing.assert_array_equal(mine.numpy(), wanted)
    if x.size:
        size, least = 30, expected[0][0]
        traced = nets.trace(lambda x: nets.unique(x, True, True, True, size=size))(x)
        count = len(expected[0])
        np.testing.assert_array_equal(traced[2].numpy(), expected[2])
        for i, fill in ((0, least), (1, expected[1][0]), (3, 0)):
            np.testing.assert_array_equal(traced[i].numpy()[:count], expected[i])
            assert (traced[i].numpy()[count:] == fill).all()
    if x.dtype.kind != "f" and x.size:
        rows = np.unique(x, axis=0, return_counts=True)
        for mine, wanted in zip(nets.unique(x, axis=0, return_counts=True), rows, strict=True):
            np.testing.assert_array_equal(mine.numpy(), wanted)


def test_running_results() -> None:
    ties = np.array([[1.0, 3, 3, 2, np.nan, 5], [0, -1, -1, 4, 4, 4]])
    wanted = np.array([[0, 1, 2, 2, 4, 4], [0, 0, 0, 3, 4, 5]])  # PyTorch's
    cases: list[Case] = [
        (lambda x: nets.cumprod(x, axis=1), lambda x: np.cumprod(x, 1)),
        (lambda x: nets.cumprod(x), np.cumprod),
        (
            lambda x: nets.cumulative_prod(x, axis=0, include_initial=True),
            lambda x: np.cumulative_prod(x, axis=0, include_initial=True),
        ),
        (lambda x: nets.cummax(x, 1), lambda x: (np.maximum.accumulate(x, 1), wanted)),
        (lambda x: nets.cummin(x, 0)[0], lambda x: np.minimum.accumulate(x, 0)),
    ]
    check(cases, ties, rtol=1e-12)
    zeros = np.array([2.0, 0, 3, 0, 5])
    slopes = nets.grad(lambda x: nets.cumprod(x).sum())(zeros)
    np.testing.assert_array_equal(slopes.numpy(), [1, 8, 0, 0, 0])


def put(x: Any, indices: Any, values: Any, axis: int) -> Any:
    other = x * 1
    (nets if isinstance(x, nets.Tensor) else np).put_along_axis(other, indices, values, axis)
    return other


def test_scatters() -> None:
    index = np.array([[0, 2, 0], [3, 0, -2]])
    source = RNG.integers(1, 5, (2, 3)).astype(float)
    mask = FEW > 0

    def by_hand(combine: Callable[[float, float], float], x: Any, source: Any) -> Any:
        out = x.copy()
        for i, j in np.ndindex(2, 3):
            out[index[i, j], j] = combine(out[index[i, j], j], source[i, j])
        return out

    def filled(x: Any, source: Any, out: Any = None) -> Any:
        out = x.copy()
        out[mask] = np.arange(24.0)[: mask.sum()]
        return out

    def added(x: Any, source: Any) -> Any:
        out = x.copy()
        np.add.at(out, np.array([1, 1, 3]), 2 * x[:3])
        return out

    cases: list[Case] = [
        (lambda x, s: nets.scatter(x, 0, index, s), lambda x, s: by_hand(lambda a, b: b, x, s)),
        (lambda x, s: nets.scatter_add(x, 0, index, s), lambda x, s: by_hand(np.add, x, s)),
        (
            lambda x, s: nets.scatter_reduce(x, 0, index, s, "amax"),
            lambda x, s: by_hand(np.maximum, x, s),
        ),
        (
            lambda x, s: nets.scatter(x, 0, index, s, reduce="multiply"),
            lambda x, s: by_hand(np.multiply, x, s),
        ),
        (lambda x, s: nets.index_add(x, 0, [1, 1, 3], x[:3], alpha=2), added),
        (
            lambda x, s: nets.index_fill(x, 1, [0, 5], 7),
            lambda x, s: np.where(np.isin(np.arange(6), [0, 5]), 7.0, x),
        ),
        (
            lambda x, s: nets.index_copy(x, 1, [2, 2], x[:, :2]),
            lambda x, s: np.where(np.arange(6) == 2, x[:, 1:2], x),
        ),
        (lambda x, s: nets.masked_scatter(x, mask, np.arange(24.0)), filled),
        (
            lambda x, s: nets.masked_select(x, mask, size=24, fill_value=-1),
            lambda x, s: np.pad(x[mask], (0, 24 - mask.sum()), constant_values=-1),
        ),
        (
            lambda x, s: put(x, index[:, :1], s[:, :1], 0),
            lambda x, s: put(x, index[:, :1], s[:, :1], 0),
        ),
        (
            lambda x, s: nets.take_along_axis(x, index, axis=1) if x.shape[0] == 2 else x,
            lambda x, s: x,
        ),
    ]
    check(cases, X, source, rtol=1e-12)
    np.testing.assert_array_equal(nets.masked_select(X, mask).numpy(), X[mask])
    mean = nets.scatter_reduce(
        np.array([5, 6]), 0, np.array([0, 0]), np.array([1, 2]), "mean", include_self=False
    )
    assert mean.tolist() == [1, 6]


def test_places_by_at() -> None:
    index, values = np.array([0, 2, 2, -1]), np.arange(1.0, 25.0).reshape(4, 6)
    words = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "max": np.maximum}
    words |= {"divide": np.divide, "min": np.minimum}

    def by_numpy(x: Any, key: Any, word: str, values: Any) -> Any:
        out = x.copy()
        words[word].at(out, key, values)
        return out

    keys = (index, slice(1, 3), (slice(None), 2), (index, np.array([0, 1, 1, 5])), FEW > 0)
    cases: list[Case] = [
        (
            lambda x, i, k=key, w=word: getattr(x.at[k], w)(3.0),
            lambda x, i, k=key, w=word: by_numpy(x, k, w, 3.0),
        )
        for key, word in zip([*keys, keys[0]], words, strict=True)
    ]
    cases += [
        (lambda x, i: x.at[i].add(values), lambda x, i: by_numpy(x, index, "add", values)),
        (lambda x, i: x.at[i].set(values)[2], lambda x, i: values[2]),
        (lambda x, i: x.at[:, i].get(), lambda x, i: x[:, index]),
    ]
    check(cases, X, index, rtol=1e-12)


def test_segments() -> None:
    ids = np.array([0, 2, 2, -1])
    cases: list[Case] = [
        (lambda x: nets.segment_sum(x, ids, 3), lambda x: [x[0], 0 * x[0], x[1] + x[2]]),
        (lambda x: nets.segment_prod(x, ids, 3), lambda x: [x[0], x[0] ** 0, x[1] * x[2]]),
        (
            lambda x: nets.segment_max(x, ids, 3),
            lambda x: [x[0], np.full(6, -np.inf), np.maximum(x[1], x[2])],
        ),
        (lambda x: nets.segment_mean(x, ids, 3), lambda x: [x[0], 0 * x[0], (x[1] + x[2]) / 2]),
        (
            lambda x: nets.segment_softmax(x, ids, 3)[1],
            lambda x: np.exp(x[1]) / (np.exp(x[1]) + np.exp(x[2])),
        ),
    ]
    check([(own, lambda x, f=other: np.array(f(x))) for own, other in cases], X, rtol=1e-12)
    assert nets.segment_min(X, ids).shape == (3, 6)


def test_gradients_go_to_where_elements_came_from() -> None:
    index = np.array([[0, 2, 0], [3, 0, 1]])

    def every(x: Any) -> Any:
        weights = nets.arange(1.0, 7.0)
        parts = [
            (nets.sort(x) * weights).sum(),
            (nets.sort(x, axis=0, descending=True) * weights).sum(),
            (nets.topk(x, 2).values * weights[:2]).sum(),
            nets.kthvalue(x, 3, 0).values.sum(),
            nets.median(x, axis=1).sum(),
            nets.quantile(x, [0.2, 0.7], axis=0).sum(),
            (nets.cummax(x, 1).values * weights).sum(),
            (nets.cumprod(x, axis=0) * weights).sum(),
            (nets.scatter_reduce(x, 0, index, x[:2, 1:4], "prod") * weights).sum(),
            (nets.scatter_reduce(x, 0, index, x[:2, 1:4], "amin", include_self=False)).sum(),
            (nets.scatter(x, 0, index, x[2:, 3:]) * weights).sum(),
            (nets.segment_softmax(x, [0, 1, 0, 0], 2) * weights).sum(),
            (nets.take_along_axis(x, nets.argsort(x), axis=1) * weights).sum(),
        ]
        return nets.stack(parts)

    nets.check_grads(every, (X,), order=1)
    rows = nets.vmap(lambda row: nets.stack([nets.sort(row), row[nets.argsort(row)]]))(X)
    np.testing.assert_array_equal(rows.numpy()[:, 0], np.sort(X))
    np.testing.assert_array_equal(rows.numpy()[:, 1], np.sort(X))
    each = nets.vmap(lambda x, i: nets.scatter_add(x, 0, i, x[:3]))
    picks = np.array([[0, 0, 1], [5, 4, 5], [2, 2, 2], [1, 3, 5]])
    expected = X.copy()
    for row, i in enumerate(picks):
        np.add.at(expected[row], i, X[row, :3])
    np.testing.assert_allclose(each(X, picks).numpy(), expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nets.sort(X, axis=2), ShapeError, "axis 2"),
        (lambda: nets.sort(X, kind="fast"), ArgumentError, "'fast'"),
        (lambda: nets.sort(3.0), ShapeError, "axis"),
        (lambda: nets.topk(X, 7), ShapeError, "between 0 and 6"),
        (lambda: nets.kthvalue(X, 0), ShapeError, "counts from 1"),
        (lambda: nets.partition(X, 6), ShapeError, "no position"),
        (lambda: nets.lexsort([]), ShapeError, "one key"),
        (lambda: nets.quantile(X, 1.5), ArgumentError, "between 0.0 and 1.0"),
        (lambda: nets.quantile(X, 0.5, method="best"), ArgumentError, "'best'"),
        (lambda: nets.searchsorted(X, X[0]), ShapeError, "as many rows"),
        (lambda: nets.searchsorted(X[0], X, "up"), ArgumentError, "'up'"),
        (lambda: nets.digitize(X, [0, 2, 1]), ArgumentError, "ascend or descend"),
        (lambda: nets.bincount([1, -1]), ArgumentError, "not negative"),
        (lambda: nets.bincount([0.5]), DTypeError, "integers"),
        (lambda: nets.histogram(X, 0), ArgumentError, "one bin"),
        (lambda: nets.histogram(HOLES), ArgumentError, "finite"),
        (lambda: nets.scatter(X, 0, [[0]], FEW), DTypeError, "dtype"),
        (lambda: nets.scatter(X, 0, [0], X), ShapeError, "rank"),
        (lambda: nets.scatter(X, 0, [[4]], X), IndexOutOfBoundsError, "index 4"),
        (lambda: nets.scatter(X, 0, [[0.5]], X), DTypeError, "integer indices"),
        (lambda: nets.scatter_reduce(X, 0, [[0]], X, "max"), ArgumentError, "amax"),
        (lambda: nets.index_add(X, 0, [0, 1], X), ShapeError, "slices of shape"),
        (lambda: nets.put_along_axis(X, FEW, X), UnsupportedObjectError, "a Tensor"),
        (lambda: nets.masked_scatter(X, X > -9, [1.0]), ArgumentError, "1 elements"),
        (lambda: nets.masked_select(X, FEW), DTypeError, "bools"),
        (lambda: nets.segment_sum(X, [0, 1]), ShapeError, "one id"),
        (lambda: nets.trace(nets.unique)(X), ControlFlowError, "size="),
        (lambda: nets.trace(nets.masked_select)(X, X > 0), ControlFlowError, "size="),
        (lambda: nets.trace(nets.bincount)(FEW[0]), ControlFlowError, "length="),
        (
            lambda: nets.trace(lambda x, i: nets.scatter_add(x, 0, i, x))(X, FEW + 9),
            IndexOutOfBoundsError,
            "out of bounds",
        ),
    ],
)
def test_what_is_refused(call: Callable[[], object], error: type[NetsError], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_runs_of_equal_neighbours() -> None:
    x = np.array([[1.0, 1, 2], [2, 3, 3], [np.nan, np.nan, 1]])
    values, inverse, counts = nets.unique_consecutive(x, True, True)
    np.testing.assert_array_equal(values, [1, 2, 3, np.nan, np.nan, 1])
    np.testing.assert_array_equal(inverse, [[0, 0, 1], [1, 2, 2], [3, 4, 5]])
    np.testing.assert_array_equal(counts, [2, 2, 2, 1, 1, 1])
    traced = nets.trace(lambda x: nets.unique_consecutive(x, False, True, size=7, fill_value=9))(x)
    np.testing.assert_array_equal(traced[0], [1, 2, 3, np.nan, np.nan, 1, 9])
    np.testing.assert_array_equal(traced[1], [2, 2, 2, 1, 1, 1, 0])
    rows = np.array([[1, 2, 2, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(nets.unique_consecutive(rows, dim=1), [[1, 2, 1], [0, 0, 0]])
    assert nets.unique_consecutive(x[:0]).shape == (0,)
    slopes = nets.grad(lambda x: (nets.unique_consecutive(x, size=2) ** 2).sum())(
        np.array([3.0, 3, 1])
    )
    np.testing.assert_array_equal(slopes, [6, 0, 2])


def test_histc() -> None:
    x = np.array([-1.0, 0, 0.24, 0.25, 1, 1.01, 0.75, np.nan])
    np.testing.assert_array_equal(nets.histc(x, 4, 0, 1), [2, 1, 0, 2])
    bounded = nets.trace(lambda x: nets.histc(x, bins=3))
    np.testing.assert_array_equal(bounded(np.float32([[1, 2], [4, 3]])), np.float32([1, 1, 2]))
    np.testing.assert_array_equal(nets.histc(np.full(3, 2.0), 2), [0, 3])
    assert nets.histc(x[:0], 2).numpy().tolist() == [0, 0]
    for bad in ((0,), (2, 1, 0), (2, 0, np.inf)):
        with pytest.raises(ArgumentError, match="histc"):
            nets.histc(x, *bad)
    with pytest.raises(DTypeError, match="floats"):
        nets.histc([1, 2])
