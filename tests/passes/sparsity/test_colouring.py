"""Colourings: the products with their seeds tell every element."""

import numpy as np
import pytest

from nets.passes.sparsity.colouring import Colouring, coloured, star_coloured
from nets.passes.sparsity.pattern import Pattern


def of(matrix: np.ndarray) -> Pattern:
    rows, cols = np.nonzero(matrix)
    return Pattern(rows, cols, matrix.shape)


def recovered(matrix: np.ndarray, pattern: Pattern, colouring: Colouring) -> np.ndarray:
    """The matrix from its products with the seeds."""
    seeds = np.eye(colouring.count)[colouring.colours].T
    products = seeds @ matrix if colouring.by_rows else seeds @ matrix.T
    found = np.zeros_like(matrix)
    found[pattern.rows, pattern.cols] = products[colouring.seed, colouring.place]
    return found


def test_random_patterns_are_recovered() -> None:
    for seed in range(300):
        rng = np.random.default_rng(seed)
        shape = rng.integers(0, 12, 2)
        matrix = rng.integers(1, 99, shape) * (rng.uniform(size=shape) < rng.uniform(0, 0.6))
        matrix = matrix.astype(float)
        pattern = of(matrix)
        colouring = coloured(pattern)
        assert np.array_equal(recovered(matrix, pattern, colouring), matrix), matrix
        assert colouring.count <= max(min(shape), 1)


def test_random_symmetric_patterns_are_recovered() -> None:
    fewer = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        size = int(rng.integers(0, 16))
        half = rng.integers(1, 99, (size, size)) * (
            rng.uniform(size=(size, size)) < rng.uniform(0, 0.4)
        )
        matrix = (half + half.T).astype(float)
        pattern = of(matrix)
        colouring = star_coloured(pattern)
        assert np.array_equal(recovered(matrix, pattern, colouring), matrix), matrix
        fewer += colouring.count < coloured(pattern).count
    assert fewer > 40


def band(size: int, *offsets: int) -> np.ndarray:
    return np.sum([np.eye(size, k=k) for k in offsets], axis=0)


@pytest.mark.parametrize(
    ("matrix", "count", "by_rows"),
    [
        (np.eye(50), 1, False),
        (band(50, -1, 0, 1), 3, False),
        (band(50, -3, 0, 1, 2), 6, False),
        (np.ones((3, 50)), 3, True),
        (np.ones((50, 3)), 3, False),
        (np.zeros((4, 5)), 1, False),
        (np.zeros((4, 0)), 0, False),
    ],
)
def test_counts(matrix: np.ndarray, count: int, by_rows: bool) -> None:
    found = coloured(of(matrix))
    assert (found.count, found.by_rows) == (count, by_rows)


@pytest.mark.parametrize(
    ("matrix", "count"),
    [
        (np.eye(50), 1),
        (band(50, -1, 0, 1), 3),
        (np.eye(50) + np.eye(50)[:1].sum(0) + np.eye(50)[:, :1], 2),  # an arrow
        (np.ones((4, 4)), 4),
    ],
)
def test_star_counts(matrix: np.ndarray, count: int) -> None:
    assert star_coloured(of(matrix)).count == count


def test_an_arrow_takes_two_seeds_where_columns_alone_take_all() -> None:
    size = 2000
    index = np.arange(size)
    rows = np.concatenate([index, np.zeros(size - 1, int), index[1:]])
    cols = np.concatenate([index, index[1:], np.zeros(size - 1, int)])
    order = np.lexsort((cols, rows))
    arrow = Pattern(rows[order], cols[order], (size, size))
    assert star_coloured(arrow).count == 2
