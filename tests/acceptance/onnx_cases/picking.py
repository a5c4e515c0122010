"""Elements picked by position and put at positions, sorted, counted, found."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import nets
from tests.acceptance.onnx_cases.graph import Node, operator


@operator("Gather")
def gather(node: Node, x: Any, places: Any) -> Any:
    axis = node["axis"] % x.ndim
    return x[(slice(None),) * axis + (places,)]


@operator("GatherElements")
def gather_elements(node: Node, x: Any, places: Any) -> Any:
    """Positions may lie in fewer lines than x has."""
    axis = node["axis"] % x.ndim
    return x[_lines(places, axis)]


def _lines(places: Any, axis: int) -> tuple[Any, ...]:
    """For each position of a tensor of positions along an axis the place in all axes."""
    grid = np.indices(places.shape, sparse=True)
    return tuple(places if i == axis else g for i, g in enumerate(grid))


@operator("GatherND")
def gather_nd(node: Node, x: Any, places: Any) -> Any:
    batch = node["batch_dims"]
    count = places.shape[-1]
    grid = np.indices(places.shape[:batch], sparse=True)
    rest = (1,) * (places.ndim - 1 - batch)
    before = [g.reshape(g.shape + rest) for g in grid]
    return x[(*before, *(places[..., i] for i in range(count)))]


METHODS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
"""Reductions by the words of ``nets.scatter_reduce``."""


def _written(x: Any, where: tuple[Any, ...], values: Any, reduction: str) -> Any:
    """A copy of x with values at places, or combined with what is there, one after the other."""
    if reduction == "none":
        result = nets.positive(x)
        result[where] = values
        return result
    flat = nets.flatten(x)
    places = _numbers(where, x.shape)
    combined = nets.scatter_reduce(flat, 0, places, nets.flatten(values), METHODS[reduction])
    return nets.reshape(combined, x.shape)


def _numbers(where: tuple[Any, ...], shape: tuple[int, ...]) -> Any:
    """The places as numbers in the flattened tensor."""
    total: Any = 0
    for i, places in enumerate(where):
        inside = nets.where(nets.as_tensor(places) < 0, places + shape[i], places)
        total = total + inside * math.prod(shape[i + 1 :])
    return nets.flatten(total)


@operator("ScatterElements", "Scatter")
def scatter_elements(node: Node, x: Any, places: Any, values: Any) -> Any:
    axis = node["axis"] % x.ndim
    return _written(x, _lines(places, axis), values, node["reduction"] or "none")


@operator("ScatterND")
def scatter_nd(node: Node, x: Any, places: Any, values: Any) -> Any:
    """Values for whole rows of x where positions do not tell all axes."""
    count = places.shape[-1]
    where = tuple(places[..., i] for i in range(count))
    rest = x.shape[count:]
    if node["reduction"] != "none" and rest:
        ones = (1,) * len(rest)
        grid = [
            g.reshape((1,) * (places.ndim - 1) + g.shape) for g in np.indices(rest, sparse=True)
        ]
        where = (*(nets.reshape(w, (*w.shape, *ones)) for w in where), *grid)
    return _written(x, where, values, node["reduction"])


@operator("TensorScatter")
def tensor_scatter(node: Node, cache: Any, update: Any, starts: Any = None) -> Any:
    """Rows written into a cache, each batch's from its own place, round its end if circular."""
    axis, size = node["axis"] % cache.ndim, cache.shape[node["axis"]]
    begin = nets.zeros((cache.shape[0],), dtype="int64") if starts is None else starts
    places = begin[:, None] + nets.arange(update.shape[axis])
    if node["mode"] == "circular":
        places = places % size
    new = nets.moveaxis(nets.positive(cache), axis, 1)
    rows = np.arange(cache.shape[0])[:, None]
    new[rows, places] = nets.moveaxis(update, axis, 1)
    return nets.moveaxis(new, 1, axis)


@operator("OneHot", known=[1])
def one_hot(node: Node, x: Any, depth: np.ndarray, values: Any) -> Any:
    """Positions beyond the depth have no one; negative ones count from the end."""
    count = int(np.ravel(depth)[0])
    places = nets.astype(x, "int64")
    places = nets.where(places < 0, places + count, places)
    axis = node["axis"] if node["axis"] >= 0 else node["axis"] + x.ndim + 1
    classes = nets.arange(count).reshape((count,) + (1,) * (x.ndim - axis))
    hit = nets.expand_dims(places, axis) == classes
    return nets.where(hit, values[1], values[0])


@operator("TopK", known=[1])
def top_k(node: Node, x: Any, k: np.ndarray) -> Any:
    largest = True if node["largest"] is None else bool(node["largest"])
    is_sorted = True if node["sorted"] is None else bool(node["sorted"])
    return tuple(nets.topk(x, int(np.ravel(k)[0]), node["axis"], largest, is_sorted))


