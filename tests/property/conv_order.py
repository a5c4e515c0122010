"""The bits of native convolutions (numerics.md, 5), a second time in plain NumPy.

Sums over channels and taps are cut into the fewest blocks of equally many channels that have no
more than 576 terms (or one channel), sums over places into blocks of as many whole rows, or longer
rows into the fewest equal parts. In a block fused multiply-additions in order, from zero on; the
blocks are added in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np

from nets.ops.definition.registry import Array

Term = tuple[Array, Array, Any]
"""Two factors for every element of the result, and which elements take part."""

Fused = Callable[[Array, Array, Array], Array]

_TERMS = 576


def conv_in_order(
    name: str, a: Array, b: Array, attributes: Mapping[str, Any], fma: Fused
) -> Array:
    """The result of conv, conv_input or conv_weight with the native bits."""
    if a.ndim == 3:
        wide = {key: value for key, value in attributes.items() if key == "groups"}
        for key, value in attributes.items():
            if key != "groups":
                wide[key] = (0 if key in ("low", "high") else 1, *value)
        flat = conv_in_order(name, a[:, :, None], b[:, :, None], wide, fma)
        return flat[:, :, 0]
    sums = {"conv": _outputs, "conv_input": _inputs, "conv_weight": _weights}[name]
    shape, blocks = sums(a, b, **attributes)
    total = np.zeros(shape, a.dtype)
    for number, terms in enumerate(blocks):
        block = np.zeros(shape, a.dtype)
        for x, y, taking_part in terms:
            block = np.where(taking_part, fma(*np.broadcast_arrays(x, y, block)), block)
        total = total + block if number else block
    return total


def _channel_blocks(channels: int, taps: int) -> Iterator[range]:
    blocks = -(-channels * taps // _TERMS)
    size = max(1, -(-channels // max(1, blocks)))
    for first in range(0, channels, size):
        yield range(first, min(first + size, channels))


def _outputs(
    x: Array, w: Array, steps: Any, low: Any, high: Any, dilation: Any, groups: int
) -> tuple[Sequence[int], Iterable[Iterable[Term]]]:
    x = np.pad(x, ((0, 0), (0, 0), *zip(low, high, strict=True)))
    spans = [n - d * (k - 1) for n, d, k in zip(x.shape[2:], dilation, w.shape[2:], strict=True)]
    group = np.arange(len(w)) // max(1, len(w) // groups)

    def terms(channels: range) -> Iterator[Term]:
        for c, i, j in product(channels, *map(range, w.shape[2:])):
            rows, columns = (
                slice(d * k, d * k + span, step)
                for d, k, span, step in zip(dilation, (i, j), spans, steps, strict=True)
            )
            met = x[:, group * w.shape[1] + c, rows, columns]
            yield w[None, :, c, i, j, None, None], met, True

    places = [-(-span // step) for span, step in zip(spans, steps, strict=True)]
    blocks = _channel_blocks(w.shape[1], prod(w.shape[2:]))
    return (len(x), len(w), *places), map(terms, blocks)


def _inputs(
    y: Array, w: Array, steps: Any, low: Any, high: Any, dilation: Any, groups: int, shape: Any
) -> tuple[Sequence[int], Iterable[Iterable[Term]]]:
    per_group = len(w) // groups
    group = np.arange(groups * w.shape[1]) // max(1, w.shape[1])
    around = np.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1)))

    def terms(outputs: range) -> Iterator[Term]:
        for o, *tap in product(outputs, *map(range, w.shape[2:])):
            found, at = [], []
            for size, places, k, step, first, apart in zip(
                shape, y.shape[2:], tap, steps, low, dilation, strict=True
            ):
                place, rest = np.divmod(np.arange(size) + first - k * apart, step)
                found.append(rest == 0)
                at.append(np.clip(place + 1, 0, places + 1))
            weight = w.reshape(groups, per_group, *w.shape[1:])[:, o, :, tap[0], tap[1]].ravel()
            met = around[:, group * per_group + o][:, :, at[0][:, None], at[1]]
            yield weight[:, None, None], met, found[0][:, None] & found[1]

    blocks = _channel_blocks(per_group, prod(w.shape[2:]))
    return (len(y), len(group), *shape), map(terms, blocks)


def _weights(
    x: Array, y: Array, steps: Any, low: Any, high: Any, dilation: Any, groups: int, shape: Any
) -> tuple[Sequence[int], Iterable[Iterable[Term]]]:
    x = np.pad(x, ((0, 0), (0, 0), *zip(low, high, strict=True)))
    (n, outputs), (height, width) = y.shape[:2], y.shape[2:]
    channels = x.shape[1] // groups
    group = np.arange(outputs) // max(1, outputs // groups)
    picked = group[:, None] * channels + np.arange(channels)
    rows = max(1, _TERMS // max(1, width))
    part = -(-width // -(-width // _TERMS))

    def terms(image: int, first: int, left: int) -> Iterator[Term]:
        columns = range(left, min(left + part, width))
        for i, j in product(range(first, min(first + rows, height)), columns):
            down, across = (
                place * step + apart * np.arange(k)
                for place, step, apart, k in zip((i, j), steps, dilation, shape, strict=True)
            )
            met = x[image][picked][:, :, down[:, None], across]
            yield y[image, :, i, j, None, None, None], met, True

    blocks = product(range(n), range(0, height, rows), range(0, width, part))
    return (outputs, channels, *shape), (terms(*block) for block in blocks)
