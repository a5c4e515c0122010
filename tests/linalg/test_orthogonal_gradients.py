"""Derivatives of qr, eigh and svd: of compositions, and where values are equal or 0."""

from collections.abc import Callable

import numpy as np
import pytest

import nets
from nets import linalg
from nets.ops.definition.registry import Array

RNG = np.random.default_rng(11)
W = RNG.normal(size=(6, 6))
TURN = np.linalg.qr(RNG.normal(size=(4, 4)))[0]

Scalar = Callable[[nets.Tensor], nets.Tensor]


def slope(f: Scalar, x: Array, direction: Array) -> float:
    """The difference quotient along a direction."""
    h = 1e-6
    ahead, behind = (f(nets.Tensor(x + s * direction)).item() for s in (h, -h))
    return (ahead - behind) / (2 * h)


def gradient(f: Scalar, x: Array) -> Array:
    """The gradient by the tape."""
    leaf = nets.Tensor(x, requires_grad=True)
    f(leaf).backward()
    assert leaf.grad is not None
    return np.asarray(leaf.grad.numpy())


def assert_slope(f: Scalar, x: Array, direction: Array) -> None:
    found = float(np.sum(gradient(f, x) * direction))
    np.testing.assert_allclose(found, slope(f, x, direction), rtol=1e-6, atol=1e-7)


def weighted(*parts: nets.Tensor) -> nets.Tensor:
    """The parts times fixed numbers, summed."""
    total = nets.Tensor(0.0)
    for part in parts:
        total = total + (part * W[: part.shape[-2], : part.shape[-1]]).sum()
    return total


def gram(x: nets.Tensor) -> nets.Tensor:
    return x @ x.mT


def rest_of_qr(x: nets.Tensor) -> nets.Tensor:
    q = linalg.qr(x, "complete").Q
    return weighted(gram(q[:, min(x.shape) :]))


def rest_of_svd(x: nets.Tensor) -> nets.Tensor:
    u, _, v = linalg.svd(x)
    k = min(x.shape)
    return weighted(gram(u[:, k:]), gram(v[k:].mT))


def thin_svd(x: nets.Tensor) -> nets.Tensor:
    u, s, v = linalg.svd(x, full_matrices=False)
    return weighted(u, v) + (s**2 * W[0, : s.shape[0]]).sum()


@pytest.mark.parametrize("shape", [(5, 3), (3, 5)], ids=str)
@pytest.mark.parametrize(
    "f",
    [
        lambda x: weighted(*linalg.qr(x)),
        rest_of_qr,
        thin_svd,
        rest_of_svd,
        lambda x: weighted(linalg.pinv(x)),
        lambda x: weighted(linalg.lstsq(x, W[: x.shape[0], :2]).x),
        lambda x: linalg.cond(x) + linalg.matrix_norm(x, ord="nuc"),
    ],
)
def test_slopes_of_compositions(f: Scalar, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(2).normal(size=shape)
    assert_slope(f, x, np.random.default_rng(3).normal(size=shape))


def test_gradients_of_a_triangle_are_symmetric() -> None:
    x = RNG.normal(size=(4, 4))
    for triangle in ("L", "U", None):
        found = gradient(lambda x, t=triangle: weighted(linalg.eigh(x, t).eigenvectors), x)
        np.testing.assert_allclose(found, found.T, atol=1e-12)


def projector(x: nets.Tensor) -> nets.Tensor:
    """That on the first two eigenvectors."""
    return weighted(gram(linalg.eigh(x).eigenvectors[:, :2]))


@pytest.mark.parametrize("values", [(1, 1, 3, 5), (1, 1, 3, 3), (0, 0, 0, 2)], ids=str)
def test_what_does_not_depend_on_the_vectors_has_its_slope_at_equal_eigenvalues(
    values: tuple[int, ...],
) -> None:
    x = (TURN * values) @ TURN.T
    x = (x + x.T) / 2
    direction = RNG.normal(size=(4, 4))
    for f in (lambda x: (linalg.eigvalsh(x) ** 2).sum(), lambda x: (linalg.eigh(x)[0] ** 3).sum()):
        assert_slope(f, x, direction)
    if values[1] < values[2]:
        assert_slope(projector, x, direction)
        tangent = nets.jvp(projector, (x,), (direction,))[1].item()
        np.testing.assert_allclose(tangent, slope(projector, x, direction), rtol=1e-6)


def test_singular_values_that_are_equal_or_zero() -> None:
    for x in (np.eye(3), np.zeros((4, 3)), (TURN[:, :3] * (2, 2, 0)) @ TURN[:3, :3].T):
        found = gradient(lambda x: (linalg.svd(x, full_matrices=False).S ** 2).sum(), x)
        np.testing.assert_allclose(found, 2 * x, atol=1e-14)
    norm = gradient(lambda x: linalg.matrix_norm(x, ord="nuc"), 2 * np.eye(3))
    np.testing.assert_allclose(norm, np.eye(3), atol=1e-15)
    # The derivative of the inverse at the identity is −ẋ, and no limit of those around is needed.
    np.testing.assert_allclose(
        gradient(lambda x: weighted(linalg.pinv(x)), np.eye(3)), -W[:3, :3], atol=1e-14
    )


def test_a_vector_that_is_not_determined_has_no_finite_gradient() -> None:
    found = gradient(lambda x: weighted(linalg.eigh(x).eigenvectors), np.eye(3))
    assert not np.isfinite(found).all()


@pytest.mark.long
def test_gradients_of_any_batch() -> None:
    def total(x: nets.Tensor) -> nets.Tensor:
        q, v = linalg.qr(x).Q, linalg.eigh(x).eigenvectors
        return (q**3).sum() + (v**3).sum() + linalg.svd(x).Vh.sum() + linalg.pinv(x).sum()

    @nets.trace(dims={"x": "batch, 3, 3", "batch": nets.dim(1, 64)})
    def slopes(x: nets.Tensor) -> nets.Tensor:
        return nets.grad(total)(x)

    for batch in (1, 5):
        x = np.random.default_rng(batch).normal(size=(batch, 3, 3))
        np.testing.assert_allclose(slopes(x), gradient(total, x), rtol=1e-9, atol=1e-9)
