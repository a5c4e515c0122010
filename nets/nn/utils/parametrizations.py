"""Parametrisations of weights: lengths and directions, a norm that is 1, orthogonal matrices."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

import nets
from nets.nn.convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from nets.nn.functional import normalize
from nets.nn.functional.arguments import check, check_count
from nets.nn.module import Module
from nets.nn.utils.parametrize import register_parametrization

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]

FIRST_STEPS: Final = 15
"""Power iterations when a weight is first parametrised by its largest singular value."""
MAPS: Final = ("matrix_exp", "cayley", "householder")


def lengths(v: nets.Tensor, dim: int | None) -> nets.Tensor:
    """The 2-norms over all axes but one, which are kept; over all, 0-d, where it is None or −1."""
    if dim is None or dim == -1:
        return nets.sqrt((v * v).sum())
    kept = checked_axis(v, dim)
    others = tuple(axis for axis in range(v.ndim) if axis != kept)
    return nets.sqrt((v * v).sum(axis=others, keepdims=True))


def checked_axis(x: nets.Tensor, dim: int) -> int:
    """The axis from 0 on; AxisError where there is none."""
    if not isinstance(dim, int) or not -x.ndim <= dim < x.ndim:
        raise nets.errors.AxisError(
            f"a weight of shape {x.shape} has no axis {dim}", nets.user_location()
        )
    return dim % x.ndim


def as_rows(weight: nets.Tensor, dim: int) -> nets.Tensor:
    """The weight as a matrix whose rows are along that axis."""
    axis = checked_axis(weight, dim)
    first = (axis, *(other for other in range(weight.ndim) if other != axis))
    return nets.transpose(weight, first).reshape(weight.shape[axis], -1)


def outputs_axis(module: Module) -> int:
    """The axis of a layer's weight along which its results lie, for spectral norms."""
    transposed = ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
    return 1 if isinstance(module, transposed) else 0


