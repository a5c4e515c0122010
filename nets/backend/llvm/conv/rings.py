"""Rings: the planes that the taps of one axis meet, for code that walks along them in a loop.

An axis of the source is cut into planes, of which one holds the elements a step apart. Taps that
are ``dilation`` apart meet them in turn, as on a ring, and each time around it an element further
on. Where there are no more taps than planes, each tap has a plane of its own, which begins where
the tap does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nets.backend.llvm.gemm.kernel_text import Count, KernelText
from nets.ops.tensor.conv_geometry import Axis, Tap


@dataclass(frozen=True, slots=True)
class Ring:
    """The planes of an axis: number p begins at element ``origin`` + p · ``stride``.

    The first tap meets plane ``start`` at ``offset``; each tap is ``turn`` planes and ``further``
    elements beyond the one before, and one element more where that leads around the ring.
    """

    origin: int
    stride: int
    planes: int
    start: int
    offset: int
    turn: int
    further: int
    is_apart: bool
    """Whether every tap has a plane of its own."""

    @property
    def wraps(self) -> bool:
        return self.planes > 1 and not self.is_apart


def ring_of(axis: Axis, *, is_apart: bool) -> Ring:
    """The ring of an axis; each tap has a plane of its own where that is asked for."""
    between = math.gcd(axis.dilation, axis.step)
    if axis.is_back:
        if is_apart:
            return Ring(axis.low, -axis.dilation, axis.kernel, 0, 0, 1, 0, True)
        offset = axis.low if axis.step == 1 else 0  # else each place has its own
        return Ring(0, 0, 1, 0, offset, 0, -(axis.dilation // between), False)
    planes = axis.step // between
    if is_apart or axis.kernel <= planes:
        return Ring(-axis.low, axis.dilation, axis.kernel, 0, 0, 1, 0, True)
    origin = -axis.low % between
    start, offset = (-axis.low % axis.step - origin) // between, -axis.low // axis.step
    turn = axis.dilation // between % planes
    further = axis.dilation // axis.step
    return Ring(origin, between, planes, start, offset, turn, further, False)


@dataclass(frozen=True, slots=True)
class Places:
    """Places of the result along one axis, ``step`` apart, which meet the same taps: ``taps``, or
    ``met`` of them from number ``tap`` on, of which the first is met at ``offset``."""

    first: Count
    step: int
    count: Count
    taps: tuple[Tap, ...] = ()
    tap: Count = 0
    met: Count = 0
    offset: Count = 0


def between_taps(axis: Axis) -> int:
    """How far the numbers of taps are apart that one place meets."""
    return axis.step // math.gcd(axis.dilation, axis.step) if axis.is_back else 1


def places_from(body: KernelText, axis: Axis, ring: Ring, size: int, first: Count) -> Places:
    """The places of the phase with that first one."""
    if not axis.is_back:
        (phase,) = axis.phases
        return Places(0, 1, phase.count, (), 0, axis.kernel, ring.offset)
    # Tap k is met where first + low − k · dilation is a multiple of the step.
    common = math.gcd(axis.dilation, axis.step)
    apart = axis.step // common
    at = body.add(first, axis.low)
    number = body.multiply(body.divide(at, common), pow(axis.dilation // common, -1, apart))
    tap = body.remainder(number, apart)
    met = body.divide(body.subtract(axis.kernel + apart - 1, tap), apart)
    met = body.select(body.compare("eq", body.remainder(at, common), 0), met, 0)
    offset = body.floor(body.subtract(at, body.multiply(tap, axis.dilation)), axis.step)
    count = body.divide(body.subtract(size + axis.step - 1, first), axis.step)
    return Places(first, axis.step, count, (), tap, met, 0 if ring.is_apart else offset)
