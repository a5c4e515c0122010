"""Linear maps, rows of a table, and dropout."""

from __future__ import annotations

import nets
from nets.nn.functional.arguments import TensorLike, check_number


def linear(input: TensorLike, weight: TensorLike, bias: TensorLike | None = None) -> nets.Tensor:
    """x Wᵀ + b: (…, in) with weight (out, in) and bias (out,) gives (…, out)."""
    result = nets.matmul(input, nets.transpose(weight))
    return result if bias is None else result + bias


def embedding(input: TensorLike, weight: TensorLike, padding_idx: int | None = None) -> nets.Tensor:
    """Rows of weight (n, d) at integer positions: shape (*input.shape, d).

    The row ``padding_idx``, which may count from the end, gets no gradient. IndexOutOfBoundsError
    for positions outside [0, n), also from compiled code when it runs.
    """
    table = nets.as_tensor(weight)
    if table.ndim != 2:
        raise nets.errors.ShapeError(
            f"the table of an embedding has two axes, not shape {table.shape}",
            nets.user_location(),
        )
    positions = nets.check_positions(input, table.shape[0], "a row of an embedding")
    rows = nets.take(table, positions, axis=0)
    if padding_idx is None:
        return rows
    padding = positions == padding_row(padding_idx, table.shape[0])
    return nets.where(nets.expand_dims(padding, -1), nets.stop_gradient(rows), rows)


def padding_row(padding_idx: int, count: int) -> int:
    """``padding_idx`` counted from the start of ``count`` rows; ArgumentError beyond them."""
    if not isinstance(padding_idx, int) or not -count <= padding_idx < count:
        raise nets.errors.ArgumentError(
            f"padding_idx is one of {count} rows, not {padding_idx}", nets.user_location()
        )
    return padding_idx % count


def dropout(
    input: TensorLike, p: float = 0.5, training: bool = True, inplace: bool = False
) -> nets.Tensor:
    """Each element with probability p replaced by 0, the others divided by 1 − p.

    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.
    The numbers come from ``nets.random.default_generator``. ``inplace`` makes no difference.
    """
    x = nets.as_tensor(input)
    check_number("the probability p", p, 0, 1)
    if not training or p == 0:
        return nets.positive(x)
    if p == 1:
        return x * 0
    kept = nets.random.uniform(x.shape) >= p
    return nets.where(kept, x / (1 - p), 0)


def one_hot(tensor: TensorLike, num_classes: int = -1) -> nets.Tensor:
    """int64 rows with 1 at the given position and 0 elsewhere; see ``nets.one_hot``."""
    return nets.one_hot(tensor, num_classes)