class _WeightNorm(Module):
    def __init__(self, dim: int | None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, g: Any, v: Any) -> Any:
        return v * (g / lengths(v, self.dim))

    def right_inverse(self, weight: Any) -> tuple[Any, Any]:
        return lengths(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Let a weight be its length times its direction, which are trained; the module.

    w = g v / ‖v‖ (Salimans and Kingma, 2016, "Weight Normalization"): ``original0`` is g, with a
    length for each entry of the axis ``dim``, and ``original1`` is v. None, and as in PyTorch −1,
    means one length for all. ArgumentError where the module has no tensor named ``name``, AxisError
    where it has no such axis.
    """
    return register_parametrization(module, name, _WeightNorm(dim))


class _SpectralNorm(Module):
    _u: nets.Tensor
    _v: nets.Tensor

    def __init__(self, weight: nets.Tensor, steps: int, dim: int, eps: float) -> None:
        super().__init__()
        check_count("n_power_iterations", steps)
        self.dim, self.eps, self.n_power_iterations = checked_axis(weight, dim), eps, steps
        self.has_vectors = weight.ndim > 1
        if not self.has_vectors:
            return
        with nets.no_grad():
            matrix = as_rows(weight, dim)
            for name, size in zip(("_u", "_v"), matrix.shape, strict=True):
                drawn = nets.random.normal((size,), dtype=weight.dtype)
                self.register_buffer(name, normalize(drawn, dim=0, eps=eps))
            self._iterate(matrix, FIRST_STEPS)

    def _iterate(self, matrix: nets.Tensor, steps: int) -> None:
        """Power iterations from the vectors that are kept; their results are kept."""
        with nets.no_grad():
            matrix, u, v = nets.stop_gradient(matrix), self._u, self._v
            for _ in range(steps):
                u = normalize(matrix @ v, dim=0, eps=self.eps)
                v = normalize(matrix.T @ u, dim=0, eps=self.eps)
            self._u.data, self._v.data = u, v

    def forward(self, weight: Any) -> Any:
        if not self.has_vectors:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_rows(weight, self.dim)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        u, v = nets.stop_gradient(self._u), nets.stop_gradient(self._v)
        return weight / (u @ (matrix @ v))

    def right_inverse(self, weight: Any) -> Any:
        return weight


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Divide a weight, a matrix with rows along ``dim``, by its largest singular value; the module.

    The value is that of power iterations (Miyato et al., 2018, "Spectral Normalization for
    Generative Adversarial Networks"), of which each read in training makes
    ``n_power_iterations`` more; the vectors are buffers, and constants for derivatives. ``dim``: by
    default 1 for transposed convolutions and else 0. ``eps``: the least length that is divided by.
    ``original`` is the weight before. A weight of one axis is divided by its length.

    ArgumentError where the module has no tensor named ``name``, or for no iterations; AxisError
    where it has no such axis.
    """
    weight = tensor_of(module, name)
    axis = outputs_axis(module) if dim is None else dim
    made = _SpectralNorm(weight, n_power_iterations, axis, eps)
    return register_parametrization(module, name, made)


def tensor_of(module: Module, name: str) -> nets.Tensor:
    """The tensor of that name; ArgumentError where there is none."""
    found = getattr(module, name, None)
    if not isinstance(found, nets.Tensor):
        raise nets.errors.ArgumentError(
            f"this {type(module).__name__} has no parameter or buffer named {name!r}",
            nets.user_location(),
        )
    return found


class _Orthogonal(Module):
    base: nets.Tensor | None

    def __init__(self, shape: tuple[int, ...], orthogonal_map: str, trivialization: bool) -> None:
        super().__init__()
        self.shape, self.orthogonal_map = shape, orthogonal_map
        self.trivialization, self.base = trivialization, None

    def forward(self, x: Any) -> Any:
        is_wide = x.shape[-2] < x.shape[-1]
        tall = nets.matrix_transpose(x) if is_wide else x
        k = tall.shape[-1]
        q = _reflected(tall) if self.orthogonal_map == "householder" else self._mapped(tall)
        if self.base is not None:
            q = self.base @ q
        return nets.matrix_transpose(q[..., :k]) if is_wide else q[..., :k]

    def _mapped(self, tall: nets.Tensor) -> nets.Tensor:
        """An orthogonal matrix of the lower triangle, by way of a skew-symmetric one."""
        n, k = tall.shape[-2:]
        lower = nets.tril(tall)
        if n > k:
            rest = nets.zeros((*tall.shape[:-1], n - k), tall.dtype)
            lower = nets.concatenate([lower, rest], axis=-1)
        skew = lower - nets.matrix_transpose(lower)
        if self.orthogonal_map == "matrix_exp":
            return nets.linalg.expm(skew)
        one = nets.eye(n, dtype=tall.dtype)
        return nets.linalg.solve(one - skew / 2, one + skew / 2)

    def right_inverse(self, value: Any) -> Any:
        if value.shape != self.shape:
            raise nets.errors.ShapeError(
                f"an orthogonal matrix of shape {self.shape} cannot be one of {value.shape}",
                nets.user_location(),
            )
        array = value.numpy()
        tall = np.swapaxes(array, -1, -2) if self.shape[-2] < self.shape[-1] else array
        if self.trivialization:
            completed = _completed(tall)
            if self.base is None:
                self.register_buffer("base", completed)
            else:
                self.base.data = completed
            return nets.Tensor(-np.eye(*self.shape[-2:], dtype=array.dtype) + np.zeros_like(array))
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                f"with use_trivialization=False nothing can be assigned by {self.orthogonal_map}"
            )
        reflectors = _reflectors(tall)
        return nets.Tensor(reflectors if tall is array else np.swapaxes(reflectors, -1, -2).copy())


