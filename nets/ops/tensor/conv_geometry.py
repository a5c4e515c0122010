"""The geometry of convolutions: which elements meet at which taps, and the order of their sums.

The order of the sums (numerics.md, 5) depends on shapes alone. Over channels and taps: blocks of
``channel_block`` channels; in a block chains of fused multiply-additions from zero on, channel by
channel, taps in row-major order; the blocks are added in order. Over places (conv_weight): blocks
of ``row_block`` rows of one image, or of ``place_block`` places of a longer row, in chains
likewise, row by row, added in order.

The functions at the end sum in float64, without that order: the reference.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from nets.ops.definition.registry import Array

Ints = tuple[int, ...]

CHAIN: Final = 576
"""Steps that a chain of multiply-additions should not exceed; part of what the ops mean."""


def channel_block(channels: int, taps: int) -> int:
    """Channels whose terms form one chain."""
    blocks = -(-channels * taps // CHAIN)
    return max(1, -(-channels // max(blocks, 1)))


def row_block(width: int) -> int:
    """Rows of places, each of that width, whose terms form one chain."""
    return max(1, CHAIN // max(width, 1))


def place_block(width: int) -> int:
    """Places of a row of that width whose terms form one chain."""
    return -(-width // max(1, -(-width // CHAIN)))


# ------------------------------------------------------------------------------- one axis


@dataclass(frozen=True, slots=True)
class Tap:
    """Place i of a phase meets tap ``k`` at element i + ``offset`` of plane ``plane``."""

    k: int
    plane: int
    offset: int


@dataclass(frozen=True, slots=True)
class Phase:
    """The places first, first + step, … (``count`` of them), which meet the same taps."""

    first: int
    step: int
    count: int
    taps: tuple[Tap, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """How places of the result meet elements of the source along one axis.

    Plane p of the source holds its elements p, p + split, p + 2 · split, … Of the taps, which are
    ``dilation`` apart, a place meets element place · step + k · dilation − low (conv), or those
    elements that this leads back from (conv_input, ``is_back``).
    """

    split: int
    phases: tuple[Phase, ...]
    kernel: int
    step: int
    low: int
    dilation: int
    is_back: bool = False


def output_axis(places: int, kernel: int, step: int, low: int, dilation: int) -> Axis:
    """The axis of conv: one phase, whose source is split by the step."""
    reads = [k * dilation - low for k in range(kernel)]
    taps = tuple(Tap(k, read % step, read // step) for k, read in enumerate(reads))
    return Axis(step, (Phase(0, 1, places, taps),), kernel, step, low, dilation)


def input_axis(size: int, kernel: int, step: int, low: int, dilation: int) -> Axis:
    """The axis of conv_input: elements that lie a multiple of the step apart form a phase."""
    met: dict[int, list[int]] = {}
    for k in range(kernel):
        met.setdefault((k * dilation - low) % step, []).append(k)
    phases = []
    for first in range(min(step, size)):
        reads = [(k, first + low - k * dilation) for k in met.get(first, [])]
        taps = tuple(Tap(k, 0, read // step) for k, read in reads)
        phases.append(Phase(first, step, -(-(size - first) // step), taps))
    return Axis(1, tuple(phases), kernel, step, low, dilation, is_back=True)


# ------------------------------------------------------------------------------ reference


@dataclass(frozen=True, slots=True)
class Geometry:
    """The attributes the three ops share."""

    steps: Ints
    low: Ints
    dilation: Ints
    groups: int

    def output_axes(self, places: Sequence[int], kernel: Sequence[int]) -> list[Axis]:
        return list(map(output_axis, places, kernel, self.steps, self.low, self.dilation))

    def input_axes(self, sizes: Sequence[int], kernel: Sequence[int]) -> list[Axis]:
        return list(map(input_axis, sizes, kernel, self.steps, self.low, self.dilation))


def convolved(x: Array, w: Array, places: Sequence[int], geometry: Geometry) -> Array:
    """y, with so many places per axis, in float64."""
    groups = geometry.groups
    weight = w.reshape((groups, w.shape[0] // groups, *w.shape[1:]))
    return _correlated(x, weight, geometry.output_axes(places, w.shape[2:]), places)


def input_of(y: Array, w: Array, sizes: Sequence[int], geometry: Geometry) -> Array:
    """x, of these sizes per axis, in float64."""
    groups = geometry.groups
    weight = w.reshape((groups, w.shape[0] // groups, *w.shape[1:])).swapaxes(1, 2)
    return _correlated(y, weight, geometry.input_axes(sizes, w.shape[2:]), sizes)


def weight_of(x: Array, y: Array, kernel: Sequence[int], geometry: Geometry) -> Array:
    """w, with a kernel of this size, in float64."""
    groups, (n, outputs), places = geometry.groups, y.shape[:2], y.shape[2:]
    count = math.prod(places)
    right = y.reshape((n, groups, outputs // groups, count)).astype(np.float64)
    left = _grouped(x, groups).astype(np.float64)
    result = np.zeros((groups, outputs // groups, left.shape[2], *kernel))
    phases = [axis.phases[0] for axis in geometry.output_axes(places, kernel)]
    splits = geometry.steps
    for taps in itertools.product(*(phase.taps for phase in phases)):
        met = _met(left, places, taps, splits).reshape((n, groups, left.shape[2], count))
        at = tuple(tap.k for tap in taps)
        place: Any = (..., *at)
        result[place] = np.matmul(right, met.swapaxes(2, 3)).sum(0)
    return result.reshape((outputs, left.shape[2], *kernel))


def _correlated(source: Array, weight: Array, axes: Sequence[Axis], sizes: Sequence[int]) -> Array:
    """The sums of weight (groups × rows × channels × kernel) times what it meets."""
    groups, rows = weight.shape[:2]
    split = _grouped(source, groups).astype(np.float64)
    result = np.zeros((len(source), groups, rows, *sizes))
    for phases in itertools.product(*(axis.phases for axis in axes)):
        counts = [phase.count for phase in phases]
        total = np.zeros((len(source), groups, rows, math.prod(counts)))
        for taps in itertools.product(*(phase.taps for phase in phases)):
            met = _met(split, counts, taps, [axis.split for axis in axes])
            at: Any = (..., *(tap.k for tap in taps))
            factors = weight[at].astype(np.float64)
            total += np.matmul(factors, met.reshape((*met.shape[:3], math.prod(counts))))
        places: Any = (..., *(slice(phase.first, None, phase.step) for phase in phases))
        result[places] = total.reshape((*total.shape[:3], *counts))
    return result.reshape((len(source), groups * rows, *sizes))


def _grouped(x: Array, groups: int) -> Array:
    return x.reshape((len(x), groups, x.shape[1] // groups, *x.shape[2:]))


def _met(source: Array, counts: Sequence[int], taps: Sequence[Tap], splits: Sequence[int]) -> Array:
    """What ``counts`` places meet at one tap per axis; zeros outside of the source."""
    for axis, (count, tap, split) in enumerate(zip(counts, taps, splits, strict=True), 3):
        read = (np.arange(count) + tap.offset) * split + tap.plane
        inside = (read >= 0) & (read < source.shape[axis])
        widths = [(0, int(i == axis)) for i in range(source.ndim)]
        source = np.take(
            np.pad(source, widths), np.where(inside, read, source.shape[axis]), axis=axis
        )
    return source
