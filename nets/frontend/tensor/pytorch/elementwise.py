"""PyTorch's words for arithmetic, element by element, and their scaled forms.

``x`` is the tensor; ``mat1``, ``mat2``, ``batch1`` and ``batch2`` are matrices and stacks of them,
``vec``, ``vec1`` and ``vec2`` vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nets.errors import ArgumentError, DTypeError, ShapeError
from nets.frontend.tensor import functions as F
from nets.ir.location import user_location

if TYPE_CHECKING:
    from nets.frontend.tensor.dispatch import TensorLike
    from nets.frontend.tensor.tensor import Tensor


def _scaled(x: TensorLike, factor: Any) -> TensorLike:
    return x if isinstance(factor, int | float) and factor == 1 else F.multiply(x, factor)


def add(x: TensorLike, other: TensorLike, *, alpha: Any = 1) -> Tensor:
    """x + alpha · other."""
    return F.add(x, _scaled(other, alpha))


def sub(x: TensorLike, other: TensorLike, *, alpha: Any = 1) -> Tensor:
    """x − alpha · other."""
    return F.subtract(x, _scaled(other, alpha))


def rsub(x: TensorLike, other: TensorLike, alpha: Any = 1) -> Tensor:
    """other − alpha · x."""
    return F.subtract(other, _scaled(x, alpha))


def div(x: TensorLike, other: TensorLike, *, rounding_mode: str | None = None) -> Tensor:
    """x / other; the quotient rounded towards 0 for ``rounding_mode="trunc"``, down for "floor"."""
    if rounding_mode is None:
        return F.divide(x, other)
    if rounding_mode == "floor":
        return F.floor_divide(x, other)
    if rounding_mode != "trunc":
        raise ArgumentError(
            f"rounding_mode is None, 'trunc' or 'floor', not {rounding_mode!r}", user_location()
        )
    floor = F.floor_divide(x, other)
    if floor.dtype.kind == "f":
        return F.trunc(F.divide(x, other))
    unlike = F.not_equal(F.less(x, 0), F.less(other, 0))
    uneven = F.not_equal(F.remainder(x, other), 0)
    return F.add(floor, F.astype(F.logical_and(unlike, uneven), floor.dtype))


def addcmul(x: TensorLike, tensor1: TensorLike, tensor2: TensorLike, *, value: Any = 1) -> Tensor:
    """x + value · tensor1 · tensor2."""
    return F.add(x, _scaled(F.multiply(tensor1, tensor2), value))


def addcdiv(x: TensorLike, tensor1: TensorLike, tensor2: TensorLike, *, value: Any = 1) -> Tensor:
    """x + value · tensor1 / tensor2."""
    return F.add(x, _scaled(F.divide(tensor1, tensor2), value))


def lerp(x: TensorLike, end: TensorLike, weight: TensorLike) -> Tensor:
    """x + weight · (end − x): the way from x to ``end``, exact at both ends."""
    step = F.subtract(end, x)
    from_start = F.add(x, F.multiply(weight, step))
    from_end = F.subtract(end, F.multiply(step, F.subtract(1, weight)))
    return F.where(F.less(F.abs(weight), 0.5), from_start, from_end)


def clamp(x: TensorLike, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """Each element moved into [min, max]: ``nets.clip``. ArgumentError without any bound."""
    if min is None and max is None:
        raise ArgumentError("clamp takes min, max or both", user_location())
    return F.clip(x, min, max)


def clamp_min(x: TensorLike, min: TensorLike) -> Tensor:
    """Each element, or ``min`` where that is larger."""
    return F.clip(x, min)


def clamp_max(x: TensorLike, max: TensorLike) -> Tensor:
    """Each element, or ``max`` where that is smaller."""
    return F.clip(x, None, max)


def frac(x: TensorLike) -> Tensor:
    """What is behind the point, with the sign of x: x − trunc(x)."""
    return F.subtract(x, F.trunc(x))


def round(x: TensorLike, *, decimals: int = 0) -> Tensor:
    """Each element rounded to so many decimals, ties to even; see ``nets.round``."""
    return F.round(x, decimals)


def where(x: TensorLike, condition: TensorLike, other: TensorLike) -> Tensor:
    """x where the condition holds, else ``other``; see ``nets.where``."""
    return F.where(condition, x, other)


def equal(x: TensorLike, other: TensorLike) -> bool:
    """Whether two tensors have the same shape and elements; NaN equals nothing."""
    a, b = F.as_tensor(x), F.as_tensor(other)
    return a.shape == b.shape and bool(F.all(F.equal(a, b)))


# ------------------------------------------------------------------------------ products


def _ranked(name: str, *operands: tuple[TensorLike, int]) -> list[Tensor]:
    """The operands; ShapeError where one has not so many axes."""
    tensors = [F.as_tensor(x) for x, _ in operands]
    ranks = [rank for _, rank in operands]
    if [x.ndim for x in tensors] != ranks:
        found = " and ".join(str(x.shape) for x in tensors)
        listed = " and ".join(map(str, ranks))
        raise ShapeError(
            f"{name} takes tensors of {listed} axes, not of shape {found}", user_location()
        )
    return tensors


def _product(name: str, x: TensorLike, y: TensorLike, ranks: tuple[int, int]) -> Tensor:
    a, b = _ranked(name, (x, ranks[0]), (y, ranks[1]))
    if a.ndim == b.ndim == 3 and a.shape[0] != b.shape[0]:
        raise ShapeError(
            f"{name} takes as many matrices as matrices, not {a.shape} and {b.shape}",
            user_location(),
        )
    return F.matmul(a, b)


def mm(x: TensorLike, mat2: TensorLike) -> Tensor:
    """The product of two matrices."""
    return _product("mm", x, mat2, (2, 2))


def bmm(x: TensorLike, mat2: TensorLike) -> Tensor:
    """The products of matrices (b, n, k) with as many (b, k, m)."""
    return _product("bmm", x, mat2, (3, 3))


def mv(x: TensorLike, vec: TensorLike) -> Tensor:
    """The product of a matrix and a vector."""
    return _product("mv", x, vec, (2, 1))


def dot(x: TensorLike, other: TensorLike) -> Tensor:
    """The dot product of NumPy, which for two vectors is PyTorch's."""
    return F.dot(x, other)


