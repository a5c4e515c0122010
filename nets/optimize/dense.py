"""Dense systems: triangles by Householder's reflections, and what they solve."""

from __future__ import annotations

from typing import Any

import nets.frontend.tensor.functions as functions
from nets.frontend.tracing.control_flow import fori_loop
from nets.optimize.numbers import dot, norm


def triangle(matrix: Any, columns: int) -> Any:
    """QᵀM for a matrix M: its first ``columns`` become an upper triangle (Golub and Van Loan, 2013,
    "Matrix computations", 5.2.2). M has as many rows at least."""
    places = functions.arange(0, matrix.shape[0])

    def reflected(k: Any, rows: Any) -> Any:
        column = functions.where(places < k, 0.0, functions.take(rows, k, 1))
        top, size = functions.take(column, k), norm(column)
        # Away from the element itself, so that nothing cancels.
        mirror = functions.where(
            places == k, functions.where(top < 0, top - size, top + size), column
        )
        square = dot(mirror, mirror)
        factor = functions.where(square > 0, 2 / square, 0.0)
        return rows - functions.outer(factor * mirror, mirror @ rows)

    return fori_loop(0, columns, reflected, matrix)


def substituted(upper: Any, right: Any) -> Any:
    """X with upper @ X = right, for a triangle (n, n) and a matrix (n, k). Infinite or NaN where a
    diagonal element is 0."""
    size = upper.shape[0]
    places = functions.reshape(functions.arange(0, size), (size, 1))

    def next_row(i: Any, found: Any) -> Any:
        k = size - 1 - i
        row = functions.take(upper, k, 0)
        value = (functions.take(right, k, 0) - row @ found) / functions.take(row, k)
        return functions.where(places == k, functions.reshape(value, (1, -1)), found)

    return fori_loop(0, size, next_row, functions.zeros_like(right))