@operator("Unique")
def unique(node: Node, x: Any) -> Any:
    axis = node["axis"]
    values, first, inverse, counts = nets.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis,
        size=node.shapes and node.shapes[0][axis or 0],
    )  # fmt: skip
    inverse = nets.flatten(inverse)
    if node["sorted"]:
        return values, first, inverse, counts
    order = nets.argsort(first)
    values = nets.take(values, order, axis=0 if axis is None else axis)
    return values, first[order], nets.argsort(order)[inverse], counts[order]


@operator("NonZero")
def non_zero(node: Node, x: Any) -> Any:
    return nets.stack(nets.nonzero(x, size=node.shapes and node.shapes[0][1]))


@operator("Compress", known=[1])
def compress(node: Node, x: Any, kept: np.ndarray) -> Any:
    if node["axis"] is None:
        return nets.take(nets.flatten(x), np.flatnonzero(kept), axis=0)
    return nets.take(x, np.flatnonzero(kept), axis=node["axis"])


@operator("Hardmax")
def hardmax(node: Node, x: Any) -> Any:
    axis = node["axis"]
    best = nets.argmax(x, axis=axis, keepdims=True)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    return nets.astype(best == nets.reshape(nets.arange(x.shape[axis]), tuple(shape)), x.dtype)


@operator("ArrayFeatureExtractor")
def array_feature_extractor(node: Node, x: Any, places: Any) -> Any:
    return nets.take(x, places.reshape(-1), axis=-1)


@operator("NonMaxSuppression", known=[2, 3, 4])
def non_max_suppression(
    node: Node, boxes: Any, scores: Any, most: Any = None, overlap: Any = None, least: Any = None
) -> Any:
    """Best boxes first, without what overlaps with a better one; how many, the numbers tell."""
    limit = 0 if most is None else int(np.ravel(most)[0])
    bound = 0.0 if overlap is None else float(np.ravel(overlap)[0])
    floor = -np.inf if least is None else float(np.ravel(least)[0])
    batches, classes, count = scores.shape
    kept, orders = [], []
    for batch in range(batches):
        shared = _overlaps(boxes[batch], bool(node["center_point_box"])) <= bound
        for number in range(classes):
            score = scores[batch, number]
            order = nets.argsort(-score)
            apart = shared[order][:, order]
            kept.append(_best(apart, score[order] > floor, limit))
            orders.append(order)
    rows = nets.flatnonzero(nets.stack(kept), size=node.shapes and node.shapes[0][0])
    parts = [rows // (classes * count), rows // count % classes, nets.concatenate(orders)[rows]]
    return nets.stack(parts, axis=1)


def _best(apart: Any, wanted: Any, limit: int) -> Any:
    """Which of some boxes in order are kept: those wanted, and apart from all kept before."""
    count = wanted.shape[0]

    def step(i: Any, kept: Any) -> Any:
        alone = nets.all(apart[i] | ~kept) & wanted[i] & (nets.sum(kept) < limit)
        return nets.where(nets.arange(count) == i, alone, kept)

    return nets.fori_loop(0, count, step, nets.zeros((count,), "bool"))


def _overlaps(boxes: Any, is_centred: bool) -> Any:
    """The area that two boxes share, of that which they cover together."""
    first, second = boxes[:, :2], boxes[:, 2:]
    if is_centred:
        first, second = first - second / 2, first + second / 2
    low, high = nets.minimum(first, second), nets.maximum(first, second)
    sides = nets.minimum(high[:, None], high) - nets.maximum(low[:, None], low)
    shared = nets.prod(nets.maximum(sides, 0), axis=-1)
    area = nets.prod(high - low, axis=-1)
    return shared / (area[:, None] + area - shared)


@operator("TfIdfVectorizer")
def tf_idf(node: Node, x: Any) -> Any:
    """How often each n-gram of a pool stands in a row, with up to so many elements skipped."""
    rows = x if x.ndim > 1 else x[None]
    width, pool = rows.shape[1], node["pool_int64s"]
    columns: list[Any] = [nets.zeros(rows.shape[:1])] * (max(node["ngram_indexes"]) + 1)
    for number, gram in enumerate(_grams(pool, node["ngram_counts"])):
        n = len(gram)
        if not node["min_gram_length"] <= n <= node["max_gram_length"]:
            continue
        count = nets.zeros(rows.shape[:1])
        for skip in range(1, (node["max_skip_count"] if n > 1 else 0) + 2):
            places = range(max(width - skip * (n - 1), 0))
            for start in places:
                hits = [rows[:, start + skip * k] == value for k, value in enumerate(gram)]
                count = count + nets.all(nets.stack(hits), axis=0)
        columns[node["ngram_indexes"][number]] = count
    table = nets.stack(columns, axis=1)
    if node["mode"] == "IDF":
        table = nets.astype(table > 0, "float64")
    if node["mode"] != "TF" and node["weights"]:
        table = table * np.array(node["weights"], np.float32)
    table = nets.astype(table, "float32")
    return table if x.ndim > 1 else table[0]


def _grams(pool: list[int], starts: list[int]) -> list[list[int]]:
    """The pool is all grams of one element, then those of two, and so on."""
    found = []
    for n, (start, end) in enumerate(zip(starts, [*starts[1:], len(pool)], strict=True), 1):
        found += [pool[i : i + n] for i in range(start, end, n)]
    return found