def _added(x: TensorLike, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    """beta · x + alpha · product, x broadcasting to the product; 0 · x is 0 whatever x is."""
    scaled = F.as_tensor(_scaled(product, alpha))
    if isinstance(beta, int | float) and beta == 0:
        return F.positive(scaled)
    tensor = F.as_tensor(x)
    result = F.add(F.as_tensor(_scaled(tensor, beta)), scaled)
    if result.shape != product.shape:
        raise ShapeError(
            f"a tensor of shape {tensor.shape} is not added to a product of shape {product.shape}",
            user_location(),
        )
    _refuse_float_factors(result, beta, alpha, tensor, product)
    return result


def _refuse_float_factors(
    result: Tensor, beta: Any, alpha: Any, tensor: Tensor, product: Tensor
) -> None:
    """DTypeError where fractions multiply integers."""
    if result.dtype.kind == "f" and {tensor.dtype.kind, product.dtype.kind}.isdisjoint("f"):
        raise DTypeError(
            f"beta and alpha are integers for integers, not {beta} and {alpha}", user_location()
        )


def addmm(
    x: TensorLike, mat1: TensorLike, mat2: TensorLike, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta · x + alpha · mat1 mat2, of matrices; x broadcasts to the product."""
    return _added(x, mm(mat1, mat2), beta, alpha)


def addmv(
    x: TensorLike, mat: TensorLike, vec: TensorLike, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta · x + alpha · mat vec, of a matrix and a vector; x broadcasts to the product."""
    return _added(x, mv(mat, vec), beta, alpha)


def addbmm(
    x: TensorLike, batch1: TensorLike, batch2: TensorLike, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta · x + alpha · Σᵢ batch1ᵢ batch2ᵢ; x broadcasts to a matrix of the sum."""
    return _added(x, F.sum(bmm(batch1, batch2), 0), beta, alpha)


def baddbmm(
    x: TensorLike, batch1: TensorLike, batch2: TensorLike, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta · x + alpha · batch1 batch2, of as many matrices; x broadcasts to the products."""
    return _added(x, bmm(batch1, batch2), beta, alpha)


def addr(
    x: TensorLike, vec1: TensorLike, vec2: TensorLike, *, beta: Any = 1, alpha: Any = 1
) -> Tensor:
    """beta · x + alpha · vec1 vec2ᵀ, of two vectors; x broadcasts to the product."""
    a, b = _ranked("addr", (vec1, 1), (vec2, 1))
    return _added(x, F.outer(a, b), beta, alpha)
