"""Those whose derivative has a closed form: hello, llsq, lse, det, kmeans, ode."""

import numpy as np
import pytest

import nets
from benchmarks.gradbench import det, hello, kmeans, llsq, lse, ode
from tests.benchmarks.gradbench.reference import close, draw, run, slopes


def test_hello() -> None:
    close(run(lambda _: hello.square, 3.0), 9)
    close(run(lambda lib: lib.grad(hello.square), 3.0), 6)


def test_llsq() -> None:
    x, t = draw(llsq.arguments(33))
    powers = np.vander(t, len(x), increasing=True)
    missed = np.sign(t) - powers @ x
    close(run(llsq.in_system, x, t), 0.5 * missed @ missed)
    close(run(lambda lib: lib.grad(llsq.in_system(lib)), x, t), -missed @ powers)


def test_lse() -> None:
    (x,) = draw(lse.arguments(50))
    x = x * 2000 - 1000
    expected = np.logaddexp.reduce(x)
    close(run(lse.in_system, x), expected)
    close(run(lambda lib: lib.grad(lse.in_system(lib)), x), np.exp(x - expected))


@pytest.mark.parametrize("size", [1, 2, 5])
def test_det(size: int) -> None:
    matrix, *tables = draw(det.arguments(size))
    expected = np.linalg.det(matrix)
    close(run(det.in_system, matrix, *tables), expected)
    cofactors = expected * np.linalg.inv(matrix).T
    close(run(lambda lib: lib.grad(det.in_system(lib)), matrix, *tables), cofactors)


def test_kmeans() -> None:
    points, centres = draw(kmeans.arguments(7, 100, 3))
    squares = np.array([[(p - c) @ (p - c) for c in centres] for p in points])
    close(run(kmeans.in_system, points, centres), squares.min(1).sum())
    nearest = squares.argmin(1)
    means = np.array([points[nearest == j].mean(0) for j in range(len(centres))])
    close(run(kmeans.direction, points, centres), centres - means)


def kutta(x, steps):
    """Element by element."""
    h, y = 2 / steps, [0] * len(x)

    def slope(y):
        return [x[0], *(x[i] * y[i - 1] for i in range(1, len(x)))]

    def along(y, k, s):
        return [a + s * b for a, b in zip(y, k, strict=True)]

    for _ in range(steps):
        k1 = slope(y)
        k2 = slope(along(y, k1, h / 2))
        k3 = slope(along(y, k2, h / 2))
        k4 = slope(along(y, k3, h))
        for k, weight in ((k1, 1), (k2, 2), (k3, 2), (k4, 1)):
            y = along(y, k, h / 6 * weight)
    return np.array(y)


def test_ode() -> None:
    (x,) = draw(ode.arguments(6))
    close(run(lambda lib: ode.in_system(lib, 7), x), kutta(x, 7))
    close(run(lambda lib: ode.gradient(lib, 7), x), slopes(lambda x: kutta(x, 7), x)[-1])


def test_ode_is_the_solution_of_its_equation() -> None:
    """yᵢ(t) = x₀⋯xᵢ · tⁱ⁺¹ / (i + 1)!, and four orders of t are exact."""
    x = np.array([2.0, 3.0, 0.5, 1.5])
    terms = [16 * 4.5 / 24, 8 * 3.0 / 6, 4 * 6.0 / 2, 2 * 2.0]
    close(nets.trace(ode.in_system(nets, 1))(x), terms[::-1])