def _reflected(x: nets.Tensor) -> nets.Tensor:
    """The first columns of a product of reflections 1 − τ v vᵀ, times the signs of the diagonal.

    v is 1 on the diagonal, x below it, and τ = 2 / vᵀv. The product is 1 − V T Vᵀ, where T⁻¹ has
    1 / τ on the diagonal and vᵀv above it (Schreiber and Van Loan, 1989, "A storage-efficient WY
    representation for products of Householder transformations").
    """
    n, k = x.shape[-2:]
    one = nets.eye(n, k, dtype=x.dtype)
    v = nets.tril(x, -1) + one
    products = nets.matrix_transpose(v) @ v
    inverse = nets.triu(products, 1) + products * nets.eye(k, dtype=x.dtype) / 2
    top = nets.matrix_transpose(v[..., :k, :])
    q = one - v @ nets.linalg.solve_triangular(inverse, top)
    signs = nets.stop_gradient(nets.trunc(nets.linalg.diagonal(x)))
    return q * nets.expand_dims(signs, -2)


def _reflectors(tall: Any) -> Any:
    """What ``_reflected`` makes orthonormal columns of: reflectors, and signs on the diagonal."""
    results = np.empty_like(tall)
    n, k = tall.shape[-2:]
    for place in np.ndindex(tall.shape[:-2]):
        packed, scales = np.linalg.qr(tall[place], mode="raw")
        signs = np.where(np.diagonal(packed) < 0, -1.0, 1.0) * np.where(scales == 0, -1.0, 1.0)
        results[place] = np.tril(packed.T, -1) + signs * np.eye(n, k)
    return results


def _completed(tall: Any) -> Any:
    """A square orthogonal matrix whose first columns are those of ``tall``, made orthonormal where
    they are not; the others are of chance."""
    n, k = tall.shape[-2:]
    gram = np.swapaxes(tall, -1, -2) @ tall
    eps = 10 * n * np.finfo(tall.dtype).eps
    if n == k and np.allclose(gram, np.eye(k), atol=eps, rtol=eps):
        return tall.copy()
    drawn = nets.random.normal((*tall.shape[:-1], n - k), dtype=tall.dtype).numpy()
    q, r = np.linalg.qr(np.concatenate([tall, drawn], axis=-1))
    diagonal = np.diagonal(r, axis1=-2, axis2=-1)
    return (q * np.where(diagonal < 0, -1, 1)[..., None, :]).astype(tall.dtype)


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Let a weight be a matrix of orthonormal columns, or rows where these are fewer; the module.

    Weights of more than two axes are stacks of matrices. ``orthogonal_map`` says what makes it of
    ``original``: "matrix_exp" the exponential of the skew-symmetric matrix with its lower triangle,
    the default for square ones; "cayley" (1 − A/2)⁻¹ (1 + A/2) of that; "householder" a product of
    reflections, the default for others. With ``use_trivialization`` it is multiplied by a buffer
    ``base`` (Lezcano-Casado, 2019, "Trivializations for Gradient-Based Optimization on Manifolds"),
    and is at first the weight that was there, made orthogonal where it is not.

    ArgumentError where the module has no tensor named ``name``, for another map, and where an
    orthogonal matrix is assigned that the map gives no way to store; ShapeError for a weight of one
    axis; DTypeError for one that is not floating-point.
    """
    weight = tensor_of(module, name)
    if weight.ndim < 2:
        raise nets.errors.ShapeError(
            f"only matrices are orthogonal, not {name} of shape {weight.shape}",
            nets.user_location(),
        )
    if weight.dtype.kind != "f":
        raise nets.errors.DTypeError(
            f"{name} is {weight.dtype}, and orthogonal matrices are floating-point",
            nets.user_location(),
        )
    is_square = weight.shape[-1] == weight.shape[-2]
    chosen = orthogonal_map or ("matrix_exp" if is_square else "householder")
    check(chosen in MAPS, f"orthogonal_map is one of {', '.join(MAPS)}, not {orthogonal_map!r}")
    made = _Orthogonal(weight.shape, chosen, use_trivialization)
    return register_parametrization(module, name, made, unsafe=True)
