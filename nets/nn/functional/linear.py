"""Linear maps, bilinear ones, and rows of a table.

``input``, ``input1`` and ``input2`` are tensors or arrays, ``weight`` and ``bias`` the parameters
of a layer; a ``bias`` of None adds nothing.
"""

from __future__ import annotations

import nets
from nets.nn.functional.arguments import TensorLike, check_shape


def linear(input: TensorLike, weight: TensorLike, bias: TensorLike | None = None) -> nets.Tensor:
    """x Wᵀ + b: (…, in) with weight (out, in) and bias (out,) gives (…, out).

    ShapeError where the last axis of the input is not that of the weight.
    """
    result = nets.matmul(input, nets.transpose(weight))
    return result if bias is None else result + bias


def embedding(
    input: TensorLike,
    weight: TensorLike,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> nets.Tensor:
    """Rows of weight (n, d) at integer positions: shape (*input.shape, d).

    The row ``padding_idx``, which may count from the end, gets no gradient. Rows that are read and
    longer than ``max_norm``, by the norm of ``norm_type``, are first made that long in ``weight``
    itself. ``scale_grad_by_freq`` divides the gradient of a row by how often it is read; ``sparse``
    makes no difference. IndexOutOfBoundsError for positions outside [0, n), also from compiled code
    when it runs.
    """
    if max_norm is not None:
        _shorten(input, weight, max_norm, norm_type)
    table = nets.as_tensor(weight)
    if table.ndim != 2:
        raise nets.errors.ShapeError(
            f"the table of an embedding has two axes, not shape {table.shape}",
            nets.user_location(),
        )
    positions = nets.check_positions(input, table.shape[0], "a row of an embedding")
    rows = nets.take(table, positions, axis=0)
    if scale_grad_by_freq:
        rows = _by_frequency(rows, positions, table.shape[0])
    if padding_idx is None:
        return rows
    padding = positions == padding_row(padding_idx, table.shape[0])
    return nets.where(nets.expand_dims(padding, -1), nets.stop_gradient(rows), rows)


def _counts(positions: nets.Tensor, size: int) -> nets.Tensor:
    """How often each of ``size`` rows is read, as float64."""
    flat = nets.reshape(positions, (-1,))
    return nets.index_put(nets.zeros((size,)), (flat,), 1.0, accumulate=True)


def _by_frequency(rows: nets.Tensor, positions: nets.Tensor, size: int) -> nets.Tensor:
    """The rows, whose gradients are divided by how often each is read."""
    part = nets.take(1 / nets.maximum(_counts(positions, size), 1.0), positions)
    part = nets.astype(nets.expand_dims(part, -1), rows.dtype)
    return nets.stop_gradient(rows * (1 - part)) + rows * part


def _shorten(input: TensorLike, weight: TensorLike, max_norm: float, norm_type: float) -> None:
    """Give the rows of ``weight`` that are read at most this norm."""
    if not isinstance(weight, nets.Tensor):
        raise nets.errors.ArgumentError(
            "max_norm changes the weight, which must be a Tensor", nets.user_location()
        )
    with nets.no_grad():
        length = weight.norm(norm_type, -1, keepdim=True)
        read = nets.expand_dims(_counts(nets.as_tensor(input), weight.shape[0]) > 0, -1)
        shorter = weight * (max_norm / (length + 1e-7))
        weight.copy_(nets.where(read & (length > max_norm), shorter, weight))


def bilinear(
    input1: TensorLike, input2: TensorLike, weight: TensorLike, bias: TensorLike | None = None
) -> nets.Tensor:
    """Σᵢⱼ xᵢ Wₖᵢⱼ yⱼ + bₖ: (…, in1) and (…, in2) with weight (out, in1, in2) give (…, out).

    ShapeError where the shapes do not go together.
    """
    x, y, w = nets.as_tensor(input1), nets.as_tensor(input2), nets.as_tensor(weight)
    fits = x.ndim and y.ndim and w.ndim == 3 and x.shape[:-1] == y.shape[:-1]
    if not fits or (x.shape[-1], y.shape[-1]) != w.shape[1:]:
        raise nets.errors.ShapeError(
            f"bilinear: {x.shape} and {y.shape} do not go with a weight of shape {w.shape}",
            nets.user_location(),
        )
    check_shape("bias", bias, w.shape[:1])
    outputs, left, right = w.shape
    half = nets.matmul(x, nets.reshape(nets.swapaxes(w, 0, 1), (left, outputs * right)))
    half = nets.reshape(half, (*x.shape[:-1], outputs, right))
    result = nets.squeeze(nets.matmul(half, nets.expand_dims(y, -1)), -1)
    return result if bias is None else result + bias


def padding_row(padding_idx: int, count: int) -> int:
    """``padding_idx`` counted from the start of ``count`` rows; ArgumentError beyond them."""
    if not isinstance(padding_idx, int) or not -count <= padding_idx < count:
        raise nets.errors.ArgumentError(
            f"padding_idx is one of {count} rows, not {padding_idx}", nets.user_location()
        )
    return padding_idx % count


def one_hot(tensor: TensorLike, num_classes: int = -1) -> nets.Tensor:
    """int64 rows with 1 at the given position and 0 elsewhere; see ``nets.one_hot``.

    ``tensor`` has integers, ``num_classes`` is the size of the new last axis; −1 takes the largest
    integer plus one, which a trace does not know (ControlFlowError). IndexOutOfBoundsError for
    integers outside [0, num_classes).
    """
    return nets.one_hot(tensor, num_classes)
