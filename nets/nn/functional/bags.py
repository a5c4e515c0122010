"""Bags of rows of a table: each a sum, a mean or the largest elements."""

from __future__ import annotations

from typing import Any, Literal

import nets
from nets.nn.functional.arguments import TensorLike, check
from nets.nn.functional.linear import embedding, padding_row


def embedding_bag(
    input: TensorLike,
    weight: TensorLike,
    offsets: TensorLike | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: Literal["sum", "mean", "max"] = "mean",
    sparse: bool = False,
    per_sample_weights: TensorLike | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> nets.Tensor:
    """Rows of weight (n, d) by bags: positions (B, N) of B bags give (B, d).

    Positions (N,) are cut into bags by ``offsets`` (B,), where each begins;
    ``include_last_offset``: the last one only says where they end. ``per_sample_weights`` multiply
    the rows of a "sum". Rows ``padding_idx`` do not count. An empty bag gives zeros. ``max_norm``,
    ``norm_type``, ``scale_grad_by_freq`` and ``sparse`` as in ``embedding``. ShapeError and
    ArgumentError for what does not go together.

    ``mode`` says what a bag gives: the "sum", the "mean" or, element by element, the "max" of its
    rows.
    """
    positions, table = nets.as_tensor(input), nets.as_tensor(weight)
    check(mode in ("sum", "mean", "max"), f"mode is 'sum', 'mean' or 'max', not {mode!r}")
    check(per_sample_weights is None or mode == "sum", "per_sample_weights are for the mode 'sum'")
    check(not (scale_grad_by_freq and mode == "max"), "scale_grad_by_freq is not for 'max'")
    bags, count = _bags(positions, offsets, include_last_offset)
    flat = nets.reshape(positions, (-1,))
    rows = embedding(flat, weight, None, max_norm, norm_type, scale_grad_by_freq)
    counts = nets.ones(flat.shape, table.dtype)
    if padding_idx is not None:
        counts = nets.astype(flat != padding_row(padding_idx, table.shape[0]), table.dtype)
    if per_sample_weights is not None:
        factors = nets.as_tensor(per_sample_weights)
        if factors.shape != positions.shape:
            raise nets.errors.ShapeError(
                f"per_sample_weights have the shape of the positions {positions.shape}, not "
                f"{factors.shape}",
                nets.user_location(),
            )
        rows = rows * nets.reshape(factors, (-1, 1))
    if mode == "max":
        return _largest(rows, counts > 0, bags, count)
    rows = nets.where(nets.expand_dims(counts > 0, -1), rows, 0)
    total = _added(rows, bags, count)
    if mode == "sum":
        return total
    sizes = _added(nets.expand_dims(counts, -1), bags, count)
    return total / nets.maximum(sizes, 1)


def _bags(
    positions: nets.Tensor, offsets: TensorLike | None, include_last: bool
) -> tuple[nets.Tensor, int]:
    """The number of the bag of each position, and how many bags there are."""
    if positions.ndim == 2:
        check(offsets is None, "positions (B, N) take no offsets")
        check(not include_last, "include_last_offset goes with offsets")
        count, size = positions.shape
        return nets.repeat(nets.arange(count), size), count
    if positions.ndim != 1 or offsets is None:
        raise nets.errors.ShapeError(
            f"embedding_bag takes positions (B, N), or (N,) with offsets, not {positions.shape}",
            nets.user_location(),
        )
    starts = nets.as_tensor(offsets)
    if starts.ndim != 1 or (include_last and not starts.size) or starts.dtype.kind not in "iu":
        raise nets.errors.ShapeError(
            f"offsets are a vector of integers, not {starts.dtype} {starts.shape}",
            nets.user_location(),
        )
    starts = nets.check_positions(starts, positions.size + 1, "an offset of embedding_bag")
    count = starts.size - include_last
    places = nets.expand_dims(nets.arange(positions.size), -1)
    return nets.sum(places >= starts[:count], 1) - 1, count


def _added(rows: nets.Tensor, bags: nets.Tensor, count: int) -> nets.Tensor:
    empty = nets.zeros((count, *rows.shape[1:]), rows.dtype)
    if not rows.size or not empty.size:
        return empty + nets.sum(rows) * 0
    return nets.index_put(empty, (bags,), rows, accumulate=True)


def _largest(rows: nets.Tensor, counted: nets.Tensor, bags: nets.Tensor, count: int) -> nets.Tensor:
    """The largest elements of each bag, the first of equals."""
    if not rows.shape[0] or not count:
        return nets.zeros((count, *rows.shape[1:]), rows.dtype)
    mine = nets.expand_dims(nets.arange(count), -1) == bags
    mine = nets.expand_dims(mine & counted, -1)
    best: Any = nets.argmax(nets.where(mine, nets.stop_gradient(rows), -float("inf")), 1)
    values = nets.take_along_axis(rows, best, 0)
    return nets.where(nets.any(mine, 1), values, 0)
